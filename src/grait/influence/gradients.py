"""Per-example gradients of an adapter from one batched backward pass.

For a linear layer y = W x, the gradient of example b is dW_b = D_b^T X_b, where X_b [tokens, in] are the layer's inputs
and D_b [tokens, out] the gradients of the example's loss at its outputs: both are at hand in any batched pass. LoRA's A
and B are such layers, so no batch-size-1 loop is needed. Padded positions have D = 0 and add nothing.

Norms need dW_b itself, one layer at a time; weighted sums over the batch are one matrix product of the factors. So
memory does not grow with the number of adapter weights times the batch. Adapters on fused experts are no such layers
(``experts``): their gradients are held as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.errors import ModelError
from grait.influence.experts import adapted_experts, one_by_one
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


@dataclass(frozen=True)
class Whole:
    """One layer's gradients as they are, [batch, out * in], fp32 or better: as ``Factors``, without factors."""

    own: Tensor

    def gradients(self) -> Tensor:
        """dW of every example, [batch, out * in]."""
        return self.own

    def weighted_sum(self, coefficients: Tensor) -> Tensor:
        """sum_b c_b dW_b for each row of ``coefficients`` [sums, batch]; [sums, out * in]."""
        return coefficients @ self.own

    def rows(self, keep: Tensor) -> "Whole":
        """Those of the examples where ``keep`` [batch] is true."""
        return Whole(self.own[keep])


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


@dataclass(frozen=True)
class Captured:
    """Inputs and outputs of each layer in one forward pass over ``batch`` rows, of every time it ran.

    Of a layer on fused experts there are no inputs, and the copies of its weight, [batch, out, in], are its outputs.
    """

    batch: int
    inputs: dict[str, list[Tensor]]
    outputs: dict[str, list[Tensor]]

    @property
    def all_outputs(self) -> list[Tensor]:
        """Those of each layer, as ``by_layer`` takes their gradients."""
        return [output for own in self.outputs.values() for output in own]

    def by_layer(self, gradients: Sequence[Tensor | None]) -> dict[str, Tensor | None]:
        """From gradients at ``all_outputs``, by row or flat, to those of all runs, [..., batch, runs * tokens, out].

        None for a layer that nothing reaches. Those of copies are summed over the runs, [..., batch, out, in].
        """
        rest, found = iter(gradients), dict[str, Tensor | None]()
        for name, own in self.outputs.items():
            of_runs = [next(rest) for _ in own]
            some = next((gradient for gradient in of_runs if gradient is not None), None)
            if some is None:
                found[name] = None
                continue
            runs = [torch.zeros_like(some) if gradient is None else gradient for gradient in of_runs]
            if name not in self.inputs:
                found[name] = torch.stack(runs).sum(0)
                continue
            found[name] = self._joined(runs, some.shape[: some.dim() - own[0].dim()])
        return found

    def inputs_of(self, name: str) -> Tensor:
        """[batch, runs * tokens, in]"""
        return self._joined(self.inputs[name])

    def _joined(self, runs: Sequence[Tensor], more: Sequence[int] = ()) -> Tensor:
        """``more``: dimensions before the batch."""
        parts = [own.reshape(*more, self.batch, -1, own.shape[-1]) for own in runs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


@contextmanager
def capture(model: nn.Module, linears: dict[str, nn.Linear], batch: int, tokens: int) -> Iterator[Captured]:
    """Inputs and outputs of each layer in the forward pass within this context.

    A layer that runs several times, as a block that a model repeats, has the sum of what each time gives. Raises
    ModelError for one that is not given all tokens of all rows, as an expert.
    """
    experts = adapted_experts(model)
    of_experts = {
        name: {key: layer for key, layer in linears.items() if key.startswith(f"{name}.")} for name in experts
    }
    as_layers = linears.keys() - {key for own in of_experts.values() for key in own}
    captured = Captured(batch, {name: [] for name in linears if name in as_layers}, {name: [] for name in linears})

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def save(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not torch.is_grad_enabled():
                return
            is_by_row = inputs[0].dim() == 3 and len(inputs[0]) == batch  # of the head, at some positions only
            if not is_by_row and inputs[0].shape[:-1].numel() != batch * tokens:  # as an expert's, of any example
                raise ModelError(
                    f"{name}: runs on an input of shape {tuple(inputs[0].shape)}, expected all of {batch} examples "
                    f"times {tokens} tokens; adapt other layers (lora.target_modules)"
                )
            captured.inputs[name].append(inputs[0].detach())
            captured.outputs[name].append(output)

        return save

    with ExitStack() as within:
        for name in as_layers:
            within.callback(linears[name].register_forward_hook(hook(name)).remove)
        for name, module in experts.items():
            within.enter_context(one_by_one(name, module, of_experts[name], (batch, tokens), captured.outputs))
        yield captured
    missing = [name for name in linears if not captured.outputs[name]]
    if missing:
        raise ModelError(f"{missing[0]}: trainable, but not run in the forward pass (another active adapter?)")


def as_factor(tensor: Tensor) -> Tensor:
    """In fp32 or better, in which products and norms are summed."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def loss_scale(model: nn.Module) -> float:
    """The factor of losses before the backward pass, by which gradients are divided after it."""
    return FP16_LOSS_SCALE if any(p.dtype == torch.float16 for p in model.parameters()) else 1.0


def gradient_factors(
    model: nn.Module, linears: dict[str, nn.Linear], batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Factors | Whole]]:
    """Loss of each row [batch] and, by layer, the factors of the gradient of each row's own loss.

    Cost: one batched forward and backward pass. ``batch`` as made by ``completions.collate``.
    """
    with torch.enable_grad():
        # The hooks are gone before the backward pass, in which checkpointed layers run again.
        with capture(model, linears, *batch["input_ids"].shape) as captured:
            losses = completion_losses(model, batch)
        # Rows do not interact, so the gradient of the sum holds every row's own gradient in its own slice. Asking for
        # the layers' outputs only, autograd neither forms summed weight gradients nor goes below the first adapter.
        scale = loss_scale(model)
        found = torch.autograd.grad(scale * losses.sum(), captured.all_outputs, materialize_grads=True)
    return losses.detach(), factors_of(captured, found, scale)


def factors_of(captured: Captured, gradients: Sequence[Tensor], scale: float) -> dict[str, Factors | Whole]:
    """From gradients at the layers' outputs, times ``scale``."""
    found: dict[str, Factors | Whole] = {}
    for name, gradient in captured.by_layer(gradients).items():
        if gradient is None:
            continue
        if name in captured.inputs:
            found[name] = Factors(as_factor(captured.inputs_of(name)), as_factor(gradient) / scale)
        else:
            found[name] = Whole(as_factor(gradient).flatten(1) / scale)
    return found
