"""Metrics of refusal scores: by hand, against all orders within ties, at the edges."""

import math
import random
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from grait.errors import GraitError
from grait.evaluation.metrics import refusal_auroc, summarize
from grait.evaluation.selective import aurc, average_precision, expected_calibration_error, risk_coverage
from grait.records import Outcome

answered = st.lists(st.tuples(st.booleans(), st.integers(-3, 0)), min_size=1, max_size=6)
"""Whether the answer is right, and a score of few values: most lists have ties."""


def split(rows: list[tuple[bool, int]]) -> tuple[list[bool], list[float]]:
    return [right for right, _ in rows], [float(score) for _, score in rows]


def plain_risks(is_correct: list[bool]) -> list[float]:
    """Risk of the first k answers, k from 1, in the order as it is."""
    return [is_correct[:k].count(False) / k for k in range(1, len(is_correct) + 1)]


def expected_risks(rows: list[tuple[bool, int]]) -> list[float]:
    """The mean over all orders of the questions that keep lower scores first."""
    orders = [order for order in permutations(rows) if [s for _, s in order] == sorted(s for _, s in order)]
    return np.mean([plain_risks([right for right, _ in order]) for order in orders], axis=0).tolist()


# -- risk and coverage ---------------------------------------------------------------------------------------------


def test_the_curve_by_hand() -> None:
    """Least refused first: right (-9), wrong (-5), right (-4), wrong (-1)."""
    curve = risk_coverage([False, True, True, False], [-1.0, -9.0, -4.0, -5.0])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc([False, True, True, False], [-1.0, -9.0, -4.0, -5.0]) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_ties_by_hand() -> None:
    """After a right answer, one right and one wrong of equal score: half a wrong answer is expected among two."""
    curve = risk_coverage([True, True, False], [-2.0, -1.0, -1.0])
    assert curve.risk.tolist() == pytest.approx([0, 0.5 / 2, 1 / 3])


@settings(max_examples=60, deadline=None)
@given(answered)
def test_the_risk_is_the_mean_over_all_orders_within_ties(rows: list[tuple[bool, int]]) -> None:
    expected = expected_risks(rows)
    assert risk_coverage(*split(rows)).risk.tolist() == pytest.approx(expected)
    assert aurc(*split(rows)) == pytest.approx(sum(expected) / len(expected))


@given(answered, st.randoms(use_true_random=False))
def test_the_order_of_the_questions_changes_nothing(rows: list[tuple[bool, int]], generator: random.Random) -> None:
    shuffled = generator.sample(rows, len(rows))
    assert risk_coverage(*split(shuffled)).risk.tolist() == risk_coverage(*split(rows)).risk.tolist()
    assert average_precision(*split(shuffled)) == average_precision(*split(rows))
    right, scores = split(rows)
    right_too, scores_too = split(shuffled)
    calibrated = expected_calibration_error(right_too, np.exp(scores_too).tolist(), n_bins=3)
    assert calibrated == pytest.approx(expected_calibration_error(right, np.exp(scores).tolist(), n_bins=3))


@given(answered)
def test_bounds_and_the_last_point(rows: list[tuple[bool, int]]) -> None:
    is_correct, scores = split(rows)
    curve = risk_coverage(is_correct, scores)
    assert ((curve.risk >= 0) & (curve.risk <= 1)).all()
    assert (curve.coverage[-1], curve.risk[-1]) == (1, is_correct.count(False) / len(is_correct))
    best, worst = (aurc(is_correct, [sign * float(right) for right in is_correct]) for sign in (-1, 1))
    assert best - 1e-12 <= aurc(is_correct, scores) <= worst + 1e-12


@given(answered)
def test_only_the_ranking_matters(rows: list[tuple[bool, int]]) -> None:
    is_correct, scores = split(rows)
    assert aurc(is_correct, np.exp(scores).tolist()) == aurc(is_correct, scores)
    assert average_precision(is_correct, np.exp(scores).tolist()) == average_precision(is_correct, scores)


def test_a_score_that_says_nothing_gives_the_error_rate() -> None:
    is_correct = [True] * 7 + [False] * 3
    assert aurc(is_correct, [0.5] * 10) == pytest.approx(0.3)
    assert average_precision(is_correct, [0.5] * 10) == pytest.approx(0.7)
    shuffled = [aurc(is_correct, np.random.default_rng(seed).random(10).tolist()) for seed in range(2000)]
    assert np.mean(shuffled) == pytest.approx(0.3, abs=0.01)


def test_the_best_ranking_comes_near_its_formula() -> None:
    n, e = 20_000, 0.3
    is_correct = [i >= e * n for i in range(n)]
    assert aurc(is_correct, [-float(right) for right in is_correct]) == pytest.approx(
        e + (1 - e) * math.log(1 - e), abs=1e-3
    )


def test_all_right_and_all_wrong() -> None:
    for right in (True, False):
        assert aurc([right] * 3, [-3.0, -2.0, -2.0]) == pytest.approx(0 if right else 1)
    assert average_precision([True] * 3, [-3.0, -2.0, -2.0]) == 1
    assert average_precision([False] * 3, [-3.0, -2.0, -2.0]) is None


# -- average precision ---------------------------------------------------------------------------------------------


