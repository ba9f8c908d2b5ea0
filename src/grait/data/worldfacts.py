"""WorldFacts: the question set that ships with this package, about 11,000 short questions over 61 relations.

Built by ``worldfacts/`` at the root of the repository from openly licensed sources (see NOTICE). The splits are fixed
in the file: ``test_id`` asks the relations of ``train`` about other subjects, ``test_ood`` asks relations and subjects
that no other split has.
"""

import gzip
import hashlib
import json
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import islice
from random import Random
from typing import Any

from grait.data.facts import SEPARATORS, fact_lines
from grait.errors import DataError
from grait.judging.matching import contains_answer
from grait.records import Question

SPLITS = ("train", "val", "test_id", "test_ood")
VIEWS = ("oeqa", "mcqa", "context")
N_CHOICES = 4
MOST_FACTS = 4
"""Of a text in the context view."""

FILE_NAME = "worldfacts.jsonl.gz"


def load(split: str, view: str = "oeqa") -> list[Question]:
    """Questions of one split, in a fixed shuffled order: the first n are a fair sample over the relations.

    ``view``: ``oeqa`` asks for free text, ``mcqa`` offers the answer and three distractors. The right option stands
    equally often at each place, up to a remainder of one, and always at the same place for the same question.
    ``context`` is ``oeqa`` with a text of up to ``MOST_FACTS`` facts of the split and of the question's relation: a
    third of the questions have one with their own among them, a third one in which no reference stands, and a third
    none. It is always the same text for the same question. All views of a question have the same id. Raises
    ``DataError`` for an unknown split or view.
    """
    if split not in SPLITS:
        raise DataError(f"WorldFacts has no split {split!r}: take one of {', '.join(SPLITS)}.")
    if view not in VIEWS:
        raise DataError(f"WorldFacts has no view {view!r}: take one of {', '.join(VIEWS)}.")
    rows = [row for row in _rows() if row["split"] == split]
    places = _answer_places([row["id"] for row in rows])
    questions = [_question(row, places[row["id"]] if view == "mcqa" else None) for row in rows]
    return _with_texts(questions) if view == "context" else questions


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    """All rows in file order, which is the shuffled one."""
    packed = resources.files("grait.data").joinpath(FILE_NAME).read_bytes()
    return tuple(json.loads(line) for line in gzip.decompress(packed).decode("utf-8").splitlines())


def _answer_places(ids: list[str]) -> dict[str, int]:
    """Place of the right option by id: dealt 0, 1, 2, 3, 0, ... in the order of the ids' hashes."""
    dealt = sorted(ids, key=lambda row_id: hashlib.sha256(f"place|{row_id}".encode()).hexdigest())
    return {row_id: i % N_CHOICES for i, row_id in enumerate(dealt)}


def _with_texts(questions: list[Question]) -> list[Question]:
    """The questions with their texts; one that no other fact of its relation can be told beside has none."""
    dealt = sorted(questions, key=lambda own: hashlib.sha256(f"text|{own.id}".encode()).hexdigest())
    kinds = {question.id: ("own", "others", "none")[i % 3] for i, question in enumerate(dealt)}
    alike: dict[str | None, list[Question]] = {}
    for question in questions:
        alike.setdefault(question.relation, []).append(question)
    return [_with_text(question, alike[question.relation], kinds[question.id]) for question in questions]


def _with_text(question: Question, alike: list[Question], kind: str) -> Question:
    if kind == "none":
        return question
    rng = Random(f"text {question.id}")
    n = rng.randint(1, MOST_FACTS)
    others = (
        other
        for other in rng.sample(alike, len(alike))
        if other.id != question.id
        and not any(contains_answer(f"{other.question} {other.answers[0]}", answer) for answer in question.answers)
    )
    stated = [question, *islice(others, n - 1)] if kind == "own" else list(islice(others, n))
    if not stated:
        return question
    rng.shuffle(stated)
    lines = fact_lines(stated, rng)
    return replace(question, context=(rng.choice(SEPARATORS).join(lines),), holds_answer=kind == "own")


def _question(row: dict[str, Any], place: int | None) -> Question:
    """``place``: of the right option; None for free text."""
    kept = {name: row[name] for name in ("id", "question", "match", "relation", "subject", "popularity")}
    wrong, answers = row["distractors"], tuple(row["answers"])
    choices = () if place is None else (*wrong[:place], answers[0], *wrong[place:])
    return Question(**kept, answers=answers, choices=choices)
