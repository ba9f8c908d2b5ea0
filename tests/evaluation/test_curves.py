"""Curves at fixed places, and running means."""

import numpy as np
import pytest

from grait.evaluation.curves import mean_risk, ranking_curve, running_mean
from grait.evaluation.selective import RiskCoverage
from grait.records import Outcome, Prediction


def test_risk_is_interpolated_and_averaged() -> None:
    coverage = np.array([0.5, 1.0])
    low, high = RiskCoverage(coverage, np.array([0.0, 0.5])), RiskCoverage(coverage, np.array([0.5, 1.0]))
    assert mean_risk([low], np.array([0.25, 0.75])).tolist() == [0.0, 0.25]
    assert mean_risk([low, high], np.array([0.75, 1.0])).tolist() == [0.5, 0.75]


def test_a_system_ranks_the_initial_models_answers_whatever_it_answers_itself() -> None:
    def row(id_: str, outcome: Outcome, score: float) -> Prediction:
        return Prediction(id_, "", outcome, "", outcome, score, 0.0, 0.0, False, False)

    initial = [row("a", "correct", -1), row("b", "wrong", -1), row("c", "refused", -1)]
    system = [row("c", "correct", -1), row("b", "correct", -2), row("a", "wrong", -3)]
    assert ranking_curve(initial, system).risk.tolist() == pytest.approx([0, 1 / 2, 2 / 3])


def test_running_means_keep_length_constants_and_straight_lines() -> None:
    assert running_mean([2.0] * 7, 5) == [2.0] * 7
    line = [float(i) for i in range(9)]
    assert running_mean(line, 3) == pytest.approx(line)
    assert running_mean([0.0, 3.0, 0.0, 3.0], 3) == pytest.approx([0, 1, 2, 3])
    assert running_mean([1.5], 1) == [1.5]
