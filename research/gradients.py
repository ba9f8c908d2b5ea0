"""Influence among questions from the gradients that a run left, instead of from a model."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from grait.influence import GradientDatastore
from grait.influence.margins import left_out_margins
from grait.methods.selection import Evidence
from grait.records import InfluenceScore, KnowledgeState


def gradients_of(store: GradientDatastore, states: Sequence[KnowledgeState]) -> NDArray[np.float32]:
    """[states, dimensions]: the unit gradients of the states' refusals."""
    rows = {id_: row for row, id_ in enumerate(store.ids)}
    return np.asarray(store.unit_gradients[[rows[state.id] for state in states]], dtype=np.float32)


def evidence(states: Sequence[KnowledgeState], gradients: NDArray[np.float32]) -> Evidence:
    """Influence among the states' questions by the rows of ``gradients``, of length 1."""
    targets = torch.tensor([1.0 if state.label == "idk" else -1.0 for state in states])
    found = left_out_margins(lambda: iter([torch.from_numpy(gradients)]), targets)
    margins = {state.id: margin for state, margin in zip(states, found.tolist(), strict=True)}
    of_label = {label: gradients[[state.label == label for state in states]].mean(0) for label in ("idk", "ik")}
    refusal, over_refusal = gradients @ of_label["idk"], gradients @ of_label["ik"]
    scores = {
        state.id: InfluenceScore(state.id, state.label, float(r), float(o), float(r - o), 0.0, 1.0, margins[state.id])
        for state, r, o in zip(states, refusal, over_refusal, strict=True)
    }
    return Evidence(states, {}, scores)
