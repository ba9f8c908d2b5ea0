"""Whether influence predicts what training does: the linear datamodeling score (Park et al. 2023, TRAK, section 2).

Train on random subsets of the candidates and measure what each training leads to. A score of single examples predicts
the sum over a subset. The linear datamodeling score (LDS) is the rank correlation of what is predicted with what is
measured, over the subsets: 1 for a score that puts them in the right order, 0 for one that says nothing. Numbers in,
numbers out; ``pipeline.validation`` trains and measures.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from grait.errors import DataError

RESAMPLES = 2_000
K1, B = 1.5, 0.75
"""Of BM25 (Robertson and Zaragoza 2009): saturation of a word's count, and how much long texts lose."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """How well one score predicts one outcome. ``low``, ``high``: 95% interval of a bootstrap over subsets.

    ``lds``: Spearman's rank correlation over the subsets, in [-1, 1]; 0 where score or outcome is the same for all.
    """

    score: str
    outcome: str
    lds: float
    low: float
    high: float


def random_subsets(ids: Sequence[str], n: int, share: float, seed: int) -> list[list[str]]:
    """``n`` subsets with the same ``share`` of the ids each, drawn independently, in the order of ``ids``.

    The first subsets are the same for any ``n``. Raises DataError where a subset would be empty or everything.
    """
    size = round(share * len(ids))
    if not 0 < size < len(ids):
        raise DataError(f"validation: a share of {share:g} of {len(ids)} candidates is no subset; take more candidates")
    drawn = [set(random.Random(f"subset {seed} {number}").sample(list(ids), size)) for number in range(n)]
    return [[name for name in ids if name in own] for own in drawn]


def sums(scores: Mapping[str, float], subsets: Sequence[Sequence[str]]) -> Array:
    """What the scores of single examples predict for each subset, [subsets]."""
    return np.array([math.fsum(scores[name] for name in own) for own in subsets])


def datamodeling_score(
    predicted: Sequence[float] | Array, measured: Sequence[float] | Array, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """Rank correlation of ``predicted`` with ``measured`` [subsets], and its 95% interval.

    Subsets are drawn anew, with replacement; a resample in which either is the same for all counts as 0.
    """
    one, other = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if one.shape != other.shape or len(one) < 3 or not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError(f"validation: expected as many finite predictions as outcomes, and three, found {len(one)}")
    drawn = np.random.default_rng(seed).integers(len(one), size=(resamples, len(one)))
    found = _spearman(one[drawn], other[drawn])
    low, high = np.quantile(found, (0.025, 0.975))
    return float(_spearman(one[None], other[None])[0]), float(low), float(high)


def table(
    scores: Mapping[str, Mapping[str, float]],
    subsets: Sequence[Sequence[str]],
    outcomes: Mapping[str, Sequence[float]],
    seed: int = 0,
) -> list[Prediction]:
    """Every score with every outcome. ``scores``: name -> id -> value; ``outcomes``: name -> value of each subset."""
    return [
        Prediction(name, outcome, *datamodeling_score(sums(own, subsets), measured, seed=seed))
        for name, own in scores.items()
        for outcome, measured in outcomes.items()
    ]


def word_overlap(texts: Mapping[str, str], queries: Sequence[str]) -> dict[str, float]:
    """Mean BM25 score of each text for the queries, by id: the control that looks at words alone."""
    counts = {name: Counter(_words(text)) for name, text in texts.items()}
    lengths = {name: own.total() for name, own in counts.items()}
    mean_length = max(sum(lengths.values()) / len(lengths), 1e-9)
    having = Counter(word for own in counts.values() for word in own)
    asked = Counter(word for query in queries for word in set(_words(query)))
    rarity = {word: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for word, n in having.items()}

    def score(name: str) -> float:
        norm = K1 * (1 - B + B * lengths[name] / mean_length)
        return math.fsum(
            asked[word] * rarity[word] * n * (K1 + 1) / (n + norm) for word, n in counts[name].items() if word in asked
        )

    return {name: score(name) / len(queries) for name in texts}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _spearman(one: Array, other: Array) -> Array:
    """Of each row, [rows, n] to [rows]."""
    ranks = [rankdata(rows, axis=1) for rows in (one, other)]
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in ranks)
    norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    found: Array = np.divide((first * second).sum(axis=1), norms, out=np.zeros(len(norms)), where=norms > 0)
    return found
