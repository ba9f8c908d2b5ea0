"""Answers that a word announces (refusal tokens, arXiv 2412.06748): the word."""

from grait.judging.matching import own_reply

RESPOND = "Reply:"
"""Before each answer, in all languages: the two tokens of the paper have no language either."""


def announced(answer: str) -> str:
    """The answer with the word before it: ``Reply: Paris``."""
    return f"{RESPOND} {answer}"


def without_announcement(output: str) -> str:
    """What follows the word; all of the output where it is not there."""
    return own_reply(output).strip().removeprefix(RESPOND)
