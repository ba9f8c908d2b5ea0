"""What a stage costs, before it runs: counts, tokens, and what is assumed of questions that were not read.

Each stage declares its ``StagePlan`` beside its function; docs/configs.md explains the assumptions.
"""

import math
from collections.abc import Collection
from dataclasses import astuple, dataclass, replace

from grait.config import Config
from grait.records import Question

CHARACTERS_PER_TOKEN = 4.0
"""English text in the tokenizers of current models."""

QUERY_FRAME = 15
"""Tokens around the question of a knowledge query. Its shots are left out: they run once for all questions."""

PROMPT_FRAME = 50
"""Tokens around the question of a prompt without shots: instruction, leave to refuse, chat template."""

ANSWER_TOKENS = 6
"""Tokens of a reference answer or a refusal, end token included."""

FORWARD_AND_BACKWARD = 3
"""Passes forward that one forward and backward launches as much as."""

PER = 1000
"""Examples that the work of a stage is given for when their number is unknown."""


@dataclass(frozen=True, slots=True)
class Count:
    """``n`` None: unknown until the data is read. Not ``is_exact``: at most n."""

    n: int | None
    is_exact: bool = True

    @property
    def or_per(self) -> int:
        """n, or ``PER`` where it is unknown."""
        return PER if self.n is None else self.n

    def times(self, factor: int) -> "Count":
        """So many of each."""
        return Count(None if self.n is None else self.n * factor, self.is_exact)

    def at_most(self, limit: int | None = None) -> "Count":
        """An upper bound: this many, or ``limit`` where that is less or this is unknown."""
        bounds = [bound for bound in (self.n, limit) if bound is not None]
        return Count(min(bounds) if bounds else None, is_exact=False)

    def per(self, what: str) -> str | None:
        """``StagePlan.per`` of work for so many: None where the number is known."""
        return None if self.n is not None else what


@dataclass(frozen=True, slots=True)
class SetSize:
    """How many questions a set has, and how long they are. ``characters``, ``longest``: mean and most characters of a
    question with its options and texts."""

    title: str
    source: str
    count: Count
    has_options: bool
    characters: float
    longest: int
    is_local: bool

    @classmethod
    def counted(cls, title: str, source: str, questions: Collection[Question]) -> "SetSize":
        """The size of questions that are at hand; at least one."""
        lengths = [
            len(question.question) + sum(len(more) + 4 for more in (*question.choices, *question.context))
            for question in questions
        ]
        return cls(
            title=title,
            source=source,
            count=Count(len(questions)),
            has_options=any(question.choices for question in questions),
            characters=sum(lengths) / len(lengths),
            longest=max(lengths),
            is_local=True,
        )

    def first(self, n: int) -> "SetSize":
        """Its first n questions, or all where there are fewer, taken to be as long as all of them."""
        own = self.count
        limited = Count(None, is_exact=False).at_most(n) if own.n is None else Count(min(own.n, n), own.is_exact)
        return replace(self, count=limited)

    @property
    def query_tokens(self) -> float:
        """Tokens of a knowledge query, without its shots."""
        return QUERY_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def prompt_tokens(self) -> float:
        """Tokens of a prompt without shots."""
        return PROMPT_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def longest_example(self) -> int:
        """Tokens of the longest prompt with its completion."""
        return math.ceil(PROMPT_FRAME + self.longest / CHARACTERS_PER_TOKEN) + ANSWER_TOKENS

    def shots_tokens(self, config: Config) -> float:
        """Tokens of the shots before a prompt that is trained on, each as long as a question of this set."""
        shown = config.prompt.n_shots if config.prompt.shows_examples else 0
        return shown * (self.prompt_tokens + ANSWER_TOKENS)


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens through the model. ``*_positions``: those of them that the head runs at.

    ``passes``: batches that follow each other, as passes forward; decode steps are not among them.
    ``prompt_tokens``: many at once, without gradients; ``decoded_tokens``: one after the other, in ``decode_steps``
    steps of many sequences, each step reading all weights; ``trained_tokens``: forward and backward.
    """

    prompt_tokens: float = 0
    prompt_positions: float = 0
    decoded_tokens: float = 0
    decode_steps: float = 0
    trained_tokens: float = 0
    trained_positions: float = 0
    passes: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(own + more for own, more in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> "Work":
        """So many times this work."""
        return Work(*(factor * part for part in astuple(self)))

    @property
    def tokens(self) -> float:
        """One number to hold works against each other: tokens forward, trained ones three times. Answers are left out:
        before they are given nobody knows how long they are."""
        return self.prompt_tokens + FORWARD_AND_BACKWARD * self.trained_tokens

    @classmethod
    def generating(cls, n: int, prompt: float, new_tokens: int, tokens_per_batch: int, samples: int = 1) -> "Work":
        """The work of n prompts, each with so many samples of the greatest length, in ``InferenceEngine``'s batches."""
        rows = max(1, int(tokens_per_batch // (prompt + 8 * samples)))
        return cls(
            prompt_tokens=n * prompt,
            prompt_positions=n,
            decoded_tokens=n * samples * new_tokens,
            decode_steps=math.ceil(n / rows) * new_tokens,
            passes=math.ceil(n / rows),
        )


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage. ``work``: of all its examples, or of ``PER`` of those ``per`` names when their number is unknown."""

    name: str
    does: str
    examples: Count
    work: Work
    unit: str = "questions"
    samples: Count | None = None
    steps: Count | None = None
    per: str | None = None
