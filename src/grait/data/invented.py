"""Questions about names that do not exist, made of the relations of WorldFacts: nobody can answer them.

As in HalluLens (arXiv 2504.17550), an answer to one is made up, whatever it says: no judge is needed. The names are
built of syllables from a fixed seed. No invented word stands anywhere in WorldFacts.
"""

import random
import re
from collections import Counter
from functools import cache

from grait.data import worldfacts
from grait.data.sources import shuffled
from grait.records import Question

PER_RELATION = 12

RELATIONS = {
    "animal_class": "creature", "battle_year": "battle", "city_country": "place", "compound_formula": "compound",
    "country_capital": "country", "country_currency": "country", "country_highest_point": "country",
    "country_independence_year": "country", "country_largest_city": "country", "element_discoverer": "element",
    "element_symbol": "element", "language_extension": "program", "language_script": "language",
    "person_birth_year": "person", "person_death_year": "person", "person_nationality": "person",
    "person_occupation": "person", "species_latin_name": "creature", "uscity_state": "place",
}  # fmt: skip
"""Relations that are asked, with what their subjects are."""

_NAMES = {
    "battle": ("the Battle of {Word}", "feld mouth stein ova ack"),
    "compound": ("{word}", "idine azole amide enone oxide"),
    "country": ("{Word}", "ia istan ora land ania"),
    "creature": ("{given} {word}", "ok ard il et ow in"),
    "element": ("{word}", "ium"),
    "language": ("{Word}", "ese ish i aic an"),
    "person": ("{given} {Word}", "ov ini sen well ard escu"),
    "place": ("{Word}", "ton burg mere vale ona stad"),
    "program": ("{Word}", "ix a script on ell"),
}
"""Names of each kind, and the ends of their invented word."""

_GIVEN = {
    "creature": "crested lesser marsh painted spotted striped".split(),
    "person": "Anna Elena Felix Henrik Irene Marta Oscar Peter Stefan Victor".split(),
}
_ONSETS = "b br d dr f g gr h j k kl l m n p pr r s st t tr v vr w z".split()
_SHORTEST = 9
"""Letters of an invented word: shorter ones may well be somebody's name."""

_VOWELS, _CODAS = "aeiou", ["", "", "", "l", "n", "r", "s"]


@cache
def load() -> tuple[Question, ...]:
    """The questions, ``PER_RELATION`` of each relation, in a fixed mixed order; always the same."""
    rows = [question for split in worldfacts.SPLITS for question in worldfacts.load(split)]
    taken = {word for row in rows for text in (row.question, row.subject or "", *row.answers) for word in words(text)}
    found = []
    for relation, kind in RELATIONS.items():
        template = _template([row for row in rows if row.relation == relation])
        draws = random.Random(f"invented|{relation}")
        for number in range(PER_RELATION):
            name = _name(kind, draws, taken)
            id_, asked = f"invented/{relation}/{number}", template.format(name)
            found.append(Question(id_, asked, (), relation=relation, subject=name, answerable=False))
    return tuple(shuffled(found))


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"\w+", text.casefold())


def _template(rows: list[Question]) -> str:
    """The most frequent words of a relation's questions, with {} for the subject."""
    texts = [row.question.replace(row.subject, "{}") for row in rows if row.subject and row.subject in row.question]
    return Counter(texts).most_common(1)[0][0]


def _name(kind: str, draws: random.Random, taken: set[str]) -> str:
    """A name with an invented word that is not ``taken``; it is then."""
    pattern, ends = _NAMES[kind]
    while True:
        stem = "".join(draws.choice(_ONSETS) + draws.choice(_VOWELS) + draws.choice(_CODAS) for _ in range(2))
        joint = draws.choice(_ONSETS) if stem[-1] in _VOWELS else ""
        word = stem + joint + draws.choice(ends.split())
        if len(word) >= _SHORTEST and word not in taken:
            taken.add(word)
            return pattern.format(word=word, Word=word.capitalize(), given=draws.choice(_GIVEN.get(kind, [""])))
