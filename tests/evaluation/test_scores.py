"""Each score that people report, against an example worked by hand; and where it is not defined."""

import math

import pytest

from grait.errors import GraitError
from grait.evaluation.abstention import penalised_score
from grait.evaluation.scores import (
    Counts,
    Recognition,
    hallucination_rate,
    omniscience_index,
    recognition,
    right_of_answered,
    simpleqa_f,
    truthfulqa_mc1,
    truthfulqa_mc2,
    truthrl_score,
    wrong_of_answered,
)

SIX = Counts(right=6, wrong=2, refused=12)
NOTHING, REFUSES_ALL, ALL_RIGHT, ALL_WRONG = Counts(0, 0, 0), Counts(0, 0, 5), Counts(5, 0, 0), Counts(0, 5, 0)


def test_outcomes_are_counted() -> None:
    assert Counts.of(["correct", "refused", "wrong", "refused"]) == Counts(1, 1, 2)
    assert (SIX.n, SIX.answered) == (20, 8)


def test_simpleqa() -> None:
    """6 of 8 answered, 6 of 20 in all: F = 2 * 0.75 * 0.3 / 1.05."""
    assert right_of_answered(SIX) == 0.75
    assert simpleqa_f(SIX) == pytest.approx(0.45 / 1.05)
    assert simpleqa_f(ALL_WRONG) == 0 and simpleqa_f(ALL_RIGHT) == 1


def test_omniscience() -> None:
    """100 (6 - 2) / 20, and 2 of the 14 that were not answered right."""
    assert omniscience_index(SIX) == 20
    assert hallucination_rate(SIX) == pytest.approx(1 / 7)
    assert (omniscience_index(ALL_WRONG), omniscience_index(REFUSES_ALL)) == (-100, 0)
    assert (hallucination_rate(ALL_WRONG), hallucination_rate(REFUSES_ALL)) == (1, 0)


def test_truthrl() -> None:
    """(6 - 2) / 20: the penalised score at one half, by another road."""
    assert truthrl_score(SIX) == pytest.approx(0.2) == penalised_score(6 / 20, 2 / 20, 0.5)


def test_hallulens() -> None:
    """2 of the 8 answers are wrong; with the right ones they are all of them."""
    assert wrong_of_answered(SIX) == 0.25 == 1 - (right_of_answered(SIX) or 0)


def test_recognition_is_precision_recall_and_their_harmonic_mean() -> None:
    """10 refusals, 6 of them of the 8 questions that should be refused: P 0.6, R 0.75, F1 2 * 0.45 / 1.35."""
    found = recognition(hits=6, made=10, due=8)
    assert (found.precision, found.recall) == (0.6, 0.75)
    assert found.f1 == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))


def test_what_is_undefined_is_none() -> None:
    for score in (right_of_answered, wrong_of_answered, simpleqa_f):
        assert score(NOTHING) is None and score(REFUSES_ALL) is None
    for score in (omniscience_index, truthrl_score, hallucination_rate):
        assert score(NOTHING) is None
    assert hallucination_rate(ALL_RIGHT) is None
    assert recognition(0, 0, 4) == Recognition(None, 0, 0)
    assert recognition(0, 3, 0) == Recognition(0, None, 0)
    assert recognition(0, 0, 0) == Recognition(None, None, None)


def test_truthfulqa_mc1_is_won_by_the_most_probable_option() -> None:
    options = [math.log(p) for p in (0.5, 0.3, 0.2)]
    assert truthfulqa_mc1(options, [True, False, False])
    assert not truthfulqa_mc1(options, [False, True, False])
    assert not truthfulqa_mc1([-1.0, -1.0], [True, False])  # a tie


def test_truthfulqa_mc2_is_the_probability_of_what_is_true() -> None:
    """0.02 and 0.01 are true, 0.01 is not: 0.75; also where the probabilities are too small for a float."""
    options = [math.log(p) for p in (0.02, 0.01, 0.01)]
    assert truthfulqa_mc2(options, [True, False, True]) == pytest.approx(0.75)
    assert truthfulqa_mc2([value - 2000 for value in options], [True, False, True]) == pytest.approx(0.75)


def test_options_that_cannot_be_scored_are_refused() -> None:
    for mc in (truthfulqa_mc1, truthfulqa_mc2):
        with pytest.raises(GraitError, match="expected true and false options"):
            mc([-1.0, -2.0], [True, True])
        with pytest.raises(GraitError, match="finite log-probability"):
            mc([math.nan, -2.0], [True, False])
    with pytest.raises(GraitError, match="one true option, found 2"):
        truthfulqa_mc1([-1.0, -2.0, -3.0], [True, True, False])
