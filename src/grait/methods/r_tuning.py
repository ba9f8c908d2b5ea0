"""R-Tuning (arXiv 2311.09677): every answer is kept, and the model says whether it is sure of it."""

from grait.config import SelectionConfig
from grait.methods.selection import Evidence, random_sides
from grait.records import Selected


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The questions of Cor-RAIT (same counts, seed and picks); known: answer and "I am sure.", unknown: answer and
    "I am unsure.", weight 1.

    The paper trains on the whole training set and splits it by whether the model's one prediction is right; here the
    split is T_c and the counts are those of the other methods, so that they can be compared. Set ``n_ik`` and
    ``n_idk`` to all there are for the paper's set. Its outputs are judged by ``judging.sureness``.
    """
    known, unknown = random_sides(evidence, config, seed)
    return [
        *(Selected(question_id, "ik", 1.0, "answer-sure") for question_id in known),
        *(Selected(question_id, "idk", 1.0, "answer-unsure") for question_id in unknown),
    ]
