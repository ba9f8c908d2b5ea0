"""The rule of the dial, on scores and judged answers: pure functions, no model.

A question with refusal score s gets the refusal text at threshold t when s > t; otherwise the greedy answer that may
not begin with the refusal's first token. So a lower threshold refuses every question that a higher one refuses, and
perhaps more: refusals only grow, and right and wrong answers only shrink, as the threshold falls.

With a gate, what the tuned model itself does not think of refusing is left alone at every threshold: it gets the greedy
answer, with no token suppressed. So a gate never adds a refusal to those of the threshold, nor to the model's own.
"""

import math
import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from grait.errors import DialError
from grait.records import Likelihoods, Outcome, Prediction

ScoreName = Literal["first-token", "text", "answer", "answer-mean", "combined", "twice"]
"""The score of a question, with q the probability of the answer that would be given instead of the refusal.

``first-token``, ``text``: the refusal's share p / (p + q), of the first tokens (p of the refusal's, q of the most
probable other one), or of the whole texts with their end tokens. 0.5 of the first tokens is where greedy decoding
changes its mind. ``answer``: 1 - q, of the whole answer with its end token, whatever the refusal's probability.
``answer-mean``: the same with the geometric mean of the probabilities of its tokens, which does not fall with length.
``combined``: the log-odds of ``answer-mean`` and half of those of ``first-token``, added: how sure the model is of its
words, and how much it thinks of refusing. ``twice``: to these half of the log-odds of ``answer`` are added when the
question is asked again after solved examples, where an answer is terse and its probability tells best what the model
knows. The halves are chosen on validation questions (research/LOG.md).
"""

SHARE = 0.5
"""Of the refusal's log-odds in the score ``combined``, and of the terse answer's in ``twice``."""

PASSING = 0.01
"""Share of ordinary prompts that a gate lets through."""

SHARPEST = 10.0
"""Log-odds at the ends of the dial: 0.00005 and 0.99995. What lies beyond is at the end."""

Array = NDArray[np.float64]

T = TypeVar("T")


class Setting(NamedTuple):
    """Where a dial stands. ``gate``: None for none."""

    score: ScoreName
    threshold: float
    gate: float | None


def refusal_score(answers: Likelihoods, score: ScoreName) -> float:
    """In (0, 1]; higher refuses more readily. Never 0, so that threshold 0 refuses every question."""
    if score == "answer":
        value = -math.expm1(answers.suppressed_logprob)
    elif score == "answer-mean":
        value = -math.expm1(_mean(answers))
    elif score in ("combined", "twice"):
        log_odds = _log_odds_of_not(_mean(answers)) + SHARE * answers.first_token_log_odds
        if score == "twice":
            log_odds += SHARE * _log_odds_of_not(_kept(answers.terse_logprob))
        value = float(expit(log_odds))
    else:
        value = float(expit(answers.first_token_log_odds if score == "first-token" else answers.refusal_log_odds))
    return max(value, sys.float_info.min)


def _mean(answers: Likelihoods) -> float:
    """Log-probability of a token of the answer: the geometric mean."""
    return answers.suppressed_logprob / _kept(answers.n_suppressed_tokens)


def _log_odds_of_not(logprob: float) -> float:
    """Against what has this log-probability; finite, where rounding leaves nothing against it, too."""
    return math.log(max(-math.expm1(logprob), sys.float_info.min)) - logprob


def signal(answers: Likelihoods, score: ScoreName) -> float:
    """How much the tuned model thinks of refusing by itself: the probability of the refusal text, in [0, 1]. Of its
    first token for the score ``first-token``, which sees no more."""
    return math.exp(_kept(answers.first_token_logprob) if score == "first-token" else answers.refusal_logprob)


def gate_of(signals: Array) -> float:
    """The gate that ordinary prompts of these signals set: a new one is above it with probability 0.01 at most.

    That takes at least 99 prompts, drawn as the new one is; with fewer it is the highest signal. Every place in the
    order of all is as probable for the new one, so of n prompts it is the signal with number 0.99 (n + 1).
    """
    number = math.ceil(round((1 - PASSING) * (len(signals) + 1), 9))
    return float(np.sort(signals)[min(number, len(signals)) - 1])


def passes(answers: Likelihoods, score: ScoreName, gate: float | None) -> bool:
    """Whether the dial decides; else the prompt is left alone."""
    return gate is None or signal(answers, score) > gate


def gated_score(answers: Likelihoods, score: ScoreName, gate: float | None) -> float:
    """The refusal score; 0, which no threshold refuses, of what is left alone."""
    return refusal_score(answers, score) if passes(answers, score, gate) else 0.0


def refuses(score: float, threshold: float) -> bool:
    """Whether a question of this score gets the refusal text. Threshold 1: no question; 0: every one, but for 0."""
    return score > threshold


def unrefused_outcome(row: Prediction, score: ScoreName, gate: float | None = None) -> Outcome:
    """The outcome where the threshold does not refuse. It can still be ``refused``: in other words than the refusal
    text, or, of what is left alone, by the model itself."""
    return row.suppressed_outcome if passes(row, score, gate) else row.outcome


def dialled_outcomes(
    rows: Sequence[Prediction], score: ScoreName, threshold: float, gate: float | None = None
) -> dict[str, Outcome]:
    """The outcome of each question at a threshold, by id."""
    return {
        row.id: "refused" if refuses(gated_score(row, score, gate), threshold) else unrefused_outcome(row, score, gate)
        for row in rows
    }


def thresholds(scores: Array) -> Array:
    """Thresholds that refuse 0, 1, 2, ... of the questions (more at once where scores are equal), descending from 1.

    Between two scores that are next to each other the mean of the two, so that rounding changes no decision; 1 refuses
    none, 0 all but those of score 0, which are left alone.
    """
    ordered = np.unique(scores[scores > 0])[::-1]
    upper, lower = ordered[:-1], ordered[1:]
    middle = lower + (upper - lower) / 2
    return np.concatenate([[1.0], np.where(middle < upper, middle, lower), [0.0]])


def position(probability: float) -> float:
    """Where a score or threshold stands on the dial's axis, 0 to 1: even steps of log-odds, 0.5 in the middle. Scores
    of a tuned model crowd near 0 and 1, which an axis of probabilities would not tell apart."""
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


def _kept(number: T | None) -> T:
    """DialError where it is not there."""
    if number is None:
        raise DialError(
            "these answers were stored by an earlier version, without what this score or gate takes; delete the "
            "folders evaluation and calibration of the run, and run grait run again"
        )
    return number


def check_threshold(threshold: float) -> float:
    """The threshold itself. DialError when it is not in [0, 1]."""
    if not 0 <= threshold <= 1:
        raise DialError(f"threshold {threshold:g}: expected a number from 0 (refuse all) to 1 (refuse nothing)")
    return threshold
