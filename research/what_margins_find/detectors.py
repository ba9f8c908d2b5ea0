"""How well do gradients tell unknown from known training questions, before any refusal is trained?

``python -m research.what_margins_find.detectors RUN`` reads the knowledge state and the gradient datastore of a run
folder (``influence.mode: sketch``), trains nothing, and prints AUROCs, 0.5 being chance: over all pairs of an unknown
and a known question, over the pairs within one relation, and over all pairs when what a question is held against holds
none of its relation (five groups of relations).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grait.influence import GradientDatastore
from grait.records import KnowledgeState
from grait.runtime.artifacts import read_rows

Array = NDArray[np.float64]
RIDGE = 1.0
GROUPS = 5


def stable_influence(rows: Array, unknown: NDArray[np.bool_], asked: Array) -> Array:
    """S for each row of ``asked``: mean cosine with the unknown less that with the known ones."""
    return np.asarray(asked @ (rows[unknown].mean(0) - rows[~unknown].mean(0)))


def ridge(rows: Array, unknown: NDArray[np.bool_], asked: Array) -> Array:
    """Kernel ridge regression on gradients less their mean, target 1 (unknown) and -1 (known)."""
    centre = rows.mean(0)
    rows, asked = _units(rows - centre), _units(asked - centre)
    target = np.where(unknown, 1.0, -1.0)
    weights = np.linalg.solve(rows @ rows.T + RIDGE * np.eye(len(rows)), target - target.mean())
    return np.asarray(asked @ (rows.T @ weights))


def _units(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def left_out(
    detect: Callable[[Array, NDArray[np.bool_], Array], Array],
    gradients: Array,
    unknown: NDArray[np.bool_],
    groups: NDArray[np.int64],
) -> Array:
    """Every question's score by the questions of the other groups."""
    scores = np.empty(len(unknown))
    for group in np.unique(groups):
        own = groups == group
        scores[own] = detect(gradients[~own], unknown[~own], gradients[own])
    return scores


def auroc(scores: Array, unknown: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> float:
    """Share of the unknown-known ``pairs`` [unknown, known] in which the unknown question scores higher; ties half."""
    difference = scores[unknown][:, None] - scores[~unknown][None]
    return float(((difference > 0) + 0.5 * (difference == 0))[pairs].mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    store = GradientDatastore.open(folder / "influence" / "sketch" / "datastore")
    labels = {row.id: row.label for row in read_rows(folder / "knowledge" / "knowledge.parquet", KnowledgeState)}
    places = [place for place, id_ in enumerate(store.ids) if labels.get(id_) in ("ik", "idk")]
    gradients = np.asarray(store.unit_gradients[places], dtype=np.float64)
    ids = [store.ids[place] for place in places]
    unknown = np.array([labels[id_] == "idk" for id_ in ids])
    relations = np.array([id_.split("-")[1] for id_ in ids])  # wf-RELATION-HASH
    random_groups = np.random.default_rng(0).integers(GROUPS, size=len(ids))
    relation_groups = np.unique(relations, return_inverse=True)[1] % GROUPS
    everything = np.ones((int(unknown.sum()), int((~unknown).sum())), dtype=bool)
    within = relations[unknown][:, None] == relations[~unknown][None]
    print(f"{unknown.sum()} unknown, {(~unknown).sum()} known, {len(set(relations))} relations")
    for detect in (stable_influence, ridge):
        scores = left_out(detect, gradients, unknown, random_groups)
        elsewhere = left_out(detect, gradients, unknown, relation_groups)
        print(
            f"{detect.__name__}: all {auroc(scores, unknown, everything):.3f}, within a relation "
            f"{auroc(scores, unknown, within):.3f}, relation left out {auroc(elsewhere, unknown, everything):.3f}"
        )
    shares = np.array([unknown[relations == relation].mean() for relation in relations])
    print(f"share unknown of the question's relation (itself included): {auroc(shares, unknown, everything):.3f}")


if __name__ == "__main__":
    main()
