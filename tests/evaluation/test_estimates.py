"""Estimates and their columns; the interval of a share."""

import numpy as np
import pytest

from grait.evaluation.compare import METRICS, compare, gather
from grait.evaluation.estimates import UNDEFINED, estimate_of, interval, share_estimate
from grait.records import Outcome, Prediction


def test_wilson_intervals() -> None:
    share, low, high = share_estimate(5, 10)  # 0.2366 and 0.7634 in Wilson's paper and every table since
    assert (share, low, high) == (0.5, pytest.approx(0.2366, abs=5e-5), pytest.approx(0.7634, abs=5e-5))
    assert share_estimate(0, 10)[:2] == (0, 0)


def test_an_interval_leaves_undefined_resamples_out() -> None:
    values = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    low, high = interval(values)
    assert (low[0], high[0]) == pytest.approx((0.025, 0.975))
    assert np.isnan([low[1], high[1]]).all()


def test_a_record_holds_each_metric_with_its_own_interval() -> None:
    outcomes: dict[str, list[Outcome]] = {"init": ["wrong", "correct"] * 20, "m": ["refused", "correct"] * 20}
    cells = {
        system: {
            0: [Prediction(f"q{i}", "", own, "", own, -i % 7, -3.0, 0.0, False, False) for i, own in enumerate(all_)]
        }
        for system, all_ in outcomes.items()
    }
    (_, record), _ = compare(gather("d", cells, "init"), resamples=50)
    for name in METRICS:
        value, low, high = estimate_of(record, name)
        assert (value, low, high) == tuple(getattr(record, f"{name}{end}") for end in ("", "_low", "_high"))
        assert low is not None and value is not None and high is not None and low <= value <= high
    assert estimate_of(record, "pw") == (0, 0, 0)
    assert UNDEFINED.columns("auroc") == {"auroc": None, "auroc_low": None, "auroc_high": None}
