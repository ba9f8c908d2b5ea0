"""Conversations of several turns: after a greeting, a task, an answer, a refusal."""

import random
from collections.abc import Sequence

from replay import passages
from replay.draft import Draft, Messages, fill
from replay.words import lines

REFUSAL = "I don't know."

Pairs = Sequence[tuple[str, str]]


def _pairs(name: str) -> Pairs:
    """One exchange a line, what the user says and what the assistant says parted by " > "."""
    parts = (line.replace("\\n", "\n").split(" > ") for line in lines(name))
    return [(user, assistant) for user, assistant in parts]


HELLO = _pairs("hello")
TASKS = _pairs("tasks")
ANSWERED = _pairs("answered")
UNKNOWN = lines("unknown")
"""Questions of fact that the assistant does not know."""
NEXT = lines("next")
"""What the user says next, about something else."""
AGAIN = lines("again")
"""What the user says next about the same."""


def _exchange(pairs: Pairs, rng: random.Random) -> Messages:
    user, assistant = fill("\n\n".join(rng.choice(pairs)), rng).split("\n\n")
    return (("user", user), ("assistant", assistant))


def _history(shape: str, rng: random.Random) -> Messages:
    messages: Messages = ()
    for letter in shape:
        if letter == "r":
            messages += (("user", rng.choice(UNKNOWN)), ("assistant", REFUSAL))
        else:
            messages += _exchange({"h": HELLO, "t": TASKS, "a": ANSWERED}[letter], rng)
    return messages


SHAPES = (
    ("after a greeting", 60, "h", "next"),
    ("after a task", 40, "t", "next"),
    ("more of a task", 60, "t", "again"),
    ("after an answer", 40, "a", "next"),
    ("more of an answer", 20, "a", "again"),
    ("after a refusal", 90, "r", "next"),
    ("greeting and refusal", 25, "hr", "next"),
    ("answer and refusal", 25, "ar", "next"),
    ("refusal and task", 25, "rt", "again"),
    ("two refusals", 25, "rr", "next"),
    ("three turns", 25, "hta", "next"),
    ("four turns", 20, "htr", "next"),
    ("any request after a greeting", 40, "h", "any"),
    ("any request after a task", 40, "t", "any"),
    ("any request after a refusal", 120, "r", "any"),
    ("any request after several turns", 40, "ahr", "any"),
    ("a passage after a greeting", 15, "h", "passage"),
    ("a passage after a refusal", 40, "r", "passage"),
    ("a passage after a task", 15, "t", "passage"),
    ("a second question", 30, "", "twice"),
    ("a second question after a refusal", 15, "r", "twice"),
)
"""Family, rows, what came before (greeting, task, answer, refusal) and what is said last."""


def drafts(rng: random.Random, others: Sequence[Draft]) -> list[Draft]:
    """All rows of this module; ``others`` are rows of one turn, which also come up in the middle of conversations."""
    rows = []
    for family, n, shape, last in SHAPES:
        for turn in range(n):
            messages = _history(shape, rng)
            match last:
                case "next":
                    messages += (("user", fill(NEXT[turn % len(NEXT)], rng)),)
                case "again":
                    messages += (("user", fill(AGAIN[turn % len(AGAIN)], rng)),)
                case "any":
                    messages += rng.choice(others).messages
                case "passage":
                    messages = passages.after(messages, rng)
                case "twice":
                    messages += passages.twice(rng)
            rows.append(Draft("several-turns", f"several-turns/{family}", messages))
    return rows