def test_average_precision_by_hand() -> None:
    """Right answers are 1st and 3rd of four: precision 1/1 and 2/3, each for half of the recall."""
    assert average_precision([True, False, True, False], [-9.0, -5.0, -4.0, -1.0]) == pytest.approx((1 + 2 / 3) / 2)
    # The 2nd and 3rd are equal: one threshold, where precision is 2/3.
    assert average_precision([True, False, True, False], [-9.0, -5.0, -5.0, -1.0]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([False, True, False, True], [-9.0, -5.0, -5.0, -1.0]) == pytest.approx((1 / 3 + 2 / 4) / 2)


@given(answered)
def test_average_precision_is_the_sum_over_thresholds(rows: list[tuple[bool, int]]) -> None:
    is_correct, scores = split(rows)
    if not any(is_correct):
        assert average_precision(is_correct, scores) is None
        return
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores)):
        kept = [right for right, score in zip(is_correct, scores, strict=True) if score <= threshold]
        total += (sum(kept) / sum(is_correct) - recall) * sum(kept) / len(kept)
        recall = sum(kept) / sum(is_correct)
    assert average_precision(is_correct, scores) == pytest.approx(total)


def test_a_better_ranking_has_a_higher_precision_and_a_lower_area() -> None:
    is_correct = [True, True, True, False, False, False]
    good, turned = [-6.0, -5.0, -3.0, -4.0, -2.0, -1.0], [-1.0, -2.0, -4.0, -3.0, -5.0, -6.0]
    assert aurc(is_correct, good) < 0.5 < aurc(is_correct, turned)
    better, worse = average_precision(is_correct, good), average_precision(is_correct, turned)
    assert better is not None and worse is not None and better > worse


# -- calibration ---------------------------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    """Two bins of two: (0.1 + 0.3) / 2 against 1/2 wrong, (0.6 + 0.8) / 2 against 2/2 wrong."""
    found = expected_calibration_error([True, False, False, False], [0.1, 0.3, 0.6, 0.8], n_bins=2)
    assert found == pytest.approx((abs(0.2 - 0.5) + abs(0.7 - 1)) / 2)


def test_bins_of_equal_mass_differ_by_one_question_at_most() -> None:
    """Five questions in two bins: three and two."""
    found = expected_calibration_error([True, True, False, False, False], [0.1, 0.2, 0.3, 0.5, 0.9], n_bins=2)
    assert found == pytest.approx((abs(0.6 - 1) + abs(1.4 - 2)) / 5)


def test_questions_of_equal_probability_share_their_outcomes() -> None:
    """Four alike, two of them wrong, over the border of two bins: each bin has one wrong, whoever comes first."""
    for is_correct in ([True, True, False, False], [True, False, True, False]):
        assert expected_calibration_error(is_correct, [0.5] * 4, n_bins=2) == 0
        assert expected_calibration_error(is_correct, [0.1] * 4, n_bins=2) == pytest.approx(0.4)


def test_a_forecast_that_holds_is_calibrated_and_a_flat_refuser_is_not() -> None:
    generator = np.random.default_rng(0)
    forecast = generator.random(20_000)
    is_correct = (generator.random(20_000) >= forecast).tolist()
    assert expected_calibration_error(is_correct, forecast.tolist()) < 0.02
    assert expected_calibration_error(is_correct, (1 - forecast).tolist()) > 0.4
    error_rate = 1 - np.mean(is_correct)
    assert expected_calibration_error(is_correct, [1.0] * 20_000) == pytest.approx(1 - error_rate)
    assert expected_calibration_error(is_correct, [0.0] * 20_000) == pytest.approx(error_rate)


@given(answered)
def test_calibration_lies_between_zero_and_one(rows: list[tuple[bool, int]]) -> None:
    is_correct, scores = split(rows)
    assert 0 <= expected_calibration_error(is_correct, np.exp(scores).tolist()) <= 1


# -- what cannot be measured ---------------------------------------------------------------------------------------


def test_bad_input_is_one_line() -> None:
    for metric in (risk_coverage, aurc, average_precision, expected_calibration_error):
        with pytest.raises(GraitError, match="one refusal score for each answer, found 1 scores and 2 answers"):
            metric([True, False], [0.5])
        with pytest.raises(GraitError, match="no answer to rank"):
            metric([], [])
        with pytest.raises(GraitError, match=r"refusal score 1 \(from 0\) is nan"):
            metric([True, False], [0.5, math.nan])
    with pytest.raises(GraitError, match=r"between 0 and 1, found 1\.5"):
        expected_calibration_error([True, False], [0.5, 1.5])


# -- in the record -------------------------------------------------------------------------------------------------


def test_the_record_ranks_the_initial_models_answers_by_the_systems_refusals() -> None:
    """The system refuses both of the least likely refused questions: no answer of its own would be there to count."""
    initial: dict[str, Outcome] = {"a": "correct", "b": "wrong", "c": "refused", "d": "correct"}
    system: dict[str, Outcome] = {"a": "refused", "b": "wrong", "c": "correct", "d": "refused"}
    log_odds = {"a": -8.0, "b": -2.0, "c": -1.0, "d": -4.0}
    record = summarize("m", "d", initial, system, resamples=50, refusal_log_odds=log_odds)
    assert (record.auroc, record.average_precision) == (1, 1)
    assert record.aurc == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    gaps = [expit(-8), expit(-4), 1 - expit(-2), 1 - expit(-1)]  # one question a bin
    assert record.ece == pytest.approx(sum(gaps) / 4)
    assert record.auroc == refusal_auroc(log_odds, initial)


def test_without_a_known_question_there_is_no_precision_but_an_area() -> None:
    initial: dict[str, Outcome] = {"a": "wrong", "b": "wrong"}
    record = summarize("m", "d", initial, initial, resamples=50, refusal_log_odds={"a": -1.0, "b": -2.0})
    assert (record.auroc, record.average_precision, record.aurc) == (None, None, 1)
    assert record.ece is not None
