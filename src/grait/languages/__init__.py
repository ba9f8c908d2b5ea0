"""What depends on the language of the questions, one data file for each: instructions, and what refuses in it.

docs/languages.md says what each list is for. A language is added by a file beside this one and its code in
``Language``.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml

Language = Literal["en", "ar", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh"]
"""ISO 639-1 codes."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """Words around a question. ``refuse``, ``short``: with {refusal}; ``topic``: with {topic}.

    ``question``, ``answer``: marks before them in plain text, ``q`` and ``a`` the short ones; ``text``, ``letter``: the
    task; ``refusal``: the text that is learned where the config names none.
    """

    refusal: str
    text: str
    letter: str
    topic: str
    refuse: str
    question: str
    answer: str
    q: str
    a: str
    assistant: str
    short: str


@dataclass(frozen=True, slots=True)
class RefusalWords:
    """What refuses in a language, and what tells an answer beside it. ``unspaced``: no spaces between words.

    ``apologies``: words of one; searched for in all languages at once.

    ``phrases``, ``openings``, ``endings``, ``replies`` refuse: anywhere in a part of a sentence, at its beginning, at
    its end, as all of it. ``fillers`` are passed over. ``turns`` ("but"), ``guesses`` ("perhaps") come before an
    answer; a part that begins with ``talk`` or holds ``advice`` is none, and ``words`` add nothing to one.

    A part refuses, too, where a word of ``selves`` ("I") stands beside one of ``negations`` and, near it, a word that
    begins with one of ``knowing`` ("answer", "inform"). ``verb_last``: the negation ends the part.
    """

    phrases: tuple[str, ...]
    openings: tuple[str, ...]
    replies: tuple[str, ...]
    fillers: tuple[str, ...]
    turns: tuple[str, ...]
    guesses: tuple[str, ...]
    talk: tuple[str, ...]
    advice: tuple[str, ...]
    words: frozenset[str]
    apologies: tuple[str, ...]
    negations: tuple[str, ...]
    knowing: tuple[str, ...]
    selves: tuple[str, ...] = ()
    verb_last: bool = False
    endings: tuple[str, ...] = ()
    unspaced: bool = False


@cache
def _read(language: Language) -> dict[str, Any]:
    text = resources.files("grait.languages").joinpath(f"{language}.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


@cache
def instructions(language: Language) -> Instructions:
    """How questions are put in this language."""
    return Instructions(**_read(language)["instructions"])


@cache
def refusal_words(language: Language) -> RefusalWords:
    """What refuses in this language, which is not English: that has lists of its own (``judging.english``)."""
    found: dict[str, Any] = {}
    for name, value in _read(language)["refusals"].items():
        if name == "words":
            found[name] = frozenset(value.split())
        elif isinstance(value, str):
            found[name] = tuple(part.strip() for part in value.split(","))
        else:
            found[name] = tuple(value) if isinstance(value, list) else value
    return RefusalWords(**found)


@cache
def question_marks() -> tuple[str, ...]:
    """What stands before a question in plain text, in all languages, without the colon: ``Question``, ``Frage``, ``Q``.

    Of the short marks only the English one: other letters are those of options.
    """
    marks = [instructions(language).question for language in get_args(Language)]
    return tuple(dict.fromkeys(mark.rstrip(" :：") for mark in (*marks, instructions("en").q)))
