"""Influence of training examples on sets of examples, from exact per-example adapter gradients."""

from grait.influence.engine import Influence, influence, over_checkpoints
from grait.influence.transforms import AdamTransform, read_moments

__all__ = ["AdamTransform", "Influence", "influence", "over_checkpoints", "read_moments"]
