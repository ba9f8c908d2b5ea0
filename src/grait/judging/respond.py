"""Answers that a word announces (refusal tokens, arXiv 2412.06748): the word, and their judgement."""

from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.matching import own_reply
from grait.judging.outcomes import judge
from grait.languages import Language
from grait.records import Outcome, Question

RESPOND = "Reply:"
"""Before each answer, in all languages: the two tokens of the paper have no language either."""


def announced(answer: str) -> str:
    """The answer with the word before it: ``Reply: Paris``."""
    return f"{RESPOND} {answer}"


def judge_announced(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> Outcome:
    """The outcome of what follows the word; of all of the output where the word is not there."""
    return judge(own_reply(output).strip().removeprefix(RESPOND), question, phrases, language)
