"""The road of training: see ``model/roads.py``."""

from collections.abc import Sequence

import torch
from accelerate.utils import extract_model_from_parallel
from peft import PeftModel
from torch import Tensor, nn

from grait.model import shared_prefix
from grait.model.common_prefix import cache_of, for_gradients, keeping_modes, keys_and_values, shared_length
from grait.model.completions import collate, completion_losses
from grait.model.engine import Road
from grait.model.roads import OF_NORM, Plain, difference, fastest, plain_gradients, plain_logprobs, short_examples
from grait.model.shared_prefix import Prefix


def losses_behind(
    model: nn.Module, batch: dict[str, Tensor], beginning: Prefix, road: Road, in_chunks: bool = True
) -> Tensor:
    """Losses [rows] behind the keys and values of what all rows begin with; none where nothing is shared."""
    if not beginning or road != "shared prefix":
        cache = cache_of(beginning, len(batch["input_ids"])) if beginning else None
        return completion_losses(model, batch, cache, in_chunks)
    n_shared = beginning[0][0].shape[2]
    own = {**batch, "attention_mask": batch["attention_mask"][:, n_shared:]}
    with shared_prefix.use(extract_model_from_parallel(model), beginning):
        return completion_losses(model, own, in_chunks=in_chunks)


def training_road(
    model: PeftModel, pad_token_id: int, *, is_compiled: bool = False, plain: Plain | None = None
) -> Road:
    """How prompts of one form share their beginning in training. With noise in training (dropout) they share nothing.

    ``is_compiled``: attention in one product breaks compiled layers. ``plain``: of this model, where it is at hand.
    """
    expected = plain or plain_gradients(model)
    weights = expected.losses.new_tensor([1.0, 0.5])
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    device = parameters[0].device

    def difference_on(road: Road) -> float:
        n_shared = shared_length(model, expected.examples, road)
        batch = {name: own.to(device) for name, own in collate(expected.examples, pad_token_id, n_shared).items()}
        with torch.enable_grad():
            beginning = keys_and_values(model, expected.examples[0].prompt_ids[:n_shared], device) if n_shared else []
            losses = losses_behind(model, batch, beginning, road)
            found = torch.autograd.grad((weights * losses).sum(), parameters, allow_unused=True, materialize_grads=True)
        gradient = torch.cat([part.flatten().float() for part in found])
        sums = (weights[:, None] * expected.gradients).sum(0)
        return max(difference(losses.detach(), expected.losses), difference(gradient, sums) / OF_NORM)

    if has_noise(model):
        with for_gradients(model):
            return fastest(model, "losses", ("no sharing",), difference_on)
    roads: Sequence[Road] = ("shared prefix", "copied prefix", "no sharing")
    with keeping_modes(model):
        model.train()
        return fastest(model, "losses", roads[1:] if is_compiled else roads, difference_on)


def has_noise(model: nn.Module) -> bool:
    """Whether training runs with dropout, or with other noise: then two passes over one text differ.

    Modules are looked at, too: what a fresh adapter drops out is 0.
    """
    in_attention = getattr(model.config.get_text_config(decoder=True), "attention_dropout", 0.0)  # type: ignore
    if in_attention or any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        return True
    token_ids, device = short_examples(model)[0].completion_ids, next(model.parameters()).device
    with keeping_modes(model), torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        model.train()
        first, second = (plain_logprobs(model, token_ids) for _ in range(2))
    return not torch.equal(first, second)
