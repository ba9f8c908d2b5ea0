"""Probes, which ship with this package: questions that nobody can answer, and what must not be refused.

Written for this project (see LICENSE beside this file). They belong to no training set: refusals that were learned on
questions of fact should carry over to unanswerable questions, and not to chit-chat, ordinary instructions, questions
whose answer stands in a given passage, or the turn after a refusal.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeVar

from pydantic import TypeAdapter

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


@dataclass(frozen=True, slots=True)
class Instruction:
    """An ordinary request. ``category`` is one of the kinds of the replay prompts."""

    id: str
    category: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A question whose answer stands in the passage; ``fact`` is the id of the WorldFacts question that it asks."""

    id: str
    relation: str
    fact: str
    passage: str
    question: str
    answers: tuple[str, ...]
    place: Literal["before", "after"]

    @property
    def text(self) -> str:
        """Passage and question; ``place`` is where the passage stands."""
        parts = (self.passage, self.question) if self.place == "before" else (self.question, self.passage)
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A history that ends with the assistant's turn, for something to be said after it.

    ``category``: what the last two turns are: ``greeting``, ``instruction`` or ``refusal``.
    """

    id: str
    category: str
    messages: tuple[dict[str, str], ...]


def load_probes() -> tuple[Probe, ...]:
    """All unanswerable and chit-chat probes, unanswerable ones first, in the order of the files."""
    return _load(Probe, *KINDS)


def load_instructions() -> tuple[Instruction, ...]:
    """Ordinary requests, in the order of the file."""
    return _load(Instruction, "instructions")


def load_passages() -> tuple[Passage, ...]:
    """Questions about a given passage, in the order of the file."""
    return _load(Passage, "passages")


def load_conversations() -> tuple[Conversation, ...]:
    """Histories, in the order of the file."""
    return _load(Conversation, "conversations")


Row = TypeVar("Row")


@cache
def _load(kind: type[Row], *files: str) -> tuple[Row, ...]:
    folder, row = resources.files("grait.data.probes"), TypeAdapter(kind)
    texts = (folder.joinpath(f"{file}.jsonl").read_text(encoding="utf-8") for file in files)
    return tuple(row.validate_json(line) for text in texts for line in text.splitlines())
