"""The two rules choose thresholds, and one threshold measures what its outcomes are."""

import pytest

from grait.dial.threshold import dialled_outcomes
from grait.evaluation.metrics import over_refusal_rate
from research.dial_setting.compare import chosen, measured
from research.made_up import predictions


def test_a_threshold_measures_what_its_outcomes_are_and_the_highest_is_the_highest() -> None:
    initial = {row.id: row.outcome for row in predictions(0, ("correct", "wrong"))}
    rows = predictions(1, ("correct", "wrong"))
    thresholds = chosen(rows, initial)
    assert set(thresholds) == {"highest", "highest mean"}
    for threshold in thresholds.values():
        _, over = measured(rows, initial, threshold)
        assert over == pytest.approx(over_refusal_rate(initial, dialled_outcomes(rows, "answer", threshold)))
    ths = {rule: measured(rows, initial, threshold)[0] for rule, threshold in thresholds.items()}
    assert ths["highest"] >= ths["highest mean"]
