"""Per-example gradients where all examples begin with the same tokens (system message, instruction).

The forward pass over these tokens is the same for every example, so it runs once, with its graph kept. An example's
loss reaches them through their keys and values alone: the batch runs on its own tokens with the prefix' keys and
values as leaves, and the gradients at these go, all examples at once, through the one graph of the prefix.

The gradients are those without sharing, up to rounding; of a frozen model's forward pass only the examples' own
tokens remain.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import DynamicCache

from grait.influence.gradients import Captured, Factors, Whole, as_factor, capture, factors_of, loss_scale
from grait.model.common_prefix import keys_and_values, shared_length
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.engine import Road


@contextmanager
def plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention made of plain operations, whose backward pass can run for many examples at once."""
    before = model.config._attn_implementation  # type: ignore[union-attr]
    if before != "eager":
        model.set_attn_implementation("sdpa")  # type: ignore[operator]
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[operator]


@dataclass(frozen=True)
class SharedPrefix:
    """The common beginning of all examples after its one forward pass.

    ``keys_values``: of each layer, its keys and its values [1, heads, tokens, size], with their graph. ``captured``:
    inputs and outputs of the trainable layers.
    """

    model: nn.Module
    linears: dict[str, nn.Linear]
    token_ids: tuple[int, ...]
    keys_values: list[tuple[Tensor, Tensor]]
    captured: Captured

    @classmethod
    def of(
        cls,
        model: nn.Module,
        linears: dict[str, nn.Linear],
        examples: Sequence[TokenizedExample],
        road: Road = "copied prefix",
    ) -> "SharedPrefix | None":
        """Run the prompts' common beginning; None where there is none, or the model's layers cannot be parted."""
        length = shared_length(model, examples, road)
        if not length:
            return None
        token_ids = examples[0].prompt_ids[:length]
        device = next(iter(linears.values())).weight.device
        with torch.enable_grad(), plain_attention(model), capture(model, linears, 1, length) as captured:
            found = keys_and_values(model, token_ids, device)
        return cls(model, linears, token_ids, found, captured)

    def collate(self, examples: Sequence[TokenizedExample], pad_token_id: int) -> dict[str, Tensor]:
        """``completions.collate`` of what comes after the prefix."""
        return collate(examples, pad_token_id, n_shared=len(self.token_ids))

    @property
    def reached(self) -> list[Tensor]:
        """The keys and values that depend on the adapter."""
        return [tensor for pair in self.keys_values for tensor in pair if tensor.requires_grad]

    def own_factors(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Factors | Whole], list[Tensor]]:
        """Losses, factors of the examples' own tokens alone, and the gradients at ``reached``, [batch, heads, ...].

        ``batch`` as made by ``collate`` above.
        """
        n = len(batch["input_ids"])
        scale = loss_scale(self.model)
        cache, leaves = DynamicCache(), []
        with torch.enable_grad():
            for layer, pair in enumerate(self.keys_values):
                copies = []
                for tensor in pair:
                    copy = tensor.detach().expand(n, *tensor.shape[1:])
                    if tensor.requires_grad:
                        copy.requires_grad_()
                        leaves.append(copy)
                    copies.append(copy)
                cache.update(*copies, layer)
            with capture(self.model, self.linears, *batch["input_ids"].shape) as captured:
                losses = completion_losses(self.model, batch, cache)
            outputs = captured.all_outputs
            found = torch.autograd.grad(scale * losses.sum(), [*outputs, *leaves], materialize_grads=True)
        factors = factors_of(captured, found[: len(outputs)], scale)
        return losses.detach(), factors, [gradient / scale for gradient in found[len(outputs) :]]

    def gradient_factors(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Factors | Whole]]:
        """As ``gradients.gradient_factors``, of a batch made by ``collate`` above."""
        losses, factors, at_reached = self.own_factors(batch)
        for name, gradient in self._through_prefix(at_reached).items():
            own = factors[name]
            if gradient is None:  # after the last keys and values, the prefix reaches no example
                continue
            if isinstance(own, Whole):
                factors[name] = Whole(own.own + as_factor(gradient).flatten(1))
            else:
                factors[name] = replace(
                    own,
                    prefix_inputs=as_factor(self.captured.inputs_of(name)[0]),
                    prefix_output_gradients=as_factor(gradient[:, 0]),
                )
        return losses, factors

    def _through_prefix(self, gradients: Sequence[Tensor]) -> dict[str, Tensor | None]:
        """From gradients [batch, ...] at ``reached`` to those at the layers' outputs, [batch, 1, prefix, out].

        None for a layer from which no key or value is reached.
        """
        if not self.reached:  # such as adapted queries of the last layer alone
            return {}
        with torch.enable_grad():
            found: Sequence[Tensor | None] = torch.autograd.grad(
                self.reached,
                self.captured.all_outputs,
                [gradient[:, None] for gradient in gradients],
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
        return self.captured.by_layer(found)

    def tangents(self, directions: Mapping[str, Tensor]) -> list[Tensor]:
        """How ``reached`` change with a step of the weights along each direction, [directions, heads, tokens, size].

        ``directions``: by layer, [directions, out * in]. The inner product of a direction with the prefix' part of an
        example's gradient is that of its tangents with the example's gradients at ``reached``, so where only products
        are asked for, no example's gradient has to go through the prefix. Computed as the derivative of the (linear)
        backward pass, once for each direction.
        """
        reached = self.reached
        if not reached:
            return []
        with torch.enable_grad():
            weights = [torch.zeros_like(tensor, requires_grad=True) for tensor in reached]
            found = torch.autograd.grad(
                reached,
                self.captured.all_outputs,
                weights,
                create_graph=True,
                allow_unused=True,
            )
            rows = []
            for index in range(len(next(iter(directions.values())))):
                product = torch.zeros((), device=reached[0].device)
                for name, gradient in self.captured.by_layer(found).items():
                    if gradient is not None:
                        at_outputs = as_factor(gradient[0])
                        along = directions[name][index].view_as(self.linears[name].weight).to(at_outputs)
                        if name in self.captured.inputs:
                            along = as_factor(self.captured.inputs_of(name)[0]) @ along.T
                        product = product + (at_outputs * along).sum()
                rows.append(torch.autograd.grad(product, weights, retain_graph=True))
        return [torch.cat(own) for own in zip(*rows, strict=True)]
