"""The refusal dial: one tuned model at any operating point, without training again.

A question whose refusal score is above a threshold gets the refusal text; any other one is answered, even where greedy
decoding would refuse. ``threshold`` has the rule, ``bounds`` and ``choice`` the threshold that meets a target,
``logits`` the dial for a user's own ``model.generate``.
"""

from grait.dial.logits import RefusalDial

__all__ = ["RefusalDial"]
