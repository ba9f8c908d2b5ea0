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
from grait.model.common_prefix import checkpointed
from grait.model.completions import completion_losses

FP16_LOSS_SCALE = 1024.0
"""Losses of an fp16 model are multiplied by this before the backward pass, in which small gradients would become 0."""


@dataclass(frozen=True)
class Factors:
    """Factors of one layer's gradients, fp32 or better.

    ``inputs`` X [batch, tokens, in], ``output_gradients`` D [batch, tokens, out]. The tokens with which all examples
    begin are apart: their inputs are the same for every example, so ``prefix_inputs`` is [prefix, in], and
    ``prefix_output_gradients`` [batch, prefix, out].
    """

    inputs: Tensor
    output_gradients: Tensor
    prefix_inputs: Tensor | None = None
    prefix_output_gradients: Tensor | None = None

    def gradients(self) -> Tensor:
        """dW of every example, [batch, out * in], row-major like ``weight.flatten()``."""
        own = torch.bmm(self.output_gradients.transpose(1, 2), self.inputs)
        if self.prefix_inputs is not None and self.prefix_output_gradients is not None:
            own += self.prefix_output_gradients.transpose(1, 2) @ self.prefix_inputs
        return own.flatten(1)

    def weighted_sum(self, coefficients: Tensor) -> Tensor:
        """sum_b c_b dW_b for each row of ``coefficients`` [sums, batch]; [sums, out * in]."""
        inputs = self.inputs.flatten(0, 1)
        sums = torch.stack(
            [(self.output_gradients * row[:, None, None]).flatten(0, 1).T @ inputs for row in coefficients]
        )
        if self.prefix_inputs is not None and self.prefix_output_gradients is not None:
            shared = torch.einsum("sb,bpo->sop", coefficients, self.prefix_output_gradients)
            sums += shared @ self.prefix_inputs
        return sums.flatten(1)

    def rows(self, keep: Tensor) -> "Factors":
        """Those of the examples where ``keep`` [batch] is true."""
        prefix = self.prefix_output_gradients
        return Factors(
            self.inputs[keep],
            self.output_gradients[keep],
            self.prefix_inputs,
            prefix[keep] if prefix is not None else None,
        )


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


Captured = dict[str, tuple[Tensor, Tensor]]
"""Inputs and outputs of each layer in one forward pass."""


@contextmanager
def capture(linears: dict[str, nn.Linear]) -> Iterator[Captured]:
    """Inputs and outputs of each layer in the forward pass within this context."""
    captured: Captured = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def save(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not torch.is_grad_enabled():
                return
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
    missing = [name for name in linears if name not in captured]
    if missing:
        raise ModelError(f"{missing[0]}: trainable, but not run in the forward pass (another active adapter?)")


@contextmanager
def for_gradients(model: nn.Module) -> Iterator[None]:
    """The model without dropout, so that an example has one gradient; gradient checkpointing stays on where it is.

    Layers run under checkpointing only in training mode, so their own flag is set, not that of the modules in them.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for module in checkpointed(model):
        module.training = True
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def as_factor(tensor: Tensor) -> Tensor:
    """In fp32 or better, in which products and norms are summed."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def loss_scale(model: nn.Module) -> float:
    """The factor of losses before the backward pass, by which gradients are divided after it."""
    return FP16_LOSS_SCALE if any(p.dtype == torch.float16 for p in model.parameters()) else 1.0


def gradient_factors(
    model: nn.Module, linears: dict[str, nn.Linear], batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Factors]]:
    """Loss of each row [batch] and, by layer, the factors of the gradient of each row's own loss.

    Cost: one batched forward and backward pass. ``batch`` as made by ``completions.collate``.
    """
    with torch.enable_grad():
        # The hooks are gone before the backward pass, in which checkpointed layers run again.
        with capture(linears) as captured:
            losses = completion_losses(model, batch)
        # Rows do not interact, so the gradient of the sum holds every row's own gradient in its own slice. Asking for
        # the layers' outputs only, autograd neither forms summed weight gradients nor goes below the first adapter.
        scale = loss_scale(model)
        output_gradients = torch.autograd.grad(scale * losses.sum(), [captured[name][1] for name in linears])
    factors = {
        name: Factors(as_factor(captured[name][0]), as_factor(gradient) / scale)
        for name, gradient in zip(linears, output_gradients, strict=True)
    }
    return losses.detach(), factors
