"""The tokens with which all prompts begin (system message, instruction, solved examples): they run once.

Left-padded batches then hold the examples' own tokens alone, with the prefix' keys and values in front of them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from grait.model.completions import TokenizedExample, last_positions
from grait.model.engine import Road

SHORTEST = 8
"""In tokens; a shorter common beginning is not worth a forward pass of its own."""


def common_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts share, leaving each at least one token of its own."""
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))  # all others lie between
    limit = min(len(prompt) for prompt in prompts) - 1
    for position in range(limit):
        if first[position] != last[position]:
            return position
    return limit


def shared_length(model: nn.Module, examples: Sequence[TokenizedExample], road: Road) -> int:
    """Tokens that all the examples' prompts begin with, 0 where they cannot or need not be shared."""
    longest = max(example.n_tokens for example in examples)
    return shareable_length(model, [example.prompt_ids for example in examples], longest, road)


def shareable_length(model: nn.Module, prompts: Sequence[Sequence[int]], longest: int, road: Road) -> int:
    """Tokens that all the prompts begin with, 0 where a forward pass cannot or need not be parted there.

    ``longest``: tokens of the longest sequence that begins with one of them. Not under gradient checkpointing, which
    keeps no keys and values; nor where attention looks back less far than that: in a batch, padding stands between
    the prefix and an example's own tokens, and would fill a sliding window.
    """
    length = common_prefix_length(prompts)
    can = road != "no sharing" and longest <= window_of(model) and not checkpointed(model)
    return length if can and length >= SHORTEST else 0


def window_of(model: nn.Module) -> int:
    """Most tokens of which every layer still attends to all, by the model's config: of sliding windows and chunks."""
    values = model.config.get_text_config(decoder=True).to_dict().items()  # type: ignore[union-attr, operator]
    windows = [value for key, value in values if re.search(r"window(_size)?$|attention_chunk_size$", key)]
    return min([2**31, *(window for window in windows if isinstance(window, int) and window > 0)])


def checkpointed(model: nn.Module) -> list[nn.Module]:
    """The layers that gradient checkpointing is enabled for."""
    return [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]


@contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """Afterwards each module is in its own mode: a fresh adapter's wrapper trains, the model in it does not."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def for_gradients(model: nn.Module) -> Iterator[None]:
    """The model without dropout, so that an example has one gradient; gradient checkpointing stays on where it is.
    Layers run under checkpointing only in training mode, so their own flag is set, not that of the modules in them."""
    with keeping_modes(model):
        model.eval()
        for module in checkpointed(model):
            module.training = True
        yield


def keys_and_values(model: nn.Module, token_ids: Sequence[int], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of the tokens in each layer, [1, heads, tokens, size], with their graph if any."""
    cache = DynamicCache()
    model(
        input_ids=torch.tensor([token_ids], device=device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last_positions(len(token_ids), 1, device),
    )
    return [(layer.keys, layer.values) for layer in cache.layers]


def cache_of(keys_values: Sequence[tuple[Tensor, Tensor]], n_rows: int) -> DynamicCache:
    """A cache in which every one of ``n_rows`` rows sees these keys and values."""
    cache = DynamicCache()
    for layer, pair in enumerate(keys_values):
        cache.update(*(tensor.expand(n_rows, *tensor.shape[1:]) for tensor in pair), layer)
    return cache
