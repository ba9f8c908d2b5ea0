"""After evaluation: the refusal dial of each trained method, set on questions that the run has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from grait.config import Config, DataConfig
from grait.data.load import load_questions
from grait.dial.answers import refusal_token_ids
from grait.dial.choice import Target, choose
from grait.dial.stored import FILE_NAME, OperatingPoint, SavedDial, find_dial, save_dial, with_dial
from grait.dial.threshold import ScoreName, dialled_outcomes, refusal_score, refuses
from grait.errors import DataError
from grait.evaluation.metrics import summarize
from grait.judging.outcomes import is_hedged, is_unparsable
from grait.methods.catalog import INIT_BASIC
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, plan_answers
from grait.pipeline.models import Models
from grait.pipeline.overlap import shared, wording
from grait.pipeline.results import Answered
from grait.pipeline.stages import Stages
from grait.pipeline.work import SetSize, StagePlan
from grait.records import MetricRecord, Outcome, Prediction, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage

DEFAULT_SCORE: ScoreName = "answer"
"""Of the three the best out-of-domain, and no worse in-domain (research/best_threshold)."""

HIGHEST_THS = Target("ths")


@dataclass(frozen=True)
class CalibrationSet:
    """Questions to set a dial on, with the initial model's outcomes by their ids. ``source``: where they come from."""

    source: DataConfig
    asked: QuestionSet
    initial: Mapping[str, Outcome]

    def answers(self, data: RunData, models: Models, stages: Stages, method: str, adapter: Stage) -> list[Prediction]:
        """What a trained method makes of the questions."""
        return answer_questions(data, models, stages, System.of_method(method, adapter), self.asked, "calibration")


def check_calibration(data: RunData) -> None:
    """For the beginning of a run: whether its calibration questions will do. Raises a GraitError."""
    if source := data.config.evaluation.calibration:
        refusal_token_ids(data.prompts, unseen_questions(data, source).questions)


def unseen_questions(data: RunData, source: DataConfig) -> QuestionSet:
    """Calibration questions. DataError when some are training or test questions of the run, whatever their ids."""
    asked = QuestionSet(source.title, with_reference(source))
    sets = {"training": data.training_set, **{f"test ({name})": own for name, own in data.test_sets.items()}}
    for role, own in sets.items():
        both = shared(asked.questions, map(wording, own))
        if both:
            raise DataError(
                f"{asked.title}: {len(both)} of {len(asked.questions)} calibration questions are {role} questions of "
                f"this run, such as {both[0].question!r}; nothing could be promised for new questions: name others, "
                "with grait calibrate --data or in evaluation.calibration of the run"
            )
    if asked.title in data.test_sets:
        raise DataError(
            f"{asked.title}: a test set of this run has this name; give the calibration questions another one"
        )
    return asked


def with_reference(source: DataConfig) -> list[Question]:
    """The calibration questions that have a reference: a dial weighs right answers against wrong ones."""
    found = [question for question in load_questions(source) if question.answers]
    if not found:
        raise DataError(f"{source.title}: no calibration question has an answer; add some that have")
    return found


def start_calibration(
    data: RunData, models: Models, stages: Stages, source: DataConfig, asked: QuestionSet
) -> CalibrationSet:
    """The questions, asked of the initial model."""
    initial = answer_questions(data, models, stages, System.of_method(INIT_BASIC, None), asked, "calibration")
    return CalibrationSet(source, asked, outcomes_of(initial))


def set_dials(data: RunData, models: Models, stages: Stages, adapters: Mapping[str, Stage]) -> None:
    """Set the dial of each adapter (by method) for the highest THS on the config's calibration questions, if any.

    A dial that was set otherwise (``grait calibrate``) is kept, until its adapter is trained again.
    """
    source = data.config.evaluation.calibration
    if source is None:
        return
    asked = QuestionSet(source.title, with_reference(source))
    calibration = start_calibration(data, models, stages, source, asked)
    outcomes = list(calibration.initial.values())
    if not {"correct", "wrong"} <= set(outcomes):
        progress.note(
            f"{source.title}: no dial is set: the initial model answers {outcomes.count('correct')} of "
            f"{len(outcomes)} questions right, and a dial takes right and wrong answers"
        )
        return
    for method, adapter in adapters.items():
        found = processes.from_main(find_dial(adapter.folder) if processes.is_main() else None)
        if found and (found.target, found.data, found.score) != (HIGHEST_THS.metric, source, DEFAULT_SCORE):
            file = adapter.folder / FILE_NAME
            progress.note(f"{method}: its dial was set otherwise and is kept; to have it set again, delete {file}")
            continue
        rows = calibration.answers(data, models, stages, method, adapter)
        dial, _ = choose_dial(data, calibration, method, rows, HIGHEST_THS, DEFAULT_SCORE)
        if processes.is_main():
            save_dial(adapter.folder, dial)
        processes.wait()


