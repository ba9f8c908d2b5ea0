"""Influence of training examples on sets of examples, from exact per-example adapter gradients.

``influence``: exact, two passes. ``sketch``: one pass into a ``GradientDatastore``, which answers for any sets.
``token_influence``: which tokens of an example it comes from. ``GradientCapture``: the datastore from a training of
anybody's, without a pass of its own. ``fit_curvature``: what makes of it the influence of influence functions. Examples
are ``TokenizedExample``: prompt and completion as token ids. Any causal LM of transformers with a PEFT LoRA adapter on
linear layers.

``rank``, ``query`` and ``validate`` do what ``grait influence`` does, from files. They load and train models, so they
are commands of the whole package, found when they are first asked for.
"""

from importlib import import_module
from typing import Any

from grait.influence.capture import GradientCapture
from grait.influence.curvature import fit_curvature
from grait.influence.datastore import GradientDatastore, sketch
from grait.influence.engine import influence
from grait.influence.scores import Influence, over_checkpoints
from grait.influence.tokens import token_influence
from grait.influence.transforms import AdamTransform, Curvature, read_moments
from grait.model.completions import TokenizedExample

__all__ = [
    "AdamTransform",
    "Curvature",
    "GradientCapture",
    "GradientDatastore",
    "Influence",
    "TokenizedExample",
    "fit_curvature",
    "influence",
    "over_checkpoints",
    "read_moments",
    "sketch",
    "token_influence",
]

_COMMANDS = {"query": "grait.commands.rank", "rank": "grait.commands.rank", "validate": "grait.commands.validate"}


def __getattr__(name: str) -> Any:
    if name not in _COMMANDS:
        raise AttributeError(f"module 'grait.influence' has no attribute {name!r}")
    return getattr(import_module(_COMMANDS[name]), name)
