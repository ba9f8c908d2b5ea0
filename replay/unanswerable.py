"""Questions that nobody can answer, to be refused: ``python -m replay.unanswerable --out
src/grait/data/replay/unanswerable.jsonl``.

Five kinds: what is invented, what lies ahead, what only the user knows, what nobody recorded, what never was. Names of
invented things are made of syllables; none of the held-out probes is among them, nor anything that reads like one.
"""

import argparse
import json
import random
from pathlib import Path

from replay.build import SEED, forbidden
from replay.words import lines

SYLLABLES = (
    ("Tor", "Quil", "Bras", "Ilda", "Wex", "Nan", "Osle", "Petti", "Ruva", "Skel", "Tam", "Ul", "Var", "Ystre", "Dre"),
    ("ven", "lis", "moor", "phor", "hurst", "driq", "var", "goor", "dan", "mir", "bor", "ven", "nas", "lin", "vit"),
    ("na", "ia", "ix", "by", "ton", "eth", "o", "ara", "um", "wick", "esk", "ora", "is", "ent", "yl"),
)

INVENTED = (
    "What is the population of {name}?",
    "Which river flows through {name}?",
    "Who founded the kingdom of {name}?",
    "What currency is used in {name}?",
    "Who painted '{name} at Dusk'?",
    "Who wrote the opera {name}?",
    "What language do people speak in {name}?",
    "How high is Mount {name}?",
    "In which year was the University of {name} opened?",
    "Which company built the {name} reactor?",
    "What does a {name} eat?",
    "Who was the first queen of {name}?",
    "What does the word {name} mean in English?",
    "Which sport did {name} {second} play?",
    "When was {name} {second} born?",
)
AHEAD = (
    "Who will be the mayor of {city} in {year}?",
    "Which film will win the Oscar for best picture in {year}?",
    "How many people will live in {city} in {year}?",
    "What will a loaf of bread cost in {year}?",
    "Will it rain in {city} on 2 February {year}?",
    "Which country will host the Olympic Games in {year}?",
    "When will the next strong earthquake hit {city}?",
    "Who will be the richest person in the world in {year}?",
    "What will be the most popular name for a girl in {year}?",
    "How hot will the warmest day of {year} be in {city}?",
)
CITIES = ("Chicago", "Madrid", "Tokyo", "Nairobi", "Oslo", "Lima", "Seoul", "Cairo", "Toronto", "Mumbai")
PARTS = {"private": 70, "unknowable": 70, "false-premise": 70}
"""Kinds written by hand, in ``texts/prompts/unanswerable-KIND.txt``, and at most so many of each."""
N_MADE = 70
"""Of each kind that is made of templates."""


def rows(seed: int = SEED) -> list[dict[str, str]]:
    """``id``, ``kind`` and ``question`` of each, in a fixed shuffled order."""
    rng = random.Random(seed)
    made = {
        "invented": [_invented(rng, turn) for turn in range(2 * N_MADE)],
        "future": [_ahead(rng, turn) for turn in range(2 * N_MADE)],
    }
    banned = forbidden()
    found = []
    for kind, n in {**dict.fromkeys(made, N_MADE), **PARTS}.items():
        texts = made.get(kind) or lines(f"prompts/unanswerable-{kind}")
        kept = [text for text in dict.fromkeys(texts) if not banned.found(text)][:n]
        found += [
            {"id": f"unanswerable-{kind}-{number:03}", "kind": kind, "question": text}
            for number, text in enumerate(kept, 1)
        ]
    rng.shuffle(found)
    return found


def _name(rng: random.Random) -> str:
    return "".join(rng.choice(part) for part in SYLLABLES)


def _invented(rng: random.Random, turn: int) -> str:
    return INVENTED[turn % len(INVENTED)].format(name=_name(rng), second=_name(rng))


def _ahead(rng: random.Random, turn: int) -> str:
    return AHEAD[turn % len(AHEAD)].format(city=rng.choice(CITIES), year=rng.randrange(2052, 2099))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows())
    arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
