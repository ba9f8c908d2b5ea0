"""One question with its answers, before cleaning, distractors and splits."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Match = Literal["normalized", "exact"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact as a question.

    ``entity``: the real-world thing asked about, ``kind:key``; all facts of one entity share a split.
    ``answers``: canonical answer first, then aliases.
    ``fame``: any number that grows with how well known the subject is; only its rank is shipped. None: no measure.
    ``match``: ``exact`` for codes and bare numbers, which are words of nearly every reply; see ``grait.records``.
    ``pool``: distractors come from facts of the same relation and pool while there are enough of them.
    """

    relation: str
    subject: str
    entity: str
    question: str
    answers: tuple[str, ...]
    source: str
    fame: float | None = None
    match: Match = "normalized"
    pool: str = ""

    @property
    def id(self) -> str:
        """Stable as long as relation and wording stay."""
        return f"wf-{self.relation}-{hashlib.sha1(f'{self.relation}|{self.question}'.encode()).hexdigest()[:10]}"


def lot(*parts: str) -> str:
    """A fixed lot for sorting: looks random, is the same on every machine."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
