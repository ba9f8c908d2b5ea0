"""After a run: the threshold of a trained method's refusal dial, from questions that the run has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grait.artifacts import Stage, read_rows
from grait.config import Config, DataConfig
from grait.data.load import load_questions
from grait.dial.answers import refusal_token_ids
from grait.dial.choice import Choice, Target, choose
from grait.dial.saved import OperatingPoint, SavedDial, save_dial
from grait.dial.threshold import ScoreName, dialled_outcomes
from grait.errors import ConfigError, DataError
from grait.evaluation.metrics import summarize
from grait.lock import locked
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.pipeline.evaluation import SUMMARY, answered
from grait.pipeline.finished import finished_adapter, open_run
from grait.pipeline.report_again import FinishedRun
from grait.pipeline.reporting import last
from grait.pipeline.workbench import Workbench
from grait.records import MetricRecord, Outcome, Prediction, Question


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
    score: ScoreName = "first-token",
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
    _check_unseen(bench, questions, data.title)
    initial = _outcomes(_asked(bench, INIT_BASIC, None, questions, data.title))
    rows = _asked(bench, method, adapter, questions, data.title)
    choice = choose(rows, initial, score, target)
    metrics = _before_and_after(bench, method, data.title, initial, rows, choice, score)
    file = save_dial(
        adapter.folder,
        SavedDial(
            score=score,
            threshold=choice.threshold,
            target=target.metric,
            at_most=target.at_most,
            confidence=None if target.at_most is None else target.confidence,
            hits=choice.hits,
            trials=choice.trials,
            upper_bound=choice.upper_bound,
            guarantee=guarantee(target),
            data=data,
            n=len(rows),
            n_known=sum(outcome == "correct" for outcome in initial.values()),
            without_dial=_point(metrics[0]),
            achieved=_point(metrics[1]),
            refusal=bench.config.prompt.refusal,
            refusal_token_ids=refusal_token_ids(bench.prompts, questions),
        ),
    )
    for dataset in bench.config.evaluation.datasets:
        metrics += _on_test_set(bench, method, dataset, choice, score)
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


def guarantee(target: Target) -> str | None:
    """The promise in words; None where there is none."""
    if target.at_most is None:
        return None
    what = (
        "of the questions that the initial model answers right, at most {} are refused"
        if target.metric == "over_refusal"
        else "at most {} of the questions are answered wrong"
    )
    return (
        f"With confidence {target.confidence:g}: {what.format(f'{target.at_most:.1%}')}, among new questions from the "
        "same distribution as the calibration questions."
    )


def _check_unseen(bench: Workbench, questions: Sequence[Question], title: str) -> None:
    """DataError when calibration questions are training or test questions of the run, whatever their ids."""
    sets = {"training": bench.training_set, **{f"test ({name})": own for name, own in bench.test_sets.items()}}
    for role, own in sets.items():
        seen = {_wording(question) for question in own}
        both = [question for question in questions if _wording(question) in seen]
        if both:
            raise DataError(
                f"{title}: {len(both)} of {len(questions)} calibration questions are {role} questions of this run, "
                f"such as {both[0].question!r}; nothing could be promised for new questions: name others with --data"
            )
    if title in bench.test_sets:
        raise DataError(f"{title}: a test set of this run has this name; give the calibration questions another one")


def _wording(question: Question) -> tuple[str, ...]:
    return tuple(" ".join(text.casefold().split()) for text in (question.question, *sorted(question.choices)))


def _asked(
    bench: Workbench, system: str, adapter: Stage | None, questions: Sequence[Question], title: str
) -> list[Prediction]:
    """What a method, or the initial model, makes of the calibration questions."""
    method = METHODS[system]
    folder = bench.folder / "calibration" / title / system
    heading = f"Calibration: {system} on {title}"
    return answered(bench, folder, heading, system, adapter, title, questions, method.asked, method.judge)


def _on_test_set(
    bench: Workbench, method: str, dataset: DataConfig, choice: Choice, score: ScoreName
) -> list[MetricRecord]:
    """The method with and without the dial on a test set; nothing where the run has not evaluated it."""
    folder = bench.folder / "evaluation" / dataset.title
    files = [folder / system / "predictions.parquet" for system in (INIT_BASIC, method)]
    if not all(file.exists() for file in files):
        return []
    initial, rows = (read_rows(file, Prediction) for file in files)
    return _before_and_after(bench, method, dataset.title, _outcomes(initial), rows, choice, score)


def _outcomes(rows: Sequence[Prediction]) -> dict[str, Outcome]:
    return {row.id: row.outcome for row in rows}


def _before_and_after(
    bench: Workbench,
    method: str,
    title: str,
    initial: dict[str, Outcome],
    rows: Sequence[Prediction],
    choice: Choice,
    score: ScoreName,
) -> list[MetricRecord]:
    n, seed = bench.config.evaluation.n_bootstrap, bench.config.seed
    dialled = dialled_outcomes(rows, score, choice.threshold)
    return [
        summarize(name, title, initial, outcomes, n, seed)
        for name, outcomes in ((method, _outcomes(rows)), (f"{method} + dial", dialled))
    ]


def _point(record: MetricRecord) -> OperatingPoint:
    return OperatingPoint(**{name: getattr(record, name) for name in OperatingPoint.model_fields})
