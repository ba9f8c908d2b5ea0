"""What a judging model is shown, and what its reply says."""

import re
from string import ascii_uppercase
from typing import get_args

from grait.judging.matching import own_reply, straighten
from grait.judging.reasoning import without_reasoning
from grait.records import Outcome, Question

ASK_AGAIN = "Reply with one word and nothing else: correct, wrong or refused."
NO_REFERENCE = "(none: nobody can answer this question; an answer refuses, or it is wrong)"

_VERDICT = re.compile(
    r"\W*(?:(?:the\s+)?(?:final\s+)?(?:verdict|judge?ment|outcome|label|answer)\b(?:\s+is\b)?)?\W*"
    rf"\b({'|'.join(get_args(Outcome))})\b\W*",
    re.IGNORECASE,
)


def filled(prompt: str, question: Question, output: str) -> str:
    """``JudgeConfig.words`` for one output. The model's reasoning, and questions that it asks itself, are left out."""
    return prompt.format(
        question=_asked(question), references=_references(question), output=own_reply(output).strip() or "(nothing)"
    )


def _asked(question: Question) -> str:
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, question.choices, strict=False)]
    return "\n".join([question.question, *lines])


def _references(question: Question) -> str:
    if not question.answers:
        return NO_REFERENCE
    if question.choices:
        return f"{ascii_uppercase[question.answer_index]}. {question.answers[0]}"
    if question.match == "list":
        return f"all of: {'; '.join(question.answers[1:])}"
    within = f" (within {question.tolerance})" if question.tolerance else ""
    return " | ".join(question.answers) + within


def read_verdict(reply: str) -> Outcome | None:
    """The one verdict that a reply gives; None where it gives none, or two. A verdict is a line that is one of the
    three words, alone or after ``Verdict:``; what else a reply says does not matter ("not correct" is none)."""
    lines = straighten(without_reasoning(reply)).splitlines()
    found = {match.group(1).lower() for line in lines if (match := _VERDICT.fullmatch(line))}
    verdict = found.pop() if len(found) == 1 else None
    return next((outcome for outcome in get_args(Outcome) if outcome == verdict), None)
