"""How far two judges agree on the same outputs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from grait.records import Outcome


@dataclass(frozen=True, slots=True)
class Agreement:
    """``n``: outputs that both judged. ``share``: with the same verdict, in [0, 1]. ``kappa``: Cohen's, at most 1, 0 by
    chance. Both None without outputs, kappa also where both judges have one and the same verdict for all.

    ``counts``: outputs by the judge's verdict, then by the other one's.
    """

    n: int
    share: float | None
    kappa: float | None
    counts: dict[str, dict[str, int]]


def agreement(pairs: Iterable[tuple[Outcome, Outcome]]) -> Agreement:
    """Of a judge's and another one's verdicts on the same outputs (Cohen 1960: (p_o - p_e) / (1 - p_e))."""
    outcomes = get_args(Outcome)
    found = Counter(pairs)
    n = found.total()
    counts = {one: {other: found[one, other] for other in outcomes} for one in outcomes}
    if not n:
        return Agreement(0, None, None, counts)
    share = sum(counts[one][one] for one in outcomes) / n
    by_chance = sum(sum(counts[one].values()) * sum(counts[other][one] for other in outcomes) for one in outcomes)
    expected = by_chance / n**2
    return Agreement(n, share, None if by_chance == n**2 else (share - expected) / (1 - expected), counts)
