"""The refusal text as tokens, and a run's replies to one question, on which the dial works."""

from collections.abc import Sequence
from dataclasses import dataclass

from grait.errors import DialError
from grait.model.answers import BothAnswers
from grait.model.forms import Form
from grait.model.prompts import PromptFormat
from grait.records import Question


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of a run's models to one question: the initial model, asked as Init-Basic, and the tuned one."""

    question: str
    initial: str
    tuned: BothAnswers


def refusal_token_ids(
    prompts: PromptFormat, questions: Sequence[Question], form: Form | None = None
) -> tuple[int, ...]:
    """The refusal text with its end token as it follows the questions' prompts. DialError if that is not one way.
    ``form``: None for the main one. That of questions with a text only where there are no others."""
    alike = without_texts(questions)
    ways = {
        prompts.completion(prompts.prompt(question, "refuse", form), prompts.refusal(question)).token_ids
        for question in alike
    }
    if len(ways) > 1:
        raise DialError(
            f"the tokenizer writes {prompts.refusal(alike[0])!r} in {len(ways)} ways, depending on the question "
            "before it; the dial needs one: use a model with a chat template"
        )
    return ways.pop()


def without_texts(questions: Sequence[Question]) -> Sequence[Question]:
    """Those that are asked without a text, as questions in a chat are; all where there are none."""
    return [question for question in questions if not question.context] or questions
