"""The score ``learned``: how sure the tuned model is of its answer, and the initial one of its own, weighed by a fit.

Tuning forgets some of the initial model's own sureness, above all of kinds of questions that were not trained; two
weights give it back. More features than these two made it worse (docs/dial.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grait.dial.threshold import Array
from grait.methods.logistic import fit
from grait.records import Prediction

NAME = "learned"
RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """Log-odds that a question is unknown: ``bias`` less ``tuned`` and ``initial`` times the log-probability (nats) of
    the answer of each model. Weights above 0 refuse what is improbable."""

    tuned: float
    initial: float
    bias: float

    def log_odds(self, tuned: Sequence[Prediction], initial: Sequence[Prediction]) -> Array:
        """Higher refuses more readily.  # [questions]"""
        return np.asarray(self.bias + _features(tuned, initial) @ np.array([self.tuned, self.initial]))


def fit_learned(tuned: Sequence[Prediction], initial: Sequence[Prediction]) -> Learned:
    """The fit on calibration questions, in one order, of whether the initial model does not answer right.

    With a small ridge, so that it is finite where the two tell all. Nothing else is read: no test question, and no
    outcome of the tuned model.
    """
    unknown = np.array([row.outcome != "correct" for row in initial])
    found = fit(_features(tuned, initial), unknown, RIDGE)
    of_tuned, of_initial = found.weights.tolist()
    return Learned(of_tuned, of_initial, found.bias)


def with_learned_dial(method: str) -> str:
    """The name of a method with this dial, in tables."""
    return f"{method} + {NAME} dial"


def _features(tuned: Sequence[Prediction], initial: Sequence[Prediction]) -> Array:
    assert [row.id for row in tuned] == [row.id for row in initial]
    return -np.array([[row.suppressed_logprob for row in rows] for rows in (tuned, initial)]).T
