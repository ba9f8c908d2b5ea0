"""Predictions that no model made, for the self-checks."""

import numpy as np

from grait.records import Outcome, Prediction

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def predictions(seed: int, outcomes: tuple[Outcome, ...] = OUTCOMES) -> list[Prediction]:
    generator = np.random.default_rng(seed)
    return [
        Prediction(
            id=f"q{i}",
            output="text",
            outcome=outcomes[int(generator.integers(len(outcomes)))],
            suppressed_output="other",
            suppressed_outcome=outcomes[int(generator.integers(len(outcomes)))],
            refusal_logprob=-5 * generator.random(),
            suppressed_logprob=-3 * generator.random(),
            first_token_log_odds=float(generator.normal()),
            is_unparsable=False,
            is_hedged=False,
        )
        for i in range(60)
    ]
