"""Looks across the rows and sets of a run: questions that stand in several of them, or that contradict each other."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grait.data.rows import shown
from grait.records import Question

Wording = tuple[str, ...]

_BEFORE, _AFTER = "\"'([«", "\"'.?!,;:)]»"
_SINGLE, _DOUBLE = "\u2018\u2019\u201a\u201b\u2032`\u00b4", "\u201c\u201d\u201e"
_STRAIGHT = str.maketrans(dict.fromkeys(_SINGLE, "'") | dict.fromkeys(_DOUBLE, '"'))


@dataclass(frozen=True)
class Finding:
    """Questions that several rows or sets share. ``what``: what they are, with their number. ``is_leak``: trained on,
    or shown with their answers, and tested."""

    what: str
    examples: tuple[str, ...]
    is_leak: bool = False

    @property
    def text(self) -> str:
        more = ", ..." if len(self.examples) > 3 else ""
        return f"{self.what}, such as {', '.join(map(shown, self.examples[:3]))}{more}"


def wording(question: Question) -> Wording:
    """What two rows share that ask the same: question and options, without case, spacing, and signs beside words.

    Signs within words are kept, and those that are no punctuation: C and C++, 3.5 and 35, 5 + 3 and 5 - 3 differ.
    """
    return tuple(_plain(text) for text in (question.question, *sorted(question.choices)))


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_STRAIGHT)
    words = (word.lstrip(_BEFORE).rstrip(_AFTER) for word in text.casefold().split())
    return " ".join(filter(None, words))


def shared(questions: Iterable[Question], seen: Iterable[Wording]) -> list[Question]:
    """Those that ask what is among ``seen``."""
    known = frozenset(seen)
    return [question for question in questions if wording(question) in known]


def look_across(
    training: Sequence[Question], shots: Sequence[Question], tests: Mapping[str, Sequence[Question]]
) -> list[Finding]:
    """All that stands in several places. ``training``: without the ``shots``."""
    trained, shown = _by_wording(training), _by_wording(shots)
    worded = {title: _by_wording(own) for title, own in tests.items()}
    found = _within("training", trained)
    for number, (title, own) in enumerate(worded.items()):
        found += _finding(title, own, trained, "are training questions, too", is_leak=True)
        found += _finding(title, own, shown, "are solved examples, shown with their answers", is_leak=True)
        found += _within(title, own)
        for other in list(tests)[:number]:
            found += _finding(title, own, worded[other], f"stand in {other}, too")
    return found


Worded = dict[Wording, list[Question]]


def _by_wording(questions: Iterable[Question]) -> Worded:
    rows: Worded = {}
    for question in questions:
        rows.setdefault(wording(question), []).append(question)
    return rows


def _finding(title: str, own: Worded, other: Worded, what: str, is_leak: bool = False) -> list[Finding]:
    both = [question for words, same in own.items() if words in other for question in same]
    if not both:
        return []
    of = sum(map(len, own.values()))
    examples = tuple(question.question for question in both[:4])
    return [Finding(f"{len(both):,} of {of:,} questions of {title} {what}", examples, is_leak)]


def _within(title: str, rows: Worded) -> list[Finding]:
    """Questions that return within a set: with other answers, and with the same."""
    against, again = [], []
    for same in rows.values():
        if len(same) > 1:
            (against if any(_contradict(same[0], other) for other in same[1:]) else again).append(same)
    counted = (
        (against, f"{{}} rows of {title} ask {len(against):,} questions with answers that contradict each other", 0),
        (again, f"{{}} questions of {title} stand in it once more", 1),
    )
    return [
        Finding(what.format(f"{sum(len(same) - first for same in rows):,}"), tuple(s[0].question for s in rows[:4]))
        for rows, what, first in counted
        if rows
    ]


def _contradict(one: Question, other: Question) -> bool:
    """Whether no reference of the one is one of the other."""
    first, second = ({_plain(text) for text in question.answers} for question in (one, other))
    return one.answerable != other.answerable or bool(first and second and not first & second)
