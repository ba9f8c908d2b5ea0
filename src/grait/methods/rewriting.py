"""Which answers of a set for SFT become refusals, and with what weight. Pure functions of what the model knows."""

from collections.abc import Mapping
from typing import Literal

from grait.knowledge.query import label

Weights = Literal["margin", "equal"]
"""Of refusals. ``margin``: in proportion to how far below the threshold a question is; ``equal``: all 1."""


def refused_ids(known: Mapping[str, float], threshold: float, most: int | None = None) -> list[str]:
    """Ids of what is unknown (below the threshold; what lies on it is not), least known first, ties by id.

    ``known``: in [0, 1], by id: correctness of own samples or probability of the given answer. ``most``: at most so
    many.
    """
    unknown = [name for name, value in known.items() if label(value, threshold) == "idk"]
    return sorted(unknown, key=lambda name: (known[name], name))[:most]


def refusal_weights(known: Mapping[str, float], threshold: float, weights: Weights) -> dict[str, float]:
    """Weights of refused rows by id, of mean 1, as that of all other rows; ``margin``: of (T_c - mu) / T_c.

    A question that the model answers right in 4 of 10 samples teaches less refusing than one that it never does.
    """
    margins = {name: 1.0 if weights == "equal" else threshold - value for name, value in known.items()}
    mean = sum(margins.values()) / len(margins) if margins else 1.0
    return {name: margin / mean for name, margin in margins.items()}
