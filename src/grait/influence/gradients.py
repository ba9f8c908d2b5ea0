"""Per-example gradients of an adapter from one batched backward pass.

For a linear layer y = W x, the gradient of example b is dW_b = D_b^T X_b, where X_b [tokens, in] are the layer's inputs
and D_b [tokens, out] the gradients of the example's loss at its outputs: both are at hand in any batched pass. LoRA's A
and B are such layers, so no batch-size-1 loop is needed. Padded positions have D = 0 and add nothing.

Norms need dW_b itself, one layer at a time; weighted sums over the batch are one matrix product of the factors. So
memory does not grow with the number of adapter weights times the batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.errors import ModelError
from grait.model.completions import completion_losses


@dataclass(frozen=True)
class Factors:
    """Of one layer: ``inputs`` X [batch, tokens, in], ``output_gradients`` D [batch, tokens, out]; fp32 or better."""

    inputs: Tensor
    output_gradients: Tensor

    def gradients(self) -> Tensor:
        """dW of every example, [batch, out * in], row-major like ``weight.flatten()``."""
        return torch.bmm(self.output_gradients.transpose(1, 2), self.inputs).flatten(1)

    def weighted_sum(self, coefficients: Tensor) -> Tensor:
        """sum_b c_b dW_b for each row of ``coefficients`` [sums, batch]; [sums, out * in]."""
        inputs = self.inputs.flatten(0, 1)
        sums = [(self.output_gradients * row[:, None, None]).flatten(0, 1).T @ inputs for row in coefficients]
        return torch.stack(sums).flatten(1)


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
def _capture(linears: dict[str, nn.Linear]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Inputs and outputs of each layer in the forward pass within this context."""
    captured: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def save(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name in captured:
                raise ModelError(f"{name}: runs twice in one forward pass; shared layers are not supported")
            if inputs[0].dim() != 3:  # mixtures of experts hand their layers a list of tokens, of any example
                raise ModelError(
                    f"{name}: runs on an input of shape {tuple(inputs[0].shape)}, expected [batch, tokens, in]; "
                    "adapt other layers (lora.target_modules)"
                )
            captured[name] = inputs[0].detach(), output

        return save

    handles = [module.register_forward_hook(hook(name)) for name, module in linears.items()]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def gradient_factors(
    model: nn.Module, linears: dict[str, nn.Linear], batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Factors]]:
    """Loss of each row [batch] and, by layer, the factors of the gradient of each row's own loss.

    Cost: one batched forward and backward pass. ``batch`` as made by ``completions.collate``.
    """
    with torch.enable_grad(), _capture(linears) as captured:
        losses = completion_losses(model, batch)
        missing = [name for name in linears if name not in captured]
        if missing:
            raise ModelError(f"{missing[0]}: trainable, but not run in the forward pass (another active adapter?)")
        # Rows do not interact, so the gradient of the sum holds every row's own gradient in its own slice. Asking for
        # the layers' outputs only, autograd neither forms summed weight gradients nor goes below the first adapter.
        output_gradients = torch.autograd.grad(losses.sum(), [captured[name][1] for name in linears])
    factors = {}
    for name, gradient in zip(linears, output_gradients, strict=True):
        dtype = torch.promote_types(gradient.dtype, torch.float32)
        factors[name] = Factors(captured[name][0].to(dtype), gradient.to(dtype))
    return losses.detach(), factors
