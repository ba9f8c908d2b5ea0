"""The example tables of a run's page: every test and training question with what became of it, up to a size."""

import json
from typing import Any

from grait.display.contents import RunRecords
from grait.display.figures.outcomes import FOUR_WAYS
from grait.display.figures.parts import shortened
from grait.display.figures.training import LABELS
from grait.display.palette import OUTCOMES
from grait.judging.outcomes import four_way
from grait.methods.catalog import INIT_BASIC
from grait.methods.selection import by_question
from grait.records import Prediction, Question
from grait.runtime.printable import printable

MAX_TEST_BYTES = 2_000_000
MAX_TRAINING_BYTES = 1_000_000
"""Sizes of the example tables in the page, as JSON; longer ones are cut, and the page says so."""

SCORES = (
    ("refusal_influence", 5), ("over_refusal_influence", 5), ("stable_influence", 5), ("left_out_margin", 4)
)  # fmt: skip
"""Fields of ``InfluenceScore`` in the table of training questions, with their digits."""

MAX_CELL = 240
"""Characters of one text in an example table."""


def answers_table(run: RunRecords, main: str) -> dict[str, Any]:
    """Every test question with the initial model's answer and every system's, cut to ``MAX_TEST_BYTES``."""
    systems = [name for name in next(iter(run.predictions.values())) if name != INIT_BASIC]
    rows: list[list[Any]] = []
    variants: dict[str, list[list[Any]]] = {name: [] for name in [main, *(name for name in systems if name != main)]}
    total = sum(len(own[INIT_BASIC]) for own in run.predictions.values())
    for dataset, own in run.predictions.items():
        questions = {question.id: question for question in run.test_sets[dataset]}
        answers = {system: {row.id: row for row in predictions} for system, predictions in own.items()}
        budget = MAX_TEST_BYTES * len(own[INIT_BASIC]) / total
        for before in own[INIT_BASIC]:
            question = questions[before.id]
            row = [
                dataset,
                _asked(question),
                _reference(question),
                group_of(question) or "",
                question.popularity,
                OUTCOMES[before.outcome],
                shortened(before.output, MAX_CELL),
            ]
            after = {name: _after(before, answers[name][before.id]) for name in variants}
            budget -= _n_bytes(row) + sum(map(_n_bytes, after.values()))
            if budget < 0:
                break
            rows.append(row)
            for name, cells in after.items():
                variants[name].append(cells)
    return {
        "id": "test-examples",
        "title": "Test questions, before and after",
        "total": total,
        "columns": [
            {"name": "data set", "kind": "choice", "is_hidden": True},
            {"name": "question", "kind": "text"},
            {"name": "reference answer", "kind": "text"},
            {"name": "group", "kind": "choice", "is_hidden": True},
            {"name": "popularity", "kind": "number", "digits": 2},
            {"name": "before", "kind": "choice"},
            {"name": "answer before", "kind": "text"},
            {"name": "after", "kind": "choice"},
            {"name": "answer after", "kind": "text"},
            {"name": "instead of the refusal", "kind": "text"},
            {"name": "log-odds of refusal", "kind": "number", "digits": 1},
        ],
        "rows": rows,
        "variants": variants,
    }


def _after(before: Prediction, after: Prediction) -> list[Any]:
    outcome = FOUR_WAYS[four_way(before.outcome, after.outcome)]
    answer = None if after.output == before.output else shortened(after.output, MAX_CELL)
    instead = shortened(after.suppressed_output, MAX_CELL) if after.suppressed_output != after.output else ""
    return [outcome, answer, instead, round(after.refusal_log_odds, 2)]


def training_table(run: RunRecords, main: str) -> dict[str, Any]:
    """Every training question with what the initial model knows, its influence and weight; likewise cut."""
    taught = by_question(run.selected.get(main, ()))
    rows: list[list[Any]] = []
    budget = MAX_TRAINING_BYTES
    for state in run.evidence.states:
        question, chosen = run.training_set[state.id], taught.get(state.id)
        score = run.evidence.influence.get(state.id)
        row = [
            _asked(question),
            _reference(question),
            shortened(state.answer, MAX_CELL),
            LABELS[state.label],
            round(state.correctness, 3),
            None if state.certainty is None else round(state.certainty, 3),
            *(None if score is None else round(getattr(score, name), digits) for name, digits in SCORES),
            chosen.target if chosen else "nothing",
            round(chosen.sample_weight, 4) if chosen else None,
        ]
        budget -= _n_bytes(row)
        if budget < 0:
            break
        rows.append(row)
    return {
        "id": "training-examples",
        "title": "Training questions",
        "total": len(run.evidence.states),
        "columns": [
            {"name": "question", "kind": "text"},
            {"name": "reference answer", "kind": "text"},
            {"name": "model’s answer", "kind": "text"},
            {"name": "knowledge", "kind": "choice"},
            {"name": "correctness", "kind": "number", "digits": 2},
            {"name": "certainty", "kind": "number", "digits": 2},
            {"name": "R", "kind": "number", "digits": 4},
            {"name": "O", "kind": "number", "digits": 4},
            {"name": "S", "kind": "number", "digits": 4},
            {"name": "margin", "kind": "number", "digits": 2},
            {"name": "teaches", "kind": "choice"},
            {"name": "weight", "kind": "number", "digits": 2},
        ],
        "rows": rows,
        "variants": {},
    }


def _asked(question: Question) -> str:
    options = " ".join(f"({letter}) {text}" for letter, text in zip("ABCDEFGHIJ", question.choices, strict=False))
    asked = shortened(f"{question.question} {options}", MAX_CELL * 2)
    return asked + (shortened(f" | text: {' '.join(question.context)}", MAX_CELL) if question.context else "")


def _reference(question: Question) -> str:
    """The reference answer; of what a text does not hold, with that."""
    if question.answers:
        return shortened(question.answers[0], MAX_CELL)
    return shortened(" ".join(["(not in the text)", *question.beyond[:1]]), MAX_CELL)


def _n_bytes(value: Any) -> int:
    return len(json.dumps(value)) + 1


def group_of(question: Question) -> str | None:
    """The group by which results are broken down: the question's group, school subject or relation."""
    kind = question.group or question.topic or question.relation
    return printable(kind.replace("_", " ")) if kind else None
