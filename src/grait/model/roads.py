"""Which road a model takes (``engine.Road``): two short examples go down each, and its numbers decide.

A road is right where it gives what plain passes give: one example by itself, without padding, cache or sharing. No
class, flag or config of a model is trusted. The fastest right road is taken; a model without one is refused.

Here: what all checks share, and inference. ``influence/road.py`` has gradients, ``training/road.py`` training.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from grait.errors import ModelError, reason
from grait.model.common_prefix import SHORTEST, cache_of, for_gradients, keys_and_values, shared_length, window_of
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.engine import BothWays, Road
from grait.model.inference import InferenceEngine
from grait.model.limits import limit_of

EXACT = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.03}
"""Difference from plain passes up to which a road is right: root mean square, as a share of that of log-probabilities.

Rounding is a third of it; wrong attention three times as much and more.
"""

OF_NORM = 7
"""Gradients, as a share of their norm, may differ by so many times that; wrong ones differ by half of it and more."""

NOISE = 3
"""A road is also right where its difference is not more than so many times that of the road without sharing."""

LAST = 1.5
"""So many times as much is left to the last road, without sharing: rounding may send a token to another expert."""

COLUMNS = 256
"""Windows up to this are exceeded on purpose, by columns that no row sees: some models count columns, not positions."""

NEW_TOKENS = 2

_WIDER = "a model with more positions (max_position_embeddings)"


@dataclass(frozen=True, slots=True)
class Roads:
    """Those that a model takes. ``gradients``: None where nobody asks for any."""

    inference: Road
    gradients: Road | None
    training: Road

    def __str__(self) -> str:
        gradients = f"; gradients: {self.gradients}" if self.gradients else ""
        return f"inference: {self.inference}{gradients}; training: {self.training}"


@dataclass(frozen=True, slots=True)
class Plain:
    """Losses [examples] and gradients [examples, trainable weights] of ``examples`` by plain passes."""

    examples: list[TokenizedExample]
    losses: Tensor
    gradients: Tensor


def short_examples(model: nn.Module) -> list[TokenizedExample]:
    """Two of random tokens that begin with the same ones, just as many as are worth sharing, and fit into a window. Of
    very different lengths, so that padding shows."""
    generator = random.Random(0)
    longest = max(2, min(8, window_of(model) - SHORTEST - NEW_TOKENS))
    size = model.config.get_text_config(decoder=True).vocab_size  # type: ignore[union-attr, operator]

    def tokens(n: int) -> tuple[int, ...]:
        return tuple(generator.randrange(size // 10, size // 2) for _ in range(n))

    beginning = tokens(SHORTEST)
    return [TokenizedExample(str(n), (*beginning, *tokens(n)), tokens(NEW_TOKENS)) for n in (1, longest)]


def plain_logprobs(model: nn.Module, token_ids: Sequence[int]) -> Tensor:
    """Log-probabilities [tokens, vocabulary] after each token of one text, in fp32 or better."""
    device = next(model.parameters()).device
    logits: Tensor = model(input_ids=torch.tensor([list(token_ids)], device=device), use_cache=False).logits[0]
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def plain_gradients(model: nn.Module, scale: float = 1.0) -> Plain:
    """Of the short examples, over all trainable weights in their order. ``scale``: of the loss, while it runs."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    examples, losses, gradients = short_examples(model), [], []
    with for_gradients(model), torch.enable_grad():
        for example in examples:
            n = len(example.completion_ids)
            logprobs = plain_logprobs(model, (*example.prompt_ids, *example.completion_ids[:-1]))[-n:]
            loss = -logprobs[range(n), list(example.completion_ids)].mean()
            found = torch.autograd.grad(scale * loss, weights, allow_unused=True, materialize_grads=True)
            losses.append(loss.detach())
            gradients.append(torch.cat([part.flatten().float() for part in found]) / scale)
    return Plain(examples, torch.stack(losses), torch.stack(gradients))


