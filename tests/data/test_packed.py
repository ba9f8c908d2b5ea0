"""Packed questions are those of a list, in a part of its memory; a run that is only looked at reads the same."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from grait.config import parse_config
from grait.data import worldfacts
from grait.data.packed import BLOCK, Packed, without
from grait.data.questions import read_questions
from grait.pipeline.data import RunData
from grait.records import Question

ODD = Question(
    "odd", "Which?", (), ("a", "b"), "list", "r", "s", 0.5, "t", "g", 1, False, "1%", ("text",), True, ("x",)
)


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_what_is_packed_is_what_was_given(n: int) -> None:
    questions = [*worldfacts.load("train")[:n], ODD]
    packed = Packed(iter(questions))
    assert (
        list(packed) == list(packed) == questions == packed
        and packed != questions[1:]
        and len(packed) == n + 1
        and ODD in packed
    )
    assert packed[-1] == ODD and packed[:2] == questions[:2]
    assert list(packed + questions[:2]) == questions + questions[:2] and len(packed + questions[:2]) == n + 1 + min(
        n + 1, 2
    )
    fewer = without(packed, ["odd"])
    assert (
        list(fewer) == without(questions, ["odd"]) == questions[:-1] and len(fewer) == n and list(packed) == questions
    )


def rows(n: int) -> list[dict[str, Any]]:
    """Some return, with another answer, nobody can answer some, and some have a text."""
    return [
        {
            "question": f"What is number {i % (n - 20)}?",
            "answers": [] if i % 9 == 4 else [f"the {i}th"],
            "answerable": i % 9 != 4,
            "context": f"It is the {i - i % 2}th." if i % 3 == 0 else None,
        }
        for i in range(n)
    ]


def write(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return str(path)


def test_a_run_that_is_only_looked_at_finds_the_same(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.jsonl", rows(700)), write(tmp_path / "test.jsonl", rows(90)[60:])
    tree = {"data": {"path": train, "allow_overlap": True}, "evaluation": {"datasets": [{"path": test}]}}
    config = parse_config(tree)
    kept, looked_at = (RunData(config, measures_texts=False, keep=keep) for keep in (list, Packed))
    assert isinstance(looked_at.trained_on, Packed) and list(looked_at.trained_on) == kept.trained_on
    assert looked_at.held_out == kept.held_out and len(kept.held_out) > 50
    assert {title: list(own) for title, own in looked_at.tests.items()} == kept.tests
    assert looked_at.look_across() == kept.look_across() != []
    assert looked_at.said == kept.said


def test_packed_questions_take_a_fraction_of_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "many.jsonl", rows(6000))
    sizes = []
    for keep in (list, Packed):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        found = read_questions(path, keep=keep).questions
        sizes.append(tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.stop()
        assert len(found) == 6000
    assert sizes[1] < sizes[0] / 4
