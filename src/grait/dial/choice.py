"""The threshold that meets a target, chosen on calibration questions with a guarantee for new ones.

The risk of a threshold is a share of questions: over-refusal, the refused share of what the initial model answers
right, which grows as the threshold falls; or wrong answers, a share of all questions, which shrinks. From the safe end
of the dial (refuse nothing; refuse everything) the thresholds are tested in turn, each by whether the Clopper-Pearson
bound of its hits is at most the limit; the last one before the first failure is chosen. This is fixed sequence testing
in Learn then Test (Angelopoulos et al., arXiv 2110.01052); for a risk that only grows along the sequence it is also
upper confidence bound calibration (Bates et al., arXiv 2101.02703).

Why the guarantee holds although threshold and bound come from the same questions: let t* be where the true risk, which
only grows along the sequence, passes the limit; t* belongs to the distribution, not to the sample. Hits, too, only grow
along the sequence. So when the chosen threshold lies beyond t*, the hits at t* (or just beyond, where the risk jumps)
were few enough, too: at a threshold that no sample chose, a binomial variable of a rate of at least the limit was so
low as happens with probability 1 - confidence at most. That single event holds all errors, so nothing is paid for
having tested many thresholds, and the thresholds may lie between the sample's own scores.

It holds for questions drawn from the same distribution as the calibration questions, over the draw of these: in 9 of
10 calibrations with confidence 0.9 the rate on new questions is within the limit. It says nothing about questions of
another kind, and is lost when one calibrates with several limits or scores and keeps the result one likes best. A
gate is set on prompts other than the questions, and is a part of the rule whose rates are bounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grait.dial.bounds import fewest_trials, most_hits, upper_bound
from grait.dial.threshold import Array, ScoreName, counts_above, gated_score, thresholds, unrefused_outcome
from grait.errors import DialError
from grait.evaluation.metrics import truthful_helpfulness_score
from grait.records import Outcome, Prediction

Metric = Literal["over_refusal", "wrong", "ths"]

SMOOTHED_OVER = 0.2
"""Share of the questions; chosen on kept test answers (docs/dial.md)."""


@dataclass(frozen=True, slots=True)
class Target:
    """The aim that the dial is set for: ``over_refusal`` or ``wrong`` at most ``at_most``, or the highest ``ths``.
    ``at_most``: a share in (0, 1), None for ``ths``. ``confidence``: in (0, 1), not used for ``ths``."""

    metric: Metric
    at_most: float | None = None
    confidence: float = 0.9


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen threshold, in [0, 1].

    ``hits`` of ``trials`` questions count against the limit at this threshold; ``upper_bound`` is their Clopper-Pearson
    bound, at most the limit. All three are None for ``ths``, where nothing is guaranteed.
    """

    threshold: float
    hits: int | None = None
    trials: int | None = None
    upper_bound: float | None = None


def choose(
    rows: Sequence[Prediction],
    initial: Mapping[str, Outcome],
    score: ScoreName,
    target: Target,
    gate: float | None = None,
) -> Choice:
    """The threshold for a target; ``initial``: the initial model's outcomes by question id.

    Over-refusal: the lowest threshold that passes, so as many refusals as are allowed. Wrong answers: the highest, so
    as many answers. THS: the middle of where it is high, ``smoothed``; the estimate on these very questions is
    optimistic, and of several equally good thresholds it is the one that refuses least. Raises DialError when no
    threshold passes.
    """
    scores = np.array([gated_score(row, score, gate) for row in rows])
    if target.metric == "ths":
        outcomes_unrefused = [unrefused_outcome(row, score, gate) for row in rows]
        return Choice(highest_ths(scores, outcomes_unrefused, [initial[row.id] for row in rows]))
    assert target.at_most is not None
    outcomes = np.array([unrefused_outcome(row, score, gate) for row in rows])
    known = np.array([initial[row.id] == "correct" for row in rows])
    at = thresholds(scores)  # [thresholds], descending: from no refusal to nothing but refusals
    if target.metric == "over_refusal":
        refused_anyway = known & (outcomes == "refused")
        hits = counts_above(scores, known & ~refused_anyway, at) + refused_anyway.sum()
        trials = int(known.sum())
    else:
        at = at[::-1]  # from nothing but refusals to no refusal
        wrong = outcomes == "wrong"
        hits = wrong.sum() - counts_above(scores, wrong, at)
        trials = len(rows)
    allowed = most_hits(trials, target.at_most, target.confidence)
    passed = int((hits <= allowed).sum())  # hits only grow, so these are the first ones
    if not passed:
        raise DialError(_why_not(target, int(hits[0]), trials))
    count = int(hits[passed - 1])
    return Choice(float(at[passed - 1]), count, trials, upper_bound(count, trials, target.confidence))


