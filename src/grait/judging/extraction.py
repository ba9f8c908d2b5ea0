"""Is an answer taken out of a given text, or is the text only said again?"""

import re
from itertools import pairwise

from grait.judging.matching import normalize, own_reply

LONGEST = 25
"""Words of an answer to a question whose answer is a name or a number."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def is_extract(output: str, passage: str, question: str) -> bool:
    """Whether a reply is no repetition of the passage; that it holds the answer is looked at elsewhere.

    It has at most ``LONGEST`` words. One sentence of the passage may be repeated, word for word or not; where one ends,
    the reply does not go on with the next one's words, and it has at most half of the words that the other sentences
    have beside the question's. Case, accents and punctuation do not matter.
    """
    reply = _words(own_reply(output))
    sentences = [_words(sentence) for sentence in _SENTENCE_END.split(passage.strip())]
    if len(reply) > LONGEST or any(_holds(reply, [*one[-2:], *other[:2]]) for one, other in pairwise(sentences)):
        return False
    said, asked = set(reply), set(_words(question))
    nearest = max(sentences, key=lambda words: len(said & set(words)))
    others = {word for words in sentences if words is not nearest for word in words} - asked - set(nearest)
    return 2 * len(said & others) <= len(others)


def _words(text: str) -> list[str]:
    return normalize(text, keep_articles=True).split()


def _holds(words: list[str], run: list[str]) -> bool:
    return any(words[place : place + len(run)] == run for place in range(len(words) - len(run) + 1))
