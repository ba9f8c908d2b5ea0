"""GRAIT (arXiv 2502.05911): unknown questions chosen by refusal influence, weighted by stable influence.

The published script computes weights of the opposite sign, overwrites them with 1 and discards its selection; this
follows the paper.
"""

import math
from collections.abc import Sequence

from grait.config import SelectionConfig
from grait.methods.selection import counts, most_correct, with_label
from grait.records import InfluenceScore, KnowledgeState, Selected


def select(
    states: Sequence[KnowledgeState], scores: Sequence[InfluenceScore], config: SelectionConfig
) -> list[Selected]:
    """Known: the n_ik most correct, weight 1. Unknown: the n_idk of highest refusal influence R (ties by id),
    weighted by ``stable_weights``. An unknown question without a score (its gradient was not finite) is not chosen.
    """
    by_id = {score.id: score for score in scores}
    known = with_label(states, "ik")
    unknown = [by_id[state.id] for state in with_label(states, "idk") if state.id in by_id]
    size = counts(config, len(known), len(unknown))
    chosen = sorted(unknown, key=lambda score: (-score.refusal_influence, score.id))[: size.n_idk]
    weights = stable_weights([score.stable_influence for score in chosen], config.tau, config.mean_weight)
    return [
        *(Selected(state.id, "ik", 1.0) for state in most_correct(known, size.n_ik)),
        *(Selected(score.id, "idk", weight) for score, weight in zip(chosen, weights, strict=True)),
    ]


def stable_weights(stable_influence: Sequence[float], tau: float, mean_weight: float) -> list[float]:
    """w_i = m * n * softmax(S / tau)_i: positive, with mean m; higher stable influence S, higher weight.

    Unchanged when a constant is added to all S.
    """
    highest = max(stable_influence)
    factors = [math.exp((value - highest) / tau) for value in stable_influence]
    total = sum(factors)
    return [mean_weight * len(factors) * factor / total for factor in factors]
