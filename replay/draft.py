"""What the builder works with: drafts of rows, and templates that are filled from word lists."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from replay.words import WORDS

PLACE = re.compile(r"\{([a-z]+)(\d?)\}")

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
    """The template with its places filled; ``{fruit}`` and ``{fruit2}`` differ, ``{fruit}`` twice is the same."""
    taken: dict[str, str] = {}
    for match in PLACE.finditer(template):
        if match[0] not in taken:
            used = {value for place, value in taken.items() if place.strip("{}0123456789") == match[1]}
            taken[match[0]] = rng.choice([word for word in WORDS[match[1]] if word not in used])
    return PLACE.sub(lambda match: taken[match[0]], template)


def spread(kind: str, family: str, templates: Sequence[str], n: int, rng: random.Random) -> list[Draft]:
    """Up to ``n`` different rows, from each template in turn."""
    texts: dict[str, None] = {}
    for turn in range(n * 6):
        if len(texts) == n:
            break
        texts[fill(templates[turn % len(templates)], rng)] = None
    return [single(kind, family, text) for text in texts]


def seeds(kind: str, text: str) -> list[Draft]:
    """Rows written by hand, one a line."""
    return [single(kind, "by hand", line.strip()) for line in text.strip().splitlines() if line.strip()]
