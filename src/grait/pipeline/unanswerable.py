"""Part of stage 4: questions without a reference, which every system should refuse, or should not.

They are asked as all others, and measured apart: refused or not. They count neither as right, wrong nor over-refused.
"""

from collections.abc import Sequence

from grait.dial.stored import with_dial
from grait.judging.premise import denies_premise
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.dials import dialled, stored_dials
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, on_common
from grait.pipeline.models import Models
from grait.pipeline.results import Same
from grait.pipeline.stages import Stages
from grait.records import Prediction, Question, RefusedRecord


def refused_records(
    data: RunData, models: Models, stages: Stages, systems: Sequence[System], same: Same
) -> list[RefusedRecord]:
    """What each system refuses of the test questions without a reference, set by set, and each method with its dial."""
    records: list[RefusedRecord] = []
    if not data.apart:
        return records
    refusing = data.config.prompt.refusing
    dials = stored_dials(data, same, forms_of(data.config.prompt)[0])
    for title, questions in data.apart.items():
        by_id = {question.id: question for question in questions}
        asked = QuestionSet(title, questions)
        answered = {own.name: answer_questions(data, models, stages, own, asked, "unanswerable") for own in systems}
        answered = on_common(title, answered)
        for system in systems:
            rows = answered[system.name]
            names = [name for name, first in same.items() if first == system.name] or [system.name]
            by_name = dict.fromkeys(names, rows)
            for name in names:
                if dial := dials.get(name):
                    by_name[with_dial(name)] = [dialled(dial, row, by_id[row.id], refusing) for row in rows]
            for name, answers in by_name.items():
                records += summarize_refused(name, title, questions, answers)
    return records


def summarize_refused(
    method: str, title: str, questions: Sequence[Question], rows: Sequence[Prediction]
) -> list[RefusedRecord]:
    """One record for the questions that nobody can answer, and one for those that can be, where there are such."""
    by_id = {question.id: question for question in questions}
    records = []
    for answerable in (False, True):
        own = [row for row in rows if by_id[row.id].answerable == answerable]
        if own:
            refused = sum(row.outcome == "refused" for row in own)
            corrected = sum(
                row.outcome != "refused" and denies_premise(row.output, by_id[row.id].question) for row in own
            )
            records.append(RefusedRecord(method, title, answerable, len(own), refused / len(own), corrected / len(own)))
    return records
