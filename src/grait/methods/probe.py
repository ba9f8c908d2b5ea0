"""A linear probe: do the initial model's hidden states before the answer say that it does not know? (SAPLMA)

Logistic regression (arXiv 2304.13734 has a small network) on the states at the last token of the knowledge query, where
the answer begins. Layer and ridge are chosen on training questions by cross-validation; nothing is tuned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grait.methods.logistic import Array, Logistic, Validated, fit, stratified, validated


@dataclass(frozen=True, slots=True)
class Probe:
    """``layer``: 0 is the embedding, the highest the last one. ``found``: of the layer, in cross-validation."""

    layer: int
    found: Validated
    model: Logistic

    def scores(self, states: NDArray[np.float32]) -> Array:
        """Probability that a question is unknown, [rows]; ``states``: [rows, layers, size]."""
        return self.model.probabilities(states[:, self.layer].astype(np.float64))


def fit_probe(states: NDArray[np.float32], unknown: NDArray[np.bool_], seed: int) -> Probe:
    """The probe of the layer that does best on training questions that it was not fitted on; of equals the lowest.

    ``states``: [questions, layers, size] of training questions, ``unknown``: [questions]. Raises KnowledgeError as
    ``stratified`` does. The chosen layer's AUROC is optimistic, as it is the highest of several.
    """
    folds = stratified(unknown, seed, "probe")
    found = [validated(layer, unknown, folds) for layer in _layers(states)]
    best = max(range(len(found)), key=lambda layer: found[layer].auroc)
    return Probe(best, found[best], fit(states[:, best].astype(np.float64), unknown, found[best].ridge))


def _layers(states: NDArray[np.float32]) -> Iterator[Array]:
    """One at a time: all of them in double precision would be twice as large."""
    return (states[:, layer].astype(np.float64) for layer in range(states.shape[1]))
