"""Influence of training examples on sets of examples, from exact per-example adapter gradients.

``influence``: exact, two passes. ``sketch``: one pass into a ``GradientDatastore``, which answers for any sets.
Examples are ``TokenizedExample``: prompt and completion as token ids. Any causal LM of transformers with a PEFT LoRA
adapter on linear layers.
"""

from grait.influence.datastore import GradientDatastore, sketch
from grait.influence.engine import influence
from grait.influence.scores import Influence, over_checkpoints
from grait.influence.transforms import AdamTransform, read_moments
from grait.model.completions import TokenizedExample

__all__ = [
    "AdamTransform",
    "GradientDatastore",
    "Influence",
    "TokenizedExample",
    "influence",
    "over_checkpoints",
    "read_moments",
    "sketch",
]
