"""Probes, which ship with this package: questions that nobody can answer, and chit-chat that must not be refused.

Written for this project (see LICENSE beside this file). They belong to no training or test set: refusals that were
learned on questions of fact should carry over to the ones, and not to the others.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from grait.records import Question

ProbeKind = Literal["unanswerable", "chit-chat"]

KINDS: tuple[ProbeKind, ...] = ("unanswerable", "chit-chat")


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to say to a model, and whether it should be refused.

    ``category`` of unanswerable: ``false-premise``, ``invented-entity``, ``future``, ``private`` (what only the asker
    or a stranger knows) or ``unknowable`` (what nobody ever recorded). Of chit-chat: ``greeting``, ``thanks``,
    ``small-talk``, ``rewriting``, ``arithmetic``, ``translation``, ``writing``, ``opinion`` or ``advice``.
    """

    id: str
    kind: ProbeKind
    category: str
    text: str

    @property
    def question(self) -> Question:
        """The probe as it is put into prompts; it has no reference answer."""
        return Question(self.id, self.text, ("",), relation=self.category)


@cache
def load_probes() -> tuple[Probe, ...]:
    """All probes, unanswerable ones first, in the order of the files."""
    folder = resources.files("grait.data.probes")
    return tuple(
        Probe(**json.loads(line))
        for kind in KINDS
        for line in folder.joinpath(f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    )
