"""After evaluation: the refusal dials of each trained method, set on questions that the run has not seen.

There is one for each form of the run. In the main one all questions are asked, in the others the first of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from grait.config import Config, DataConfig
from grait.data.wording import shared, wording
from grait.dial.answers import refusal_token_ids, without_texts
from grait.dial.choice import Target, choose, highest_ths
from grait.dial.stored import FILE_NAME, OperatingPoint, SavedDial, Terse, find_dials, save_dials, with_dial
from grait.dial.threshold import Array, ScoreName, Setting, dialled_outcomes, passes, refusal_score, refuses
from grait.errors import DataError, DialError
from grait.evaluation.metrics import summarize
from grait.judging.outcomes import is_hedged, is_unparsable
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS
from grait.model.forms import Form, forms_of, has_sentences
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, plan_answers
from grait.pipeline.gates import OrdinaryPrompt, gate, ordinary_prompts, plan_gate
from grait.pipeline.models import Models
from grait.pipeline.predict import Refusing
from grait.pipeline.results import Answered, Same
from grait.pipeline.stages import Stages
from grait.pipeline.work import SetSize, StagePlan
from grait.records import MetricRecord, Outcome, Prediction, Question, ScoredPrediction
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint

HIGHEST_THS = Target("ths")


def default_score(data: RunData, form: Form, method: str) -> ScoreName:
    """The score of a method's dial in a form where none is named: ``first-token`` where the method teaches its refusals
    so, else one for all.

    ``twice`` where questions are asked again after solved examples; in other forms of a run that names its forms
    ``combined``: the length of sentences should not count, and to their first token alone relations count that were
    trained (research/LOG.md). In a run of one form ``answer``: better out-of-domain than ``text`` and ``first-token``,
    and no worse in-domain (research/best_threshold).
    """
    if METHODS[method].by_first_token:
        return "first-token"
    if data.terse_form(form):
        return "twice"
    return "combined" if data.config.prompt.forms else "answer"


@dataclass(frozen=True)
class CalibrationSet:
    """Questions to set dials of one form on, with the initial model's outcomes by their ids. ``source``: where they
    come from. ``initial``: asked as Init-Basic for the main form, else in the form."""

    source: DataConfig
    form: Form
    asked: QuestionSet
    initial: Mapping[str, Outcome]

    def answers(self, data: RunData, models: Models, stages: Stages, system: System) -> list[Prediction]:
        """What a tuned model makes of the questions that have a verdict for the initial one."""
        own = system if self.form == data.prompts.forms[0] else replace(system, form=self.form)
        rows = answer_questions(data, models, stages, own, self.asked, "calibration")
        return [row for row in rows if row.id in self.initial]

    @property
    def fingerprint(self) -> str:
        """Of the questions, by whatever name or path their set is called."""
        return fingerprint(
            [
                [own.question, own.answers, own.choices, own.answerable, *([own.context] if own.context else [])]
                for own in self.asked.questions
            ]
        )

    def refusal(self, data: RunData) -> str:
        """What the dial says: that of questions that stand alone, if there are such."""
        return data.prompts.refusal(without_texts(self.asked.questions)[0])

    @property
    def why_not(self) -> str | None:
        """Why no dial can be set for the highest THS, if none can."""
        answered = {question.id for question in self.asked.questions if question.answers}
        return _why_none([outcome for id_, outcome in self.initial.items() if id_ in answered])


def _why_none(outcomes: Sequence[Outcome]) -> str | None:
    """Of calibration questions that have an answer, by the initial model."""
    if {"correct", "wrong"} <= set(outcomes):
        return None
    return (
        f"the initial model answers {outcomes.count('correct')} of {len(outcomes)} questions right and "
        f"{outcomes.count('wrong')} wrong, and a dial takes right and wrong answers"
    )


def check_calibration(data: RunData) -> None:
    """For the beginning of a run: whether its calibration questions will do. Raises a GraitError."""
    if source := data.calibration:
        asked = unseen_questions(data, source)
        for form in data.prompts.forms:
            refusal_token_ids(data.prompts, asked.questions, form)


def unseen_questions(data: RunData, source: DataConfig) -> QuestionSet:
    """Calibration questions. DataError when some are training or test questions of the run, whatever their ids."""
    asked = QuestionSet(source.title, data.calibration_questions(source))
    training = [*data.training_set, *data.unanswerable.values()]
    sets = {"training": training, **{f"test ({name})": own for name, own in data.tests.items()}}
    for role, own in sets.items():
        both = shared(asked.questions, map(wording, own))
        if both:
            raise DataError(
                f"{asked.title}: {len(both)} of {len(asked.questions)} calibration questions are {role} questions of "
                f"this run, such as {both[0].question!r}; nothing could be promised for new questions: name others, "
                "with grait calibrate --data or in evaluation.calibration of the run"
            )
    if asked.title in data.tests:
        raise DataError(
            f"{asked.title}: a test set of this run has this name; give the calibration questions another one"
        )
    return asked


def start_calibration(
    data: RunData,
    models: Models,
    stages: Stages,
    source: DataConfig,
    asked: QuestionSet,
    form: Form | None = None,
    limit: int | None = None,
) -> CalibrationSet:
    """The questions, asked of the initial model. ``form``: None for the main one; ``limit``: of another one."""
    form = form or data.prompts.forms[0]
    system = System.of_method(INIT_BASIC, None)
    if form != data.prompts.forms[0]:
        asked = QuestionSet(asked.title, asked.questions[:limit])
        system = System(INIT_REFUSE, None, "refuse", form)
    initial = answer_questions(data, models, stages, system, asked, "calibration")
    return CalibrationSet(source, form, asked, outcomes_of(initial))


def set_dials(data: RunData, models: Models, stages: Stages, adapters: Mapping[str, Stage]) -> None:
    """Set the dials of each adapter (by method) for the highest THS on the run's calibration questions, if any. A dial
    that was set otherwise (``grait calibrate``) is kept, until its adapter is trained again."""
    source = data.calibration
    if source is None:
        return
    asked = QuestionSet(source.title, data.calibration_questions(source))
    for form in data.prompts.forms:
        calibration = start_calibration(
            data, models, stages, source, asked, form, data.config.evaluation.form_questions
        )
        if why_not := calibration.why_not:
            progress.note(f"{source.title}, form {form.name}: no dial is set: {why_not}")
            continue
        for method, adapter in adapters.items():
            _set_dial(data, models, stages, calibration, System.of_method(method, adapter))


def _set_dial(data: RunData, models: Models, stages: Stages, calibration: CalibrationSet, system: System) -> None:
    assert system.adapter is not None
    folder = system.adapter.folder
    form, main = calibration.form.name, data.prompts.forms[0].name
    stored = processes.from_main(find_dials(folder, main) if processes.is_main() else None)
    score = default_score(data, calibration.form, system.name)
    found = stored.forms.get(form) if stored else None
    is_same_set = found and (found.data == calibration.source or found.questions == calibration.fingerprint)
    if found and not (is_same_set and (found.target, found.score) == (HIGHEST_THS.metric, score)):
        kept = f"{system.name}, form {form}: its dial was set otherwise and is kept"
        progress.note(f"{kept}; to have it set again, delete {folder / FILE_NAME}")
        return
    dial, _ = calibrated(data, models, stages, calibration, system, HIGHEST_THS, score)
    if dial.gate_line:
        progress.note(f"{system.name}, form {form}: {dial.gate_line}")
    if processes.is_main():
        save_dials(folder, main, (dict(stored.forms) if stored else {}) | {form: dial})
    processes.wait()


def calibrated(
    data: RunData,
    models: Models,
    stages: Stages,
    calibration: CalibrationSet,
    system: System,
    target: Target,
    score: ScoreName,
) -> tuple[SavedDial, list[MetricRecord]]:
    """``choose_dial`` after asking a tuned model what it takes."""
    rows = calibration.answers(data, models, stages, system)
    ordinary: list[OrdinaryPrompt] = []
    if has_sentences(data.config.prompt, calibration.form):
        ordinary = ordinary_prompts(data, models, stages, system, calibration.form, calibration.refusal(data))
    return choose_dial(data, calibration, system.name, rows, ordinary, target, score)


def plan_dials(config: Config, calibration: SetSize) -> list[StagePlan]:
    """The cost of ``set_dials``."""
    methods = config.training.methods
    does = f"sets the refusal dial of {', '.join(methods)}; greedy answers"
    main, *others = forms_of(config.prompt)
    plans = [plan_answers(config, calibration, [INIT_BASIC, *methods], "calibration", does)]
    first = calibration.first(config.evaluation.form_questions)
    for form in others:
        name = f"calibration, form {form.name},"
        plans.append(plan_answers(config, first, [INIT_REFUSE, *methods], name, does, form))
    return plans + [plan_gate(config, form, methods) for form in (main, *others) if has_sentences(config.prompt, form)]


def with_dials(data: RunData, predictions: Answered, same: Same) -> dict[str, dict[str, list[Prediction]]]:
    """The initial model's predictions, and those of each method that has a dial, as its dial has them; by data set.
    Empty without any dial."""
    dials = stored_dials(data, same, forms_of(data.config.prompt)[0])
    if not dials:
        return {}
    return {
        title: {INIT_BASIC: systems[INIT_BASIC]} | dialled_predictions(data, dials, title, systems)
        for title, systems in predictions.items()
    }


def stored_dials(data: RunData, same: Same, form: Form) -> dict[str, SavedDial]:
    """Those of a form, by method."""
    main = forms_of(data.config.prompt)[0].name
    stored = {method: find_dials(data.folder / "adapters" / first, main) for method, first in same.items()}
    return {method: dials.forms[form.name] for method, dials in stored.items() if dials and form.name in dials.forms}


def dialled_predictions(
    data: RunData, dials: Mapping[str, SavedDial], title: str, systems: Mapping[str, list[Prediction]]
) -> dict[str, list[Prediction]]:
    """A set's predictions of each method that has a dial, as its dial has them."""
    refusing, context = data.config.prompt.refusing, data.config.context
    questions = {question.id: question for question in data.test_sets[title]}
    return {
        with_dial(method): [
            dialled(dial, row, own, refusing, context.refusal_of(own, dial.refusal))
            for row in systems[method]
            for own in (questions[row.id],)
        ]
        for method, dial in dials.items()
    }


