"""Part of stage 4, where several forms are given: every system's answers in each form."""

from collections.abc import Mapping

from grait.config import Config
from grait.evaluation.forms import by_form
from grait.methods.catalog import INIT_REFUSE, METHODS
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, plan_answers
from grait.pipeline.models import Models
from grait.pipeline.results import Answered
from grait.pipeline.stages import Stages
from grait.pipeline.work import SetSize, StagePlan
from grait.records import FormRecord, Prediction
from grait.runtime.artifacts import Stage


def form_records(
    data: RunData,
    models: Models,
    stages: Stages,
    adapters: Mapping[str, Stage],
    same: Mapping[str, str],
    predictions: Answered,
) -> list[FormRecord]:
    """Results by form of the initial model and of all trained ones; none where there is one form.

    The first ``evaluation.form_questions`` of each set are asked. ``predictions``: of the main form, not asked again.
    ``same``: of each method, the one whose adapter it has.
    """
    main, *others = data.prompts.forms
    if not others:
        return []
    n = data.config.evaluation.form_questions
    answers: dict[str, dict[str, dict[str, list[Prediction]]]] = {main.name: {}}
    sets = {title: questions[:n] for title, questions in data.test_sets.items()}
    for title, questions in sets.items():
        first = {question.id for question in questions}
        answers[main.name][title] = {
            system: [row for row in predictions[title][system] if row.id in first] for system in (INIT_REFUSE, *same)
        }
    for form in others:
        systems = [
            System(name, adapters.get(name), "refuse", METHODS[name].judge, form) for name in (INIT_REFUSE, *adapters)
        ]
        answers[form.name] = {}
        for title, questions in sets.items():
            asked = QuestionSet(title, questions)
            found = {row.name: answer_questions(data, models, stages, row, asked, "forms") for row in systems}
            untrained = {INIT_REFUSE: found[INIT_REFUSE]}
            answers[form.name][title] = untrained | {method: found[adapter] for method, adapter in same.items()}
    config = data.config
    return by_form(answers, INIT_REFUSE, config.evaluation.n_bootstrap, config.seed)


def plan_forms(config: Config, tests: SetSize) -> list[StagePlan]:
    """The cost of ``form_records`` on one test set."""
    _, *others = forms_of(config.prompt)
    asked = tests.first(config.evaluation.form_questions)
    does = "the first questions in another form, greedy answers"
    systems = [INIT_REFUSE, *config.training.methods]
    return [plan_answers(config, asked, systems, f"form {form.name},", does) for form in others]
