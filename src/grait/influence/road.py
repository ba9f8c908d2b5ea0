"""The road of per-example gradients: see ``model/roads.py``."""

import torch
from torch import nn

from grait.influence.gradients import gradient_factors, loss_scale, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.model.common_prefix import for_gradients
from grait.model.completions import collate
from grait.model.engine import Road
from grait.model.roads import OF_NORM, Plain, difference, fastest, plain_gradients


def gradient_road(model: nn.Module, pad_token_id: int, plain: Plain | None = None) -> Road:
    """Whether prompts may share a copied prefix in gradients of single examples, or nothing.

    ``plain``: of this model, where it is at hand. Raises ModelError where neither gives what single backward passes
    give, or a trainable layer cannot be parted by example.
    """
    linears = trainable_linears(model)
    with for_gradients(model):
        expected = plain or plain_gradients(model, loss_scale(model))

        def difference_on(road: Road) -> float:
            prefix = SharedPrefix.of(model, linears, expected.examples, road)
            batch = (
                prefix.collate(expected.examples, pad_token_id) if prefix else collate(expected.examples, pad_token_id)
            )
            batch = {name: tensor.to(next(iter(linears.values())).weight.device) for name, tensor in batch.items()}
            losses, factors = prefix.gradient_factors(batch) if prefix else gradient_factors(model, linears, batch)
            found = torch.cat([factors[name].gradients().float() for name in linears], dim=1)
            return max(difference(losses, expected.losses), difference(found, expected.gradients) / OF_NORM)

        return fastest(model, "gradients", ("copied prefix", "no sharing"), difference_on)