def dialled(
    dial: SavedDial, row: Prediction, question: Question, refusing: Refusing, refusal: str | None = None
) -> Prediction:
    """An answer as the dial has it. ``refusal``: the words of a refusal; None for the dial's own."""
    if not passes(row, dial.score, dial.setting.gate):
        return row
    is_refused = refuses(refusal_score(row, dial.score), dial.threshold)
    return decided(row, is_refused, refusal or dial.refusal, question, refusing)


def decided(row: Prediction, is_refused: bool, refusal: str, question: Question, refusing: Refusing) -> Prediction:
    """The refusal, or the answer that may not begin as it does."""
    if is_refused:
        return replace(row, output=refusal, outcome="refused", is_unparsable=False, is_hedged=False)
    answer, outcome = row.suppressed_output, row.suppressed_outcome
    return replace(
        row,
        output=answer,
        outcome=outcome,
        is_unparsable=outcome == "wrong" and is_unparsable(answer, question, *refusing),
        is_hedged=outcome != "refused" and is_hedged(answer, question, *refusing),
    )


def why_no_dial(data: RunData, initial: Mapping[str, Outcome]) -> str | None:
    """Why no threshold can be set on the run's calibration questions for the highest THS, if none can."""
    source = data.calibration
    if source is None:
        return "there are no calibration questions"
    asked = data.calibration_questions(source)
    return _why_none([initial[own.id] for own in asked if own.answers and own.id in initial])


