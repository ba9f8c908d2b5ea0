"""Knowledge flow (CRaFT, arXiv 2410.06913, stage 1): what the warm-up changes, joined by question id.

The published free-text script joins by row number on a table that has ten rows for each question, so that question i
gets the value of question i/10.
"""

from collections import Counter
from collections.abc import Sequence

from grait.errors import KnowledgeError
from grait.records import KnowledgeFlow, KnowledgeState


def knowledge_flow(initial: Sequence[KnowledgeState], warmed_up: Sequence[KnowledgeState]) -> list[KnowledgeFlow]:
    """mu(M~) - mu(M0) of every question of ``warmed_up``, in the order of ``initial``.

    ``initial``: states of M0; its labels are kept. ``warmed_up``: states of M~, in any order. A question that is
    missing from ``warmed_up`` has no flow. KnowledgeError when an id is unknown to ``initial``, or stands twice.
    """
    before, after = _by_id(initial, "initial"), _by_id(warmed_up, "warmed-up")
    unknown = sorted(after.keys() - before.keys())
    if unknown:
        raise KnowledgeError(
            f"knowledge flow: question {unknown[0]} ({len(unknown)} in all) was asked only after the warm-up; "
            "ask both models the same questions"
        )
    return [
        KnowledgeFlow(
            id=state.id,
            label=state.label,
            correctness=state.correctness,
            warmup_correctness=after[state.id].correctness,
            flow=after[state.id].correctness - state.correctness,
        )
        for state in initial
        if state.id in after
    ]


def _by_id(states: Sequence[KnowledgeState], model: str) -> dict[str, KnowledgeState]:
    for question_id, n in Counter(state.id for state in states).items():
        if n > 1:
            raise KnowledgeError(f"knowledge flow: the {model} model has {n} states of question {question_id}, not one")
    return {state.id: state for state in states}
