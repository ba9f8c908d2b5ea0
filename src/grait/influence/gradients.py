"""Per-example gradients of an adapter from one batched backward pass.

For a linear layer y = W x, the gradient of example b is dW_b = sum over its tokens of (dl/dy_t) x_t^T: a product of
two matrices that the batched pass has anyway. LoRA's A and B are such layers, so no batch-size-1 loop is needed.
Padded positions have dl/dy = 0 and add nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.errors import ModelError
from grait.model.completions import completion_losses


@dataclass
class _Captured:
    inputs: Tensor  # [batch, tokens, in]
    outputs: Tensor  # [batch, tokens, out]


def trainable_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The trainable ``nn.Linear`` layers by name, in the model's order.

    Raises ModelError, naming the parameter, when anything trainable is not the weight of such a layer (DoRA
    magnitudes, embeddings, biases): its influence would silently be left out.
    """
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad
    }
    covered = {f"{name}.weight" for name in linears}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in covered:
            raise ModelError(
                f"{name}: trainable, but not the weight of a linear layer; per-example gradients need plain LoRA "
                "(no DoRA, no bias, no trained embeddings)"
            )
    if not linears:
        raise ModelError("the model has no trainable linear layer: add a LoRA adapter first")
    return linears


@contextmanager
def _capture(linears: dict[str, nn.Linear]) -> Iterator[dict[str, _Captured]]:
    captured: dict[str, _Captured] = {}

    def hook(name: str):  # type: ignore[no-untyped-def]
        def save(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name in captured:
                raise ModelError(f"{name}: runs twice in one forward pass; shared layers are not supported")
            captured[name] = _Captured(inputs[0].detach(), output)

        return save

    handles = [module.register_forward_hook(hook(name)) for name, module in linears.items()]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def per_example_gradients(
    model: nn.Module, linears: dict[str, nn.Linear], batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss [batch] and, for each layer, the gradients of each row's own loss [batch, out * in], fp32 or better.

    Row-major like ``weight.flatten()``. Cost: the batched forward and backward pass, and two matrix products for
    each layer and row.
    """
    with torch.enable_grad(), _capture(linears) as captured:
        losses = completion_losses(model, batch)
        missing = [name for name in linears if name not in captured]
        if missing:
            raise ModelError(f"{missing[0]}: trainable, but not run in the forward pass (another active adapter?)")
        # Rows do not interact, so the gradient of the sum holds every row's own gradient in its own slice.
        # Asking for the layers' outputs only, autograd neither forms summed weight gradients nor goes below
        # the first adapted layer.
        output_gradients = torch.autograd.grad(losses.sum(), [captured[name].outputs for name in linears])
    gradients = {}
    for name, output_gradient in zip(linears, output_gradients, strict=True):
        dtype = torch.promote_types(output_gradient.dtype, torch.float32)
        inputs = captured[name].inputs.to(dtype)
        gradients[name] = torch.bmm(output_gradient.to(dtype).transpose(1, 2), inputs).flatten(1)
    return losses.detach(), gradients
