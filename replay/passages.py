"""Questions about a given text, whose answer stands in it: everyday notes, made-up articles, and general facts."""

import random

from replay.draft import Draft, Messages, fill, single
from replay.words import text

Told = tuple[tuple[str, tuple[str, ...]], ...]
"""Passages with their questions; places in braces are filled alike in both."""


def _told(name: str) -> Told:
    """A file with one passage to a block; its first line is the passage, the others are questions."""
    blocks = [block.splitlines() for block in text(name).split("\n\n")]
    return tuple((lines[0].strip(), tuple(line.strip() for line in lines[1:])) for lines in blocks)


NOTES = _told("notes")

ARTICLES = _told("articles")

GENERAL = _told("general")

FORMS = [
    "{p}\n\n{q}",
    "{p} {q}",
    "Read the text and answer the question.\n\nText: {p}\n\nQuestion: {q}",
    "{q}\n\n{p}",
    "Context: {p}\n\nQuestion: {q}\nAnswer:",
    'Here is a note: "{p}" {q}',
    "According to this article: {p}\n\n{q}",
    "Answer from the passage only. {p}\n{q}",
    "I have a question about this text: {q}\n\nThe text: {p}",
    "{q} Use this information: {p}",
    "Article:\n{p}\n\nAnswer briefly: {q}",
    "Please read this.\n{p}\nNow tell me: {q}",
    "My colleague wrote: {p}\n\n{q}",
    "<text>{p}</text>\n{q}",
    "Based on the following paragraph, {lq}\n\n{p}",
    "{p}\n\nGiven this, {lq}",
    "This is from a leaflet: {p} {q} Answer in a full sentence.",
    "Q: {q}\nSource: {p}\nA:",
    "### Context\n{p}\n\n### Question\n{q}",
    'Someone told me: "{p}" So, {lq}',
    "{q} The answer is in here: {p}",
    "Reading exercise.\n\n{p}\n\n1. {q}",
    "From a web page: {p} --- {q} One word is enough if it fits.",
    "you get a text and a question. text: {p} question: {q}",
    "Take a look at this and answer me one thing, {lq} {p}",
    "Document [1]: {p}\n\nUser question: {q}\n\nUse only the document.",
]

SECOND = ["{q}", "And {lq}", "Thanks. {q}", "One more question about the text: {q}", "ok and {lq}"]
"""Another question about the same text, after the first was answered."""


def _asked(passage: str, question: str, form: str) -> str:
    return form.format(p=passage, q=question, lq=question[0].lower() + question[1:])


def _filled(told: tuple[str, tuple[str, ...]], rng: random.Random) -> tuple[str, list[str]]:
    """Passage and questions with the same words in them."""
    passage, *questions = fill("\n\n".join((told[0], *told[1])), rng).split("\n\n")
    return passage, questions


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows = []
    for family, all_told, n in (("notes", NOTES, 200), ("articles", ARTICLES, 170), ("general", GENERAL, 130)):
        forms = [form for _ in range(n // len(FORMS) + 1) for form in rng.sample(FORMS, len(FORMS))]
        for turn in range(n):
            passage, questions = _filled(all_told[turn % len(all_told)], rng)
            question = questions[turn // len(all_told) % len(questions)]
            rows.append(single("passage", family, _asked(passage, question, forms[turn])))
    return rows


def after(history: Messages, rng: random.Random) -> Messages:
    """The history, then a question about a text that comes with it."""
    passage, questions = _filled(rng.choice(NOTES + ARTICLES + GENERAL), rng)
    return (*history, ("user", _asked(passage, rng.choice(questions), rng.choice(FORMS))))


TWICE = _told("twice")
"""A passage, a question, its answer, and what is asked next."""


def twice(rng: random.Random) -> Messages:
    """A question about a text, its answer, and another question about the same text."""
    passage, (question, answer, second) = _filled(rng.choice(TWICE), rng)
    again = rng.choice(SECOND)
    return (
        ("user", _asked(passage, question, rng.choice(FORMS))),
        ("assistant", answer),
        ("user", _asked("", second, again)),
    )
