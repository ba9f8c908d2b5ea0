"""The rule of the dial, on scores and judged answers: pure functions, no model.

A question with refusal score s gets the refusal text at threshold t when s > t; otherwise the greedy answer that may
not begin with the refusal's first token. So a lower threshold refuses every question that a higher one refuses, and
perhaps more: refusals only grow, and right and wrong answers only shrink, as the threshold falls.
"""

import math
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from grait.errors import DialError
from grait.records import Likelihoods, Outcome, Prediction

ScoreName = Literal["first-token", "text", "answer"]
"""The score of a question, with q the probability of the answer that would be given instead of the refusal.

``first-token``, ``text``: the refusal's share p / (p + q), of the first tokens (p of the refusal's, q of the most
probable other one), or of the whole texts with their end tokens. 0.5 of the first tokens is where greedy decoding
changes its mind. ``answer``: 1 - q, of the whole answer with its end token, whatever the refusal's probability.
"""

SHARPEST = 10.0
"""Log-odds at the ends of the dial: 0.00005 and 0.99995. What lies beyond is at the end."""

Array = NDArray[np.float64]


def refusal_score(answers: Likelihoods, score: ScoreName) -> float:
    """In (0, 1]; higher refuses more readily. Never 0, so that threshold 0 refuses every question."""
    if score == "answer":
        value = -math.expm1(answers.suppressed_logprob)
    else:
        value = float(expit(answers.first_token_log_odds if score == "first-token" else answers.refusal_log_odds))
    return max(value, sys.float_info.min)


def refuses(score: float, threshold: float) -> bool:
    """Whether a question of this score gets the refusal text. Threshold 1: no question; 0: every question."""
    return score > threshold


def dialled_outcomes(rows: Sequence[Prediction], score: ScoreName, threshold: float) -> dict[str, Outcome]:
    """The outcome of each question at a threshold, by id.

    An answer can still be ``refused`` below the threshold: a refusal in other words than the refusal text.
    """
    return {
        row.id: "refused" if refuses(refusal_score(row, score), threshold) else row.suppressed_outcome for row in rows
    }


def thresholds(scores: Array) -> Array:
    """Thresholds that refuse 0, 1, 2, ... of the questions (more at once where scores are equal), descending from 1.

    Between two scores that are next to each other the mean of the two, so that rounding changes no decision; 1 refuses
    none, 0 all.
    """
    ordered = np.unique(scores)[::-1]
    upper, lower = ordered[:-1], ordered[1:]
    middle = lower + (upper - lower) / 2
    return np.concatenate([[1.0], np.where(middle < upper, middle, lower), [0.0]])


def position(probability: float) -> float:
    """Where a score or threshold stands on the dial's axis, 0 to 1: even steps of log-odds, 0.5 in the middle.

    Scores of a tuned model crowd near 0 and 1, which an axis of probabilities would not tell apart.
    """
    if probability <= 0 or probability >= 1:
        return float(probability >= 1)
    log_odds = math.log(probability) - math.log1p(-probability)
    return min(max((log_odds + SHARPEST) / (2 * SHARPEST), 0.0), 1.0)


def probability_at(place: float) -> float:
    """The score or threshold at a place of the axis; the ends are 0 and 1 themselves."""
    if place <= 0 or place >= 1:
        return float(place >= 1)
    return 1 / (1 + math.exp(-(2 * place - 1) * SHARPEST))


def counts_above(scores: Array, counted: NDArray[np.bool_], at: Array) -> NDArray[np.int64]:
    """How many of the ``counted`` questions score above each threshold in ``at``."""
    own = np.sort(scores[counted])
    return np.asarray(len(own) - np.searchsorted(own, at, side="right"), dtype=np.int64)


def check_threshold(threshold: float) -> float:
    """The threshold itself. DialError when it is not in [0, 1]."""
    if not 0 <= threshold <= 1:
        raise DialError(f"threshold {threshold:g}: expected a number from 0 (refuse all) to 1 (refuse nothing)")
    return threshold