def highest_ths(scores: Array, outcomes: Sequence[Outcome], before: Sequence[Outcome]) -> float:
    """The threshold of the highest ``smoothed`` THS, of questions in one order. ``scores``: 0 for what is left alone.
    ``outcomes``: where the threshold does not refuse; ``before``: the initial model's."""
    at = thresholds(scores)
    pc0, pw0 = (list(before).count(outcome) / len(before) for outcome in ("correct", "wrong"))
    right, wrong = (np.array([own == outcome for own in outcomes]) for outcome in ("correct", "wrong"))
    answered_right = right.sum() - counts_above(scores, right, at)
    answered_wrong = wrong.sum() - counts_above(scores, wrong, at)
    n = len(scores)
    values = [
        truthful_helpfulness_score(pc / n, pw / n, pc0, pw0)
        for pc, pw in zip(answered_right, answered_wrong, strict=True)
    ]
    refused = counts_above(scores, np.ones(n, dtype=bool), at)
    means = smoothed(np.array(values), refused, int(refused[-1])).round(12)  # a gate leaves some out
    return float(at[int(np.argmax(means))])


def smoothed(values: Array, refused: NDArray[np.int64], n: int) -> Array:
    """Values [thresholds] as means over thresholds that refuse up to ``SMOOTHED_OVER`` of the n questions more or less.

    ``refused``: [thresholds] how many questions each refuses, ascending from 0 to n. Between them values are
    interpolated; beyond the ends they stay as at the ends. The highest THS of a few hundred questions is chance on a
    wide, nearly flat hill; the highest mean lies in the middle of the hill.
    """
    width = round(SMOOTHED_OVER * n)
    at_every_count = np.interp(np.arange(n + 1), refused, values)
    padded = np.pad(at_every_count, width, mode="edge")
    means = np.convolve(padded, np.full(2 * width + 1, 1 / (2 * width + 1)), mode="valid")
    return np.asarray(means[refused], dtype=np.float64)


def _why_not(target: Target, hits: int, trials: int) -> str:
    """Why not even the safest threshold passes, and what to do."""
    assert target.at_most is not None
    name = "over-refusal" if target.metric == "over_refusal" else "wrong answers"
    kind = "questions that the initial model answers right" if target.metric == "over_refusal" else "questions"
    told = f"no threshold holds {name} to at most {target.at_most:g} with confidence {target.confidence:g}: "
    needed = fewest_trials(target.at_most, target.confidence)
    if trials < needed:
        return f"{told}it takes at least {needed} {kind}, found {trials}; give more (data), or ask for less"
    why = (
        "even where the dial refuses nothing, {} are refused in other words than the refusal text, or, where a gate "
        "leaves them alone, by the model itself"
        if target.metric == "over_refusal"
        else "even where the dial refuses all that passes the gate, {} are answered wrong"
    )
    least = upper_bound(hits, trials, target.confidence)
    what = f"ask for more than {least:.3f}" if least < 0.9995 else "no limit can be held on these questions"
    return f"{told}{why.format(f'{hits} of {trials} {kind}')}; {what}"
