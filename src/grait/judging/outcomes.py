"""The outcome of one output: correct, wrong or refused; and, against the initial model, four ways."""

from typing import Literal

from grait.judging.kinds import is_right
from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.matching import parse_choice
from grait.judging.refusal import detect_refusal
from grait.languages import Language
from grait.records import Outcome, Question

FourWayOutcome = Literal["correct", "wrong", "right_refusal", "over_refusal"]


def judge(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> Outcome:
    """The outcome of one output: refusal first, then correctness.

    ``phrases``, ``language``: what refuses, ``PromptConfig.refusing`` in a run. An output that refuses and then answers
    all the same is judged by its answer (``refusal.detect_refusal``); ``is_hedged`` tells it apart. An MCQA output
    that names no single option is wrong; ``is_unparsable`` tells it apart. Of options with the same text, each is as
    right as the other.
    """
    if detect_refusal(output, question, phrases, language) == "refused":
        return "refused"
    if question.choices:
        index = parse_choice(output, question.choices)
        return "correct" if index is not None and question.is_right(index) else "wrong"
    return "correct" if is_right(output, question) else "wrong"


def is_unparsable(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> bool:
    """Whether a multiple-choice output neither refuses nor names a single option; False for free-text questions."""
    if not question.choices or detect_refusal(output, question, phrases, language) == "refused":
        return False
    return parse_choice(output, question.choices) is None


def is_hedged(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> bool:
    """Whether an output refuses and answers all the same (``I don't know, but it is Paris``): counted as an answer."""
    return detect_refusal(output, question, phrases, language) == "refused_then_answered"


def four_way(initial: Outcome, tuned: Outcome) -> FourWayOutcome:
    """The tuned model's outcome seen against the initial model's on the same question.

    A refusal is an ``over_refusal`` where the initial model was correct, else a ``right_refusal`` (the initial model
    was wrong, or refused by itself).
    """
    if tuned != "refused":
        return tuned
    return "over_refusal" if initial == "correct" else "right_refusal"
