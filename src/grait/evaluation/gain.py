"""Is a tuned model worth it? Against the initial model with a threshold of its own, which costs no training."""

from collections.abc import Sequence
from dataclasses import dataclass

from grait.records import DifferenceRecord


@dataclass(frozen=True, slots=True)
class Gain:
    """``difference``: THS of the main system less that of the initial model with a threshold, paired. ``is_one``: its
    interval is above 0. ``recommended``: the cheapest system that the main one is not clearly above."""

    difference: DifferenceRecord
    is_one: bool
    recommended: str


def gain(differences: Sequence[DifferenceRecord], cheapest_first: Sequence[str]) -> Gain | None:
    """``differences``: of the main system on one set; ``cheapest_first``: the others, the initial model's first. None
    where the main system is not held against it."""
    against = {row.versus: row for row in differences}
    first = against.get(cheapest_first[0])
    if first is None:
        return None
    as_good = [name for name in cheapest_first if name in against and against[name].low <= 0]
    return Gain(first, first.low > 0, as_good[0] if as_good else first.method)
