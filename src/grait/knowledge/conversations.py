"""What the initial model says in a user's own conversations, and how likely the key of the given answer is there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from grait.config import KnowledgeConfig
from grait.model.answers import Shown, by_form
from grait.model.engine import Advance, Engine
from grait.model.prompts import Prompt, PromptFormat
from grait.records import Question


@dataclass(frozen=True, slots=True)
class Samples:
    """The model's own answers, as text."""

    id: str
    outputs: list[str]


@dataclass(frozen=True, slots=True)
class KeyLikelihood:
    """``logprobs``: of the key's tokens, in nats, after the conversation and what stands before the key."""

    id: str
    logprobs: list[float]

    @property
    def probability(self) -> float:
        """That the model goes on with the key, in [0, 1]."""
        return math.exp(sum(self.logprobs))


@dataclass(frozen=True)
class GivenAnswer(Shown):
    """``start``, ``end``: of the key in ``answer``."""

    answer: str
    start: int
    end: int


@dataclass(frozen=True)
class InConversation(PromptFormat):
    """Prompts in which each question is asked in its own conversation. ``own``: by question id."""

    own: Mapping[str, Prompt] = field(default_factory=dict)

    @classmethod
    def of(cls, prompts: PromptFormat, own: Mapping[str, Prompt]) -> "InConversation":
        return cls(**{part.name: getattr(prompts, part.name) for part in fields(PromptFormat)}, own=own)

    def query(self, question: Question) -> Prompt:
        return self.own[question.id]

    def by_shots(self, questions: Sequence[Question]) -> list[list[Question]]:
        parts = [[row for row in questions if self.own[row.id].is_chat == is_chat] for is_chat in (True, False)]
        return [part for part in parts if part]


def own_samples(
    engine: Engine,
    prompts: PromptFormat,
    asked: Sequence[Shown],
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
) -> list[Samples]:
    """``config.n_samples`` answers to each conversation, in their order."""
    found: dict[str, list[str]] = {}
    for part in by_form(asked):
        answers = engine.generate(
            [row.prompt.token_ids for row in part],
            [row.id for row in part],
            n=config.n_samples,
            temperature=config.found_temperature,
            max_new_tokens=config.max_new_tokens,
            end_token_ids=prompts.end_token_ids(part[0].prompt.is_chat),
            seed=seed,
            advance=advance,
        )
        found |= {row.id: [prompts.decode(tokens) for tokens in own] for row, own in zip(part, answers, strict=True)}
    return [Samples(row.id, found[row.id]) for row in asked]


def key_likelihoods(
    engine: Engine, prompts: PromptFormat, given: Sequence[GivenAnswer], *, advance: Advance
) -> list[KeyLikelihood]:
    """The log-probabilities of each answer's key, in their order. A token that holds the key's first letters and what
    stands before them counts as one of the key's."""
    completions, places = [], []
    for row in given:
        tokens = prompts.completion(row.prompt, row.answer).token_ids
        start, end = (
            _n_shared(tokens, prompts.completion(row.prompt, row.answer[:place].rstrip()).token_ids[:-1])
            for place in (row.start, row.end)
        )
        completions.append([tokens[: max(end, start + 1)]])
        places.append(start)
    logprobs = engine.completion_logprobs([row.prompt.token_ids for row in given], completions, advance=advance)
    return [KeyLikelihood(row.id, own[start:]) for row, (own,), start in zip(given, logprobs, places, strict=True)]


def _n_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens both have."""
    return next(
        (n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )
