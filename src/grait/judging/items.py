"""Whether a reply lists all items that were asked for, in any order, and no others."""

import re
import unicodedata

from grait.judging.matching import own_reply, straighten

_SEPARATOR = re.compile(r"[,;/&\n•*+]|\band\b|\bas well as\b|\bplus\b|(?:(?<=\s)|^)-\s|\b\d+[.)]\s", re.IGNORECASE)
_END = re.compile(r"(?<=[a-z\d)\u0001])[.!?:](?=\s|$)|\n\s*\n")
_HOLD = "\u0001"
_DOUBT = re.compile(r"\b(?:possibly|perhaps|maybe|probably|potentially)\b")
_OTHER = re.compile(rf"\b(?:dark|light|pale|half|non|new|(?:nor|sou)th(?:ern)?|(?:ea|we)st(?:ern)?)[\s-]+{_HOLD}")
"""Words that make another thing of the item that follows them: dark red, South Sudan, New Mexico."""


def items_of(answers: tuple[str, ...]) -> list[list[str]]:
    """Each item with what it may be called, from a list question's references: all in one text first, then each."""
    return [[name.strip() for name in item.split("|") if name.strip()] for item in answers[1:]]


def is_right_list(output: str, answers: tuple[str, ...]) -> bool:
    """Whether a reply lists every item, and nothing else beside them.

    Looked at are the sentences, or lines, from the first one with an item to the last, cut at commas, *and* and their
    like: each piece has to hold an item. "or" between items is no list of all of them, nor is one with an item that is
    in doubt (and possibly blue) or is another thing (dark red).
    """
    text = _folded(own_reply(output))
    for item in sorted(items_of(answers), key=lambda names: max(map(len, names), default=0), reverse=True):
        pattern = "|".join(_pattern(name) for name in sorted(item, key=len, reverse=True))
        text, n = re.subn(pattern, _HOLD, text)
        if not n:
            return False
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    start = max(end for end in ends if end <= text.index(_HOLD))
    stop = min(end for end in ends if end > text.rindex(_HOLD))
    listed = text[start:stop]
    if re.search(r"\bor\b|\bnot\b|\bexcept\b", listed) or _OTHER.search(listed):
        return False
    pieces = [piece for piece in _SEPARATOR.split(listed) if re.search(r"\w", piece) or _HOLD in piece]
    return all(_HOLD in piece for piece in pieces) and not any(map(_DOUBT.search, pieces[1:]))


def holds_items(text: str, answers: tuple[str, ...]) -> bool:
    """Whether every item stands somewhere in a text."""
    plain = _folded(text)
    return all(any(re.search(_pattern(name), plain) for name in item) for item in items_of(answers))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", straighten(text).casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _pattern(name: str) -> str:
    words = r"\W+".join(map(re.escape, re.findall(r"\w+", _folded(name))))
    return rf"(?<!\w){words}(?!\w)" if words else r"(?!)"
