"""Part of the results by form: the methods with the refusal dials of each form. No model is asked."""

from grait.dial.stored import with_dial
from grait.evaluation.forms import ALL, by_form
from grait.methods.catalog import INIT_REFUSE
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.dials import dialled_predictions, stored_dials
from grait.pipeline.results import Answered, Same
from grait.records import FormRecord, Prediction
from grait.runtime.artifacts import read_rows


def dialled_forms(data: RunData, predictions: Answered, same: Same) -> list[FormRecord]:
    """Results by form of each method that has a dial in it, with it (``grait + dial``); none where there is one form.

    The mean over forms is that of a method with dials in all of them. ``predictions``: of the main form; those of the
    others are read where the run keeps them.
    """
    forms = forms_of(data.config.prompt)
    if len(forms) == 1:
        return []
    config = data.config.evaluation
    dials = {form.name: stored_dials(data, same, form) for form in forms}
    records: list[FormRecord] = []
    for method in same:
        answers: dict[str, dict[str, dict[str, list[Prediction]]]] = {}
        for form, of_form in dials.items():
            if dial := of_form.get(method):
                answers[form] = {}
                for title in data.test_sets:
                    systems = _asked(data, predictions, form, title, {method: same[method]})
                    with_it = dialled_predictions(data, {method: dial}, title, systems)
                    answers[form][title] = {INIT_REFUSE: systems[INIT_REFUSE]} | with_it
        found, _ = by_form(answers, INIT_REFUSE, dials, with_dial(method), config.n_bootstrap, data.config.seed)
        has_all = len(answers) == len(forms)
        records += [row for row in found if row.method != INIT_REFUSE and (row.form != ALL or has_all)]
    return records


def _asked(data: RunData, predictions: Answered, form: str, title: str, same: Same) -> dict[str, list[Prediction]]:
    """What the initial model and the methods of ``same`` answer to the questions that are asked in every form."""
    names = {INIT_REFUSE: INIT_REFUSE, **same}
    if form == forms_of(data.config.prompt)[0].name:
        ids = {question.id for question in data.test_sets[title][: data.config.evaluation.form_questions]}
        return {name: [row for row in predictions[title][name] if row.id in ids] for name in names}
    folder = data.folder / "forms" / form / title
    return {name: read_rows(folder / of / "predictions.parquet", Prediction) for name, of in names.items()}
