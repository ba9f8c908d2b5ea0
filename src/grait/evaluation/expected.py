"""What the test questions will be able to show: the half width of THS's interval, before anything is trained."""

import math

import numpy as np
from numpy.typing import NDArray

from grait.evaluation.metrics import Shares

KEPT, STILL_WRONG = 0.85, 0.25
"""The tuned model that is planned with: it keeps so much of what is right, and goes on answering so much of what is
wrong; all else it refuses. About what runs of this project reach in-domain (docs/results.md)."""


def planned_outcomes(initial: Shares) -> NDArray[np.float64]:
    """Probability of each pair of outcomes of the initial model and of the planned one.  # [3 initial, 3 tuned]

    Both axes in the order correct, wrong, refused.
    """
    return np.array(
        [
            [initial.pc * KEPT, 0.0, initial.pc * (1 - KEPT)],
            [0.0, initial.pw * STILL_WRONG, initial.pw * (1 - STILL_WRONG)],
            [0.0, 0.0, initial.pr],
        ]
    )


def planned_ths(initial: Shares) -> float:
    """THS of the planned model: a share of ``pc``, which is that of a perfect refuser."""
    return initial.pc * (KEPT - STILL_WRONG)


def ths_half_width(outcomes: NDArray[np.float64], n: int) -> float:
    """Half width of THS's 95% interval with n questions whose pairs of outcomes have these probabilities.

    By the delta method: THS = Pc - Pw Pc0 / Pw0 is near n questions' mean of c - r w - Pw (c0 - r w0) / Pw0, with
    r = Pc0 / Pw0 and indicators of a question's outcomes. Infinite where the initial model answers nothing wrong.
    """
    pc0, pw0, _ = outcomes.sum(axis=1)
    if not pw0:
        return math.inf
    ratio, pw = pc0 / pw0, outcomes[:, 1].sum()
    right, wrong = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    tuned = right - ratio * wrong  # [3 tuned]
    initial = -pw / pw0 * (right - ratio * wrong)  # [3 initial]
    values = initial[:, None] + tuned[None, :]
    mean = (outcomes * values).sum()
    return float(1.96 * math.sqrt((outcomes * (values - mean) ** 2).sum() / n))
