"""Texts beside a question: reading them from a cell, whether they hold the answer, and the question without them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grait.data.rows import checked_text, is_missing, shown, type_name
from grait.data.values import folded, parsed_text
from grait.errors import DataError
from grait.judging.kinds import holds_answer
from grait.records import ContextPolicy, Question

TEXT = tuple("text contents content passagetext pagecontent passage paragraph paragraphtext context sentences".split())
"""Keys of an object that is a passage, or has lists of them; first ones go first."""


def passages_of(value: Any, column: str, where: str, seen: Counter[str]) -> tuple[str, ...]:
    """The passages of a cell; none where it is missing or blank.

    A text, a list of texts, of lists of sentences or of objects with a text and perhaps a title, an object of such
    lists (HotpotQA, MS MARCO), or a text that is one of these in JSON. DataError for all else.
    """
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str):
        parsed = parsed_text(value, f"{column}s", where) if value.lstrip()[:1] in ("[", "{") else None
        if parsed is None:
            return (checked_text(value, column, where),)
        seen["texts of lists"] += 1
        return passages_of(parsed, column, where, seen)
    if isinstance(value, Mapping):
        return _of_object(value, column, where, seen)
    if isinstance(value, Sequence):
        return tuple(text for item in value for text in _of_item(item, column, where, seen))
    raise DataError(f"{where}: `{column}` has to be text or a list of texts, found {type_name(value)} ({shown(value)})")


def _of_item(item: Any, column: str, where: str, seen: Counter[str]) -> tuple[str, ...]:
    """One passage of a list; of a title and its sentences (HotpotQA's own file) the two as one."""
    if isinstance(item, Sequence) and not isinstance(item, str):
        parts = [text for part in item for text in passages_of(part, column, where, seen)]
        return (" ".join(parts),) if parts else ()
    return passages_of(item, column, where, seen)


def _of_object(value: Mapping[Any, Any], column: str, where: str, seen: Counter[str]) -> tuple[str, ...]:
    known = folded(value)
    name = next((key for key in TEXT if not is_missing(known.get(key))), None)
    if name is None:
        raise DataError(
            f"{where}: `{column}` is an object without a text ({shown(dict(value))}); of objects `text` and `title` "
            "are read"
        )
    title, text = known.get("title"), known[name]
    if isinstance(text, str):
        text = checked_text(text, column, where) if text.strip() else ""
        titled = isinstance(title, str) and title.strip() and not text.startswith(title.strip())
        return (f"{title.strip()}\n{text}" if titled and isinstance(title, str) else text,) if text else ()
    texts = [found for item in text for found in _of_item(item, column, where, seen)]
    if isinstance(title, Sequence) and not isinstance(title, str) and len(title) == len(texts):
        return tuple(f"{one}\n{text}" for one, text in zip(title, texts, strict=True))
    return tuple(texts)


def with_context(question: Question, context: tuple[str, ...]) -> Question:
    """The question with other passages, and whether these hold the answer."""
    found = replace(question, context=context)
    return replace(found, holds_answer=holds_answer(found) if context else None)


def closed_book(question: Question) -> Question:
    """The question without its text, and with all its references; itself where it has none."""
    if not question.context:
        return question
    answers = question.answers or question.beyond
    return replace(question, context=(), holds_answer=None, answers=answers, beyond=())


def by_policy(question: Question, policy: ContextPolicy) -> Question:
    """The question with what counts as right: with ``only`` nothing that its text does not hold."""
    if policy == "help" or not question.context or question.holds_answer:
        return question
    return replace(question, answers=(), beyond=question.answers or question.beyond)


def is_measured(question: Question) -> bool:
    """Whether it is trained on and counted with all others: it has a reference, or a text that says that it has none.

    All others are measured apart, as refused or not.
    """
    return bool(question.answers) or question.holds_answer is False
