"""Uniform: the answer and the refusal of every question, all alike. What is left of ours without choosing or weighing.

No label decides anything, so that neither a knowledge query nor a gradient is needed: the model's own sureness of an
answer is what decides between the two, at the dial's threshold.
"""

import random

from grait.config import SelectionConfig
from grait.methods.selection import Evidence, sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The reference answer and the refusal of all questions, known, unknown or on the threshold; weight 1.

    With ``n_ik`` or ``n_idk`` so many random ones, whatever the model knows of them: n_ik + n_idk, where one that is
    not given is all there are of its side.
    """
    states = {state.id: state for state in evidence.states}
    known, unknown, _ = sides(evidence, config)
    chosen = sorted(states)
    if config.n_ik is not None or config.n_idk is not None:
        n = (config.n_ik or len(known)) + (config.n_idk or len(unknown))
        chosen = random.Random(seed).sample(chosen, n)
    return [Selected(id_, states[id_].label, 1.0, target) for target in ("answer", "refusal") for id_ in chosen]
