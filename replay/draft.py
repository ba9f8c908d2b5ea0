"""What the builder works with: drafts of rows, and templates that are filled from word lists."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from replay.words import WORDS, lines

PLACE = re.compile(r"\{([a-z]+)(\d?)\}")
VOWEL = re.compile(r"\b([Aa])( (?:[aeio]|u(?!ni|se|ku)))(?!ne\b)")

Messages = tuple[tuple[str, str], ...]
"""Pairs of role and content."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A row before it has its id. ``family``: the templates that it comes from, to keep any of them from ruling."""

    kind: str
    family: str
    messages: Messages


def single(kind: str, family: str, text: str) -> Draft:
    """A row of one user turn."""
    return Draft(kind, f"{kind}/{family}", (("user", text),))


def fill(template: str, rng: random.Random) -> str:
    """The template with its places filled; ``{fruit}`` and ``{fruit2}`` differ, ``{fruit}`` twice is the same.

    A place at the beginning of a sentence gets a capital, and "a" before a vowel becomes "an".
    """
    taken: dict[str, str] = {}
    for match in PLACE.finditer(template):
        if match[0] not in taken:
            used = {value for place, value in taken.items() if place.strip("{}0123456789") == match[1]}
            taken[match[0]] = rng.choice([word for word in WORDS[match[1]] if word not in used])

    def word(match: re.Match[str]) -> str:
        before = template[: match.start()]
        begins = not before or re.search(r"(?<!\.)[.?!]\s$|\n\n$", before)
        text = taken[match[0]]
        return text[0].upper() + text[1:] if begins else text

    return VOWEL.sub(r"\1n\2", PLACE.sub(word, template))


def spread(kind: str, family: str, templates: Sequence[str], n: int, rng: random.Random) -> list[Draft]:
    """Up to ``n`` different rows, from each template in turn."""
    texts: dict[str, None] = {}
    for turn in range(n * 6):
        if len(texts) == n:
            break
        texts[fill(templates[turn % len(templates)], rng)] = None
    return [single(kind, family, text) for text in texts]


def by_hand(kind: str) -> list[Draft]:
    """The rows written by hand, one a line."""
    return [single(kind, "by hand", line) for line in lines(f"prompts/{kind}")]
