"""Questions that are nearly the same one: candidates by MinHash (datasketch), then what they really share."""

import importlib.util
from collections.abc import Iterable

from grait.data.wording import Wording
from grait.errors import ConfigError

N_CHARACTERS = 5
"""Of the runs of characters that are compared."""

N_HASHES = 128


class Near:
    """Wordings among which the most alike one is found. ``at_least``: the shared part of all runs (Jaccard).

    ConfigError where the package is not installed.
    """

    def __init__(self, wordings: Iterable[Wording], at_least: float):
        if importlib.util.find_spec("datasketch") is None:
            raise ConfigError("near_duplicates: needs datasketch: pip install 'grait[near-duplicates]'")
        from datasketch import MinHashLSH

        self.at_least = at_least
        self._index = MinHashLSH(threshold=at_least, num_perm=N_HASHES, weights=(0.1, 0.9))
        with self._index.insertion_session() as session:
            for words in wordings:
                session.insert(words, _hashes(words), check_duplication=False)

    def nearest(self, words: Wording) -> Wording | None:
        """The most alike of the others; None where none is alike enough."""
        own = _runs(words)
        shares = {other: _shared(own, _runs(other)) for other in self._index.query(_hashes(words)) if other != words}
        found = max(sorted(shares), key=lambda other: shares[other], default=None)
        return found if found is not None and shares[found] >= self.at_least else None


def _runs(words: Wording) -> set[str]:
    text = "\n".join(words)
    return {text[place : place + N_CHARACTERS] for place in range(max(1, len(text) - N_CHARACTERS + 1))}


def _shared(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _hashes(words: Wording):  # type: ignore[no-untyped-def]
    from datasketch import MinHash

    found = MinHash(num_perm=N_HASHES)
    found.update_batch([run.encode() for run in _runs(words)])
    return found
