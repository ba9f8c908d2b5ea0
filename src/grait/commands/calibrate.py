"""After a run: another target for a trained method's refusal dials."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, get_args

from grait.commands.finished import finished_adapter, open_run, trained_method
from grait.commands.report import FinishedRun
from grait.commands.served import asking
from grait.config import Config, DataConfig, parse_config
from grait.dial.choice import Target
from grait.dial.stored import SavedDial, find_dials, save_dials
from grait.dial.threshold import ScoreName
from grait.errors import ConfigError, DialError, described
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE
from grait.model.forms import Form
from grait.model.server import Address
from grait.pipeline.data import RunData
from grait.pipeline.dials import (
    calibrated,
    default_score,
    measure_dial,
    outcomes_of,
    start_calibration,
    unseen_questions,
)
from grait.pipeline.evaluation import System, on_common
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
class FormCalibration:
    """A stored dial of one form. ``metrics``: on the calibration questions, then on the run's test sets that the method
    was evaluated on: the method as it is, and with the dial."""

    dial: SavedDial
    metrics: list[MetricRecord]


@dataclass(frozen=True)
class Calibration:
    """What was stored: ``forms`` by name. ``failed``: by form, why there is no dial in it."""

    file: Path
    forms: dict[str, FormCalibration]
    failed: dict[str, str]

    @property
    def dial(self) -> SavedDial:
        """That of the main form, where it was calibrated, else of the first that was."""
        return next(iter(self.forms.values())).dial

    @property
    def metrics(self) -> list[MetricRecord]:
        """Of the same form."""
        return next(iter(self.forms.values())).metrics


def calibrate(
    run: str | Path,
    *,
    max_over_refusal: float | None = None,
    max_wrong: float | None = None,
    max_ths: bool = False,
    confidence: float = 0.9,
    method: str | None = None,
    data: DataConfig | str | Path | None = None,
    score: ScoreName | None = None,
    forms: Sequence[str] | None = None,
    address: Address | None = None,
) -> Calibration:
    """Choose and store the thresholds of one method's dials in a finished run, such as ``max_over_refusal=0.05``.

    ``run``: its folder. Give one target: ``max_over_refusal``, the largest share refused of what the initial model
    answers right; ``max_wrong``, the largest share of wrong answers; or ``max_ths``, which promises nothing. A share
    holds on new questions with ``confidence``. ``method``: default the run's main one. ``data``: calibration questions,
    by default those that the run put aside, else WorldFacts' ``val`` where the run is on it. ``score``: None for the
    one that each form has in a run. ``forms``: names of the run's forms whose dials are set, while those of others
    stay; None for all, and a form that cannot reach the target has no dial then. ``address``: where the tuned model is
    asked instead of here. Raises a GraitError when questions were trained on or are test questions, or when the target
    is reached in no form, or not in all that were named; nothing is stored then.
    """
    opened = open_run(run)
    folder = opened.folder
    target = _target(max_over_refusal, max_wrong, max_ths, confidence)
    if score is not None and score not in get_args(ScoreName):
        raise ConfigError(f"score: expected {' or '.join(get_args(ScoreName))}, found {described(score)}")
    models = Models(opened)
    source, chosen = _source(data), _forms(opened, forms)
    with locked(folder), models.releasing_vllm():
        found = _calibrate(opened, models, target, trained_method(opened, method), source, score, chosen, address)
        if (folder / SUMMARY).exists():
            last(folder, lambda: _told_again(folder))
        return found


def _calibrate(
    data: RunData,
    models: Models,
    target: Target,
    method: str,
    source: DataConfig | None,
    score: ScoreName | None,
    forms: Sequence[Form],
    address: Address | None,
) -> Calibration:
    """``forms``: none for all."""
    adapter, stages, main = finished_adapter(data, method), Stages(data.folder), data.prompts.forms[0].name
    given = data.calibration if data.held_out or data.config.data.path != "worldfacts" else None
    source = source or given or default_data(data.config)
    asked = unseen_questions(data, source)
    limit = data.config.evaluation.form_questions if target.at_most is None else None  # a promise takes many
    found: dict[str, FormCalibration] = {}
    failed: dict[str, str] = {}
    calibrations = [
        start_calibration(data, models, stages, source, asked, form, limit) for form in forms or data.prompts.forms
    ]
    is_here = nullcontext((models, stages))
    with is_here if address is None else asking(data, models, method, adapter, address) as (tuned, of_tuned):
        for calibration in calibrations:
            form = calibration.form
            try:
                if why_not := calibration.why_not:
                    raise DialError(why_not)
                system = System.of_method(method, adapter)
                own = score or default_score(data, form, method)
                dial, metrics = calibrated(data, tuned, of_tuned, calibration, system, target, own)
            except DialError as error:
                failed[form.name] = str(error)
                continue
            for dataset in data.config.evaluation.datasets if address is None else ():
                metrics += _on_test_set(data, method, dataset.title, dial, form)
            found[form.name] = FormCalibration(dial, metrics)
    if failed and (forms or not found):
        is_one = len(data.prompts.forms) == 1
        raise DialError("; ".join(why if is_one else f"form {name}: {why}" for name, why in failed.items()))
    stored = find_dials(adapter.folder, main) if forms else None
    dials = {name: own.dial for name, own in found.items()}
    file = save_dials(adapter.folder, main, (stored.forms if stored else {}) | dials)
    return Calibration(file, found, failed)


def _forms(data: RunData, names: Sequence[str] | None) -> list[Form]:
    """The named forms in the run's order; ConfigError for one that it does not have."""
    known = {form.name: form for form in data.prompts.forms}
    if names is not None and (isinstance(names, str) or not isinstance(names, Sequence) or not names):
        raise ConfigError(f"forms: expected a list of {', '.join(known)}; found {described(names)}")
    for name in names or ():
        if name not in known:
            raise ConfigError(f"form {name}: the run was not trained in it; it has {', '.join(known)}")
    return [form for name, form in known.items() if name in (names or ())]


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


def _on_test_set(data: RunData, method: str, title: str, dial: SavedDial, form: Form) -> list[MetricRecord]:
    """The method with and without the dial on a test set; nothing where the run has not evaluated it in the form."""
    is_main = form == data.prompts.forms[0]
    folder = data.folder / "evaluation" / title if is_main else data.folder / "forms" / form.name / title
    initial_system = INIT_BASIC if is_main else INIT_REFUSE
    files = [folder / system / "predictions.parquet" for system in (initial_system, method)]
    if not all(file.exists() for file in files):
        return []
    read = dict(zip((initial_system, method), (read_rows(file, Prediction) for file in files), strict=True))
    initial, rows = on_common(title, read).values()
    return measure_dial(data.config, method, title, outcomes_of(initial), rows, dial.setting)
