"""Common to all methods: the evidence that they see, how many questions they take, and ways to take them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.records import InfluenceScore, KnowledgeState, Label, Selected


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a method may know about the training questions.

    ``states``: what the initial model knows, in any order; no method depends on it.
    ``flow``: knowledge flow mu(M~) - mu(M0) by question id, in [-1, 1]; empty when no method of the run needs it.
    ``influence``: scores by question id; likewise. An id that is missing from either was not computed.
    ``answerless``: ids of questions that no answer can be taught of; their text does not hold it (``methods.policy``).
    """

    states: Sequence[KnowledgeState]
    flow: Mapping[str, float]
    influence: Mapping[str, InfluenceScore]
    answerless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many known and unknown questions are trained on."""

    n_ik: int
    n_idk: int


def with_label(states: Sequence[KnowledgeState], label: Label) -> list[KnowledgeState]:
    """The states of one label, in their order."""
    return [state for state in states if state.label == label]


def by_question(selected: Sequence[Selected]) -> dict[str, Selected]:
    """One row for each id: of an unknown question that teaches both its answer and the refusal, the refusal."""
    return {row.id: row for row in selected if row.target != "refusal"} | {
        row.id: row for row in selected if row.target == "refusal"
    }


def sample_ids(states: Sequence[KnowledgeState], n: int | None, seed: int) -> list[str]:
    """n random ids, all of them by default or when there are no more, sorted; the order of ``states`` is irrelevant."""
    ids = sorted(state.id for state in states)
    return ids if n is None or n >= len(ids) else sorted(random.Random(seed).sample(ids, n))


def counts(config: SelectionConfig, n_known: int, n_unknown: int) -> Counts:
    """The counts asked for; by default all known questions, and as many unknown ones (fewer if there are fewer).

    Raises KnowledgeError when more are asked for than there are, or when a side is empty.
    """
    if not n_known or not n_unknown:
        raise KnowledgeError(
            f"selection: expected known and unknown questions, found {n_known} known (ik) and {n_unknown} unknown "
            "(idk) that can be chosen; add training questions, or move knowledge.correctness_threshold"
        )
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


def by_certainty(states: Sequence[KnowledgeState], seed: int) -> list[KnowledgeState]:
    """All states, least certain first; without a certainty (hardly any sample answers) is least certain of all.

    Ties are in random order by the seed, not by id: a share of ten samples takes few values, and ids often begin with
    the subject of the question, so that an order by id would take whole subjects and leave others out.
    """
    shuffled = sorted(states, key=lambda state: state.id)
    random.Random(seed).shuffle(shuffled)
    return sorted(shuffled, key=lambda state: float("-inf") if state.certainty is None else state.certainty)


def sides(evidence: Evidence, config: SelectionConfig) -> tuple[list[KnowledgeState], list[KnowledgeState], Counts]:
    """All known and all unknown questions, and how many of each are taken. Raises as ``counts`` does."""
    known, unknown = with_label(evidence.states, "ik"), with_label(evidence.states, "idk")
    return known, unknown, counts(config, len(known), len(unknown))


def random_sides(evidence: Evidence, config: SelectionConfig, seed: int) -> tuple[list[str], list[str]]:
    """Ids of random known and of random unknown questions, without replacement, as many as ``counts`` says."""
    known, unknown, size = sides(evidence, config)
    generator = random.Random(seed)
    return (
        generator.sample(sorted(state.id for state in known), size.n_ik),
        generator.sample(sorted(state.id for state in unknown), size.n_idk),
    )


def answers_and_refusals(
    known: Sequence[str], unknown: Sequence[str], weights: Sequence[float] | None = None
) -> list[Selected]:
    """Answers of the known questions, weight 1, then refusals of the unknown ones, with ``weights`` or 1."""
    refusals = zip(unknown, weights or [1.0] * len(unknown), strict=True)
    return [
        *(Selected(question_id, "ik", 1.0, "answer") for question_id in known),
        *(Selected(question_id, "idk", weight, "refusal") for question_id, weight in refusals),
    ]
