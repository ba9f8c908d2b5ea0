"""What depends on the language of the questions, one data file for each: instructions, and what refuses in it.

docs/languages.md says what each list is for. A language is added by a file beside this one and its code in
``Language``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    Of a question with a text, in English where a language has none of its own: ``given``: the mark before the text;
    ``only``, ``help``: what is said of it by ``context.policy``; ``not_in_text``: with {refusal}.
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
    given: str = "Text:"
    only: str = "Answer from the text alone."
    help: str = "The text may help."
    not_in_text: str = "If the text does not hold the answer, reply only: {refusal}"


@dataclass(frozen=True, eq=False)
class RefusalWords:
    """What refuses in a language, and what tells an answer beside it; docs/languages.md says what each list is for.

    ``unspaced``: words have no spaces between them. ``by_commas``: commas end what is read at once. ``inflected``: an
    answer has words of the question with other endings. ``short_answers``: a few new words are one, capitals or not.
    ``capital_nouns``: a capital within a sentence is no sign of a title.
    """

    phrases: tuple[str, ...]
    openings: tuple[str, ...]
    replies: tuple[str, ...]
    fillers: tuple[str, ...]
    turns: tuple[str, ...]
    guesses: tuple[str, ...]
    talk: tuple[str, ...]
    words: tuple[str, ...]
    advice: tuple[str, ...] = ()
    apologies: tuple[str, ...] = ()
    negations: tuple[str, ...] = ()
    knowing: tuple[str, ...] = ()
    selves: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    verb_last: bool = False
    endings: tuple[str, ...] = ()
    unspaced: bool = False
    by_commas: bool = True
    inflected: bool = True
    short_answers: bool = False
    capital_nouns: bool = False
    openers: tuple[str, ...] = ()
    bare_guesses: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    boilerplate: tuple[str, ...] = ()
    other_objects: tuple[str, ...] = ()
    title_verbs: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    open_object: tuple[str, ...] = ()
    contractions: Mapping[str, str] = field(default_factory=dict)
    contracted_endings: Mapping[str, str] = field(default_factory=dict)


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
    """What refuses in this language."""
    found: dict[str, Any] = {}
    for name, value in _read(language)["refusals"].items():
        if isinstance(value, str):
            parts = value.split() if name in ("words", "boilerplate") else value.split(",")
            found[name] = tuple(part.strip() for part in parts)
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