def difference(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference as a share of the norm of ``expected``, of what is finite in it. Infinite where ``found``
    alone is not finite."""
    finite = expected.isfinite()
    norm = expected[finite].norm()
    if not bool(norm > 0):
        return 0.0
    return float(((found - expected)[finite].norm() / norm).nan_to_num(nan=torch.inf))


def fastest(model: nn.Module, what: str, roads: Sequence[Road], difference_on: Callable[[Road], float]) -> Road:
    """The first of the roads that is right. Raises ModelError with one line where none is."""
    dtype = next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    found: dict[Road, float] = {}
    problems: dict[Road, str] = {}

    def measured(road: Road) -> float:
        if road not in found:
            try:
                found[road] = difference_on(road)
                problems[road] = f"they are off by {found[road]:.1%}"
            except Exception as error:  # whatever a model raises on a road that is not its own
                found[road], problems[road] = torch.inf, reason(error)
        return found[road]

    exact = EXACT.get(dtype, EXACT[torch.bfloat16])
    for road in roads[:-1]:
        if measured(road) <= exact or measured(road) <= NOISE * measured(roads[-1]) <= NOISE * LAST * exact:
            return road
    if measured(roads[-1]) <= LAST * exact:
        return roads[-1]
    raise ModelError(
        f"{name_of(model)}: not supported: {what} of two short examples, padded into "
        f"one batch, are not those of each by itself ({problems[roads[-1]]}); take another model"
    )


def name_of(model: nn.Module) -> str:
    """Where it was loaded from, or its class."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    return str(inner.config.name_or_path) or type(inner).__name__  # type: ignore[union-attr]


def check_room(model: PreTrainedModel | PeftModel) -> None:
    """Raise ModelError where not even the short examples fit into what the model attends to, by its config."""
    needed = max(example.n_tokens for example in short_examples(model))
    limit = limit_of(model.config.get_text_config(decoder=True))
    if limit.tokens < needed:
        raise ModelError(
            f"{name_of(model)}: it attends to {limit.tokens} tokens"
            f"{f' ({limit.why})' if limit.why else ''}, and two short examples have up to {needed}: no question with "
            f"its answer would fit; take {'another model' if limit.why else _WIDER}"
        )


def inference_road(model: PreTrainedModel | PeftModel, pad_token_id: int) -> Road:
    """The road of ``InferenceEngine``: answers, log-probabilities and losses of the short examples decide."""
    check_room(model)
    with torch.inference_mode():
        try:
            check = _Inference.of(model, pad_token_id)
        except Exception as error:
            raise ModelError(
                f"{name_of(model)}: not supported: it cannot run two short examples: {reason(error)}"
            ) from error
        return fastest(model, "answers", ("shared prefix", "copied prefix", "no sharing"), check.difference_on)


@dataclass(frozen=True)
class _Inference:
    """``examples``: the first one's completion begins as its greedy answer, so that it has two answers."""

    model: PreTrainedModel | PeftModel
    pad_token_id: int
    examples: list[TokenizedExample]
    plain: dict[tuple[int, ...], Tensor]

    @classmethod
    def of(cls, model: PreTrainedModel | PeftModel, pad_token_id: int) -> "_Inference":
        first, second = short_examples(model)
        greedy = int(plain_logprobs(model, first.prompt_ids)[-1].argmax())
        both = TokenizedExample(first.id, first.prompt_ids, (greedy, *first.completion_ids[1:]))
        return cls(model, pad_token_id, [both, second], {})

    def difference_on(self, road: Road) -> float:
        engine = InferenceEngine(self.model, self.pad_token_id, road=road)
        answers = engine.answers_both_ways(
            [example.prompt_ids for example in self.examples],
            [example.completion_ids for example in self.examples],
            max_new_tokens=NEW_TOKENS,
            end_token_ids=frozenset(),
        )
        found, expected = zip(*map(self._compared, self.examples, answers), strict=True)
        differences = [difference(torch.cat(found), torch.cat(expected))]
        if n_shared := shared_length(self.model, self.examples, road):
            differences.append(self._of_losses(n_shared))
        if road != "no sharing" and window_of(self.model) <= COLUMNS:
            differences.append(self._beyond_the_window(engine))
        return max(differences)

    def _beyond_the_window(self, engine: InferenceEngine) -> float:
        """Of one completion, side by side with so many of itself that they fill a window."""
        first = self.examples[0]
        n = window_of(self.model) // (len(first.completion_ids) - 1) + 1
        (found,) = engine.completion_logprobs([first.prompt_ids], [[first.completion_ids] * n])
        return difference(torch.tensor(found), self._of_tokens(first.prompt_ids, first.completion_ids).expand(n, -1))

    def _compared(self, example: TokenizedExample, answers: BothWays) -> tuple[Tensor, Tensor]:
        """Log-probabilities as the engine gave them, and by plain passes; an answer is the mode of each step."""
        completion, prompt = example.completion_ids, example.prompt_ids
        found = [torch.tensor(answers.completion_logprobs), torch.tensor(answers.suppressed_logprobs)]
        expected = [self._of_tokens(prompt, completion), self._of_tokens(prompt, answers.suppressed)]
        for answer in (answers.answer, answers.suppressed):
            logprobs = self._after(prompt, answer).clone()
            if answer[0] != answers.answer[0]:
                logprobs[0, completion[0]] = -torch.inf
            found.append(self._of_tokens(prompt, answer))
            expected.append(logprobs.amax(-1).float().cpu())
        return torch.cat(found), torch.cat(expected)

    def _of_losses(self, n_shared: int) -> float:
        """Of the frozen model behind a copied prefix, as for a teacher."""
        device = next(self.model.parameters()).device
        batch = {name: own.to(device) for name, own in collate(self.examples, self.pad_token_id, n_shared).items()}
        prefix = keys_and_values(self.model, self.examples[0].prompt_ids[:n_shared], device)
        losses = completion_losses(self.model, batch, cache_of(prefix, len(self.examples)))
        plain = [-self._of_tokens(row.prompt_ids, row.completion_ids).mean() for row in self.examples]
        return difference(losses.float().cpu(), torch.stack(plain))

    def _after(self, prompt: Sequence[int], completion: Sequence[int]) -> Tensor:
        """Plain log-probabilities [completion, vocabulary] where each token of the completion is next."""
        token_ids = (*prompt, *completion[:-1])
        if token_ids not in self.plain:
            self.plain[token_ids] = plain_logprobs(self.model, token_ids)[-len(completion) :]
        return self.plain[token_ids]

    def _of_tokens(self, prompt: Sequence[int], completion: Sequence[int]) -> Tensor:
        return self._after(prompt, completion)[range(len(completion)), list(completion)].float().cpu()