def plan_dials(config: Config, calibration: SetSize) -> StagePlan:
    """The cost of ``set_dials``."""
    methods = config.training.methods
    does = f"sets the refusal dial of {', '.join(methods)}; greedy answers"
    return plan_answers(config, calibration, [INIT_BASIC, *methods], "calibration", does)


def with_dials(data: RunData, predictions: Answered, same: Mapping[str, str]) -> dict[str, dict[str, list[Prediction]]]:
    """The initial model's predictions, and those of each method that has a dial, as its dial has them; by data set.

    ``same``: of each method, the one whose adapter it has. Empty without any dial.
    """
    adapters = data.folder / "adapters"
    dials = {method: dial for method, first in same.items() if (dial := find_dial(adapters / first))}
    if not dials:
        return {}
    phrases = data.config.prompt.all_refusal_phrases
    found = {}
    for title, systems in predictions.items():
        questions = {question.id: question for question in data.test_sets[title]}
        found[title] = {INIT_BASIC: systems[INIT_BASIC]} | {
            with_dial(method): [_with(dial, row, questions[row.id], phrases) for row in systems[method]]
            for method, dial in dials.items()
        }
    return found


def _with(dial: SavedDial, row: Prediction, question: Question, phrases: tuple[str, ...]) -> Prediction:
    if refuses(refusal_score(row, dial.score), dial.threshold):
        return replace(row, output=dial.refusal, outcome="refused", is_unparsable=False, is_hedged=False)
    answer, outcome = row.suppressed_output, row.suppressed_outcome
    return replace(
        row,
        output=answer,
        outcome=outcome,
        is_unparsable=outcome == "wrong" and is_unparsable(answer, question, phrases),
        is_hedged=outcome != "refused" and is_hedged(answer, question, phrases),
    )


def choose_dial(
    data: RunData,
    calibration: CalibrationSet,
    method: str,
    rows: Sequence[Prediction],
    target: Target,
    score: ScoreName,
) -> tuple[SavedDial, list[MetricRecord]]:
    """The dial of a method, and its metrics on the calibration questions, without it and with it.

    ``rows``: the method's answers to them.
    """
    questions, prompts = calibration.asked.questions, data.prompts
    choice = choose(rows, calibration.initial, score, target)
    title = calibration.asked.title
    metrics = measure_dial(data.config, method, title, calibration.initial, rows, score, choice.threshold)
    without, achieved = (_point(record) for record in metrics)
    is_chat = prompts.prompt(questions[0], "refuse").is_chat
    dial = SavedDial(
        score=score,
        **asdict(choice),
        target=target.metric,
        at_most=target.at_most,
        confidence=None if target.at_most is None else target.confidence,
        guarantee=guarantee(target),
        data=calibration.source,
        n=len(rows),
        n_known=sum(outcome == "correct" for outcome in calibration.initial.values()),
        without_dial=without,
        achieved=achieved,
        refusal=data.config.prompt.refusal,
        refusal_token_ids=refusal_token_ids(prompts, questions),
        end_token_ids=tuple(sorted(prompts.end_token_ids(is_chat))),
    )
    return dial, metrics


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


def outcomes_of(rows: Sequence[Prediction]) -> dict[str, Outcome]:
    """By question id."""
    return {row.id: row.outcome for row in rows}


def measure_dial(
    config: Config,
    method: str,
    title: str,
    initial: Mapping[str, Outcome],
    rows: Sequence[Prediction],
    score: ScoreName,
    threshold: float,
) -> list[MetricRecord]:
    """Metrics of a method's answers ``rows`` to the set ``title``, as they are and at a threshold of the dial."""
    outcomes = {method: outcomes_of(rows), with_dial(method): dialled_outcomes(rows, score, threshold)}
    n, seed = config.evaluation.n_bootstrap, config.seed
    return [summarize(name, title, initial, own, resamples=n, seed=seed) for name, own in outcomes.items()]


def _point(record: MetricRecord) -> OperatingPoint:
    return OperatingPoint(**{name: getattr(record, name) for name in OperatingPoint.model_fields})
