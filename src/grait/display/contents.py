"""Contents of the report pages, as the pipeline hands them over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a run found, and its page shows.

    ``predictions``: data set -> system -> rows, ``init-basic`` always among the systems. ``summary``: as
    ``summary.json``. ``groups``: metrics of the data sets whose questions have a group (MMLU). ``forms``: results in
    each of ``prompt.forms`` and ``evaluation.forms`` and their means, where there are several; ``form_differences``: of
    the means over trained forms. ``dialled_metrics``, ``dialled_forms``: of all methods that have a dial, with it.
    ``refused``: of test questions without a reference. ``trials``: short trainings that settings were found by.
    ``quadrants``: of test questions with a text. ``rounds``: of trainings whose refusals are weighed anew between them.
    """

    metrics: list[MetricRecord]
    groups: list[GroupRecord]
    predictions: Mapping[str, Mapping[str, list[Prediction]]]
    summary: dict[str, Any]
    dialled_metrics: list[MetricRecord] = field(default_factory=list)
    forms: list[FormRecord] = field(default_factory=list)
    form_differences: list[DifferenceRecord] = field(default_factory=list)
    dialled_forms: list[FormRecord] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)
    quadrants: list[QuadrantRecord] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunRecords(Results):
    """All that the page of a run shows. ``test_sets`` may hold questions that were too long to be asked.

    ``selected``: what each trained method was trained on; ``losses``: by adapter, in each optimizer step. ``dial``: of
    one of the methods that have one.
    """

    name: str
    config: Mapping[str, Any]
    test_sets: Mapping[str, Sequence[Question]]
    training_set: Mapping[str, Question]
    evidence: Evidence
    selected: Mapping[str, Sequence[Selected]]
    losses: Mapping[str, Sequence[float]]
    side_effects: Sequence[SideEffectRecord] = ()
    drift: Sequence[DriftRecord] = ()
    dial: DialRecords | None = None
    conversations: Sequence[ConversationRecord] = ()
    bench: BenchContents | None = None


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
