"""Refusal Tokens (arXiv 2412.06748): the first token says whether an answer or a refusal follows, and is thresholded.

The paper adds two tokens to the vocabulary, [RESPOND] and [REFUSE], before every training reply. Here an answer begins
with a word (``judging.respond``) and a refusal with its own first token, so that nothing is added to the model: the
choice is made at the first token all the same, before anything of the answer is there. Its dial has the score
``first-token``, the refusing token's share of the two.
"""

from grait.config import SelectionConfig
from grait.methods.selection import Evidence, random_sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The questions of Cor-RAIT (same counts, seed and picks); known: the word and the answer, unknown: the refusal;
    weight 1."""
    known, unknown = random_sides(evidence, config, seed)
    return [
        *(Selected(question_id, "ik", 1.0, "answer-respond") for question_id in known),
        *(Selected(question_id, "idk", 1.0, "refusal") for question_id in unknown),
    ]
