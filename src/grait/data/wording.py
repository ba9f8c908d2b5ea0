"""What makes two questions the same one, whatever their ids."""

import re
import unicodedata
from collections.abc import Iterable

from grait.records import Question

Wording = tuple[str, ...]

_BEFORE, _AFTER = "\"'([«", "\"'.?!,;:)]»"
_SINGLE, _DOUBLE = "\u2018\u2019\u201a\u201b\u2032`\u00b4", "\u201c\u201d\u201e"
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_STRAIGHT = str.maketrans(dict.fromkeys(_SINGLE, "'") | dict.fromkeys(_DOUBLE, '"'))


def wording(question: Question) -> Wording:
    """What two rows share that ask the same: question, options and texts, without case, spacing, characters that are
    not seen, and signs beside words.

    Signs within words are kept, and those that are no punctuation: C and C++, 3.5 and 35, 5 + 3 and 5 - 3 differ.
    """
    return tuple(plain(text) for text in (question.question, *sorted(question.choices), *question.context))


def plain(text: str) -> str:
    """One text, likewise."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_STRAIGHT)
    words = (word.lstrip(_BEFORE).rstrip(_AFTER) for word in text.casefold().split())
    return " ".join(filter(None, words))


def shared(questions: Iterable[Question], seen: Iterable[Wording]) -> list[Question]:
    """Those that ask what is among ``seen``."""
    known = frozenset(seen)
    return [question for question in questions if wording(question) in known]
