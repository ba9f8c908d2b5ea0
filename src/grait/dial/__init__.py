"""The refusal dial: one tuned model at any operating point, without training again.

A question whose refusal score is above a threshold gets the refusal text; any other one is answered, even where greedy
decoding would refuse. ``threshold`` has the rule, ``bounds`` and ``choice`` the threshold that meets a target,
``refusal_dial`` the dial in a user's own code.
"""

from grait.dial.refusal_dial import RefusalDial

__all__ = ["RefusalDial"]
