"""Contents of the report pages, as the pipeline hands them over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grait.dial.curve import DialPoint
from grait.dial.stored import SavedDial
from grait.evaluation.selective import RiskCoverage
from grait.methods.selection import Evidence
from grait.records import (
    BenchRecord,
    BenchScore,
    ComparisonRecord,
    ConversationRecord,
    DifferenceRecord,
    DriftRecord,
    FormRecord,
    GroupRecord,
    MetricRecord,
    Prediction,
    QuadrantRecord,
    Question,
    RefusedRecord,
    RoundRecord,
    Selected,
    SideEffectRecord,
    TrialRecord,
)


@dataclass(frozen=True)
class DialRecords:
    """The calibrated dials of one method. ``saved``: that of the main form; ``by_form``: of all forms that have one.

    Of the main form, by data set, the calibration questions first: ``curves``, and ``chosen``, what the calibrated
    threshold does.
    """

    method: str
    saved: SavedDial
    by_form: Mapping[str, SavedDial]
    curves: Mapping[str, Sequence[DialPoint]]
    chosen: Mapping[str, DialPoint]


@dataclass(frozen=True)
class BenchContents:
    """What ``grait bench`` found of the run. ``left_out``: sets, and why. ``about``: as in ``bench.json``."""

    records: Sequence[BenchRecord]
    scores: Sequence[BenchScore]
    left_out: Mapping[str, str]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class RunRecords:
    """All that the page of a run shows. ``test_sets`` may hold questions that were too long to be asked.

    ``predictions``: data set -> system -> rows, ``init-basic`` always among the systems. ``selected``: what each
    trained method was trained on; ``losses``: by adapter, in each optimizer step. ``summary``: as ``summary.json``.
    ``dialled_metrics``, ``dialled_forms``: of all methods that have a dial, with it; ``dial``: of one of them.
    """

    name: str
    config: Mapping[str, Any]
    metrics: Sequence[MetricRecord]
    groups: Sequence[GroupRecord]
    test_sets: Mapping[str, Sequence[Question]]
    predictions: Mapping[str, Mapping[str, Sequence[Prediction]]]
    training_set: Mapping[str, Question]
    evidence: Evidence
    selected: Mapping[str, Sequence[Selected]]
    losses: Mapping[str, Sequence[float]]
    summary: Mapping[str, Any]
    side_effects: Sequence[SideEffectRecord] = ()
    drift: Sequence[DriftRecord] = ()
    dial: DialRecords | None = None
    dialled_metrics: Sequence[MetricRecord] = ()
    forms: Sequence[FormRecord] = ()
    refused: Sequence[RefusedRecord] = ()
    form_differences: Sequence[DifferenceRecord] = ()
    conversations: Sequence[ConversationRecord] = ()
    dialled_forms: Sequence[FormRecord] = ()
    trials: Sequence[TrialRecord] = ()
    rounds: Sequence[RoundRecord] = ()
    bench: BenchContents | None = None
    quadrants: Sequence[QuadrantRecord] = ()


@dataclass(frozen=True)
class ComparisonRecords:
    """All that the page of a comparison shows. ``curves``, ``operating``: data set -> system -> one for each seed.

    ``about``: as in ``compare.json``. ``dialled``: of the methods that have a refusal dial, with it. ``refused``: of
    questions without a reference, means over seeds.
    """

    name: str
    records: Sequence[ComparisonRecord]
    differences: Sequence[DifferenceRecord]
    about: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, Sequence[RiskCoverage]]]
    operating: Mapping[str, Mapping[str, Sequence[Sequence[DialPoint]]]]
    dialled: Sequence[ComparisonRecord] = ()
    refused: Sequence[RefusedRecord] = ()
