"""What a run says first: whether it was worth it."""

import pytest

from grait.display.words import gain_in_words
from grait.evaluation.gain import gain
from grait.records import DifferenceRecord


@pytest.mark.parametrize(
    ("low", "high", "begin", "has"),
    [
        (0.01, 0.2, "A gain over the initial model.", "60 questions"),
        (-0.03, 0.04, "No gain shown over the initial model. ", "No tuning is needed"),
        (-0.16, 0.15, "No gain shown over the initial model, and none ruled out.", "So few questions do not tell"),
        (-0.2, -0.1, "No gain shown over the initial model. ", "No tuning is needed"),
    ],
)
def test_too_few_questions_are_no_reason_to_leave_tuning(low: float, high: float, begin: str, has: str) -> None:
    """Only where the interval holds no gain worth having is the threshold all that is needed."""
    found = gain(
        [DifferenceRecord("grait + dial", "init-basic + dial", "held-out", (low + high) / 2, low, high)],
        ["init-basic + dial"],
    )
    assert found is not None
    said = gain_in_words(found, "grait", 60)
    assert said.startswith(begin) and has in said
