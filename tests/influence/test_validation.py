"""The linear datamodeling score: near 1 where influence is exact, near 0 where a score says nothing."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from grait.errors import DataError
from grait.influence.validation import datamodeling_score, random_subsets, sums, table, word_overlap

N, DIMENSIONS, STEPS, RATE = 60, 8, 5, 0.02
IDS = [f"q{i}" for i in range(N)]
RNG = np.random.default_rng(0)
X, TARGET = RNG.normal(size=(N, DIMENSIONS)), RNG.normal(size=(20, DIMENSIONS))
TRUTH = RNG.normal(size=DIMENSIONS)
Y = np.where(X @ TRUTH + RNG.normal(size=N) > 0, 1.0, 0.0)
Y_TARGET = np.where(TARGET @ TRUTH > 0, 1.0, 0.0)


def gradients(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the logistic loss of each row, [rows, dimensions]."""
    return (1 / (1 + np.exp(-(x @ weights))) - y)[:, None] * x


def loss(weights: np.ndarray) -> float:
    margins = np.where(Y_TARGET == 1, 1, -1) * (TARGET @ weights)
    return float(np.log1p(np.exp(-margins)).mean())


def trained(rows: list[int]) -> np.ndarray:
    """A few steps of gradient descent on the sum of the losses of a subset: convex, nearly linear."""
    weights = np.zeros(DIMENSIONS)
    for _ in range(STEPS):
        weights = weights - RATE * gradients(weights, X[rows], Y[rows]).sum(0) / len(rows)
    return weights


SUBSETS = random_subsets(IDS, 80, 0.5, 0)
MEASURED = [-loss(trained([IDS.index(name) for name in own])) for own in SUBSETS]
START = np.zeros(DIMENSIONS)
DIRECTION = gradients(START, TARGET, Y_TARGET).mean(0)


def by_id(value: Callable[[int], float]) -> dict[str, float]:
    return {name: float(value(i)) for i, name in enumerate(IDS)}


EXACT = by_id(lambda i: float(gradients(START, X, Y)[i] @ DIRECTION))
RANDOM = by_id(lambda i: float(np.random.default_rng(100 + i).normal()))


def test_exact_influence_puts_the_trainings_of_a_convex_problem_in_order_and_random_scores_do_not() -> None:
    exact, random = table({"exact": EXACT, "random": RANDOM}, SUBSETS, {"loss": MEASURED})
    assert exact.lds > 0.98 and exact.low > 0.95
    assert random.low < 0 < random.high and abs(random.lds) < 0.35


def test_the_sign_is_kept() -> None:
    (wrong,) = table({"wrong": {name: -value for name, value in EXACT.items()}}, SUBSETS, {"loss": MEASURED})
    assert wrong.lds < -0.98 and wrong.high < -0.95


def test_shuffled_scores_lose_it() -> None:
    """Each subset's sum needs the scores of its own members."""
    shifted = dict(zip(IDS, [*list(EXACT.values())[1:], EXACT[IDS[0]]], strict=True))
    assert datamodeling_score(sums(shifted, SUBSETS), MEASURED)[0] < 0.6


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=12))
def test_it_is_spearmans_correlation_with_ties(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    value, low, high = datamodeling_score(one, other, resamples=50)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert (value, low, high) == (0, 0, 0)
    else:
        assert value == pytest.approx(spearmanr(one, other).statistic)
        assert -1 <= low <= high <= 1


def test_the_interval_covers_the_truth_and_shrinks_with_more_subsets() -> None:
    rng = np.random.default_rng(1)
    hits, widths = 0, {20: 0.0, 80: 0.0}
    for n in widths:
        for _ in range(60):
            one = rng.normal(size=n)
            _, low, high = datamodeling_score(one, one + rng.normal(size=n), resamples=400)
            hits += low <= 6 / math.pi * math.asin(1 / math.sqrt(2) / 2) <= high  # Spearman's of normal variables
            widths[n] += high - low
    assert hits > 100 and widths[80] < 0.6 * widths[20]


def test_subsets_are_of_one_size_and_the_same_for_any_number() -> None:
    more = random_subsets(IDS, 90, 0.5, 0)
    assert more[:80] == SUBSETS and {len(own) for own in more} == {30}
    assert len({tuple(own) for own in more}) == 90 and random_subsets(IDS, 5, 0.5, 1) != SUBSETS[:5]
    assert all(set(own) < set(IDS) and own == sorted(own, key=IDS.index) for own in more)
    for share in (0.001, 0.999):
        with pytest.raises(DataError, match="is no subset"):
            random_subsets(IDS, 2, share, 0)


def test_what_cannot_be_ranked_is_refused() -> None:
    for one, other in (([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0, math.nan], [1.0, 2.0, 3.0]), ([1.0] * 3, [1.0] * 4)):
        with pytest.raises(DataError):
            datamodeling_score(one, other)


def test_rare_words_in_common_count_more_than_frequent_ones_and_long_texts_less() -> None:
    texts = {"rare": "the zebra", "frequent": "the lion", "long": "the zebra " + "and so on " * 20, "none": "a b"}
    found = word_overlap(texts, ["The ZEBRA?", "the horse"])
    assert found["rare"] > found["long"] > found["none"] == 0 and found["rare"] > found["frequent"] > 0
