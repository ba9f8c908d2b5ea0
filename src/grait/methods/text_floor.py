"""The text floor: what the words of a question say of whether the model knows it, to somebody who asks no model.

A control for everything that reads the model's states or its sureness: subjects, names and kinds of question alone tell
much, and what a probe finds beyond this floor is all that it finds in the model.
"""

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from grait.methods.logistic import Features, Logistic, Validated, fit, stratified, validated

SIZES = range(2, 6)
"""Characters of an n-gram."""

BUCKETS = 2**15


def ngrams(texts: Sequence[str]) -> csr_matrix:
    """Features of texts, [texts, BUCKETS]: 1 + log of how often each n-gram of characters is there, rows of norm 1.

    Lower case, with a blank before and after. N-grams share buckets by their CRC-32, which is the same on every
    machine.
    """
    rows, columns, values = list[int](), list[int](), list[float]()
    for row, text in enumerate(texts):
        padded = f" {text.casefold()} "
        parts = [padded[start : start + size] for size in SIZES for start in range(len(padded) - size + 1)]
        counts = Counter(zlib.crc32(part.encode()) % BUCKETS for part in parts)
        weights = 1 + np.log(np.array(list(counts.values()), dtype=np.float64))
        rows += [row] * len(counts)
        columns += counts
        values += (weights / np.linalg.norm(weights)).tolist()
    return csr_matrix((values, (rows, columns)), shape=(len(texts), BUCKETS))


def fit_text(features: Features, unknown: NDArray[np.bool_], seed: int) -> tuple[Logistic, Validated]:
    """The regression on training questions, with the ridge that does best in cross-validation.

    ``features``: [questions, size], ``ngrams`` or sentence embeddings. Raises KnowledgeError as ``stratified`` does.
    """
    found = validated(features, unknown, stratified(unknown, seed, "text-floor"))
    return fit(features, unknown, found.ridge), found
