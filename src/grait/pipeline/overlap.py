"""Looks across the rows and sets of a run: questions that stand in several of them, or that contradict each other."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grait.records import Question

Wording = tuple[str, ...]

_SIGNS = re.compile(r"(?<!\S)[\"'([«]+|[\"'.?!,;:)\]»]+(?!\S)")
_STRAIGHT = str.maketrans("‘’‚“”„´`", "''''''''")


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
        return f"{self.what}, such as {', '.join(map(repr, self.examples[:3]))}{more}"


def wording(question: Question) -> Wording:
    """What two rows share that ask the same: question and options, without case, spacing, and signs beside words.

    Signs within words are kept, and those that are no punctuation: C and C++, 3.5 and 35, 5 + 3 and 5 - 3 differ.
    """
    return tuple(_plain(text) for text in (question.question, *sorted(question.choices)))


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold().translate(_STRAIGHT)
    return " ".join(_SIGNS.sub(" ", text).split())


def shared(questions: Iterable[Question], seen: Iterable[Wording]) -> list[Question]:
    """Those that ask what is among ``seen``."""
    known = frozenset(seen)
    return [question for question in questions if wording(question) in known]


def look_across(
    training: Sequence[Question], shots: Sequence[Question], tests: Mapping[str, Sequence[Question]]
) -> list[Finding]:
    """All that stands in several places. ``training``: without the ``shots``."""
    found = [*_within("training", training)]
    trained, shown = {wording(question) for question in training}, {wording(question) for question in shots}
    worded = {title: {wording(question) for question in own} for title, own in tests.items()}
    for number, (title, own) in enumerate(tests.items()):
        found += _finding(f"questions of {title} are training questions, too", own, trained, is_leak=True)
        found += _finding(f"questions of {title} are solved examples, shown with their answers", own, shown, True)
        found += _within(title, own)
        for other in list(tests)[:number]:
            found += _finding(f"questions of {title} stand in {other}, too", own, worded[other])
    return found


def _finding(what: str, own: Sequence[Question], seen: Iterable[Wording], is_leak: bool = False) -> list[Finding]:
    both = shared(own, seen)
    if not both:
        return []
    return [Finding(f"{len(both)} of {len(own)} {what}", tuple(row.question for row in both[:4]), is_leak)]


def _within(title: str, questions: Sequence[Question]) -> list[Finding]:
    """Questions that return within a set: with other answers, and with the same."""
    rows: dict[Wording, list[Question]] = {}
    for question in questions:
        rows.setdefault(wording(question), []).append(question)
    several = [same for same in rows.values() if len(same) > 1]
    against, again = [], []
    for same in several:
        (against if any(_contradict(same[0], other) for other in same[1:]) else again).append(same)
    found = []
    if against:
        n = sum(map(len, against))
        what = f"{n} rows of {title} ask {len(against)} questions with answers that contradict each other"
        found.append(Finding(what, tuple(same[0].question for same in against[:4])))
    if again:
        n = sum(len(same) - 1 for same in again)
        what = f"{n} of {len(questions)} questions of {title} stand in it more than once"
        found.append(Finding(what, tuple(same[0].question for same in again[:4])))
    return found


def _contradict(one: Question, other: Question) -> bool:
    """Whether no reference of the one is one of the other."""
    first, second = ({_plain(text) for text in question.answers} for question in (one, other))
    return one.answerable != other.answerable or bool(first and second and not first & second)
