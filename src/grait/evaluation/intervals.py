"""Intervals of shares."""

from scipy.stats import binomtest


def share_interval(count: int, n: int) -> tuple[float, float]:
    """95% score interval of ``count`` out of ``n`` (Wilson, 1927), in [0, 1]."""
    found = binomtest(count, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
