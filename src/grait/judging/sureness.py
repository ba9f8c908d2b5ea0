"""Answers that say whether the model is sure of them (R-Tuning, arXiv 2311.09677): the words.

``judges.BySureness`` judges such answers.

The paper lets the model answer, asks "Are you sure you accurately answered the question based on your internal
knowledge?" and teaches "I am sure" or "I am unsure". Here the statement follows the answer in the same completion, so
that one greedy output holds both and is measured like any other.
"""

import re

from grait.judging.matching import own_reply, straighten

SURE, UNSURE = "I am sure.", "I am unsure."

_STATEMENT = re.compile(r"\bI(?:'m| am) (sure|unsure|not sure)\b", re.IGNORECASE)


def with_sureness(answer: str, is_sure: bool) -> str:
    """The answer as a sentence, then the statement: ``Paris. I am unsure.``"""
    end = "" if answer.endswith((".", "!", "?")) else "."
    return f"{answer}{end} {SURE if is_sure else UNSURE}"


def is_unsure(output: str) -> bool:
    """Whether an R-Tuning output says that the model is not sure; of several statements the last one counts."""
    statements = _STATEMENT.findall(straighten(own_reply(output)))
    return bool(statements) and statements[-1].lower() != "sure"


def without_sureness(output: str) -> str:
    """The text before the first statement; all of it without one."""
    reply = straighten(own_reply(output))
    found = _STATEMENT.search(reply)
    return reply[: found.start()] if found else reply
