"""A number with its 95% interval, and its three columns in a record."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from grait.records import ComparisonRecord, ConversationRecord, FormRecord

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A metric and its 95% interval. ``UNDEFINED``: all three None."""

    value: float | None
    low: float | None
    high: float | None

    def columns(self, name: str) -> dict[str, Any]:
        """The three as columns of a record: ``ths``, ``ths_low``, ``ths_high``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


UNDEFINED = Estimate(None, None, None)


def estimate_of(record: ComparisonRecord | FormRecord | ConversationRecord, name: str) -> Estimate:
    """The three columns of a metric, such as ``ths``."""
    return Estimate(*(getattr(record, column) for column in UNDEFINED.columns(name)))


class Share(NamedTuple):
    """A share and its 95% interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def share_estimate(count: int, n: int) -> Share:
    """The share ``count`` of ``n`` with its score interval (Wilson, 1927)."""
    found = binomtest(count, n).proportion_ci(method="wilson")
    return Share(count / n, float(found.low), float(found.high))


def interval(values: Array) -> Array:
    """The 2.5% and 97.5% quantiles of each column, without the rows that are NaN in it.  # [resamples, k] to [2, k]

    NaN for a column without a number.
    """
    columns = [column[~np.isnan(column)] for column in values.T]
    return np.array(
        [np.quantile(column, [0.025, 0.975]) if len(column) else np.full(2, np.nan) for column in columns]
    ).T
