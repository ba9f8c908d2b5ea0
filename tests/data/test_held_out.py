"""The training questions that are put aside."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grait.data.held_out import FEWEST_OF_ALL, held_out
from grait.data.wording import wording
from grait.records import Question


def questions(n: int) -> list[Question]:
    return [Question(f"q{i}", f"Who is number {i}?", ("a",)) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "expected"),
    [(0, 0), (40, 0), (FEWEST_OF_ALL - 1, 0), (FEWEST_OF_ALL, 60), (400, 60), (1200, 180), (9000, 400)],
)
def test_a_share_is_put_aside_within_limits(n: int, expected: int) -> None:
    assert len(held_out(questions(n), ())) == expected


@given(st.integers(0, 2**32))
def test_the_order_of_the_file_and_ids_do_not_matter(seed: int) -> None:
    rows = questions(300)
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert held_out(shuffled, ()) == held_out(rows, ())
    renamed = held_out([replace(row, id=f"other{row.id}") for row in rows], ())
    assert {id_.removeprefix("other") for id_ in renamed} == held_out(rows, ())


def test_a_question_that_stands_twice_is_on_one_side_only() -> None:
    rows = questions(300)
    again = [replace(row, id=f"again-{row.id}", question=row.question.upper() + " ") for row in rows]
    found = held_out([*rows, *again], ())
    assert {f"again-{id_}" for id_ in found if not id_.startswith("again")} == {
        id_ for id_ in found if id_.startswith("again")
    }


def test_examples_and_test_questions_stay() -> None:
    rows = questions(300)
    some = held_out(rows, ())
    never = {wording(row) for row in rows if row.id in some}
    assert not held_out(rows, never) & some
