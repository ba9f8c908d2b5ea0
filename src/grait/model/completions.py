"""Prompt and completion pairs as batches, and the loss of each completion.

Used by gradients and by training, so that both see the same tokens and the same loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache

IGNORED = -100


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """One prompt and its completion (end token included) as token ids."""

    id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens that run through the model: the last one predicts nothing and stays out."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


def last_positions(length: int, n: int, device: torch.device) -> Tensor:
    """Indices of the last ``n`` of ``length`` positions, for ``logits_to_keep``.

    An index tensor, not the number ``n``: the number makes transformers pass a strided view to the head, for which
    torch copies the head's weight once per row of the batch (seen at 95 instead of 3,000 tokens/s on a CPU).
    """
    return torch.arange(length - n, length, device=device)


def collate(examples: Sequence[TokenizedExample], pad_token_id: int) -> dict[str, Tensor]:
    """Left-padded batch: input_ids, attention_mask, position_ids [batch, tokens] and targets [batch, answer tokens].

    All completions end at the last position, so the head is needed at the last positions only; a target that is
    padding is ``IGNORED``.
    """
    width = max(example.n_tokens for example in examples)
    n_targets = max(len(example.completion_ids) for example in examples)
    input_ids = torch.full((len(examples), width), pad_token_id)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    targets = torch.full((len(examples), n_targets), IGNORED)
    for row, example in enumerate(examples):
        tokens = (*example.prompt_ids, *example.completion_ids[:-1])
        input_ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
        targets[row, n_targets - len(example.completion_ids) :] = torch.tensor(example.completion_ids)
    return {
        "input_ids": input_ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
        "targets": targets,
    }


def completion_losses(model: nn.Module, batch: dict[str, Tensor], cache: DynamicCache | None = None) -> Tensor:
    """l(q, y; theta) of each row: mean cross-entropy over its completion's tokens (nats), [batch], fp32.

    Prompt tokens carry no loss. The head runs at answer positions only. ``cache`` holds keys and values of tokens
    before those of the batch, whose attention mask and positions then cover them.
    """
    targets = batch["targets"]
    width = batch["input_ids"].shape[1]
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=last_positions(width, targets.shape[1], targets.device),
    ).logits
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    token_losses = nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)
    return token_losses.sum(-1) / (targets != IGNORED).sum(-1)
