"""What a run and a comparison found, and the names of the files that hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grait.records import (
    ComparisonRecord,
    DifferenceRecord,
    FormRecord,
    GroupRecord,
    MetricRecord,
    Prediction,
    ProbeRecord,
    Question,
)

METRICS, GROUPS, PROBES, FORMS = "metrics.json", "groups.json", "probes.json", "forms.json"

SUMMARY = "summary.json"
"""Times, peak memory, versions, machine, and what was left out; written last of a run's results."""

COMPARISON = "compare.json"

Answered = Mapping[str, Mapping[str, list[Prediction]]]
"""Data set -> system -> predictions in the data set's order."""


@dataclass(frozen=True)
class RunResult:
    """What one run found; all of it is in ``folder``, too.

    ``predictions``: data set -> system -> predictions in the data set's order. ``groups``: metrics of the data sets
    whose questions have a group (MMLU). ``probes``: one record for each system that was asked them. ``differences``: of
    the main method and each other trained one, where there are others. ``dialled``: as ``predictions``, of the initial
    model and of the methods that have a refusal dial, with it (``grait + dial``); empty without any. ``forms``: results
    in each of ``prompt.forms`` and their means, where there are several.
    """

    folder: Path
    metrics: list[MetricRecord]
    groups: list[GroupRecord]
    questions: dict[str, list[Question]]
    predictions: Answered
    summary: dict[str, Any]
    probes: list[ProbeRecord] = field(default_factory=list)
    differences: list[DifferenceRecord] = field(default_factory=list)
    dialled: Answered = field(default_factory=dict)
    dialled_metrics: list[MetricRecord] = field(default_factory=list)
    dialled_differences: list[DifferenceRecord] = field(default_factory=list)
    forms: list[FormRecord] = field(default_factory=list)

    @property
    def files(self) -> dict[str, Sequence[Any]]:
        """Records by the name of their file."""
        names = ("metrics", "groups", "differences", "probes", "forms", "dialled_metrics", "dialled_differences")
        return {f"{name}.json": getattr(self, name) for name in names}


@dataclass(frozen=True)
class Comparison:
    """What several methods on several seeds show together; ``folder`` has a run folder for each seed, too.

    ``records``: data set by data set, the initial model first, then systems as trained. ``differences``: paired, of the
    main method and of each data set's highest THS. ``about``: config, seeds, resamples, versions, machine and date.
    ``dialled``, ``dialled_differences``: the same of the methods that have a refusal dial in every seed, with it; empty
    without any.
    """

    folder: Path
    records: list[ComparisonRecord]
    differences: list[DifferenceRecord]
    about: dict[str, Any]
    dialled: list[ComparisonRecord] = field(default_factory=list)
    dialled_differences: list[DifferenceRecord] = field(default_factory=list)
