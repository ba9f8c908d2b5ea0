"""Test questions within a conversation: THS after other turns, and how much is left of that of a single question."""

from collections.abc import Mapping

import numpy as np

from grait.evaluation.estimates import UNDEFINED, Array, Estimate
from grait.evaluation.forms import Outcomes, resampled
from grait.evaluation.metrics import measure_outcomes
from grait.records import ConversationKind, ConversationRecord

SINGLE: ConversationKind = "nothing"

TOO_OFTEN = 0.025
"""A share of resamples in which the single question has no THS above 0: the ratio to it has no bound then."""


def in_conversation(
    dataset: str,
    outcomes: Mapping[ConversationKind, Mapping[str, Outcomes]],
    initial: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[ConversationRecord]:
    """One record for each system and kind of turns before the question, against the initial model in the same.

    ``outcomes``: kind -> system -> question id -> outcome; ``SINGLE`` and ``initial`` are among them. Questions count
    that all systems were asked after all turns.
    """
    common = set.intersection(*(set(own) for systems in outcomes.values() for own in systems.values()))
    if not common:
        return []
    drawn, _ = resampled(outcomes, initial, resamples, seed)  # [resamples, kinds, systems]
    found = []
    for place, system in enumerate(outcomes[SINGLE]):
        measured = {}
        for kind, systems in outcomes.items():
            before, after = ({id_: systems[name][id_] for id_ in common} for name in (initial, system))
            measured[kind] = measure_outcomes(before, after, resamples=resamples, seed=seed)
        of_kind = dict(zip(outcomes, drawn[:, :, place].T, strict=True))
        single = measured[SINGLE].ths.value
        for kind, metrics in measured.items():
            ratio = _ratio(metrics.ths.value, single, of_kind[kind], of_kind[SINGLE])
            found.append(
                ConversationRecord(
                    method=system,
                    dataset=dataset,
                    after=kind,
                    **metrics.columns,
                    pr0=metrics.base.pr,
                    **ratio.columns("of_single"),
                )
            )
    return found


def _ratio(ths: float | None, single: float | None, drawn: Array, drawn_single: Array) -> Estimate:
    """THS of that of the single question; ``drawn``: of each resample, NaN where undefined."""
    if ths is None or single is None or single <= 0:
        return UNDEFINED
    is_there = drawn_single > 0
    if 1 - is_there.mean() > TOO_OFTEN:
        return Estimate(ths / single, None, None)
    low, high = np.nanquantile(drawn[is_there] / drawn_single[is_there], [0.025, 0.975])
    return Estimate(ths / single, float(low), float(high))
