"""After a run: another target for a trained method's refusal dial."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, get_args

from grait.commands.finished import finished_adapter, open_run, trained_method
from grait.commands.report import FinishedRun
from grait.config import Config, DataConfig, parse_config
from grait.dial.choice import Target
from grait.dial.stored import SavedDial, save_dial
from grait.dial.threshold import ScoreName
from grait.errors import ConfigError, described
from grait.methods.catalog import INIT_BASIC
from grait.pipeline.data import RunData
from grait.pipeline.dials import (
    DEFAULT_SCORE,
    choose_dial,
    measure_dial,
    outcomes_of,
    start_calibration,
    unseen_questions,
)
from grait.pipeline.models import Models
from grait.pipeline.reporting import last
from grait.pipeline.results import SUMMARY
from grait.pipeline.stages import Stages
from grait.records import MetricRecord, Prediction
from grait.runtime.artifacts import read_rows
from grait.runtime.files import as_path
from grait.runtime.lock import locked

if TYPE_CHECKING:
    from grait.display.page import Report


@dataclass(frozen=True)
class Calibration:
    """A stored dial.

    ``metrics``: on the calibration questions, then on the run's test sets that the method was evaluated on: the method
    as it is, and with the dial.
    """

    file: Path
    dial: SavedDial
    metrics: list[MetricRecord]


def calibrate(
    run: str | Path,
    *,
    max_over_refusal: float | None = None,
    max_wrong: float | None = None,
    max_ths: bool = False,
    confidence: float = 0.9,
    method: str | None = None,
    data: DataConfig | str | Path | None = None,
    score: ScoreName = DEFAULT_SCORE,
) -> Calibration:
    """Choose and store the threshold of one method's dial in a finished run, such as ``max_over_refusal=0.05``.

    ``run``: its folder. Give one target: ``max_over_refusal``, the largest share refused of what the initial model
    answers right; ``max_wrong``, the largest share of wrong answers; or ``max_ths``, which promises nothing. A share
    holds on new questions with ``confidence``. ``method``: default the run's main one. ``data``: calibration questions,
    by default those that the run put aside, else WorldFacts' ``val`` where the run is on WorldFacts. Raises a
    GraitError when they were trained on or are test questions, or when no threshold reaches the target; nothing is
    stored then.
    """
    opened = open_run(run)
    folder = opened.folder
    target = _target(max_over_refusal, max_wrong, max_ths, confidence)
    if score not in get_args(ScoreName):
        raise ConfigError(f"score: expected {' or '.join(get_args(ScoreName))}, found {described(score)}")
    models = Models(opened)
    source = _source(data)
    with locked(folder), models.releasing_vllm():
        found = _calibrate(opened, models, target, trained_method(opened, method), source, score)
        if (folder / SUMMARY).exists():
            last(folder, lambda: _told_again(folder))
        return found


def _calibrate(
    data: RunData, models: Models, target: Target, method: str, source: DataConfig | None, score: ScoreName
) -> Calibration:
    adapter, stages = finished_adapter(data, method), Stages(data.folder)
    source = source or (data.held_out and data.calibration) or default_data(data.config)
    calibration = start_calibration(data, models, stages, source, unseen_questions(data, source))
    rows = calibration.answers(data, models, stages, method, adapter)
    dial, metrics = choose_dial(data, calibration, method, rows, target, score)
    file = save_dial(adapter.folder, dial)
    for dataset in data.config.evaluation.datasets:
        metrics += _on_test_set(data, method, dataset.title, dial)
    return Calibration(file, SavedDial.model_validate_json(file.read_bytes()), metrics)


def _told_again(folder: Path) -> "Report":
    """The run's page with the dial, after the adapters' cards."""
    run = FinishedRun.read(folder)
    run.write_cards(is_new=True)
    return run.page()


def _source(data: DataConfig | str | Path | None) -> DataConfig | None:
    """The calibration questions that are named, if any."""
    return (
        data
        if isinstance(data, DataConfig | NoneType)
        else parse_config({"data": {"path": str(as_path(data, "data"))}}).data
    )


def _target(max_over_refusal: float | None, max_wrong: float | None, max_ths: bool, confidence: float) -> Target:
    """ConfigError when not one was given, or when a share is not between 0 and 1."""
    targets = [
        *([Target("over_refusal", max_over_refusal, confidence)] if max_over_refusal is not None else []),
        *([Target("wrong", max_wrong, confidence)] if max_wrong is not None else []),
        *([Target("ths")] if max_ths else []),
    ]
    if len(targets) != 1:
        raise ConfigError(f"give one of max_over_refusal, max_wrong and max_ths; found {len(targets)}")
    (target,) = targets
    for name, share in (("the limit", target.at_most), ("confidence", target.confidence)):
        if share is None:
            continue
        if not isinstance(share, Real) or isinstance(share, bool):
            raise ConfigError(
                f"{name}: expected a share above 0 and below 1, found {described(share)}; give a number such as 0.05"
            )
        if not 0 < share < 1:
            raise ConfigError(f"{name} is {share:g}: expected a share above 0 and below 1, such as 0.05")
    return target


def default_data(config: Config) -> DataConfig:
    """WorldFacts' validation questions in the run's own view. ConfigError when the run is on other data."""
    if config.data.path != "worldfacts":
        raise ConfigError(
            f"this run is trained on {config.data.path}, which has no validation questions of its own here; name "
            "questions that are neither trained on nor tested (data), such as calibration.jsonl"
        )
    return DataConfig(path="worldfacts", split="val", view=config.data.view)


def _on_test_set(data: RunData, method: str, title: str, dial: SavedDial) -> list[MetricRecord]:
    """The method with and without the dial on a test set; nothing where the run has not evaluated it."""
    folder = data.folder / "evaluation" / title
    files = [folder / system / "predictions.parquet" for system in (INIT_BASIC, method)]
    if not all(file.exists() for file in files):
        return []
    initial, rows = (read_rows(file, Prediction) for file in files)
    return measure_dial(data.config, method, title, outcomes_of(initial), rows, dial.score, dial.threshold)
