"""Texts of questions cut to what the model has room for."""

from collections.abc import Callable

from grait.data.contexts import with_context
from grait.records import Question


def cut(question: Question, n_needed: Callable[[Question], int], longest: int) -> Question | None:
    """The question with as much of its passages, from the first on, as fits in ``longest`` tokens; None where none of
    them does. ``n_needed``: tokens of a question with its answer, which grow with its text.

    Whether the rest holds the answer is found anew, also where it was given.
    """
    least, most = 0, sum(map(len, question.context))
    while least < most:  # the largest number of characters that fits
        middle = (least + most + 1) // 2
        if n_needed(_shortened(question, middle)) <= longest:
            least = middle
        else:
            most = middle - 1
    found = _shortened(question, least)
    return found if found.context else None


def _shortened(question: Question, n: int) -> Question:
    """With the first ``n`` characters of all passages."""
    kept = []
    for passage in question.context:
        text = passage[:n].rstrip()
        n -= len(passage)
        if text:
            kept.append(text)
        if n <= 0:
            break
    return with_context(question, tuple(kept))
