"""Exact binomial bounds: how high a rate can be, given how often it was seen.

Clopper and Pearson, Biometrika 26 (1934): the one-sided upper bound is the highest rate under which so few hits, or
fewer, still have probability 1 - confidence. Exact for every number of trials; no normal approximation.
"""

import math

import numpy as np
from scipy.stats import beta, binom


def upper_bound(hits: int, trials: int, confidence: float) -> float:
    """A rate in (0, 1] that the true one does not exceed, with probability at least ``confidence``."""
    return 1.0 if hits == trials else float(beta.ppf(confidence, hits + 1, trials - hits))


def most_hits(trials: int, limit: float, confidence: float) -> int:
    """The most hits whose upper bound is at most ``limit``; -1 where even none would not do."""
    proves = binom.cdf(np.arange(trials + 1), trials, limit) <= 1 - confidence
    return int(proves.sum()) - 1


def fewest_trials(limit: float, confidence: float) -> int:
    """Trials from which on no hit at all has an upper bound of at most ``limit``."""
    trials = max(1, math.floor(math.log(1 - confidence) / math.log1p(-limit)))
    while most_hits(trials, limit, confidence) < 0:  # where the quotient is an integer but for rounding, this decides
        trials += 1
    return trials
