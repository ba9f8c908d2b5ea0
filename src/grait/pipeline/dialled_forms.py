"""Part of the results by form: the methods with the refusal dials of each form. No model is asked."""

from collections.abc import Mapping

from grait.evaluation.forms import ALL, by_form
from grait.methods.catalog import INIT_REFUSE
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.dials import dialled_predictions, stored_dials
from grait.pipeline.results import Answered
from grait.records import FormRecord, Prediction
from grait.runtime.artifacts import read_rows


def dialled_forms(data: RunData, predictions: Answered, same: Mapping[str, str]) -> list[FormRecord]:
    """Results by form of each method that has a dial in it, with it (``grait + dial``); none where there is one form.

    The mean over forms is that of a method with dials in all of them. ``predictions``: of the main form; those of the
    others are read where the run keeps them. ``same``: of each method, the one whose adapter it has.
    """
    main, *others = forms_of(data.config.prompt)
    if not others:
        return []
    answers: dict[str, dict[str, dict[str, list[Prediction]]]] = {}
    for form in (main, *others):
        if not (dials := stored_dials(data, same, form)):
            continue
        answers[form.name] = {}
        for title, questions in data.test_sets.items():
            first = {question.id for question in questions[: data.config.evaluation.form_questions]}
            folder = data.folder / "forms" / form.name / title
            own = {
                name: [row for row in predictions[title][name] if row.id in first]
                if form == main
                else read_rows(folder / same.get(name, name) / "predictions.parquet", Prediction)
                for name in (INIT_REFUSE, *dials)
            }
            answers[form.name][title] = {INIT_REFUSE: own[INIT_REFUSE]} | dialled_predictions(data, dials, title, own)
    records = [
        row
        for row in by_form(answers, INIT_REFUSE, data.config.evaluation.n_bootstrap, data.config.seed)
        if row.method != INIT_REFUSE
    ]
    n_forms = {row.method: sum(row.method in own[row.dataset] for own in answers.values()) for row in records}
    return [row for row in records if row.form != ALL or n_forms[row.method] == 1 + len(others)]
