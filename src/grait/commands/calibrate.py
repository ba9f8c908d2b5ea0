"""After a run: another target for a trained method's refusal dial."""

from dataclasses import dataclass
from pathlib import Path

from grait.commands.finished import finished_adapter, open_run
from grait.commands.report import FinishedRun
from grait.config import Config, DataConfig
from grait.data.load import load_questions
from grait.dial.choice import Target
from grait.dial.stored import SavedDial, save_dial
from grait.dial.threshold import ScoreName
from grait.errors import ConfigError
from grait.methods.catalog import INIT_BASIC
from grait.pipeline.dials import DEFAULT_SCORE, asked, before_and_after, check_unseen, chosen, outcomes_of
from grait.pipeline.reporting import last
from grait.pipeline.results import SUMMARY
from grait.pipeline.workbench import Workbench
from grait.records import MetricRecord, Prediction
from grait.runtime.artifacts import read_rows
from grait.runtime.lock import locked


@dataclass(frozen=True)
class Calibration:
    """A stored dial.

    ``metrics``: of the calibration questions, then of the run's test sets that the method was evaluated on: the method
    as it is, and with the dial.
    """

    file: Path
    dial: SavedDial
    metrics: list[MetricRecord]


def calibrate(
    folder: Path,
    target: Target,
    method: str = "grait",
    data: DataConfig | None = None,
    score: ScoreName = DEFAULT_SCORE,
) -> Calibration:
    """Choose and store the threshold of one method's dial in a finished run.

    ``data``: calibration questions, by default WorldFacts' ``val`` where the run is on WorldFacts. Raises a GraitError
    when they were trained on or are test questions, or when no threshold reaches the target; nothing is stored then.
    """
    check_target(target)
    bench = open_run(folder)
    with locked(folder), bench.releasing_vllm():
        found = _calibrate(bench, target, method, data, score)
        if (folder / SUMMARY).exists():
            last(folder, lambda: FinishedRun.read(folder).page())
        return found


def _calibrate(bench: Workbench, target: Target, method: str, data: DataConfig | None, score: ScoreName) -> Calibration:
    adapter = finished_adapter(bench, method)
    data = data or default_data(bench.config)
    questions = load_questions(data)
    check_unseen(bench, questions, data.title)
    initial = outcomes_of(asked(bench, INIT_BASIC, None, questions, data.title))
    dial, metrics = chosen(bench, method, adapter, data, questions, initial, target, score)
    file = save_dial(adapter.folder, dial)
    for dataset in bench.config.evaluation.datasets:
        metrics += _on_test_set(bench, method, dataset, dial)
    return Calibration(file, SavedDial.model_validate_json(file.read_bytes()), metrics)


def check_target(target: Target) -> None:
    """ConfigError when a share of the target is not between 0 and 1."""
    for name, share in (("the limit", target.at_most), ("confidence", target.confidence)):
        if share is not None and not 0 < share < 1:
            raise ConfigError(f"{name} is {share:g}: expected a share above 0 and below 1, such as 0.05")


def default_data(config: Config) -> DataConfig:
    """WorldFacts' validation questions in the run's own view. ConfigError when the run is on other data."""
    if config.data.path != "worldfacts":
        raise ConfigError(
            f"this run is trained on {config.data.path}, which has no validation questions of its own here; name "
            "questions that are neither trained on nor tested with --data, such as --data calibration.jsonl"
        )
    return DataConfig(path="worldfacts", split="val", view=config.data.view)


def _on_test_set(bench: Workbench, method: str, dataset: DataConfig, dial: SavedDial) -> list[MetricRecord]:
    """The method with and without the dial on a test set; nothing where the run has not evaluated it."""
    folder = bench.folder / "evaluation" / dataset.title
    files = [folder / system / "predictions.parquet" for system in (INIT_BASIC, method)]
    if not all(file.exists() for file in files):
        return []
    initial, rows = (read_rows(file, Prediction) for file in files)
    return before_and_after(bench, method, dataset.title, outcomes_of(initial), rows, dial.score, dial.threshold)
