"""Certainty of free-text samples: how much the N answers of the initial model to one question say the same.

Two forms, of which ``knowledge.certainty`` chooses. Refusing samples take no part in either: CRaFT's published code
lets them, so that ten identical refusals are the most certain answer of all.
"""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from grait.judging.matching import normalize
from grait.model.sentences import Embed


def agreement(answers: Sequence[str]) -> float | None:
    """Share of the answers that are the most frequent one after normalisation, in (0, 1]; None without answers. Needs
    no other model, and counts "Rome" and "the city of Rome" as different."""
    given = Counter(normalize(answer) for answer in answers)
    return max(given.values()) / given.total() if given else None


def embedding_certainty(answers: Sequence[Sequence[str]], embed: Embed) -> list[float | None]:
    """Mean cosine of the embeddings of each question's answers, over all pairs of two of them, in [-1, 1] (CRaFT).

    ``answers``: the samples of each question that do not refuse, as they were written. Identical answers: exactly 1.
    None with fewer than two answers: there is no pair, and a model that mostly refuses is not certain. Does not depend
    on the order of the samples. Every distinct text of all questions is embedded once. CRaFT's code rounds the result
    to two decimals, which makes ties; this does not.
    """
    texts = sorted({text for own in answers for text in own})
    if not texts:
        return [None] * len(answers)
    embeddings = embed(texts).double()
    row = {text: index for index, text in enumerate(texts)}
    return [_mean_cosine(embeddings, Counter(row[text] for text in own)) for own in answers]


def _mean_cosine(embeddings: Tensor, given: Counter[int]) -> float | None:
    """``given``: how often each row was sampled. Sum over all pairs = (norm of the sum of units)^2 - n."""
    n = given.total()
    if n < 2:
        return None
    if len(given) == 1:
        return 1.0
    rows = sorted(given)
    units = embeddings[rows]
    units = units / units.norm(dim=1, keepdim=True)
    total = (units * units.new_tensor([given[row] for row in rows])[:, None]).sum(0)
    mean = (float(total @ total) - n) / (n * (n - 1))
    return max(-1.0, min(1.0, mean))
