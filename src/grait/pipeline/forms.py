"""Part of stage 4, where there are several forms: every system's answers in each, trained or only asked."""

from collections.abc import Mapping
from dataclasses import replace

from grait.config import Config
from grait.evaluation.forms import FormAnswers, by_form
from grait.methods.catalog import INIT_REFUSE, METHODS, main_method
from grait.model.forms import forms_of, untaught_forms
from grait.pipeline.data import RunData
from grait.pipeline.dialled_forms import dialled_forms
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, plan_answers
from grait.pipeline.models import Models
from grait.pipeline.results import Answered, FormResults, Same
from grait.pipeline.stages import Stages
from grait.pipeline.work import SetSize, StagePlan
from grait.records import Prediction
from grait.runtime.artifacts import Stage


def trained_forms(
    data: RunData, models: Models, stages: Stages, adapters: Mapping[str, Stage], same: Same, predictions: Answered
) -> FormResults:
    """Those of the initial model and of all trained ones. ``predictions``: of the main form, not asked again."""
    found = answers_by_form(data, models, stages, {INIT_REFUSE: None, **adapters}, predictions)
    named = {
        form: {
            title: {INIT_REFUSE: own[INIT_REFUSE]} | {method: own[first] for method, first in same.items()}
            for title, own in datasets.items()
        }
        for form, datasets in found.items()
    }
    results = form_results(data, named, main_method(same))
    return replace(results, dialled=dialled_forms(data, predictions, same))


def answers_by_form(
    data: RunData, models: Models, stages: Stages, systems: Mapping[str, Stage | None], predictions: Answered
) -> dict[str, dict[str, dict[str, list[Prediction]]]]:
    """Form -> data set -> system -> answers to its first ``evaluation.form_questions``; nothing with one form.
    ``systems``: by their adapters, which need not be of ours. ``predictions``: of the main form, where it was asked."""
    main, *others = *data.prompts.forms, *data.untaught
    if not others:
        return {}
    n = data.config.evaluation.form_questions
    sets = {title: questions[:n] for title, questions in data.test_sets.items()}
    found: dict[str, dict[str, dict[str, list[Prediction]]]] = {}
    for form in (main, *others):
        of_form = found.setdefault(form.name, {title: {} for title in sets})
        for title, questions in sets.items():
            ids = {question.id for question in questions}
            for name, adapter in systems.items():
                if form == main and (rows := predictions.get(title, {}).get(name)) is not None:
                    of_form[title][name] = [row for row in rows if row.id in ids]
                else:
                    states_sureness = name in METHODS and METHODS[name].states_sureness
                    system = System(name, adapter, "refuse", form, states_sureness)
                    asked = QuestionSet(title, questions)
                    of_form[title][name] = answer_questions(data, models, stages, system, asked, "forms")
    return found


def form_results(data: RunData, answers: FormAnswers, main: str) -> FormResults:
    """What all systems' answers in all forms amount to; ``main``: the system that is held against the others."""
    config = data.config
    trained = {form.name for form in data.prompts.forms}
    records, differences = by_form(answers, INIT_REFUSE, trained, main, config.evaluation.n_bootstrap, config.seed)
    return FormResults(records, differences)


def plan_forms(config: Config, tests: SetSize) -> list[StagePlan]:
    """The cost of ``trained_forms`` on one test set."""
    _, *others = *forms_of(config.prompt), *untaught_forms(config)
    asked = tests.first(config.evaluation.form_questions)
    does = "the first questions in another form, greedy answers"
    systems = [INIT_REFUSE, *config.training.methods]
    return [plan_answers(config, asked, systems, f"form {form.name},", does, form) for form in others]
