"""Bits of text, as people type them without a full request."""

import random

from replay.draft import Draft, spread


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    templates = [
        "{dish}",
        "{dish} recipe",
        "{hobby} for beginners",
        "{animal} or {animal2}",
        "{event}, {day}, {small} people",
        "{fruits} and {vegetable}",
        "{things} {colour}",
        "present for {person}",
        "{topic}",
        "{codelang} loop example",
        "{common}",
        "{language} lesson",
        "{feeling}",
        "mail to {person}",
        "{abstract}",
        "{hobby} tips",
    ]
    return spread("fragment", "templates", templates, 80, rng)
