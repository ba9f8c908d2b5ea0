"""The half width of THS's interval that is told before training, against what comes out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grait.evaluation.expected import planned_outcomes, planned_ths, ths_half_width
from grait.evaluation.metrics import Shares, ths_interval, truthful_helpfulness_score


@pytest.mark.parametrize(("pc0", "pr0"), [(0.23, 0.0), (0.05, 0.0), (0.5, 0.1), (0.8, 0.0)])
@pytest.mark.parametrize("n", [100, 600])
def test_it_is_the_width_that_simulated_runs_have(pc0: float, pr0: float, n: int) -> None:
    outcomes = planned_outcomes(Shares(n, pc0, 1 - pc0 - pr0, pr0))
    draws = np.random.default_rng(0).multinomial(n, outcomes.ravel(), size=100).reshape(-1, 3, 3)
    widths = [(high - low) / 2 for low, high in (ths_interval(counts, 400) for counts in draws)]
    assert ths_half_width(outcomes, n) == pytest.approx(np.mean(widths), rel=0.12)


@given(pc=st.floats(0.01, 0.98))
def test_the_planned_model_has_the_ths_that_is_told(pc: float) -> None:
    outcomes = planned_outcomes(Shares(100, pc, 1 - pc, 0.0))
    assert outcomes.sum() == pytest.approx(1)
    right, wrong, _ = outcomes.sum(axis=0)
    assert planned_ths(Shares(100, pc, 1 - pc, 0.0)) == pytest.approx(
        truthful_helpfulness_score(right, wrong, pc, 1 - pc)
    )


def test_four_times_the_questions_halve_it_and_without_wrong_answers_there_is_none() -> None:
    outcomes = planned_outcomes(Shares(100, 0.3, 0.7, 0.0))
    assert ths_half_width(outcomes, 400) == pytest.approx(ths_half_width(outcomes, 100) / 2)
    assert ths_half_width(planned_outcomes(Shares(100, 1.0, 0.0, 0.0)), 100) == math.inf
