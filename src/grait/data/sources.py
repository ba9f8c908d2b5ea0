"""A public set's rows, from the hub or from its own files, and what a list of questions has to be."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from grait.data.catalog import KnownSet
from grait.data.files import Source, hub_rows, open_rows
from grait.data.questions import Reader, Understood
from grait.data.rows import Rows
from grait.errors import DataError
from grait.records import View


def read_known(known: KnownSet, split: str, view: View, folder: str | None, revision: str | None) -> Understood:
    """The questions of one split, in the set's order or, where it is sorted, in a fixed shuffled one.

    ``popularity`` of a set that has numbers of its own is the rank among all its questions, 0 the rarest and 1 the best
    known; ties share their mean rank.
    """
    is_free_text = view == "oeqa" or "oeqa" not in known.views
    reader = Reader(known.columns if is_free_text else None, known)
    if folder is None:
        source = Source(f"hub {known.hub}", known.name, rows_from_hub(known, split, revision))
    else:
        names = [name.format(split=split, Split=split.capitalize()) for name in known.names]
        source = open_rows(str(local_file(folder, names)), None, None, "utf-8", reader.wanted)
    made_id = known.ids.replace("{split}", split)
    found = reader.read(source, "", None, lambda number: made_id.format(id=number - 1, row=number - 1))
    questions = list(found.questions)
    if not questions:
        raise DataError(f"{known.name}, {split}: holds no question")
    if made_id.startswith(f"{known.name}/{{id}}"):
        questions = [replace(question, id=made_id.format(id=question.id)) for question in questions]
    if known.ranked:
        ranked = zip(questions, ranks(reader.ranked), strict=True)
        questions = [replace(question, popularity=rank) for question, rank in ranked]
    found.questions = shuffled(questions) if known.shuffled else questions
    return found


def rows_from_hub(known: KnownSet, split: str, revision: str | None) -> Rows:
    """Rows of one split, named as on the hub; fetched once, then read from the hub's cache."""
    if known.hub is None:
        raise DataError(
            f"{known.title} is not on the hub; name the folder that holds its files (folder: {known.files})"
        )
    name = known.hub + (f":{known.hub_config}" if known.hub_config else "")
    hub_split = known.splits.get(split, split)
    return hub_rows(
        name,
        known.hub,
        known.hub_config,
        hub_split,
        revision or known.revision,
        streaming=False,
        place=f"{name}, {hub_split}",
        file=known.hub_file,
    )


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


class _Row(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_Row)


def shuffled(questions: Iterable[Row]) -> list[Row]:
    """In the order of their ids' hashes, always the same: the first n of a set sorted by subject are a fair sample."""
    return sorted(questions, key=lambda question: hashlib.sha256(question.id.encode()).digest())


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 0 (lowest) to 1 (highest), ties sharing their mean; 0.5 where all are equal."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    found: list[float] = (middle[places] / max(len(values) - 1, 1)).tolist()
    return found if len(found) > 1 else [0.5] * len(found)
