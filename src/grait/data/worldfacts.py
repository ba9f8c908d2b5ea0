"""WorldFacts: the question set that ships with this package, about 11,000 short questions over 61 relations.

Built by ``worldfacts/`` at the root of the repository from openly licensed sources (see NOTICE). The splits are fixed
in the file: ``test_id`` asks the relations of ``train`` about other subjects, ``test_ood`` asks relations and subjects
that no other split has.
"""

import gzip
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from grait.errors import DataError
from grait.records import Question

SPLITS = ("train", "val", "test_id", "test_ood")
VIEWS = ("oeqa", "mcqa")
N_CHOICES = 4
FILE_NAME = "worldfacts.jsonl.gz"


def load(split: str, view: str = "oeqa") -> list[Question]:
    """Questions of one split, in a fixed shuffled order: the first n are a fair sample over the relations.

    ``view``: ``oeqa`` asks for free text, ``mcqa`` offers the answer and three distractors. The right option stands
    equally often at each place, up to a remainder of one, and always at the same place for the same question.
    Both views of a question have the same id. Raises ``DataError`` for an unknown split or view.
    """
    if split not in SPLITS:
        raise DataError(f"WorldFacts has no split {split!r}: take one of {', '.join(SPLITS)}.")
    if view not in VIEWS:
        raise DataError(f"WorldFacts has no view {view!r}: take one of {', '.join(VIEWS)}.")
    rows = [row for row in _rows() if row["split"] == split]
    places = _answer_places([row["id"] for row in rows])
    return [_question(row, _choices(row, places[row["id"]]) if view == "mcqa" else ()) for row in rows]


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    """All rows in file order, which is the shuffled one."""
    packed = resources.files("grait.data").joinpath(FILE_NAME).read_bytes()
    return tuple(json.loads(line) for line in gzip.decompress(packed).decode("utf-8").splitlines())


def _answer_places(ids: list[str]) -> dict[str, int]:
    """Place of the right option by id: dealt 0, 1, 2, 3, 0, ... in the order of the ids' hashes."""
    dealt = sorted(ids, key=lambda row_id: hashlib.sha256(f"place|{row_id}".encode()).hexdigest())
    return {row_id: i % N_CHOICES for i, row_id in enumerate(dealt)}


def _choices(row: dict[str, Any], place: int) -> tuple[str, ...]:
    wrong = row["distractors"]
    return (*wrong[:place], row["answers"][0], *wrong[place:])


def _question(row: dict[str, Any], choices: tuple[str, ...]) -> Question:
    return Question(
        id=row["id"],
        question=row["question"],
        answers=tuple(row["answers"]),
        choices=choices,
        match=row["match"],
        relation=row["relation"],
        subject=row["subject"],
        popularity=row["popularity"],
    )
