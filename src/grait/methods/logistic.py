"""Logistic regression with a ridge, and its strength by cross-validation: numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit
from scipy.stats import rankdata

from grait.errors import KnowledgeError

Array = NDArray[np.float64]
Features: TypeAlias = Any
"""[rows, size]; a sparse matrix is taken as it is, a dense one is standardised."""

RIDGES = (1000.0, 100.0, 10.0, 1.0)
"""Strengths that are tried: half of it times the squared weights is added to the summed loss. The strongest first, so
that each fit begins at the one before it, and of equally good ones the strongest is taken."""

FOLDS = 4


@dataclass(frozen=True, slots=True)
class Logistic:
    """``weights``: [size], ``bias``: log-odds where all features are 0. Of features as they are given."""

    weights: Array
    bias: float

    def probabilities(self, features: Features) -> Array:
        """Of the positive class, [rows]."""
        return np.asarray(expit(features @ self.weights + self.bias), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Validated:
    """A strength, and how well it does on rows that it was not fitted on: ``auroc`` in [0, 1], 0.5 is chance."""

    ridge: float
    auroc: float


def fit(features: Features, positive: NDArray[np.bool_], ridge: float, start: Logistic | None = None) -> Logistic:
    """The weights of least loss; the bias has no ridge. ``positive``: [rows]. Rows of one class give its bias only.

    Dense features are fitted as if each had mean 0 and standard deviation 1 (1 where all are equal), so that one ridge
    is the same for all; the result is of the features as they are. ``start``: where to begin, which changes the time.
    """
    n, size = features.shape
    mean, scale = np.zeros(size), np.ones(size)
    if not isinstance(features, csr_matrix):
        mean, scale = features.mean(0), features.std(0)
        scale[scale == 0] = 1.0
    share = (positive.sum() + 0.5) / (n + 1)
    if positive.all() or not positive.any():
        return Logistic(np.zeros(size), float(np.log(share / (1 - share))))
    rows = features if isinstance(features, csr_matrix) else (features - mean) / scale

    def loss(parameters: Array) -> tuple[float, Array]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = rows @ weights + bias
        errors = expit(logits) - positive
        value = np.logaddexp(0, logits).sum() - logits[positive].sum() + ridge / 2 * (weights @ weights)
        return float(value), np.append(rows.T @ errors + ridge * weights, errors.sum())

    first = np.append(np.zeros(size), np.log(share / (1 - share)))
    if start is not None:
        first = np.append(start.weights * scale, start.bias + start.weights @ mean)
    found = minimize(loss, first, jac=True, method="L-BFGS-B").x
    weights = found[:-1] / scale
    return Logistic(weights, float(found[-1] - weights @ mean))


def validated(features: Features, positive: NDArray[np.bool_], folds: Sequence[NDArray[np.int64]]) -> Validated:
    """The best of ``RIDGES`` by AUROC over all rows, each scored by the fit of the other folds.

    ``folds``: row numbers, each row in one of them (``stratified``).
    """
    scores = {ridge: np.zeros(len(positive)) for ridge in RIDGES}
    for held in folds:
        rest = np.setdiff1d(np.arange(len(positive)), held)
        own, others, model = features[held], features[rest], None
        for ridge in RIDGES:
            model = fit(others, positive[rest], ridge, model)
            scores[ridge][held] = own @ model.weights + model.bias
    found = [Validated(ridge, auroc(scores[ridge], positive)) for ridge in RIDGES]
    return max(found, key=lambda one: one.auroc)


def stratified(positive: NDArray[np.bool_], seed: int, what: str) -> list[NDArray[np.int64]]:
    """``FOLDS`` random parts of the rows, with as many of both classes in each as there can be.

    KnowledgeError where a class has fewer rows than folds. ``what``: for the message.
    """
    generator = np.random.default_rng(seed)
    sides = [generator.permutation(np.flatnonzero(positive == side)) for side in (True, False)]
    if min(map(len, sides)) < FOLDS:
        raise KnowledgeError(
            f"{what}: expected at least {FOLDS} unknown and {FOLDS} known training questions, found "
            f"{len(sides[0])} and {len(sides[1])}; add training questions, or leave it out"
        )
    return [np.concatenate([side[fold::FOLDS] for side in sides]) for fold in range(FOLDS)]


def auroc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive row scores above a negative one, ties counting one half; both classes are there."""
    n = int(positive.sum())
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(positive) - n)))
