"""``grait report FOLDER``: the page of a finished run or comparison, made again from what the folder holds.

No model is loaded; nothing but the page is written, and the cards of adapters that have none. The questions are read
where the run read them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from grait.commands.compare import read_comparison
from grait.commands.finished import check_known, finished_adapter, finished_evidence, open_run
from grait.errors import ArtifactError
from grait.methods.catalog import INIT_BASIC, UNTRAINED
from grait.methods.selection import Evidence
from grait.pipeline.cards import write_cards
from grait.pipeline.data import RunData
from grait.pipeline.dialled import at_thresholds
from grait.pipeline.dialled_forms import dialled_forms
from grait.pipeline.evaluation import measure, measure_with_dials, on_common
from grait.pipeline.order import same_training, selections
from grait.pipeline.reporting import PAGE, comparison_page, run_page, write_page
from grait.pipeline.results import (
    COMPARISON,
    CONVERSATIONS,
    DRIFT,
    FORM_DIFFERENCES,
    FORMS,
    QUADRANTS,
    REFUSED,
    ROUNDS,
    SIDE_EFFECTS,
    SUMMARY,
    TUNING,
    Answered,
    RunResult,
    SideEffects,
)
from grait.records import (
    ConversationRecord,
    DifferenceRecord,
    DriftRecord,
    FormRecord,
    Prediction,
    QuadrantRecord,
    RefusedRecord,
    RoundRecord,
    Selected,
    SideEffectRecord,
    TrialRecord,
)
from grait.runtime.artifacts import read_rows, readable
from grait.runtime.files import as_path
from grait.runtime.progress import note

if TYPE_CHECKING:
    from grait.display.page import Report

Record = TypeVar("Record")


def report(folder: str | Path) -> Path:
    """Write the page of a finished run or comparison again; returns where it is. Raises ArtifactError when the folder
    holds neither."""
    folder = as_path(folder, "folder")
    if (folder / COMPARISON).is_file():
        found = read_comparison(folder)
        runs = {seed: FinishedRun.read(folder / f"seed-{seed}") for seed in found.about["seeds"]}
        answers = {seed: run.predictions for seed, run in runs.items()}
        for one in runs.values():
            one.write_cards()
        write_page(folder, lambda: comparison_page(found, answers))
    else:
        run = FinishedRun.read(folder)
        run.write_cards()
        write_page(folder, run.page)
    return folder / PAGE


@dataclass(frozen=True)
class FinishedRun:
    """What a run's folder holds."""

    data: RunData
    evidence: Evidence
    selected: dict[str, list[Selected]]
    same: dict[str, str]
    predictions: Answered
    summary: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Raises ArtifactError when the run is not finished, or its questions are gone."""
        data = open_run(folder)
        with readable(f"{folder}: not a finished run (no readable {SUMMARY}); run it to its end with grait run"):
            summary = dict(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        evidence = finished_evidence(data)
        selected = selections(data.config, evidence)
        same = same_training(selected, data.config.tuned)
        return cls(data, evidence, selected, same, _predictions(data, folder, same), summary)

    def write_cards(self, *, is_new: bool = False) -> None:
        """Write the adapters' cards; with ``is_new`` False only of those that have none."""
        try:
            adapters = {method: finished_adapter(self.data, method) for method in dict.fromkeys(self.same.values())}
        except ArtifactError as error:
            note(f"no model cards: {error}")
        else:
            write_cards(self.data, adapters, self.selected, is_new=is_new)

    def page(self) -> "Report":
        """The page of the run, whose metrics are taken anew."""
        config, folder, test_sets = self.data.config, self.data.folder, self.data.test_sets
        metrics, groups = measure(config, test_sets, self.predictions)
        dialled = at_thresholds(self.data, self.predictions, self.same)
        result = RunResult(
            folder=folder,
            metrics=metrics,
            groups=groups,
            questions=test_sets,
            predictions=self.predictions,
            summary=self.summary,
            side_effects=SideEffects(
                _records(folder / SIDE_EFFECTS, SideEffectRecord),
                _records(folder / DRIFT, DriftRecord),
                _records(folder / CONVERSATIONS, ConversationRecord),
            ),
            dialled=dialled,
            dialled_metrics=measure_with_dials(config, test_sets, dialled),
            forms=_records(folder / FORMS, FormRecord),
            refused=_records(folder / REFUSED, RefusedRecord),
            trials=_records(folder / TUNING, TrialRecord),
            rounds=_records(folder / ROUNDS, RoundRecord),
            quadrants=_records(folder / QUADRANTS, QuadrantRecord),
            form_differences=_records(folder / FORM_DIFFERENCES, DifferenceRecord),
            dialled_forms=dialled_forms(self.data, self.predictions, self.same),
        )
        return run_page(self.data, result, self.evidence, self.selected, self.same)


def _predictions(data: RunData, folder: Path, same: dict[str, str]) -> dict[str, dict[str, list[Prediction]]]:
    adapters = {**{name: name for name in UNTRAINED}, **same}
    found = {}
    for dataset in data.config.evaluation.datasets:
        if dataset.title not in data.test_sets:
            continue  # none of its questions has a reference
        answers = folder / "evaluation" / dataset.title
        rows = {
            system: read_rows(answers / first / "predictions.parquet", Prediction) for system, first in adapters.items()
        }
        found[dataset.title] = on_common(dataset.title, rows)
        answered = [row.id for row in found[dataset.title][INIT_BASIC]]
        check_known(folder, dataset.path, answered, [question.id for question in data.test_sets[dataset.title]])
    return found


def _records(path: Path, kind: type[Record]) -> list[Record]:
    """Those of a file of the run's results, if it is there."""
    if not path.exists():
        return []
    with readable(f"{path}: not readable; run grait run again, which keeps what is finished"):
        return [kind(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
