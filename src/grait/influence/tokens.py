"""Which tokens of an example's completion carry its influence.

An example's loss is the mean of its n token losses, and so is its gradient: g_i = (1/n) sum_t g_it. Its influence on a
set is <g_i, d> / |g_i|, with d the set's mean unit gradient. So the share of a token is <g_it, d> / (n |g_i|), and the
shares sum to the influence, since all are divided by the norm of the whole example's gradient, not by their own.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from grait.errors import ModelError
from grait.influence.batches import gradient_pass
from grait.influence.engine import check_examples, inner_products, mean_directions
from grait.influence.gradients import as_factor
from grait.influence.prefix import plain_attention
from grait.model.common_prefix import checkpointed
from grait.model.completions import IGNORED, TokenizedExample, collate, token_losses
from grait.model.engine import Road
from grait.model.sampling import by_length


def token_influence(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    *,
    pad_token_id: int,
    tokens_per_batch: int = 2048,
    advance: Callable[[int], None] | None = None,
    road: Road | None = None,
) -> dict[str, dict[str, list[float]]]:
    """By set and example id, each completion token's share of the example's influence, in the completion's order.

    The shares of an example sum to its ``influence`` on that set; times the example's gradient norm they are the plain
    products of gradients, and sum to that of the example. Positive: learning this token, after what stands before it,
    lowers the set's loss. Gradients are not transformed: after Adam's transform a sum is not that of its parts.

    Cost: that of ``influence``, and for each batch one pass that is differentiated twice, about three backward passes
    and one more for each set; no gradient of a token is formed. Examples that are not finite are left out. Raises
    ModelError under gradient checkpointing, which cannot be differentiated twice.
    """
    check_examples("examples", examples)
    if checkpointed(model):
        raise ModelError("influence by token: not with gradient checkpointing; set model.gradient_checkpointing: false")
    everything = [*examples, *(member for members in sets.values() for member in members)]
    shares: dict[str, dict[str, list[float]]] = {name: {} for name in sets}
    with gradient_pass(model, everything, pad_token_id, tokens_per_batch, None, advance, road) as run:
        directions, known = mean_directions(run, sets)
        norms = inner_products(run, examples, directions, list(sets), known).gradient_norms
        usable = [example for example in examples if example.id in norms]
        weights = {name: linear.weight for name, linear in run.linears.items()}
        for positions in by_length([example.n_tokens for example in usable], tokens_per_batch):
            rows = [usable[position] for position in positions]
            batch = {key: value.to(run.device) for key, value in collate(rows, pad_token_id).items()}
            with torch.enable_grad(), plain_attention(model):
                losses = token_losses(model, batch, in_chunks=False)
                # The gradient of sum_t c_t l_t is linear in c, and so is its product with d: the derivative by c_t is
                # the product of the token's own gradient, of all tokens at once.
                counts = torch.zeros_like(losses, requires_grad=True)
                found = torch.autograd.grad(
                    (counts * losses).sum(), list(weights.values()), create_graph=True, materialize_grads=True
                )
                by_set = []
                for column, _ in enumerate(sets):
                    product = torch.stack(
                        [
                            (as_factor(gradient) * directions[name][column].view_as(gradient)).sum()
                            for name, gradient in zip(weights, found, strict=True)
                        ]
                    ).sum()
                    by_set.append(torch.autograd.grad(product, counts, retain_graph=True)[0])
            is_answer = batch["targets"] != IGNORED
            for row, example in enumerate(rows):
                scale = 1 / (len(example.completion_ids) * norms[example.id])
                for name, own in zip(sets, by_set, strict=True):
                    shares[name][example.id] = (own[row][is_answer[row]].double() * scale).tolist()
    return shares
