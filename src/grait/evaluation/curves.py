"""Curves at fixed places, as means over seeds, and running means: what is drawn as lines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grait.evaluation.selective import Array, RiskCoverage, risk_coverage
from grait.records import Prediction


def ranking_curve(initial: Sequence[Prediction], system: Sequence[Prediction]) -> RiskCoverage:
    """Risk and coverage of the initial model's answers, ranked by a system's refusal scores; joined by id."""
    is_correct = {row.id: row.outcome == "correct" for row in initial}
    return risk_coverage([is_correct[row.id] for row in system], [row.refusal_log_odds for row in system])


def mean_risk(curves: Sequence[RiskCoverage], coverages: Array) -> Array:
    """The mean of several curves' risks at each coverage, between points interpolated."""
    risks = [np.interp(coverages, curve.coverage, curve.risk) for curve in curves]
    return np.asarray(np.mean(risks, axis=0), dtype=np.float64)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean over an odd ``window``, narrower at both ends, as long as ``values``."""
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    places: NDArray[np.int64] = np.arange(len(values))
    reach = np.minimum(np.minimum(places, len(values) - 1 - places), half)
    return [float(mean) for mean in (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)]
