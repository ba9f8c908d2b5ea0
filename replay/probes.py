"""Build the probes whose answer stands in a text.

``python -m replay.probes --out src/grait/data/probes/passages.jsonl``

A fact from the test splits of WorldFacts is put into words beside facts of the same relation about other subjects, so
the answer has to be found, and cannot be told from its kind alone. Rare subjects are preferred: what the model does
not know by itself.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

from grait.data.worldfacts import load
from grait.judging.matching import is_correct
from grait.records import Question

SEED = 7
PER_RELATION = 8

WORDINGS: dict[str, tuple[str, ...]] = {
    "airport_city": (
        "A suitcase with the label {s} travels to {a}.",
        "Pilots who head for {a} enter {s}.",
        "In {a}, {s} is printed on every boarding pass.",
    ),
    "area_code_state": (
        "Whoever dials {s} first reaches a telephone in {a}.",
        "In parts of {a}, numbers begin with {s}.",
        "A call from {s} comes from {a}.",
    ),
    "battle_year": (
        "A chronicle places {s} in {a}.",
        "The guide dates {s} to {a}.",
        "Soldiers met for {s} in {a}.",
    ),
    "calling_code_country": (
        "A number that starts with {s} belongs to {a}.",
        "For a call to {a} one dials {s} first.",
        "{s} leads to {a}.",
    ),
    "country_anthem": (
        'When a team from {s} wins, the band plays "{a}".',
        'School children in {s} learn to sing "{a}".',
        'For the guests from {s}, the orchestra rehearses "{a}".',
    ),
    "country_highest_point": (
        "No place in {s} lies higher than {a}.",
        "Climbers in {s} dream of {a}, above which there is only sky.",
        "The roof of {s} is {a}.",
    ),
    "country_national_day": (
        "In {s} the flags come out on {a}.",
        "Offices in {s} stay closed on {a}, when the nation celebrates.",
        "The big parade of {s} is held on {a}.",
    ),
    "element_discoverer": (
        "That we know of {s} is owed to {a}.",
        "The credit for {s} goes to {a}.",
        "It was {a} who first found {s}.",
    ),
    "element_year": (
        "Chemists have known {s} since {a}.",
        "The first report on {s} dates from {a}.",
        "Before {a} nobody had heard of {s}.",
    ),
    "feature_country": (
        "Travellers who want to see {s} have to go to {a}.",
        "A stamp from {a} shows {s}.",
        "{s} attracts visitors to {a}.",
    ),
    "latin_species_name": (
        "Experts say {s} where others say {a}.",
        "The sign in front of the {a} reads {s}.",
        "Behind the long name {s} hides the {a}.",
    ),
    "person_birth_year": (
        "The life of {s} began in {a}.",
        "The parents of {s} welcomed their baby in {a}.",
        "A family Bible records the arrival of {s} in {a}.",
    ),
    "person_death_year": (
        "{s} lived until {a}.",
        "Mourners carried {s} to the grave in {a}.",
        "The last chapter on {s} closes with {a}.",
    ),
    "species_latin_name": (
        "The label under the {s} reads {a}.",
        "Scientists list the {s} as {a}.",
        "In the catalogue, the {s} is entered under {a}.",
    ),
    "state_year": (
        "{s} joined the Union in {a}.",
        "The Union took in {s} in {a}.",
        "A new star on the flag stood for {s} from {a} on.",
    ),
    "uscity_state": (
        "The people of {s} elect the governor of {a}.",
        "On a map of {a} one finds {s}.",
        "{s} lies within {a}.",
    ),
}
"""Sentences for a fact: {s} is the subject, {a} the answer. A passage takes its sentences from them in turn."""

ARTICLE_IN_WORDING = frozenset({"latin_species_name", "species_latin_name"})
"""Relations whose sentences bring the article themselves."""


def passages(seed: int = SEED) -> list[dict[str, Any]]:
    """Rows in the order of the relations; the passage stands before the question in two rows of three."""
    rng = random.Random(seed)
    facts = [fact for split in ("test_id", "test_ood") for fact in load(split)]
    with_article = frozenset(fact.subject or "" for fact in facts if f"the {fact.subject}" in fact.question)
    rows: list[dict[str, Any]] = []
    for relation, wordings in WORDINGS.items():
        known = [fact for fact in facts if fact.relation == relation]
        rare = sorted(known, key=lambda fact: fact.popularity or 0)[: max(len(known) // 2, PER_RELATION)]
        for count, fact in enumerate(rng.sample(rare, PER_RELATION)):
            told = [fact, *_others(fact, known, 1 + count % 3, rng)]
            rng.shuffle(told)
            first = rng.randrange(len(wordings))
            sentences = [
                _sentence(wordings[(first + i) % len(wordings)], one, with_article) for i, one in enumerate(told)
            ]
            rows.append(
                {
                    "id": f"passage-{relation}-{count + 1}",
                    "relation": relation,
                    "fact": fact.id,
                    "passage": " ".join(sentences),
                    "question": fact.question,
                    "answers": list(fact.answers),
                    "place": "after" if len(rows) % 3 == 2 else "before",
                }
            )
    return rows


def _others(fact: Question, known: list[Question], n: int, rng: random.Random) -> list[Question]:
    """``n`` facts of the relation with other subjects and other answers."""
    found: list[Question] = []
    for other in rng.sample(known, len(known)):
        taken = [fact, *found]
        if all(other.subject != one.subject and not is_correct(other.answers[0], one) for one in taken):
            found.append(other)
            if len(found) == n:
                return found
    raise ValueError(f"Too few facts beside {fact.id}.")


def _sentence(wording: str, fact: Question, with_article: frozenset[str]) -> str:
    subject, answer = fact.subject or "", fact.answers[0]
    if fact.relation in ARTICLE_IN_WORDING:
        text = wording.format(s=subject, a=answer)
    else:
        text = wording.format(
            s=f"the {subject}" if f"the {subject}" in fact.question else subject,
            a=f"the {answer}" if answer in with_article else answer,
        )
    return text[0].upper() + text[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in passages()]
    arguments.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
