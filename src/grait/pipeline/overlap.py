"""Looks across the rows and sets of a run: questions that stand in several of them, or that contradict each other."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from grait.data.near import Near
from grait.data.rows import shown
from grait.data.wording import Wording, plain, wording
from grait.records import Question


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
        return f"{self.what}, such as {', '.join(self.examples[:3])}{more}"


def look_across(
    training: Collection[Question],
    shots: Sequence[Question],
    tests: Mapping[str, Collection[Question]],
    near: float | None = None,
) -> list[Finding]:
    """All that stands in several places. ``training``: without the ``shots``. ``near``: also what is alike by this part
    (``data.near``)."""
    trained, shown = Worded(training), Worded(shots)
    worded = {title: Worded(own) for title, own in tests.items()}
    found = _within("training", trained)
    if near is not None:
        named = {"training": [*shots, *training], **tests}
        found += _near({title: dict.fromkeys(map(wording, own)) for title, own in named.items()}, near)
    for number, (title, own) in enumerate(worded.items()):
        found += _finding(title, own, trained, "are training questions, too", is_leak=True)
        found += _finding(title, own, shown, "are solved examples, shown with their answers", is_leak=True)
        found += _within(title, own)
        for other in list(tests)[:number]:
            found += _finding(title, own, worded[other], f"stand in {other}, too")
    return found


class Worded:
    """Questions, and a hash of what each asks."""

    def __init__(self, questions: Collection[Question]) -> None:
        self.questions = questions
        self.asked = np.fromiter((hash(wording(question)) for question in questions), np.int64, len(questions))

    def among(self, asked: NDArray[np.int64]) -> list[Question]:
        """Those that ask what is among ``asked``."""
        return list(compress(self.questions, np.isin(self.asked, asked)))

    @property
    def again(self) -> list[list[Question]]:
        """Those that ask the same, where there are several."""
        asked, counts = np.unique(self.asked, return_counts=True)
        same: dict[Wording, list[Question]] = {}
        for question in self.among(asked[counts > 1]):
            same.setdefault(wording(question), []).append(question)
        return list(same.values())


def _finding(title: str, own: Worded, other: Worded, what: str, is_leak: bool = False) -> list[Finding]:
    both = own.among(other.asked)
    if not both:
        return []
    examples = tuple(shown(question.question) for question in both[:4])
    return [Finding(f"{len(both):,} of {len(own.questions):,} questions of {title} {what}", examples, is_leak)]


def _near(sets: Mapping[str, Collection[Wording]], at_least: float) -> list[Finding]:
    """Questions of each set that are nearly one of its own, or of a set before it."""
    found = []
    before: dict[str, Near] = {}
    for title, own in sets.items():
        before[title] = Near(own, at_least)
        for other, index in before.items():
            pairs = [
                (words, alike)
                for words in own
                if (alike := index.nearest(words)) and (words < alike if other == title else words not in sets[other])
            ]
            if pairs:
                where = "others of it" if other == title else other
                what = f"{len(pairs):,} of {len(own):,} questions of {title} are nearly the same as {where}"
                said = [f"{shown(words[0])} and {shown(alike[0])}" for words, alike in pairs[:4]]
                found.append(Finding(what, tuple(said)))
    return found


def _within(title: str, rows: Worded) -> list[Finding]:
    """Questions that return within a set: with other answers, and with the same."""
    against: list[list[Question]] = []
    again: list[list[Question]] = []
    for same in rows.again:
        (against if any(_contradict(same[0], other) for other in same[1:]) else again).append(same)
    counted = (
        (against, f"{{}} rows of {title} ask {len(against):,} questions with answers that contradict each other", 0),
        (again, f"{{}} questions of {title} stand in it once more", 1),
    )
    return [
        Finding(
            what.format(f"{sum(len(same) - first for same in rows):,}"), tuple(shown(s[0].question) for s in rows[:4])
        )
        for rows, what, first in counted
        if rows
    ]


def _contradict(one: Question, other: Question) -> bool:
    """Whether no reference of the one is one of the other."""
    first, second = ({plain(text) for text in question.answers} for question in (one, other))
    return one.answerable != other.answerable or bool(first and second and not first & second)
