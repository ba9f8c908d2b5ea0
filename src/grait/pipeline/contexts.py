"""Questions with a text: what they teach by policy, and, in stage 4, what every system makes of each quadrant."""

from collections import Counter
from collections.abc import Mapping, Sequence

from grait.data.contexts import closed_book
from grait.evaluation.quadrants import summarize_quadrants
from grait.methods.catalog import INIT_BASIC
from grait.methods.policy import QUADRANTS, labelled, lesson
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions
from grait.pipeline.judging import of_system
from grait.pipeline.models import Models
from grait.pipeline.results import Answered
from grait.pipeline.stages import Stages
from grait.records import KnowledgeState, QuadrantRecord


def by_policy(data: RunData, stages: Stages, states: Sequence[KnowledgeState]) -> list[KnowledgeState]:
    """The states with the labels that the policy gives to questions with a text; says how many are in each quadrant."""
    policy, questions = data.config.context.policy, data.questions
    with_text = [state for state in states if questions[state.id].context]
    if not with_text:
        return list(states)
    n = Counter((state.label == "ik", bool(questions[state.id].holds_answer)) for state in with_text)
    parts = [f"{n[part]} {words} ({lesson(*part, policy)})" for part, words in QUADRANTS.items()]
    stages.tell(
        f"{len(with_text)} of {len(states)} training questions have a text, and with context.policy = {policy} they "
        f"teach: {', '.join(parts)}"
    )
    return labelled(states, questions, policy)


def known_without_text(data: RunData, models: Models, stages: Stages) -> dict[str, dict[str, bool]]:
    """Whether the initial model answers each test question that has a text right without it, by set and id. Those
    without a reference are not asked, and count as not known."""
    found = {}
    for title, questions in data.test_sets.items():
        asked = [row for row in (closed_book(row) for row in questions if row.context) if row.answers]
        if asked:
            system = System.of_method(INIT_BASIC, None)
            rows = answer_questions(data, models, stages, system, QuestionSet(title, asked), "closed-book")
            found[title] = {row.id: row.outcome == "correct" for row in rows}
        elif any(question.context for question in questions):
            found[title] = {}
    return found


def quadrants(
    data: RunData, predictions: Answered, dialled: Answered, knows: Mapping[str, Mapping[str, bool]]
) -> list[QuadrantRecord]:
    """Every system's metrics by quadrant, and those of the methods with a dial with it."""
    config = data.config
    records: list[QuadrantRecord] = []
    for title, known in knows.items():
        own = {name: rows for name, rows in dialled.get(title, {}).items() if name != INIT_BASIC}
        systems = {**predictions[title], **own}
        for name, rows in systems.items():
            records += summarize_quadrants(
                name,
                title,
                data.test_sets[title],
                rows,
                predictions[title][INIT_BASIC],
                known,
                config.context.policy,
                config.context.refusal,
                of_system(data.judge, name),
            )
    return records
