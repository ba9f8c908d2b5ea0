"""Random refusals, a control of ours: how much of a result is due to refusing at all, and not to refusing the unknown.

What a method gains over this control, it gains by knowing what the model knows.
"""

import random

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.methods.selection import Evidence, sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Cor-RAIT with random labels on the refusing side: n_idk questions drawn from ALL questions, whatever the model
    knows of them, get the refusal; n_ik random known ones of the rest keep their answers. Weight 1.

    No question is taught both. So where the known questions that are left are fewer than n_ik (by default n_ik is all
    of them), all that are left are taken. KnowledgeError when none is left.
    """
    states = {state.id: state for state in evidence.states}
    known, _, size = sides(evidence, config)
    generator = random.Random(seed)
    refused = generator.sample(sorted(states), size.n_idk)
    left = sorted({state.id for state in known} - set(refused))
    if not left:
        raise KnowledgeError(
            f"random-idk: the {size.n_idk} random refusals took all {len(known)} known questions; "
            "lower selection.n_idk, or add training questions"
        )
    answered = generator.sample(left, min(size.n_ik, len(left)))
    return [
        *(Selected(question_id, "ik", 1.0, "answer") for question_id in answered),
        *(Selected(question_id, states[question_id].label, 1.0, "refusal") for question_id in refused),
    ]
