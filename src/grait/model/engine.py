"""The inference engine as the pipeline uses it, and no more: tokens in, tokens and log-probabilities out.

``model/inference.py`` does it with transformers, ``model/vllm_engine.py`` with vLLM. What holds for all of them stands
in ``Engine``, and ``tests/model/test_engine_contract.py`` states it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from grait.errors import ModelError

Tokens = Sequence[int]
"""Token ids of one text."""

Road = Literal["shared prefix", "copied prefix", "no sharing"]
"""How examples run that begin with the same tokens, the fastest road first (``model/roads.py``).

Those tokens run once, and all rows attend to them in one product (``shared_prefix``); or every row gets a copy of their
keys and values; or every row runs by itself.
"""

Advance = Callable[[int], None]
"""Is told of finished prompts."""


def silent(_: int) -> None:
    """An ``Advance`` that tells nobody."""


@dataclass(frozen=True, slots=True)
class BothWays:
    """A model's greedy answers to one prompt, free and without a certain beginning, beside a given completion.

    ``answer``: free. ``suppressed``: may not begin with the completion's first token; the same where ``answer`` begins
    with another one anyway. ``completion_logprobs``: of every token of the completion. ``suppressed_logprobs``: of
    every token of ``suppressed``, and of the end token where it ended by itself; at least one. All are of the model's
    own distribution, which knows nothing of the suppression: so the first entries compare the completion's first token
    with the most probable other one.
    """

    answer: list[int]
    suppressed: list[int]
    completion_logprobs: list[float]
    suppressed_logprobs: list[float]


class Watch(Protocol):
    """Follows the answers of ``InferenceEngine.answers_both_ways`` while they are decoded, and may end them.

    ``prompt``: its place. ``sample``: 0 for the free answer, which is both where it begins otherwise than the
    completion; 1 for the suppressed one.
    """

    def begun(self, prompt: int, completion_logprobs: list[float], is_both: bool) -> None:
        """Before the first token. ``is_both``: there will be no sample 1."""

    def goes_on(self, prompt: int, sample: int, token_ids: list[int], logprobs: list[float], has_ended: bool) -> bool:
        """After each token, with all so far: whether more are needed. ``logprobs``: with an end token's."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A ``Watch`` of the rows of one batch. ``prompts``: the place of each row's prompt."""

    watch: Watch
    prompts: Sequence[int]

    def begun(self, completion_logprobs: Sequence[list[float]], begin_so: Sequence[bool]) -> None:
        """``begin_so``: whether the free answer of a row begins as its completion does."""
        for prompt, logprobs, both in zip(self.prompts, completion_logprobs, begin_so, strict=True):
            self.watch.begun(prompt, logprobs, not both)

    def goes_on(self, row: int, sample: int, token_ids: list[int], logprobs: list[float], has_ended: bool) -> bool:
        return self.watch.goes_on(self.prompts[row], sample, token_ids, logprobs, has_ended)


class Engine(Protocol):
    """One model, with or without an adapter, ready to be asked many prompts (token ids) at once.

    Results are in the order of the prompts. An answer ends before the first token of ``end_token_ids``, which is not
    part of it, or after ``max_new_tokens``. Log-probabilities are in nats, of the model's own distribution, without
    temperature. Raises ModelError when a prompt with its answer is longer than ``longest``.
    """

    @property
    def longest(self) -> int:
        """Most tokens of prompt and answer together that the model attends to."""

    def generate(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[str],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        seed: int = 0,
        advance: Advance = silent,
    ) -> list[list[list[int]]]:
        """``n`` answers of each prompt: [prompt][sample][token]. ``temperature`` 0 is greedy and needs ``n`` = 1.
        Samples depend on ``seed`` and the prompt's own key only (up to rounding), not on the other prompts."""

    def completion_logprobs(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]], *, advance: Advance = silent
    ) -> list[list[list[float]]]:
        """Log-probability of every token of every completion: [prompt][completion][token]."""

    def answers_both_ways(
        self,
        prompts: Sequence[Tokens],
        completions: Sequence[Tokens],
        *,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        advance: Advance = silent,
    ) -> list[BothWays]:
        """The greedy answer to each prompt, and the one that does not begin as the given completion of it does."""


def check_length(length: int, longest: int) -> None:
    """Raise ModelError when a prompt with its answer is longer than the model attends to."""
    if length > longest:
        raise ModelError(
            f"{length} tokens of prompt and answer exceed the {longest} that the model attends to; "
            "shorten the questions, n_shots or max_new_tokens"
        )
