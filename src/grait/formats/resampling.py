"""Rows in proportion to weights, for tools that take no weights, and how far they are from them.

All is exact: weights are binary fractions, so sums and quotas are computed as fractions, without rounding.
"""

import random
from collections.abc import Sequence
from fractions import Fraction


def largest_remainder(weights: Sequence[float], n_rows: int) -> list[int]:
    """How often each example is repeated so that ``n_rows`` rows follow the weights; sums to ``n_rows``.

    The quota of an example is n_rows * w_i / sum(w). Each gets the whole part of its quota, and the largest
    remainders one row more (ties: the earlier example), so that every example is less than one row from its quota.
    No other number of rows for each example, of the same sum, has a smaller ``total_variation``. Nothing is random.

    ``weights``: finite, at least 0, and not all 0. An example whose quota is small gets no row.
    """
    assert n_rows > 0
    shares = _shares(weights)
    quotas = [n_rows * share for share in shares]
    rows = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(rows)), key=lambda i: (rows[i] - quotas[i], i))
    for i in by_remainder[: n_rows - sum(rows)]:
        rows[i] += 1
    return rows


def total_variation(weights: Sequence[float], realised: Sequence[float]) -> float:
    """1/2 * sum_i |w_i / sum(w) - r_i / sum(r)|, in [0, 1]. 0: the same distribution; 0.1: a tenth of all weight would
    have to move. ``realised``: rows of each example, or whatever else stands for it."""
    pairs = zip(_shares(weights), _shares(realised), strict=True)
    return float(sum(abs(wanted - found) for wanted, found in pairs) / 2)


def shuffled(rows: Sequence[int], seed: int) -> list[int]:
    """Position i ``rows[i]`` times, in random order by the seed: not all tools shuffle, and copies should not meet."""
    order = [i for i, n in enumerate(rows) for _ in range(n)]
    random.Random(seed).shuffle(order)
    return order


def _shares(weights: Sequence[float]) -> list[Fraction]:
    exact = [Fraction(weight) for weight in weights]  # raises on NaN and infinity
    total = sum(exact)
    assert min(exact) >= 0 and total > 0
    return [weight / total for weight in exact]
