"""Before anything is trained: whether data and model will do, what can be reached, and what can be seen of it."""

from collections.abc import Sequence

from grait.data.held_out import FEWEST_OF_ALL
from grait.errors import DataError
from grait.evaluation.enough import about_answers, about_labels, about_questions, about_test, check_both_sides
from grait.evaluation.metrics import check_ths_is_defined, outcome_shares
from grait.methods.catalog import INIT_BASIC
from grait.methods.selection import with_label
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions
from grait.pipeline.models import Models
from grait.pipeline.stages import Stages
from grait.records import KnowledgeState, Prediction, Question


def check_data(data: RunData, stages: Stages) -> None:
    """What the questions say by themselves, before a model is asked. DataError where no answer could be right."""
    if data.config.evaluation.calibration == "auto":
        n = len(data.held_out)
        stages.tell(
            f"calibration: {n} of {n + len(data.questions)} training questions are put aside and not trained on; the "
            "refusal dial is set on them (evaluation.calibration)"
            if n
            else f"no refusal dial is set: {len(data.questions)} training questions are too few to put some aside "
            f"for it (fewer than {FEWEST_OF_ALL}); name others in evaluation.calibration"
        )
    stages.warn(about_questions(list(data.questions.values())))
    for title, questions in {"training": list(data.questions.values()), **data.test_sets}.items():
        longest = data.config.evaluation.max_new_tokens
        too_long = sum(_is_too_long(data, question, longest) for question in questions)
        if too_long == len(questions):
            raise DataError(
                f"{title}: no reference answer of {too_long} questions has at most the {longest} tokens of "
                "evaluation.max_new_tokens, so no answer could be right: give short reference answers, or raise it"
            )
        stages.warn(about_answers(title, questions, too_long, longest))


def _is_too_long(data: RunData, question: Question, longest: int) -> bool:
    """Whether no reference answer of a free-text question can be given in so many tokens."""
    if question.choices or not question.answers:
        return False
    if any(len(answer) <= longest for answer in question.answers):  # a token has a character
        return False
    asked = data.prompts.query(question)
    return all(len(data.prompts.completion(asked, answer).token_ids) - 1 > longest for answer in question.answers)


def check_enough(
    data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState]
) -> dict[str, list[Prediction]]:
    """Say how much is known, and what THS can be reached and seen; the initial model's answers to the test sets. They
    are what the evaluation needs anyway. Raises a GraitError where there is nothing to learn or to measure."""
    check_both_sides(states, data.config.knowledge.correctness_threshold, data.config.judge.by)
    stages.warn(about_labels(len(with_label(states, "ik")), len(with_label(states, "idk"))))
    found = {}
    for title, questions in data.test_sets.items():
        system = System.of_method(INIT_BASIC, None)
        found[title] = answer_questions(data, models, stages, system, QuestionSet(title, questions))
        initial = outcome_shares(row.outcome for row in found[title])
        check_ths_is_defined(initial.pw)
        told, warnings = about_test(title, initial)
        stages.tell(told)
        stages.warn(warnings)
    return found
