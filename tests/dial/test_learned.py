"""The score ``learned``: two weights, fitted on calibration questions alone."""

import math

import numpy as np
import pytest

from grait.dial.learned import fit_learned
from grait.methods.logistic import auroc
from grait.records import Prediction, ScoredPrediction


def answers(logprobs: np.ndarray, correct: np.ndarray) -> list[Prediction]:
    outcomes = np.where(correct, "correct", "wrong")
    return [
        Prediction(f"q{row}", "x", outcome, "x", outcome, -5.0, float(logprob), 0.0, False, False)
        for row, (logprob, outcome) in enumerate(zip(logprobs, outcomes.tolist(), strict=True))
    ]


def two_models(seed: int, n: int = 400) -> tuple[list[Prediction], list[Prediction], np.ndarray]:
    """Each is sure of what is known in its own way, with its own noise; and what the initial model does not know."""
    generator = np.random.default_rng(seed)
    known = generator.random(n) < 0.4
    of_tuned, of_initial = (-np.exp(generator.normal(np.where(known, -1, 0), 1)) for _ in range(2))
    return answers(of_tuned, generator.random(n) < 0.5), answers(of_initial, known), ~known


def test_both_weights_refuse_the_improbable_and_rank_new_questions_better_than_either_alone() -> None:
    learned = fit_learned(*two_models(0)[:2])
    tuned, initial, unknown = two_models(1)
    assert learned.tuned > 0
    assert learned.initial > 0
    alone = [auroc(np.array([-row.suppressed_logprob for row in rows]), unknown) for rows in (tuned, initial)]
    assert auroc(learned.log_odds(tuned, initial), unknown) > max(alone) + 0.03


def test_a_model_that_tells_nothing_gets_next_to_no_weight() -> None:
    tuned, initial, _ = two_models(0, 2000)
    noise = answers(-np.random.default_rng(5).exponential(size=2000), np.ones(2000, dtype=bool))
    learned = fit_learned(noise, initial)
    assert abs(learned.tuned) < learned.initial / 8
    assert fit_learned(tuned, initial).tuned > learned.initial / 8


def test_questions_that_tell_all_leave_the_weights_finite() -> None:
    known = np.arange(40) < 20
    sure = np.where(known, -0.1, -9.0)
    learned = fit_learned(answers(sure, known), answers(sure, known))
    assert all(map(math.isfinite, (learned.tuned, learned.initial, learned.bias)))


def test_a_scored_prediction_is_ranked_by_its_score_and_finite_at_the_ends() -> None:
    row = answers(np.array([-1.0]), np.array([True]))[0]
    values = [0.0, 1e-300, 0.2, 0.5, 0.8, 1.0]
    found = [ScoredPrediction(row.id, *_rest(row), score=score).refusal_log_odds for score in values]
    assert found == sorted(found)
    assert all(map(math.isfinite, found))
    assert found[2] == pytest.approx(math.log(0.25))


def _rest(row: Prediction) -> list[object]:
    return [getattr(row, name) for name in list(Prediction.__dataclass_fields__)[1:]]
