"""The initial model's next tokens at each position of a completion, kept for a tuned model to stay close to.

The distribution is that of its most probable tokens, with one more bucket for all others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.model.common_prefix import cache_of, keys_and_values, shared_length
from grait.model.completions import LOGITS_AT_ONCE, TokenizedExample, answer_logits, collate
from grait.model.engine import Road
from grait.model.sampling import by_length

TOP = 40
"""Tokens of a distribution: along SmolLM2's answers to built-in prompts all others have 7% of the mass, in the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """The initial model's next-token distribution at each of a completion's n positions.

    ``token_ids`` [n, k]: the most probable tokens, the likeliest first. ``logprobs`` [n, k + 1]: theirs in nats, the
    last one that of all other tokens together, -inf where there are none.
    """

    token_ids: Tensor
    logprobs: Tensor


def teachers(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    *,
    pad_token_id: int,
    tokens_per_batch: int,
    road: Road = "copied prefix",
    advance: Callable[[int], None] = lambda _: None,
) -> list[Teacher]:
    """The model's distributions at the completions' positions, in the order of the examples: int32 and fp16, CPU.

    What all prompts begin with runs once. The head runs at the positions of completions only, in batches of at most
    ``LOGITS_AT_ONCE`` logits.
    """
    n_shared = shared_length(model, examples, road) if len(examples) > 1 else 0
    config = model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    positions = max(1, LOGITS_AT_ONCE // config.vocab_size)
    found: list[Teacher | None] = [None] * len(examples)
    with torch.inference_mode():
        device = next(model.parameters()).device
        prefix = keys_and_values(model, examples[0].prompt_ids[:n_shared], device) if n_shared else []
        for rows in _batches(examples, n_shared, tokens_per_batch, positions):
            own = [examples[row] for row in rows]
            batch = {key: value.to(device) for key, value in collate(own, pad_token_id, n_shared).items()}
            logits = answer_logits(model, batch, cache_of(prefix, len(own)) if prefix else None)
            for row, example, of_row in zip(rows, own, logits, strict=True):
                found[row] = _top(of_row[-len(example.completion_ids) :])
            advance(len(rows))
    return [teacher for teacher in found if teacher is not None]


def _batches(
    examples: Sequence[TokenizedExample], n_shared: int, tokens_per_batch: int, positions: int
) -> Iterator[list[int]]:
    """Batches of similar length, bounded in tokens and in ``positions`` of the head."""
    for rows in by_length([example.n_tokens - n_shared for example in examples], tokens_per_batch):
        size = max(1, positions // max(len(examples[row].completion_ids) for row in rows))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _top(logits: Tensor) -> Teacher:
    """From logits [n, vocabulary]."""
    logprobs = logits.float().log_softmax(-1)
    best = logprobs.topk(min(TOP, logits.shape[-1]))
    rest = logprobs.scatter(-1, best.indices, -torch.inf).logsumexp(-1, keepdim=True)
    return Teacher(best.indices.int().cpu(), torch.cat([best.values, rest], dim=-1).half().cpu())
