"""Over-refusal against wrong answers, at every threshold of the dial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grait.dial.threshold import Array, ScoreName, counts_above, gated_score, thresholds, unrefused_outcome
from grait.evaluation.metrics import truthful_helpfulness_score
from grait.records import Outcome, Prediction


@dataclass(frozen=True, slots=True)
class DialPoint:
    """One threshold on a set of questions: shares of all of them in [0, 1], over-refusal rate and THS as elsewhere.

    ``over_refusal_rate``: of the questions that the initial model answers right; 0 where there are none.
    ``ths``: None where the initial model answers nothing wrong.
    """

    threshold: float
    pc: float
    pw: float
    pr: float
    over_refusal_rate: float
    ths: float | None


def dial_curve(
    rows: Sequence[Prediction], initial: Mapping[str, Outcome], score: ScoreName, gate: float | None = None
) -> list[DialPoint]:
    """A point for every threshold that changes an answer, from refusing nothing (1) to refusing all (0)."""
    return dial_points(rows, initial, score, thresholds(_scores(rows, score, gate)), gate)


def dial_points(
    rows: Sequence[Prediction], initial: Mapping[str, Outcome], score: ScoreName, at: Array, gate: float | None = None
) -> list[DialPoint]:
    """A point for each threshold of ``at``. ``initial``: the initial model's outcomes by question id. Linear in
    questions and thresholds, but for sorting."""
    n, scores = len(rows), _scores(rows, score, gate)
    known = np.array([initial[row.id] == "correct" for row in rows])
    n_known, n_wrong = int(known.sum()), sum(initial[row.id] == "wrong" for row in rows)
    outcomes = np.array([unrefused_outcome(row, score, gate) for row in rows])
    right, wrong = (_answered(scores, outcomes == outcome, at) for outcome in ("correct", "wrong"))
    known_answered = _answered(scores, known & (outcomes != "refused"), at)
    return [
        DialPoint(
            threshold=float(threshold),
            pc=float(right[place]) / n,
            pw=float(wrong[place]) / n,
            pr=float(n - right[place] - wrong[place]) / n,
            over_refusal_rate=float(n_known - known_answered[place]) / max(n_known, 1),
            ths=truthful_helpfulness_score(float(right[place]) / n, float(wrong[place]) / n, n_known / n, n_wrong / n)
            if n_wrong
            else None,
        )
        for place, threshold in enumerate(at)
    ]


def operating_curve(initial: Sequence[Prediction], system: Sequence[Prediction]) -> list[DialPoint]:
    """``dial_curve`` of a system's own answers on its refusal score ``text``; joined by id."""
    return dial_curve(system, {row.id: row.outcome for row in initial}, "text")


def fewest_wrong(curves: Sequence[Sequence[DialPoint]], over_refusals: Array) -> Array:
    """The mean over several curves of the lowest Pw at each rate of over-refusal.

    Each curve goes from refusing nothing to refusing all, so that Pw falls. Where even refusing nothing has more
    over-refusal (refusals in other words), its Pw is that of refusing nothing.
    """
    found = []
    for points in curves:
        rates = np.array([point.over_refusal_rate for point in points])
        places = np.searchsorted(rates, over_refusals + 1e-9, side="right") - 1
        found.append(np.array([point.pw for point in points])[places.clip(min=0)])
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def _scores(rows: Sequence[Prediction], score: ScoreName, gate: float | None) -> Array:
    return np.array([gated_score(row, score, gate) for row in rows])


def _answered(scores: Array, counted: NDArray[np.bool_], at: Array) -> NDArray[np.int64]:
    """How many of the ``counted`` questions score at most each threshold."""
    return int(counted.sum()) - counts_above(scores, counted, at)
