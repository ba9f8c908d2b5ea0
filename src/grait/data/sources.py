"""Shared by the readers of the known sets: where rows come from, and what a list of questions has to be."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from grait.data.catalog import KnownSet
from grait.data.rows import hub_rows, json_rows, jsonl_rows, shown
from grait.errors import DataError
from grait.records import Question

PlacedRows = Iterator[tuple[str, object]]
"""(where the row stands, as errors say it; the row)"""


def rows_of(known: KnownSet, split: str, folder: str | None, revision: str | None, names: Iterable[str]) -> PlacedRows:
    """Rows of one split: from the hub, or of the folder's one JSON file that has one of the names."""
    if folder is None:
        return rows_from_hub(known, known.splits[split], revision)
    return rows_from_json(local_file(folder, names))


def rows_from_hub(known: KnownSet, split: str, revision: str | None) -> PlacedRows:
    """Rows of one split, named as on the hub; fetched once, then read from the hub's cache."""
    assert known.hub is not None
    name = known.hub + (f":{known.hub_config}" if known.hub_config else "")
    rows = hub_rows(name, known.hub, known.hub_config, split, revision or known.revision, streaming=False)
    for number, row in rows:
        yield f"{name}, {split}, row {number}", row


def rows_from_json(path: Path) -> PlacedRows:
    """Rows of a ``.json`` list or of ``.jsonl`` lines."""
    rows = json_rows(str(path)) if path.suffix == ".json" else jsonl_rows(str(path))
    for line, row in rows:
        yield f"{path}, line {line}", row


def local_file(folder: str, names: Iterable[str]) -> Path:
    """The one file of the folder that has one of the names. DataError when there is none, or more than one."""
    wanted = list(names)
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder; name the one that holds {' or '.join(wanted)}")
    found = [Path(folder) / name for name in wanted if (Path(folder) / name).is_file()]
    if not found:
        raise DataError(f"{folder}: has no {' and no '.join(wanted)}; name the folder that holds it")
    if len(found) > 1:
        raise DataError(f"{folder}: has {' and '.join(path.name for path in found)}; keep only one of them there")
    return found[0]


def gather(source: str, found: Iterable[tuple[str, Question]]) -> list[Question]:
    """The questions in their order. DataError when there is none, or when an id is used twice."""
    questions: list[Question] = []
    places: dict[str, str] = {}
    for where, question in found:
        if question.id in places:
            raise DataError(
                f"{where}: the id {shown(question.id)} was already used ({places[question.id]}); "
                "give each question its own id"
            )
        places[question.id] = where
        questions.append(question)
    if not questions:
        raise DataError(f"{source}: holds no question")
    return questions


def shuffled(questions: Iterable[Question]) -> list[Question]:
    """In the order of their ids' hashes, always the same: the first n of a set sorted by subject are a fair sample."""
    return sorted(questions, key=lambda question: hashlib.sha256(question.id.encode()).digest())
