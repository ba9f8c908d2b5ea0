"""What a plan is made of, and what is assumed of questions; docs/configs.md explains each assumption."""

import math
from dataclasses import dataclass, field

from grait.config import Config
from grait.plan.size import ModelSize

CHARACTERS_PER_TOKEN = 4.0
"""Of English text in the tokenizers of current models."""

QUERY_FRAME = 15
"""Tokens around the question of a knowledge query. Its shots are left out: they run once for all questions."""

PROMPT_FRAME = 50
"""Tokens around the question of a prompt without shots: instruction, leave to refuse, chat template."""

ANSWER_TOKENS = 6
"""Of a reference answer or a refusal, end token included."""

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


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """One set of questions. ``characters``, ``longest``: mean and most characters of a question with its options."""

    title: str
    source: str
    count: Count
    has_options: bool
    characters: float
    longest: int
    is_local: bool

    @property
    def query_tokens(self) -> float:
        """Of a knowledge query, without its shots."""
        return QUERY_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def prompt_tokens(self) -> float:
        """Of a prompt without shots."""
        return PROMPT_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def longest_example(self) -> int:
        """Tokens of the longest prompt with its completion."""
        return math.ceil(PROMPT_FRAME + self.longest / CHARACTERS_PER_TOKEN) + ANSWER_TOKENS


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens through the model. ``*_positions``: those of them that the head runs at.

    ``prompt_tokens``: many at once, without gradients; ``decoded_tokens``: one after the other, in ``decode_steps``
    steps of many sequences, each step reading all weights; ``trained_tokens``: forward and backward.
    """

    prompt_tokens: float = 0
    prompt_positions: float = 0
    decoded_tokens: float = 0
    decode_steps: float = 0
    trained_tokens: float = 0
    trained_positions: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.prompt_tokens + other.prompt_tokens,
            self.prompt_positions + other.prompt_positions,
            self.decoded_tokens + other.decoded_tokens,
            self.decode_steps + other.decode_steps,
            self.trained_tokens + other.trained_tokens,
            self.trained_positions + other.trained_positions,
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

    @property
    def per_n(self) -> int:
        """How many of ``per`` the work is for."""
        return PER


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one stage needs at once, by part."""

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """``size`` None: see ``size_unknown`` for why, and what to do. ``disk``: bytes in the run folder, by part."""

    config: Config
    size: ModelSize | None
    size_unknown: str
    sets: tuple[QuestionSet, ...]
    stages: tuple[StagePlan, ...]
    memory: tuple[Memory, ...] = ()
    disk: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
