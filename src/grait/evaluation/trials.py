"""Two trained systems on a few questions: which one is better, beyond chance?

THS at one threshold jumps with single questions. So it is averaged over all thresholds: each refuses so many questions
of the highest refusal log-odds, and the others get the answer that would be given instead of a refusal. The mean holds
how well the system tells known from unknown questions, and what its answers are worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grait.evaluation.estimates import Array, interval
from grait.evaluation.metrics import refusal_auroc
from grait.records import Outcome, Prediction

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A system on the questions of the trials. ``ths``: mean over all thresholds; ``right``: share of right answers, if
    it refuses nothing; ``auroc`` as in ``MetricRecord``; all in [0, 1], ``ths`` also below."""

    ths: float
    right: float
    auroc: float


@dataclass(frozen=True, slots=True)
class Lead:
    """``ths`` of one system less that of another, with the 95% interval of a paired bootstrap over questions."""

    difference: float
    low: float
    high: float


def mean_ths(rows: Sequence[Prediction], initial: Mapping[str, Outcome], counts: Array) -> Array:
    """Mean of THS over the share that is refused, 0 to 1, for each row of ``counts``.  # [resamples, n] to [resamples]

    ``counts``: how often each question is there, in the order of ``rows``. Of N questions by refusal log-odds, the one
    at place p = 0.5, 1.5, ... is answered at 1 - p / N of the thresholds; equal scores have the mean of their places.
    NaN where the initial model answers nothing wrong.
    """
    right, wrong = (np.array([row.suppressed_outcome == one for row in rows]) for one in ("correct", "wrong"))
    known, missed = (np.array([initial[row.id] == one for row in rows]) for one in ("correct", "wrong"))
    _, place = np.unique([row.refusal_log_odds for row in rows], return_inverse=True)
    n = counts.sum(axis=1)
    tied = np.zeros((len(counts), int(place.max()) + 1))
    np.add.at(tied.T, place, counts.T)
    answered = (counts * (1 - (tied.cumsum(axis=1) - tied / 2) / n[:, None])[:, place]) / n[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(counts @ missed > 0, (counts @ known) / (counts @ missed), np.nan)
    found: Array = answered @ right - ratio * (answered @ wrong)
    return found


def standing(rows: Sequence[Prediction], initial: Mapping[str, Outcome]) -> Standing:
    """Where a system stands. Raises GraitError where the initial model answers all or nothing right."""
    return Standing(
        float(mean_ths(rows, initial, np.ones((1, len(rows))))[0]),
        sum(row.suppressed_outcome == "correct" for row in rows) / len(rows),
        refusal_auroc({row.id: row.refusal_log_odds for row in rows}, initial),
    )


def lead(rows: Sequence[Prediction], over: Sequence[Prediction], initial: Mapping[str, Outcome], seed: int) -> Lead:
    """Of ``rows`` over the answers ``over`` to the same questions; joined by id."""
    others = {row.id: row for row in over}
    both = (list(rows), [others[row.id] for row in rows])
    n = len(rows)
    drawn: NDArray[np.int64] = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    once, resampled = (
        mean_ths(both[0], initial, counts) - mean_ths(both[1], initial, counts)
        for counts in (np.ones((1, n)), drawn.astype(np.float64))
    )
    low, high = interval(resampled[:, None])[:, 0]
    return Lead(float(once[0]), float(low), float(high))
