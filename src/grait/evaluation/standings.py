"""Compared systems in order, and which of them the best one is clearly above."""

from collections.abc import Sequence
from dataclasses import dataclass

from grait.records import ComparisonRecord, DifferenceRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """The system of highest THS on a data set; ``level``: others that no paired interval tells from it."""

    dataset: str
    best: ComparisonRecord
    level: tuple[str, ...]


def by_dataset(records: Sequence[ComparisonRecord]) -> dict[str, list[ComparisonRecord]]:
    """Records of each data set, highest THS first."""
    return {
        dataset: sorted((row for row in records if row.dataset == dataset), key=lambda row: -row.ths)
        for dataset in dict.fromkeys(row.dataset for row in records)
    }


def standings(records: Sequence[ComparisonRecord], differences: Sequence[DifferenceRecord]) -> list[Standing]:
    """One for each data set that has several systems."""
    found = []
    for dataset, (best, *others) in by_dataset(records).items():
        own = [row for row in differences if (row.dataset, row.method) == (dataset, best.method)]
        below = {row.versus for row in own if row.low > 0}
        if others:
            found.append(Standing(dataset, best, tuple(row.method for row in others if row.method not in below)))
    return found
