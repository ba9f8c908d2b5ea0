"""The dial on the score ``first-token``, as a rule on logits.

At the first answer position a row whose refusal score is above the threshold is given the refusal's first token, and
afterwards the rest of the refusal one by one, end token included. In every other row that first token is suppressed,
there and only there. So which row is refused can be read off its own first token at any later time: no state by row is
kept, and rows may be reordered (beams) or served one by one. Only which prompts a gate leaves alone has to be kept.
"""

from collections.abc import Sequence

import torch
from scipy.special import logit
from torch import Tensor


def left_alone(logits: Tensor, refusal_token_id: int, gate: float | None) -> Tensor:
    """[rows] Whether the gate leaves a row alone, by the logits [rows, vocabulary] where its answer begins."""
    if gate is None:
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    return logits.double().softmax(-1)[:, refusal_token_id] <= gate


def steer(
    logits: Tensor,
    first_tokens: Tensor | None,
    n_answered: int,
    refusal_token_ids: Sequence[int],
    threshold: float,
    alone: Tensor | None = None,
) -> Tensor:
    """The logits [rows, vocabulary] with which the next token follows the dial; a new tensor.

    ``first_tokens``: [rows], each answer's first token, None at the first answer position; ``n_answered``: tokens that
    each answer has so far. ``logits``: what the model gives, changed by nothing before (the score is taken of them).
    A forced token has logit 0, all others of its row -inf. After the end token it is forced again. ``alone``: [rows],
    those whose logits stay as they are.
    """
    first = refusal_token_ids[0]
    steered = logits.clone()
    if first_tokens is None:
        steered[:, first] = -torch.inf
        log_odds = logits[:, first].float() - steered.float().amax(-1)
        refused = log_odds.double() > float(logit(threshold))
        refused |= threshold == 0  # also where the token's probability is 0
    else:
        refused = first_tokens == first
    steered[refused] = -torch.inf
    steered[refused, refusal_token_ids[min(n_answered, len(refusal_token_ids) - 1)]] = 0.0
    return steered if alone is None else torch.where(alone[:, None], logits, steered)
