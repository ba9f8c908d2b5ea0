"""Cor-RAIT, the baseline of both papers: split by correctness at T_c, random questions of each side, equal weights."""

import random
from collections.abc import Sequence

from grait.config import SelectionConfig
from grait.methods.selection import counts, with_label
from grait.records import KnowledgeState, Selected


def select(states: Sequence[KnowledgeState], config: SelectionConfig, seed: int) -> list[Selected]:
    """As many of each side as GRAIT takes, without replacement, weight 1; the order of ``states`` does not matter."""
    known, unknown = with_label(states, "ik"), with_label(states, "idk")
    size = counts(config, len(known), len(unknown))
    generator = random.Random(seed)
    chosen_known = generator.sample(sorted(state.id for state in known), size.n_ik)
    chosen_unknown = generator.sample(sorted(state.id for state in unknown), size.n_idk)
    return [
        *(Selected(question_id, "ik", 1.0) for question_id in chosen_known),
        *(Selected(question_id, "idk", 1.0) for question_id in chosen_unknown),
    ]
