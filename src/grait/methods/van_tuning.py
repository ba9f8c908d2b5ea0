"""Van-Tuning, a baseline of CRaFT (arXiv 2410.06913): plain tuning on random questions, no refusals."""

import random

from grait.config import SelectionConfig
from grait.methods.selection import Evidence, sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """n_ik + n_idk random questions, known, unknown or on the threshold, each with its reference answer, weight 1.

    As many examples as the other methods train on; without replacement, where CRaFT's MMLU script repeats questions.
    """
    states = {state.id: state for state in evidence.states}
    _, _, size = sides(evidence, config)
    chosen = random.Random(seed).sample(sorted(states), size.n_ik + size.n_idk)
    return [Selected(question_id, states[question_id].label, 1.0, "answer") for question_id in chosen]
