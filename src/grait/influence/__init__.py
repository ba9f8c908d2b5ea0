"""Influence of training examples on sets of examples, from exact per-example adapter gradients."""

from grait.influence.engine import Influence, influence

__all__ = ["Influence", "influence"]
