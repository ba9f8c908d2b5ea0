"""What a run and a comparison found, and the names of the files that hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from grait.display.contents import Results
from grait.records import (
    ComparisonRecord,
    ConversationRecord,
    DifferenceRecord,
    DriftRecord,
    FormRecord,
    Prediction,
    Question,
    RefusedRecord,
    SideEffectRecord,
)

METRICS, GROUPS = "metrics.json", "groups.json"
FORMS, FORM_DIFFERENCES = "forms.json", "form_differences.json"
SIDE_EFFECTS, CONVERSATIONS, DRIFT = "side_effects.json", "conversations.json", "drift.json"
REFUSED = "unanswerable.json"
BENCH = "bench.json"
QUADRANTS = "quadrants.json"
TUNING = "tuning.json"
ROUNDS = "rounds.json"

SUMMARY = "summary.json"
"""Times, peak memory, versions, machine, and what was left out; written last of a run's results."""

COMPARISON = "compare.json"

Record = TypeVar("Record", SideEffectRecord, DriftRecord, ConversationRecord)

Answered = Mapping[str, Mapping[str, list[Prediction]]]
"""Data set -> system -> predictions in the data set's order."""

Same = Mapping[str, str]
"""Of each method, the one whose adapter it has (``order.same_training``)."""


@dataclass(frozen=True)
class SideEffects:
    """What tuning did to all that is no short question of fact.

    ``records``: of each system, the initial model first, one for each form. ``drift``: of each system; empty where
    systems are not one model with and without adapters. ``conversations``: of each system, one for each kind; empty
    without a chat template.
    """

    records: list[SideEffectRecord] = field(default_factory=list)
    drift: list[DriftRecord] = field(default_factory=list)
    conversations: list[ConversationRecord] = field(default_factory=list)

    def named(self, first: Mapping[str, str]) -> "SideEffects":
        """The same of each method in ``first``, where it is the system of that name whose adapter it has."""

        def of(rows: list[Record]) -> list[Record]:
            return [replace(row, method=name) for name, other in first.items() for row in rows if row.method == other]

        return SideEffects(of(self.records), of(self.drift), of(self.conversations))

    @property
    def files(self) -> dict[str, Sequence[Any]]:
        """Records by the name of their file."""
        return {SIDE_EFFECTS: self.records, CONVERSATIONS: self.conversations, DRIFT: self.drift}


@dataclass(frozen=True)
class FormResults:
    """Results by form; empty where there is one. ``differences``: of the main system and others, over trained forms.
    ``dialled``: of each method with its dials, in trained forms."""

    records: list[FormRecord] = field(default_factory=list)
    differences: list[DifferenceRecord] = field(default_factory=list)
    dialled: list[FormRecord] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunResult(Results):
    """What one run found; all of it is in ``folder``, too.

    ``side_effects``: empty where they were not asked for. ``differences``: of the main method and each other trained
    one, where there are others. ``dialled``: as ``predictions``, of the initial model and of the methods that have a
    refusal dial, with it (``grait + dial``); empty without any. ``against_initial``: of the main method with its dial
    and each other system with its own, also the initial model; the calibration questions first.
    """

    folder: Path
    questions: dict[str, list[Question]]
    side_effects: SideEffects = field(default_factory=SideEffects)
    differences: list[DifferenceRecord] = field(default_factory=list)
    dialled: Answered = field(default_factory=dict)
    dialled_differences: list[DifferenceRecord] = field(default_factory=list)
    against_initial: list[DifferenceRecord] = field(default_factory=list)

    @property
    def files(self) -> dict[str, Sequence[Any]]:
        """Records by the name of their file."""
        of_forms = ("forms", "form_differences", "dialled_forms")
        dialled = ("dialled_metrics", "dialled_differences", "against_initial")
        names = ("metrics", "groups", "differences", *of_forms, *dialled)
        found: dict[str, Sequence[Any]] = {f"{name}.json": getattr(self, name) for name in names}
        found |= {REFUSED: self.refused, QUADRANTS: self.quadrants, TUNING: self.trials, ROUNDS: self.rounds}
        return found | self.side_effects.files


@dataclass(frozen=True)
class Comparison:
    """What several methods on several seeds show together; ``folder`` has a run folder for each seed, too.

    ``records``: data set by data set, the initial model first, then systems as trained. ``differences``: paired, of the
    main method and of each data set's highest THS. ``about``: config, seeds, resamples, versions, machine and date.
    ``dialled``, ``dialled_differences``: the same of the methods that have a refusal dial in every seed, with it; empty
    without any. ``refused``: of questions without a reference, means over seeds.
    """

    folder: Path
    records: list[ComparisonRecord]
    differences: list[DifferenceRecord]
    about: dict[str, Any]
    dialled: list[ComparisonRecord] = field(default_factory=list)
    dialled_differences: list[DifferenceRecord] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
