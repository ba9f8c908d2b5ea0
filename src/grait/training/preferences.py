"""Training of an adapter on preferences (DPO, arXiv 2305.18290): the loss, and a loop of its own.

The transformers Trainer weighs single examples; a pair is two of them in one loss. The loop has no checkpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import get_scheduler

from grait.config import OptimizerSection
from grait.errors import NonFiniteError
from grait.model.completions import IGNORED, TokenizedExample, collate, completion_losses
from grait.training.sft import n_steps


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one prompt."""

    preferred: TokenizedExample
    rejected: TokenizedExample


def preference_losses(margins: Tensor, reference: Tensor, beta: float) -> Tensor:
    """-log sigmoid(beta (margin - reference margin)) of each pair, in nats; log 2 where the model has not moved.

    ``margins``, ``reference``: [pairs], log-probability of the preferred completion less that of the rejected one.
    """
    return -nn.functional.logsigmoid(beta * (margins - reference))


def margins(model: nn.Module, pairs: Sequence[Pair], pad_token_id: int) -> Tensor:
    """log p(preferred) - log p(rejected) by the model, of whole completions, [pairs]."""
    rows = [*(pair.preferred for pair in pairs), *(pair.rejected for pair in pairs)]
    device = next(model.parameters()).device
    batch = {name: own.to(device) for name, own in collate(rows, pad_token_id).items()}
    totals = -completion_losses(model, batch) * (batch["targets"] != IGNORED).sum(-1)
    return totals[: len(pairs)] - totals[len(pairs) :]


def train_preferences(
    model: PeftModel,
    pairs: Sequence[Pair],
    config: OptimizerSection,
    *,
    beta: float,
    pad_token_id: int,
    seed: int,
    advance: Callable[[int], None],
) -> list[float]:
    """Train the model's adapter in place from where it stands, which is also the reference. The loss of each step.

    ``config``: batch sizes count pairs. NonFiniteError where a loss or a weight is not finite.
    """
    model.eval()  # no noise: the reference is what the model says before the first step
    micro = config.micro_batch_size
    with torch.no_grad():
        parts = [margins(model, pairs[start : start + micro], pad_token_id) for start in range(0, len(pairs), micro)]
    reference, total = torch.cat(parts), n_steps(len(pairs), config)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = get_scheduler(config.scheduler, optimizer, round(config.warmup_ratio * total), total)
    generator, losses, waiting = torch.Generator().manual_seed(seed), list[float](), list[int]()
    for _ in range(total):
        if not waiting:
            waiting = torch.randperm(len(pairs), generator=generator).tolist()
        step, waiting = waiting[: config.batch_size], waiting[config.batch_size :]
        loss = 0.0
        for start in range(0, len(step), micro):
            rows = step[start : start + micro]
            own = preference_losses(margins(model, [pairs[row] for row in rows], pad_token_id), reference[rows], beta)
            part = own.sum() / len(step)
            torch.autograd.backward(part)
            loss += float(part.detach())
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss)
        advance(1)
    if not all(bool(parameter.isfinite().all()) for parameter in trained):
        raise NonFiniteError("training on preferences: weights are not finite; lower training.learning_rate")
    return losses
