"""What may not stand in the replay prompts: any probe, nor anything that reads almost like one."""

import re
from collections import defaultdict
from collections.abc import Iterable

LIMIT = 0.6
"""Two texts are too much alike above this share of common word triples (Jaccard)."""


def normalised(text: str) -> str:
    """Lower case, words only, every number the same."""
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"\d+", "0", text.lower())))


def triples(text: str) -> frozenset[tuple[str, ...]]:
    """All runs of three words; of a shorter text, all its words as one run."""
    words = normalised(text).split()
    return frozenset(tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2)))


class Forbidden:
    """Texts that must not be met again."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(dict.fromkeys(texts))
        self._exact = {normalised(text): text for text in self._texts}
        self._sets = [triples(text) for text in self._texts]
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, parts in enumerate(self._sets):
            for part in parts:
                self._holders[part].append(place)

    def found(self, text: str) -> str | None:
        """The forbidden text that ``text`` repeats, word for word or nearly."""
        if same := self._exact.get(normalised(text)):
            return same
        mine = triples(text)
        for place in {place for part in mine for place in self._holders[part]}:
            theirs = self._sets[place]
            if len(mine & theirs) / len(mine | theirs) > LIMIT:
                return self._texts[place]
        return None
