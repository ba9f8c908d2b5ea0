"""Influence of training examples on sets of examples, from exact per-example adapter gradients."""

from grait.influence.datastore import GradientDatastore, sketch
from grait.influence.engine import influence
from grait.influence.scores import Influence, over_checkpoints
from grait.influence.transforms import AdamTransform, read_moments

__all__ = [
    "AdamTransform",
    "GradientDatastore",
    "Influence",
    "influence",
    "over_checkpoints",
    "read_moments",
    "sketch",
]
