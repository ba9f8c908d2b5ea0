"""Per-example gradients of adapters on experts that are one tensor, which no linear layer runs (PEFT's ParamWrapper).

Within a batch every example runs such experts by itself, with its own copies of the adapter's weights: the gradient at
its copies is its own. That costs a pass over all experts' weights for each example and layer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from grait.errors import ModelError


def adapted_experts(model: nn.Module) -> dict[str, ParamWrapper]:
    """The experts whose weights an adapter changes, by name, each with all adapters on it."""
    wrappers = {name: module for name, module in model.named_modules() if isinstance(module, ParamWrapper)}
    inner = {id(module.base_layer) for module in wrappers.values()}
    return {name: module for name, module in wrappers.items() if id(module) not in inner}


@contextmanager
def one_by_one(
    name: str,
    experts: ParamWrapper,
    linears: Mapping[str, nn.Linear],
    shape: tuple[int, int],
    copies: Mapping[str, list[Tensor]],
) -> Iterator[None]:
    """Within this context each example of a batch runs the experts by itself.

    ``linears``: layers that hold the adapter's weights, by name; ``shape``: of the batch, in examples and tokens;
    ``copies``: of each layer, gets the weights of each run, [batch, out, in].
    """
    forward: Callable[..., Tensor] = experts.forward
    batch, tokens = shape

    def run(*inputs: Tensor, **named: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        own = [layer.weight.detach().expand(batch, -1, -1).requires_grad_() for layer in linears.values()]
        for layer, copy in zip(linears, own, strict=True):
            copies[layer].append(copy)

        def of_one(row: int, weights: Sequence[Tensor]) -> Tensor:
            parts = [_of_row(name, part, row, shape) for part in inputs]
            named_parts = {key: _of_row(name, part, row, shape) for key, part in named.items()}
            with _holding(linears.values(), weights):
                return forward(*parts, **named_parts)

        outputs = [
            # Else the adapted weights of all experts would be kept for each example.
            checkpoint(of_one, row, weights, use_reentrant=False)
            for row, weights in enumerate(zip(*(copy.unbind() for copy in own), strict=True))
        ]
        if inputs[0].dim() == 3:
            return torch.cat(outputs)
        return torch.stack([output.reshape(-1, tokens, output.shape[-1]) for output in outputs], dim=1).flatten(0, 2)

    experts.forward = run
    try:
        yield
    finally:
        del experts.forward


def _of_row(name: str, part: Tensor, row: int, shape: tuple[int, int]) -> Tensor:
    """What belongs to one example: tokens lie flat, row by row, all of them perhaps several times."""
    batch, tokens = shape
    if part.shape[:2] == shape:
        return part[row : row + 1]
    if part.shape[0] % (batch * tokens):
        raise ModelError(
            f"{name}: runs on an input of shape {tuple(part.shape)}, expected all of {batch} examples times {tokens} "
            "tokens; adapt other weights (lora.target_parameters)"
        )
    return part.reshape(-1, batch, tokens, *part.shape[1:])[:, row].flatten(0, 1)


@contextmanager
def _holding(layers: Iterable[nn.Linear], weights: Sequence[Tensor]) -> Iterator[None]:
    """The layers with other weights than their own, which are no parameters."""
    before = [(layer._parameters, cast(nn.Parameter, layer.weight)) for layer in layers]
    for (parameters, _), weight in zip(before, weights, strict=True):
        parameters["weight"] = cast(nn.Parameter, weight)  # of a gradient of its own
    try:
        yield
    finally:
        for parameters, own in before:
            parameters["weight"] = own
