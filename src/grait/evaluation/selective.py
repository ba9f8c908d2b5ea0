"""How well a refusal score ranks questions, and what it says as a probability: metrics of scores.

Every function takes two sequences of the same order, one entry for each question:

- ``is_correct``: whether the answer is right that would be given if the question was not refused;
- ``refusal_scores``: how readily the question is refused, finite, higher refuses more readily.

A question that a system refuses has no answer of that system. So a run takes the *initial* model's answers
(Init-Basic's, to all questions) and ranks them by the system's scores: which questions would this system hand to the
initial model? All systems are then held against the same right and wrong answers, and differ in their ranking alone.
``is_correct`` may as well be a system's own correctness where it answers everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grait.errors import GraitError

Array = NDArray[np.float64]

N_BINS = 10
"""Bins of ``expected_calibration_error``."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Point k (from 1): the k questions that are least readily refused are answered.  # [questions] each

    ``coverage``: their share of all, k / n, rising to 1. ``risk``: expected share of wrong answers among them, in
    [0, 1]; the last is the error rate on all questions.
    """

    coverage: Array
    risk: Array


def risk_coverage(is_correct: Sequence[bool], refusal_scores: Sequence[float]) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener, JMLR 2010; Geifman and El-Yaniv, arXiv 1705.08500).

    Least readily refused first. Among equal scores every order is equally likely, and the risk is the expected one:
    the number of wrong answers grows evenly over them. Raises GraitError when the two differ in length, are empty, or
    a score is not finite.
    """
    correct, scores = _checked(is_correct, refusal_scores)
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)  # groups from the lowest score on
    wrong_of_group = np.bincount(group, weights=~correct)  # [groups]
    wrong = np.repeat(wrong_of_group / sizes, sizes).cumsum()  # [n], expected among the first k
    answered = np.arange(1, len(scores) + 1)
    risk = wrong / answered
    risk[-1] = wrong_of_group.sum() / len(scores)  # without the rounding of the sum
    return RiskCoverage(answered / len(scores), risk.clip(0.0, 1.0))


def aurc(is_correct: Sequence[bool], refusal_scores: Sequence[float]) -> float:
    """Area under the risk-coverage curve: the mean of ``risk`` over its n points, in [0, 1]; lower is better.

    A score that is the same for all gives the error rate e, the best possible one about e + (1 - e) ln(1 - e): it
    depends on e, so compare systems on the same questions and answers only. Errors as for ``risk_coverage``.
    """
    return float(risk_coverage(is_correct, refusal_scores).risk.mean())


def average_precision(is_correct: Sequence[bool], refusal_scores: Sequence[float]) -> float | None:
    """AP: the sum over thresholds of (R_k - R_(k-1)) * P_k, in [0, 1]; higher is better. None without a right answer.

    P_k and R_k: share of right answers among the questions whose score is at most the k-th lowest one, and their share
    of all right answers. Each different score is one threshold, so that the order within ties does not matter; a score
    that is the same for all gives the share of right answers. 1: every right answer before every wrong one.

    R-Tuning (arXiv 2311.09677) ranks by (the answer's confidence + the probability of "sure") / 2 and counts the tuned
    model's own answers. Here confidence is a low score of the refusal alone. Errors as for ``risk_coverage``.
    """
    correct, scores = _checked(is_correct, refusal_scores)
    if not correct.any():
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    right_of_group = np.bincount(group, weights=correct)
    precision = right_of_group.cumsum() / sizes.cumsum()
    return float((right_of_group * precision).sum() / right_of_group.sum())


def expected_calibration_error(
    is_correct: Sequence[bool], refusal_probabilities: Sequence[float], n_bins: int = N_BINS
) -> float:
    """ECE of the refusal score as a forecast that the answer would be wrong, in [0, 1]; lower is better.

    ``refusal_probabilities``: the refusal's share against the answer, the inverse logit of its log-odds.

    Equal-mass bins: the questions in the order of their probability, in ``n_bins`` runs whose sizes differ by at most
    one (fewer bins when there are fewer questions). ECE = sum over bins of (size / n) * |mean probability - share
    wrong|. Questions of equal probability share their mean outcome, so that the order within ties does not matter,
    on the border of two bins neither. 0 also for a forecast that always says the share of wrong answers: this
    measures the size of the forecast, not its ranking.

    The probability of one wording is less than that of all together: ECE counts that, too. Raises GraitError
    as ``risk_coverage``, and for what is no probability.
    """
    correct, probabilities = _checked(is_correct, refusal_probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        bad = probabilities[(probabilities < 0) | (probabilities > 1)][0]
        raise GraitError(f"calibration: expected refusal probabilities between 0 and 1, found {bad}")
    values, group, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
    wrong = np.repeat(np.bincount(group, weights=~correct) / sizes, sizes)  # [n], by rising probability
    gaps = np.repeat(values, sizes) - wrong
    bins = np.array_split(gaps, min(n_bins, len(gaps)))
    return float(sum(abs(own.sum()) for own in bins) / len(gaps))


def _checked(is_correct: Sequence[bool], scores: Sequence[float]) -> tuple[NDArray[np.bool_], Array]:
    correct, values = np.asarray(is_correct, dtype=bool), np.asarray(scores, dtype=np.float64)
    if correct.shape != values.shape or correct.ndim != 1:
        raise GraitError(
            f"expected one refusal score for each answer, found {values.size} scores and {correct.size} answers"
        )
    if not len(correct):
        raise GraitError("no answer to rank: expected at least one judged question, found none")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise GraitError(f"refusal score {place} (from 0) is {values[place]}; expected a number for each question")
    return correct, values
