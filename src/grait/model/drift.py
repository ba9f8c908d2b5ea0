"""How far a tuned model is from the initial one, on texts that the initial model wrote itself."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from grait.model.completions import IGNORED, LOGITS_AT_ONCE, TokenizedExample, answer_logits, collate
from grait.model.sampling import by_length
from grait.records import DriftSums


@torch.inference_mode()
def drift(
    model: PreTrainedModel | PeftModel,
    examples: Sequence[TokenizedExample],
    pad_token_id: int,
    *,
    tokens_per_batch: int,
    advance: Callable[[int], None],
) -> list[DriftSums]:
    """The sums of each example's completion, in their order. ``advance`` is told finished examples.

    The initial model is ``model`` with its adapter off; without an adapter it is ``model`` itself, whose KL is 0. The
    divergence is exact over the vocabulary; ``LOGITS_AT_ONCE`` are made of both models at a time.
    """
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    found: dict[int, DriftSums] = {}
    for rows in by_length([example.n_tokens for example in examples], tokens_per_batch):
        longest = max(len(examples[row].completion_ids) for row in rows)
        at_once = max(1, LOGITS_AT_ONCE // (longest * vocabulary))
        for start in range(0, len(rows), at_once):
            own = rows[start : start + at_once]
            sums = _sums(model, collate([examples[row] for row in own], pad_token_id))
            for row, (kl, loss, initial_loss) in zip(own, sums, strict=True):
                example = examples[row]
                found[row] = DriftSums(example.id, len(example.completion_ids), kl, loss, initial_loss)
            advance(len(own))
    return [found[row] for row in range(len(examples))]


def _sums(model: PreTrainedModel | PeftModel, batch: dict[str, Tensor]) -> list[list[float]]:
    """KL, loss and initial loss of each row, over its tokens.  # [batch, 3]"""
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    tuned = _logprobs(model, batch)
    is_adapted = isinstance(model, PeftModel)
    with model.disable_adapter() if is_adapted else nullcontext():
        initial = _logprobs(model, batch) if is_adapted else tuned
    targets = batch["targets"]
    counts = targets != IGNORED
    picked = targets.clamp(min=0)[..., None]
    of_tokens = (
        (initial.exp() * (initial - tuned)).sum(-1),
        -tuned.gather(-1, picked)[..., 0],
        -initial.gather(-1, picked)[..., 0],
    )
    rows: list[list[float]] = torch.stack([(row * counts).sum(-1) for row in of_tokens], dim=-1).tolist()
    return rows


def _logprobs(model: PreTrainedModel | PeftModel, batch: dict[str, Tensor]) -> Tensor:
    """Log-probabilities at the answer positions, [batch, answer tokens, vocabulary], fp32."""
    return answer_logits(model, batch, None).float().log_softmax(-1)
