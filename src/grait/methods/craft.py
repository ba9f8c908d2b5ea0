"""CRaFT (arXiv 2410.06913, stage 2): drop what rehearsal would teach anyway, then choose by certainty.

D_ik: correctness above T_c. D_idk: below T_c, and correctness does not rise in the rehearsal (knowledge flow <= 0):
where it rises, training on other questions makes the model know the answer, and a refusal would contradict it
(dynamic conflict). A question exactly on T_c is dropped, as the paper does for free text. For multiple choice the
paper counts it as known; there it is a probability of exactly T_c, and one label for all methods is kept here.

D_ik gives its most certain questions, D_idk its least certain (static conflict). The two ablations leave out one
half each. Without flow, CRaFT is what the paper also calls CorCer-RAIT.
"""

import random
from collections.abc import Sequence

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.methods.selection import Counts, Evidence, answers_and_refusals, by_certainty, sides
from grait.records import KnowledgeState, Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The n_ik most certain known and, of the unknown that do not rise, the n_idk least certain; weight 1.

    The counts are those of Cor-RAIT. Where the flow leaves fewer than n_idk unknown questions, all that are left are
    taken (CRaFT's scripts stop, or repeat questions); KnowledgeError when none is left. Ties: ``by_certainty``.
    """
    known, unknown, size = sides(evidence, config)
    return _by_certainty(known, without_rising(unknown, evidence, config), size, seed)


def select_without_flow(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The n_ik most certain known and the n_idk least certain of all unknown questions; weight 1."""
    known, unknown, size = sides(evidence, config)
    return _by_certainty(known, unknown, size, seed)


def select_without_certainty(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """n_ik random known and n_idk random unknown questions, the latter of those that do not rise; weight 1.

    Fewer than n_idk, and none: as in ``select``.
    """
    known, unknown, size = sides(evidence, config)
    left = without_rising(unknown, evidence, config)
    generator = random.Random(seed)
    return answers_and_refusals(
        generator.sample(sorted(state.id for state in known), size.n_ik),
        generator.sample(sorted(state.id for state in left), min(size.n_idk, len(left))),
    )


def without_rising(
    unknown: Sequence[KnowledgeState], evidence: Evidence, config: SelectionConfig
) -> list[KnowledgeState]:
    """The unknown questions of knowledge flow <= 0; of flow < 0 with ``config.drop_zero_flow``. Never empty.

    Questions without a computed flow are left out. With ``drop_zero_flow`` no question of correctness 0 is left: it
    cannot fall.
    """
    flows = [(state, evidence.flow[state.id]) for state in unknown if state.id in evidence.flow]
    left = [state for state, flow in flows if flow < 0 or (flow == 0 and not config.drop_zero_flow)]
    if not left:
        raise KnowledgeError(
            f"CRaFT: knowledge flow leaves none of {len(unknown)} unknown questions to refuse "
            f"({len(flows)} have a flow, {sum(flow > 0 for _, flow in flows)} rise); "
            "add training questions, set selection.drop_zero_flow to false, or warm up more gently"
        )
    return left


def _by_certainty(
    known: Sequence[KnowledgeState], unknown: Sequence[KnowledgeState], size: Counts, seed: int
) -> list[Selected]:
    return answers_and_refusals(
        [state.id for state in by_certainty(known, seed)[::-1][: size.n_ik]],
        [state.id for state in by_certainty(unknown, seed)[: size.n_idk]],
    )
