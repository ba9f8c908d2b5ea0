"""What methods have in common: taking the first n of a ranking, and how many n is."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.records import KnowledgeState, Label

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many known and unknown questions are trained on."""

    n_ik: int
    n_idk: int


def with_label(states: Sequence[KnowledgeState], label: Label) -> list[KnowledgeState]:
    """The states of one label, in their order."""
    return [state for state in states if state.label == label]


def sample_ids(states: Sequence[KnowledgeState], n: int | None, seed: int) -> list[str]:
    """n random ids, all of them by default or when there are no more, sorted; the order of ``states`` is irrelevant."""
    ids = sorted(state.id for state in states)
    return ids if n is None or n >= len(ids) else sorted(random.Random(seed).sample(ids, n))


def counts(config: SelectionConfig, n_known: int, n_unknown: int) -> Counts:
    """The counts asked for; by default all known questions, and as many unknown ones.

    Raises KnowledgeError when more are asked for than there are.
    """
    for key, asked, there in (("n_ik", config.n_ik, n_known), ("n_idk", config.n_idk, n_unknown)):
        if asked is not None and asked > there:
            raise KnowledgeError(
                f"selection.{key} = {asked}: the training set has only {there} such questions; "
                "lower it, or add training questions"
            )
    n_ik = config.n_ik or n_known
    return Counts(n_ik=n_ik, n_idk=config.n_idk or min(n_ik, n_unknown))


def most_correct(states: Sequence[KnowledgeState], n: int) -> list[KnowledgeState]:
    """The n states of highest correctness; ties by higher certainty, then by id."""
    return sorted(states, key=lambda s: (-s.correctness, -(s.certainty if s.certainty is not None else -1e9), s.id))[:n]
