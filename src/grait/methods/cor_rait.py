"""Cor-RAIT, the baseline of both papers: split by correctness at T_c, random questions of each side, equal weights."""

from grait.config import SelectionConfig
from grait.methods.selection import Evidence, answers_and_refusals, random_sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """As many of each side as GRAIT takes, without replacement, weight 1; the known keep their answers.

    CRaFT's MMLU script draws with replacement, which only repeats questions; here none is repeated.
    """
    return answers_and_refusals(*random_sides(evidence, config, seed))
