"""What a run found, and the names of the files that hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grait.records import DifferenceRecord, GroupRecord, MetricRecord, Prediction, ProbeRecord, Question

SUMMARY = "summary.json"
"""Times, peak memory, versions, machine, and what was left out; written last of a run's results."""

PROBES, DIFFERENCES = "probes.json", "differences.json"
DIALLED, DIALLED_DIFFERENCES = "dialled_metrics.json", "dialled_differences.json"

Answered = Mapping[str, Mapping[str, list[Prediction]]]
"""Data set -> system -> predictions in the data set's order."""


@dataclass(frozen=True)
class RunResult:
    """``predictions``: data set -> system -> predictions in the data set's order.

    ``groups``: of the data sets whose questions have a group (MMLU). ``probes``: of the systems that were asked them.
    ``differences``: of GRAIT and each other trained method, where both were trained. ``dialled``: as ``predictions``,
    of the initial model and of the methods that have a refusal dial, with it (``grait + dial``); empty without any.
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
