"""After evaluation: the refusal dial of each trained method, set on questions that the run has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grait.config import DataConfig
from grait.data.load import load_questions
from grait.dial.answers import refusal_token_ids
from grait.dial.choice import Target, choose
from grait.dial.stored import FILE_NAME, OperatingPoint, SavedDial, find_dial, save_dial, with_dial
from grait.dial.threshold import ScoreName, dialled_outcomes, refusal_score, refuses
from grait.errors import DataError
from grait.evaluation.metrics import summarize
from grait.judging.outcomes import is_hedged, is_unparsable
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.pipeline.evaluation import answered
from grait.pipeline.workbench import Workbench
from grait.records import MetricRecord, Outcome, Prediction, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage

DEFAULT_SCORE: ScoreName = "answer"
"""Of the three the best out-of-domain, and no worse in-domain (research/best_threshold)."""

HIGHEST_THS = Target("ths")


def check_calibration(bench: Workbench) -> None:
    """For the beginning of a run: whether its calibration questions will do. Raises a GraitError."""
    if data := bench.config.evaluation.calibration:
        questions = load_questions(data)
        check_unseen(bench, questions, data.title)
        refusal_token_ids(bench.prompts, questions)


def set_dials(bench: Workbench, adapters: Mapping[str, Stage]) -> None:
    """Set the dial of each adapter (by method) for the highest THS on the config's calibration questions, if any.

    A dial that was set otherwise (``grait calibrate``) is kept, until its adapter is trained again.
    """
    data = bench.config.evaluation.calibration
    if data is None:
        return
    questions = load_questions(data)
    initial = outcomes_of(asked(bench, INIT_BASIC, None, questions, data.title))
    if not {"correct", "wrong"} <= set(initial.values()):
        progress.note(
            f"{data.title}: no dial is set: the initial model answers {list(initial.values()).count('correct')} of "
            f"{len(initial)} questions right, and a dial takes right and wrong answers"
        )
        return
    for method, adapter in adapters.items():
        found = processes.from_main(find_dial(adapter.folder) if processes.is_main() else None)
        if found and (found.target, found.data, found.score) != (HIGHEST_THS.metric, data, DEFAULT_SCORE):
            file = adapter.folder / FILE_NAME
            progress.note(f"{method}: its dial was set otherwise and is kept; to have it set again, delete {file}")
            continue
        dial, _ = chosen(bench, method, adapter, data, questions, initial, HIGHEST_THS, DEFAULT_SCORE)
        if processes.is_main():
            save_dial(adapter.folder, dial)
        processes.wait()


def dialled(
    bench: Workbench, predictions: Mapping[str, Mapping[str, list[Prediction]]], same: Mapping[str, str]
) -> dict[str, dict[str, list[Prediction]]]:
    """The initial model's predictions, and those of each method that has a dial, as its dial has them; by data set.

    ``same``: of each method, the one whose adapter it has. Empty without any dial.
    """
    adapters = bench.folder / "adapters"
    dials = {method: dial for method, first in same.items() if (dial := find_dial(adapters / first))}
    if not dials:
        return {}
    phrases = bench.config.prompt.all_refusal_phrases
    found = {}
    for title, systems in predictions.items():
        questions = {question.id: question for question in bench.test_sets[title]}
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


def chosen(
    bench: Workbench,
    method: str,
    adapter: Stage,
    data: DataConfig,
    questions: Sequence[Question],
    initial: Mapping[str, Outcome],
    target: Target,
    score: ScoreName,
) -> tuple[SavedDial, list[MetricRecord]]:
    """The dial of a method, and its metrics on the calibration questions, without it and with it."""
    rows = asked(bench, method, adapter, questions, data.title)
    choice = choose(rows, initial, score, target)
    metrics = before_and_after(bench, method, data.title, initial, rows, score, choice.threshold)
    without, achieved = (_point(record) for record in metrics)
    is_chat = bench.prompts.prompt(questions[0], "refuse").is_chat
    dial = SavedDial(
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
        without_dial=without,
        achieved=achieved,
        refusal=bench.config.prompt.refusal,
        refusal_token_ids=refusal_token_ids(bench.prompts, questions),
        end_token_ids=tuple(sorted(bench.prompts.end_token_ids(is_chat))),
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


def check_unseen(bench: Workbench, questions: Sequence[Question], title: str) -> None:
    """DataError when calibration questions are training or test questions of the run, whatever their ids."""
    sets = {"training": bench.training_set, **{f"test ({name})": own for name, own in bench.test_sets.items()}}
    for role, own in sets.items():
        seen = {_wording(question) for question in own}
        both = [question for question in questions if _wording(question) in seen]
        if both:
            raise DataError(
                f"{title}: {len(both)} of {len(questions)} calibration questions are {role} questions of this run, "
                f"such as {both[0].question!r}; nothing could be promised for new questions: name others, with "
                "grait calibrate --data or in evaluation.calibration of the run"
            )
    if title in bench.test_sets:
        raise DataError(f"{title}: a test set of this run has this name; give the calibration questions another one")


def _wording(question: Question) -> tuple[str, ...]:
    return tuple(" ".join(text.casefold().split()) for text in (question.question, *sorted(question.choices)))


def asked(
    bench: Workbench, system: str, adapter: Stage | None, questions: Sequence[Question], title: str
) -> list[Prediction]:
    """What a method, or the initial model, makes of the calibration questions."""
    method = METHODS[system]
    folder = bench.folder / "calibration" / title / system
    heading = f"Calibration: {system} on {title}"
    return answered(bench, folder, heading, system, adapter, title, questions, method.asked, method.judge)


def outcomes_of(rows: Sequence[Prediction]) -> dict[str, Outcome]:
    return {row.id: row.outcome for row in rows}


def before_and_after(
    bench: Workbench,
    method: str,
    title: str,
    initial: Mapping[str, Outcome],
    rows: Sequence[Prediction],
    score: ScoreName,
    threshold: float,
) -> list[MetricRecord]:
    n, seed = bench.config.evaluation.n_bootstrap, bench.config.seed
    outcomes = {method: outcomes_of(rows), with_dial(method): dialled_outcomes(rows, score, threshold)}
    return [summarize(name, title, initial, own, n, seed) for name, own in outcomes.items()]


def _point(record: MetricRecord) -> OperatingPoint:
    return OperatingPoint(**{name: getattr(record, name) for name in OperatingPoint.model_fields})
