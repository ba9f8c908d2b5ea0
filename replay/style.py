"""Other ways in which people type, and system messages."""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from replay.draft import Draft, Messages

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "You are a friendly assistant who answers in plain English.",
    "You are an assistant for the customers of a small shop.",
    "Be polite and concise.",
    "You are a patient teacher. Your pupils are ten years old.",
    "Answer in at most two sentences.",
    "You help people with everyday tasks.",
    "You are an experienced assistant for writing and code.",
    "You are a chat bot on the website of a town library.",
    "Always answer in English.",
    "Keep your answers short and clear.",
    "You are a cheerful companion.",
    "The user is learning English. Use simple words.",
    "You are an assistant in a messaging app.",
    "You are a knowledgeable and honest assistant.",
    "Respond in a warm, informal tone.",
    "You are an AI assistant. Today is Tuesday.",
    "Write British English.",
    "You are the office assistant of a school.",
    "Help the user. If something is unclear, ask.",
    "You are a language tutor.",
    "You are a cook who likes to share recipes.",
    "You are a careful editor.",
    "You are a programming tutor. Show code where it helps.",
    "You are a travel companion. Be practical.",
    "Use Markdown in your answers.",
    "Use no lists. Write in full sentences.",
    "You are a support agent for a phone company.",
    "You work at the front desk of a hotel.",
    "You are a voice assistant, so answers are read aloud. Keep them short.",
    "You are Robin, a chat assistant.",
    "Be kind.",
    "You are an expert who explains things in simple words.",
)


AS_TYPED = frozenset({"code-writing", "code-explaining", "code-fixing", "correction"})
"""Kinds in which every letter may matter."""


def varied(rows: Iterable[Draft], rng: random.Random) -> Iterator[Draft]:
    """The rows; one in eight is typed carelessly, and one in ten has a system message."""
    for row in rows:
        lot = rng.random()
        if lot < 0.1:
            yield replace(row, messages=(("system", rng.choice(SYSTEMS)), *row.messages))
        elif lot > 0.23 or row.kind in AS_TYPED:
            yield row
        elif lot < 0.14:
            yield replace(row, messages=_last(row.messages, row.messages[-1][1].lower()))
        elif lot < 0.18:
            yield replace(row, messages=_last(row.messages, _bare(row.messages[-1][1])))
        else:
            yield replace(row, messages=_last(row.messages, _typos(row.messages[-1][1], rng)))


def _last(messages: Messages, content: str) -> Messages:
    return (*messages[:-1], ("user", content))


def _bare(text: str) -> str:
    """Lower case without the marks at the end of sentences."""
    return re.sub(r"[.?!,]+(?=\s|$)", "", text.lower())


def _typos(text: str, rng: random.Random) -> str:
    """One letter in about thirty is swapped with the next, doubled or left out, inside words only."""
    letters = list(text)
    for place in range(1, len(letters) - 2):
        if rng.random() < 1 / 30 and "".join(letters[place - 1 : place + 2]).isalpha():
            match rng.randrange(3):
                case 0:
                    letters[place], letters[place + 1] = letters[place + 1], letters[place]
                case 1:
                    letters[place] = ""
                case _:
                    letters[place] *= 2
    return "".join(letters)