@dataclass(frozen=True)
class ScoreDial:
    """A threshold on scores that stand beside answers, set for the highest THS on calibration questions."""

    threshold: float

    @classmethod
    def of(cls, rows: Sequence[Prediction], scores: Array, initial: Mapping[str, Outcome]) -> "ScoreDial":
        """``rows``, ``scores``: of calibration questions, in one order; ``initial``: the initial model's outcomes."""
        return cls(highest_ths(scores, [row.suppressed_outcome for row in rows], [initial[row.id] for row in rows]))

    def applied(self, data: RunData, title: str, rows: Sequence[Prediction], scores: Array) -> list[Prediction]:
        """A test set's answers as the threshold has them, ranked by their scores."""
        questions = {question.id: question for question in data.test_sets[title]}
        config = data.config.prompt
        found = list[Prediction]()
        for row, score in zip(rows, scores.tolist(), strict=True):
            is_refused = refuses(score, self.threshold)
            own = decided(row, is_refused, config.first_refusal, questions[row.id], config.refusing)
            found.append(ranked(own, score))
        return found


def ranked(row: Prediction, score: float) -> ScoredPrediction:
    """The prediction with the score of its dial."""
    return ScoredPrediction(**asdict(row), score=score)


def choose_dial(
    data: RunData,
    calibration: CalibrationSet,
    method: str,
    rows: Sequence[Prediction],
    ordinary: Sequence[OrdinaryPrompt],
    target: Target,
    score: ScoreName,
) -> tuple[SavedDial, list[MetricRecord]]:
    """The dial of a method, and its metrics on the calibration questions, without it and with it. ``rows``: the
    method's answers to them; ``ordinary``: prompts that set a gate, none for no gate."""
    prompts, form = data.prompts, calibration.form
    initial = {row.id: calibration.initial[row.id] for row in rows}
    terse = _terse(data, form, calibration.asked.questions) if score == "twice" else None
    closed = gate(ordinary, rows, score)
    at = closed.at if closed else None
    choice = choose(rows, initial, score, target, at)
    setting = Setting(score, choice.threshold, at)
    nobody = {question.id for question in calibration.asked.questions if not question.answers}
    own = [row for row in rows if row.id not in nobody]
    known = {id_: outcome for id_, outcome in initial.items() if id_ not in nobody}
    metrics = measure_dial(data.config, method, calibration.asked.title, known, own, setting)
    without, achieved = (
        OperatingPoint(**{name: getattr(record, name) for name in OperatingPoint.model_fields}) for record in metrics
    )
    dial = SavedDial(
        score=score,
        **asdict(choice),
        target=target.metric,
        at_most=target.at_most,
        confidence=None if target.at_most is None else target.confidence,
        guarantee=guarantee(target, len(nobody)),
        data=calibration.source,
        questions=calibration.fingerprint,
        n=len(rows),
        n_known=sum(outcome == "correct" for outcome in initial.values()),
        n_unanswerable=len(nobody),
        unanswerable_refused=refused_shares([row for row in rows if row.id in nobody], setting),
        without_dial=without,
        achieved=achieved,
        refusal=calibration.refusal(data),
        refusal_token_ids=refusal_token_ids(prompts, calibration.asked.questions, form),
        end_token_ids=tuple(sorted(prompts.end_token_ids(prompts.is_chat(calibration.asked.questions[0], form)))),
        gate=closed,
        terse=terse,
    )
    return dial, metrics


