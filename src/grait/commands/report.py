"""``grait report FOLDER``: the page of a finished run or comparison, made again from what the folder holds.

No model is loaded, nothing but the page is written. The questions are read where the run read them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grait.commands.compare import RESULT, read_comparison
from grait.commands.finished import check_known, finished_evidence, open_run
from grait.errors import ArtifactError
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE
from grait.methods.selection import Evidence
from grait.pipeline.dials import dialled
from grait.pipeline.evaluation import measured, measured_with_dials
from grait.pipeline.order import same_training, selections
from grait.pipeline.reporting import PAGE, comparison_page, run_page, write_page
from grait.pipeline.results import PROBES, SUMMARY, Answered, RunResult
from grait.pipeline.workbench import Workbench
from grait.records import Prediction, ProbeRecord, Selected
from grait.runtime.artifacts import read_rows

if TYPE_CHECKING:
    from grait.display.page import Report


def report(folder: Path) -> Path:
    """Write the page again; returns where it is. Raises ArtifactError when the folder holds no finished run."""
    if (folder / RESULT).is_file():
        found = read_comparison(folder)
        runs = {seed: FinishedRun.read(folder / f"seed-{seed}") for seed in found.about["seeds"]}
        answers = {seed: run.predictions for seed, run in runs.items()}
        write_page(folder, lambda: comparison_page(found, answers))
    else:
        run = FinishedRun.read(folder)
        write_page(folder, run.page)
    return folder / PAGE


@dataclass(frozen=True)
class FinishedRun:
    """What a run's folder holds."""

    bench: Workbench
    evidence: Evidence
    selected: dict[str, list[Selected]]
    same: dict[str, str]
    predictions: Answered
    summary: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Raises ArtifactError when the run is not finished, or its questions are gone."""
        bench = open_run(folder)
        try:
            summary = dict(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(
                f"{folder}: not a finished run (no readable {SUMMARY}); run it to its end with grait run"
            ) from error
        evidence = finished_evidence(bench)
        selected = selections(bench.config, evidence)
        same = same_training(selected)
        return cls(bench, evidence, selected, same, _predictions(bench, folder, same), summary)

    def page(self) -> "Report":
        """The page of the run, whose metrics are taken anew."""
        folder = Path(self.bench.config.out)
        metrics, groups = measured(self.bench, self.predictions)
        with_dials = dialled(self.bench, self.predictions, self.same)
        dialled_metrics, _ = measured_with_dials(self.bench, with_dials)
        result = RunResult(
            folder,
            metrics,
            groups,
            self.bench.test_sets,
            self.predictions,
            self.summary,
            _probes(folder),
            dialled=with_dials,
            dialled_metrics=dialled_metrics,
        )
        return run_page(self.bench, result, self.evidence, self.selected, self.same)


def _predictions(bench: Workbench, folder: Path, same: dict[str, str]) -> dict[str, dict[str, list[Prediction]]]:
    adapters = {INIT_BASIC: INIT_BASIC, INIT_REFUSE: INIT_REFUSE, **same}
    found = {}
    for dataset in bench.config.evaluation.datasets:
        answers = folder / "evaluation" / dataset.title
        found[dataset.title] = {
            system: read_rows(answers / first / "predictions.parquet", Prediction) for system, first in adapters.items()
        }
        answered = [row.id for row in found[dataset.title][INIT_BASIC]]
        check_known(folder, dataset.path, answered, [question.id for question in bench.test_sets[dataset.title]])
    return found


def _probes(folder: Path) -> list[ProbeRecord]:
    path = folder / PROBES
    if not path.exists():
        return []
    try:
        return [ProbeRecord(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path}: not readable; run grait run again, which keeps what is finished") from error
