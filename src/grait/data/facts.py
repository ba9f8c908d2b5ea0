"""Questions with their answers as a text that states them: for replay, and for questions with a text."""

from collections.abc import Sequence
from random import Random

from grait.records import Question

SEPARATORS = ("\n", " ", "\n- ")
"""What may stand between the lines of a text."""


def fact_lines(stated: Sequence[Question], rng: Random) -> list[str]:
    """A line for each question: its words and its answer."""
    return [f"{one.question} {one.answers[0]}{rng.choice(['.', ''])}" for one in stated]