def _terse(data: RunData, form: Form, questions: Sequence[Question]) -> Terse:
    """How a question is asked again. DialError where it is not."""
    again, texts, prompts = data.terse_form(form), data.terse_texts, data.prompts
    if again is None or texts is None:
        raise DialError(
            f"the score 'twice' asks again after solved examples: train the form examples beside {form.name}, on "
            "questions without options that the chat template leaves as they are, or take another score"
        )
    is_chat = prompts.is_chat(questions[0], again)
    return Terse(
        before=texts[0],
        after=texts[1],
        is_chat=is_chat,
        refusal_token_ids=refusal_token_ids(prompts, questions, again),
        end_token_ids=tuple(sorted(prompts.end_token_ids(is_chat))),
    )


def refused_shares(rows: Sequence[Prediction], setting: Setting) -> tuple[float, float] | None:
    """Without the dial and with it; None without rows."""
    if not rows:
        return None
    outcomes = outcomes_of(rows), dialled_outcomes(rows, *setting)
    without, achieved = (list(own.values()).count("refused") / len(rows) for own in outcomes)
    return without, achieved


def guarantee(target: Target, n_unanswerable: int = 0) -> str | None:
    """The promise in words; None where there is none. ``n_unanswerable``: of the calibration questions."""
    if target.at_most is None:
        return None
    what, of_these = (
        (
            "of the questions that the initial model answers right, at most {} are refused",
            " Nothing is promised of questions that nobody can answer.",
        )
        if target.metric == "over_refusal"
        else (
            "at most {} of the questions are answered wrong",
            " To answer a question that nobody can answer is counted as wrong.",
        )
    )
    return (
        f"With confidence {target.confidence:g}: {what.format(f'{target.at_most:.1%}')}, among new questions from the "
        "same distribution as the calibration questions."
    ) + (of_these if n_unanswerable else "")


def outcomes_of(rows: Sequence[Prediction]) -> dict[str, Outcome]:
    """By question id."""
    return {row.id: row.outcome for row in rows}


def measure_dial(
    config: Config,
    method: str,
    title: str,
    initial: Mapping[str, Outcome],
    rows: Sequence[Prediction],
    setting: Setting,
) -> list[MetricRecord]:
    """Metrics of a method's answers ``rows`` to the set ``title``, as they are and with the dial."""
    outcomes = {method: outcomes_of(rows), with_dial(method): dialled_outcomes(rows, *setting)}
    n, seed = config.evaluation.n_bootstrap, config.seed
    return [summarize(name, title, initial, own, resamples=n, seed=seed) for name, own in outcomes.items()]
