"""Where rows come from: a file, a folder of files, what ``datasets.save_to_disk`` wrote, or the Hugging Face hub."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from grait.data.rows import (
    PACKED,
    Rows,
    Wanted,
    column_names,
    csv_rows,
    every,
    json_rows,
    jsonl_rows,
    nested_rows,
    one_line,
    parquet_rows,
    shown,
)
from grait.errors import DataError

FORMATS = {
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "CSV with tabs",
    ".parquet": "parquet",
}
SUFFIXES = tuple(FORMATS)
"""Of files; all but parquet may be packed, as in ``.jsonl.gz``."""

_HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<config>[\w.-]+))?")
_SPLIT = re.compile(r"(?:^|[-_.])(train|test|validation|valid|val|dev)(?=[-_.]|$)", re.IGNORECASE)
_SHARD = re.compile(r"(.*?)-([0-9]{5})-of-([0-9]{5})")
_SPLIT_NAMES = {"valid": "validation", "val": "validation", "dev": "validation"}


@dataclass(frozen=True)
class Source:
    """``stem``: of ids that are made. ``is_table``: whether all cells are text. ``seen``: what was found on the way,
    counted while rows are read."""

    format: str
    stem: str
    rows: Rows
    is_table: bool = False
    seen: Counter[str] = field(default_factory=Counter)


def suffix_of(path: Path) -> str:
    """``.jsonl`` of ``train.jsonl.gz``."""
    inner = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return inner.suffix.lower()


def is_question_file(path: Path) -> bool:
    return suffix_of(path) in SUFFIXES


def hub_set(path: str) -> re.Match[str] | None:
    """``name`` and ``config`` of the data set on the hub that is meant; None for a path to a file, there or not."""
    hub, file = _HUB_ID.fullmatch(path), Path(path)
    return None if hub is None or file.exists() or file.parent.exists() or is_question_file(file) else hub


def open_rows(
    path: str, split: str | None = None, revision: str | None = None, encoding: str = "utf-8", wanted: Wanted = every
) -> Source:
    """The rows of a path, which are read as they are asked for; ``wanted``: the columns of a table that are read.

    A path that exists on disk is never looked for on the hub. DataError where there is no such thing.
    """
    file = Path(path)
    try:
        exists, is_dir = file.exists(), file.is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)}: is no usable path ({one_line(error)})") from None
    if exists and revision is not None:
        raise DataError(f"{path}: revision {shown(revision)} was asked of a file; only hub data sets have revisions")
    if exists:
        return _folder(file, split, encoding, wanted) if is_dir else _file(file, split, encoding, wanted, Counter())
    hub = hub_set(path)
    if hub is None:
        raise DataError(
            f"{path}: no such file; check the path (a hub data set is named owner/name, "
            "`grait datasets` lists those that go by a short name)"
        )
    rows = hub_rows(path, hub["name"], hub["config"], split, revision, streaming=True)
    return Source("hub", hub["name"].split("/")[1], rows)


def _file(file: Path, split: str | None, encoding: str, wanted: Wanted, seen: Counter[str]) -> Source:
    path, suffix, packing = str(file), suffix_of(file), file.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: unknown suffix {shown(file.suffix)}; expected one of {', '.join(SUFFIXES)}, packed as "
            f"{', '.join(PACKED)} or not, or a folder that datasets.save_to_disk wrote"
        )
    if split is not None and suffix != ".json":
        raise DataError(
            f"{path}: split {shown(split)} was asked of a file; splits exist only for hub data sets and folders"
        )
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{path}: is empty; expected rows")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    is_table = suffix in (".csv", ".tsv")
    if is_table:
        rows = csv_rows(path, suffix, encoding, wanted, seen)
    elif suffix == ".parquet":
        rows = parquet_rows(path, wanted)
    else:
        rows = nested_rows(json_rows(path, split, encoding) if suffix == ".json" else jsonl_rows(path, encoding))
    if packing in PACKED:
        return Source(f"{FORMATS[suffix]}, packed ({packing[1:]})", Path(file.stem).stem, rows, is_table, seen)
    return Source(FORMATS[suffix], file.stem, rows, is_table, seen)


def _folder(folder: Path, split: str | None, encoding: str, wanted: Wanted) -> Source:
    """What ``save_to_disk`` wrote; else the files in it, or in its ``data``, of one split."""
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        return Source("datasets.save_to_disk", folder.name, _saved_rows(folder, split))
    by_split: dict[str, list[Path]] = {}
    files = (path for place in (folder, folder / "data") if place.is_dir() for path in place.iterdir())
    for path in sorted(path for path in files if path.is_file() and is_question_file(path)):
        if path.name.startswith(".") or path.name == "dataset_infos.json":  # of the system, and of the hub
            continue
        stem = path.name.split(".")[0]
        name = found[1].lower() if (found := _SPLIT.search(stem)) else stem
        by_split.setdefault(_SPLIT_NAMES.get(name, name), []).append(path)
    if not by_split:
        inner = sorted({path.parent.name for path in folder.glob("*/*") if is_question_file(path)})
        there = f" of its own; there are some in {column_names(inner)}, which can be named" if inner else ""
        raise DataError(
            f"{folder}: is a folder without question files{there}; name a file ({', '.join(SUFFIXES)}), or the data "
            "set that it holds and the folder apart (path: mmlu, folder: ...)"
        )
    asked = _SPLIT_NAMES.get(split, split) if split else None
    if asked not in by_split and (asked or len(by_split) > 1):
        has = f"has no split {shown(split)}" if split else "holds several sets of questions"
        raise DataError(f"{folder}: {has}; name one of its splits, or one file: {column_names(sorted(by_split))}")
    seen: Counter[str] = Counter()
    paths = by_split[asked or next(iter(by_split))]
    _check_shards(folder, paths)
    sources = [_file(path, None, encoding, wanted, seen) for path in paths]
    if len({source.is_table for source in sources}) > 1:
        raise DataError(f"{folder}: holds tables and other files of one split; name one file")
    title = f"folder, {len(sources)} files of {sources[0].format}" if len(sources) > 1 else sources[0].format
    rows = chain.from_iterable(source.rows for source in sources)
    return Source(title, folder.name, rows, sources[0].is_table, seen)


def _check_shards(folder: Path, paths: list[Path]) -> None:
    """DataError where one of the files of a whole (``train-00001-of-00003``) is not there."""
    there: dict[tuple[str, str], set[int]] = {}
    for shard in filter(None, (_SHARD.match(path.name) for path in paths)):
        there.setdefault((shard[1], shard[3]), set()).add(int(shard[2]))
    for (name, n), numbers in there.items():
        if lost := sorted(set(range(int(n))) - numbers):
            raise DataError(
                f"{folder}: has {len(numbers)} of {int(n)} files of {name}, without {name}-{lost[0]:05}-of-{n}; fetch "
                "the others, or name one file"
            )


def _saved_rows(folder: Path, split: str | None) -> Rows:
    import datasets

    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:  # damaged or of a newer version: classes of several packages
        raise DataError(f"{folder}: cannot be read by datasets.load_from_disk ({one_line(error)})") from None
    yield from _rows_of(str(folder), data, split)


def hub_rows(
    path: str,
    name: str,
    config: str | None,
    split: str | None,
    revision: str | None,
    *,
    streaming: bool,
    place: str | None = None,
    file: str | None = None,
) -> Rows:
    """Rows of a hub data set; ``path`` is what the user calls it, ``place`` what its rows are said to stand in.
    ``file``: the only one of its files that is read.

    No code of the data set is ever run.

    ``streaming`` fetches only what is read; without it the whole data set is fetched once and kept in the hub's cache.
    Every failure of the hub library or the network becomes one DataError.
    """
    import datasets

    try:
        only = {"data_files": file} if file else {}
        data = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming, **only)
    except Exception as error:  # network, unknown name, configuration, split or commit: classes of several packages
        raise DataError(
            f"{path}: no such file, and the hub data set cannot be loaded ({one_line(error)}); "
            "check the name, the split and the network"
        ) from None
    yield from _rows_of(place or path, data, None)


def _rows_of(path: str, data: Any, split: str | None) -> Iterator[tuple[str, object]]:
    """Rows of a data set of the library ``datasets``, or of one of its splits."""
    if isinstance(data, dict):
        if split is None and len(data) != 1:
            raise DataError(f"{path}: name a split; the data set has {', '.join(map(str, data))}")
        if split is not None and split not in data:
            raise DataError(f"{path}: has no split {shown(split)}; the data set has {', '.join(map(str, data))}")
        data = data[split] if split is not None else next(iter(data.values()))
    elif split is not None:
        raise DataError(f"{path}: split {shown(split)} was asked of a data set without splits; leave it out")
    number = 0
    try:
        for number, row in enumerate(data, 1):
            yield f"{path}, row {number}", row
    except Exception as error:
        raise DataError(f"{path}, after row {number}: reading from the hub failed ({one_line(error)})") from None
