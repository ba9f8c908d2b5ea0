"""Many questions in little memory."""

import marshal
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy
from dataclasses import fields
from itertools import chain, islice, starmap
from operator import attrgetter
from typing import Any, TypeAlias

from grait.records import Question

BLOCK = 512
_VALUES = attrgetter(*(field.name for field in fields(Question)))


class Packed(Collection[Question]):
    """Questions in their order, each made anew whenever they are gone through: a tenth of the memory, 4 µs each.

    As with lists, ``+`` puts others behind them; they equal a list of the same questions.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        rows = map(_VALUES, questions)
        blocks = iter(lambda: list(islice(rows, BLOCK)), [])
        self._blocks = [(len(block), zlib.compress(marshal.dumps(block), 1)) for block in blocks]
        self._left_out: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return sum(n for n, _ in self._blocks) - len(self._left_out)

    def __iter__(self) -> Iterator[Question]:
        blocks = (marshal.loads(zlib.decompress(block)) for _, block in self._blocks)
        questions = starmap(Question, chain.from_iterable(blocks))
        return (one for one in questions if one.id not in self._left_out) if self._left_out else questions

    def __getitem__(self, place: Any) -> Any:
        """A question, or a list of some; unpacks all."""
        return list(self)[place]

    def __contains__(self, question: object) -> bool:
        return any(question == own for own in self)

    def __eq__(self, others: object) -> bool:
        return isinstance(others, Collection) and list(self) == list(others)

    def __add__(self, others: Iterable[Question]) -> "Packed":
        found = copy(self)
        found._blocks = self._blocks + Packed(others)._blocks
        return found

    def without(self, ids: Collection[str]) -> "Packed":
        """All but these, which have to be among them."""
        found = copy(self)
        found._left_out = self._left_out.union(ids)
        return found


Kept: TypeAlias = list[Question] | Packed
Keep: TypeAlias = Callable[[Iterable[Question]], Kept]


def without(questions: Kept, ids: Collection[str]) -> Kept:
    """All but these."""
    if isinstance(questions, Packed):
        return questions.without(ids)
    return [question for question in questions if question.id not in ids]
