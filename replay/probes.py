"""Build the probes whose answer stands in a passage: ``python -m replay.probes --out src/grait/data/probes/passages.jsonl``.

A fact from the test splits of WorldFacts is put into words beside facts of the same relation about other subjects, so
the answer has to be found, and cannot be told from the kind of thing alone.
"""

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

from grait.data.worldfacts import load
from grait.judging.matching import is_correct
from grait.records import Question

SEED = 7
PER_RELATION = 8
OTHERS = 2
MAX_POPULARITY = 0.75

# {s}: subject, {a}: answer. The first sentence opens a passage, the second follows.
WORDINGS: dict[str, tuple[str, str]] = {
    "airport_city": ("On luggage labels, {s} means the airport of {a}.", "Bags marked {s} are sent to {a}."),
    "area_code_state": ("Someone who dials {s} first reaches a telephone in {a}.", "Numbers in {a} can start with {s}."),
    "battle_year": ("A chronicle places {s} in {a}.", "For {s} it gives {a}."),
    "calling_code_country": ("Calls that start with {s} go to {a}.", "Behind {s} one finds {a}."),
    "country_anthem": ('When {s} wins, the band plays "{a}".', 'For {s} the sheet music says "{a}".'),
    "country_highest_point": ("No place in {s} lies higher than {a}.", "Climbers who visit {s} aim for {a}."),
    "country_national_day": ("In {s} people have their national holiday on {a}.", "In {s} the flags come out on {a}."),
    "element_discoverer": ("We owe the discovery of {s} to {a}.", "The credit for {s} goes to {a}."),
    "element_year": ("Chemists have known {s} since {a}.", "They have known {s} since {a}."),
    "feature_country": ("Travellers who want to see {s} have to go to {a}.", "To see {s}, one travels to {a}."),
    "latin_species_name": ("Botanists and zoologists write {s} where others say {a}.", "They write {s} for the {a}."),
    "species_latin_name": ("The label under the {s} reads {a}.", "Under the {s} stands {a}."),
    "person_birth_year": ("{s} came into the world in {a}.", "The life of {s} began in {a}."),
    "person_death_year": ("The grave of {s} bears the year {a}.", "{s} lived until {a}."),
    "state_year": ("{s} joined the Union in {a}.", "The Union took in {s} in {a}."),
    "uscity_state": ("The road sign says that {s} belongs to {a}.", "People from {s} vote in {a}."),
}


def _question(question: Question) -> str:
    return question.question


def passages(seed: int = SEED) -> list[dict[str, Any]]:
    """Rows in the order of the relations; the passage stands before the question in two rows of three."""
    rng = random.Random(seed)
    facts = [fact for split in ("test_id", "test_ood") for fact in load(split)]
    rows = []
    for relation, (opening, following) in WORDINGS.items():
        known = [fact for fact in facts if fact.relation == relation]
        rare = [fact for fact in known if fact.popularity is None or fact.popularity <= MAX_POPULARITY]
        count = 0
        for fact in rng.sample(rare, len(rare)):
            others = _others(fact, known, rng)
            if count == PER_RELATION or len(others) < OTHERS:
                continue
            told = [fact, *others]
            rng.shuffle(told)
            text = " ".join((following if i else opening).format(s=_subject(f), a=f.answers[0]) for i, f in enumerate(told))
            count += 1
            rows.append(
                {
                    "id": f"passage-{relation}-{count}",
                    "relation": relation,
                    "fact": fact.id,
                    "passage": text[0].upper() + text[1:],
                    "question": fact.question,
                    "answers": list(fact.answers),
                    "place": "after" if len(rows) % 3 == 2 else "before",
                }
            )
    return rows


def _others(fact: Question, known: list[Question], rng: random.Random) -> list[Question]:
    """Facts of the relation with another subject and another answer."""
    found: list[Question] = []
    for other in rng.sample(known, len(known)):
        if len(found) == OTHERS:
            break
        if other.subject != fact.subject and not is_correct(other.answers[0], fact):
            if all(other.answers[0] != one.answers[0] for one in found):
                found.append(other)
    return found


def _subject(fact: Question) -> str:
    """The subject as the question words it, with its article."""
    subject = fact.subject or ""
    found = re.search(rf"\bthe {re.escape(subject)}", fact.question)
    return f"the {subject}" if found and fact.relation in {"country_anthem", "country_highest_point", "country_national_day", "feature_country"} else subject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in passages()]
    arguments.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
