"""Gradients as the optimizer would use them: Adam's step from the moments at the end of warm-up.

LESS (arXiv 2402.04333, section 3.2) compares Adam's update directions instead of plain gradients. Its code leaves
out the bias correction and puts epsilon inside the root; that form is here for comparison. The default is that of
torch.optim.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from grait.errors import ArtifactError

AdamForm = Literal["torch", "less"]


@dataclass(frozen=True)
class AdamMoments:
    """Moments of one weight: ``exp_avg`` m and ``exp_avg_sq`` v, flattened as the weight, after ``step`` steps."""

    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: float


@dataclass(frozen=True)
class AdamTransform:
    """g to the direction of Adam's next step with g as its gradient (without learning rate and sign).

    m' = b1 m + (1 - b1) g and v' = b2 v + (1 - b2) g^2. ``torch``: m'_hat / (sqrt(v'_hat) + eps) with bias correction
    for the next step, as torch.optim.Adam. ``less``: m' / sqrt(v' + eps), as LESS's code.
    """

    moments: Mapping[str, AdamMoments]
    form: AdamForm = "torch"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __call__(self, layer: str, gradients: Tensor) -> Tensor:
        """``gradients`` of the named layer's weight, [batch, out * in]; the same shape."""
        state = self.moments[layer]
        beta1, beta2 = self.betas
        first: Tensor = beta1 * state.exp_avg.to(gradients) + (1 - beta1) * gradients
        second: Tensor = beta2 * state.exp_avg_sq.to(gradients) + (1 - beta2) * gradients.square()
        if self.form == "less":
            return first / (second + self.eps).sqrt()
        step = state.step + 1
        first_correction: float = 1 - beta1**step
        second_correction: float = 1 - beta2**step
        return first / first_correction / ((second / second_correction).sqrt() + self.eps)


def read_moments(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str
) -> dict[str, AdamMoments]:
    """The moments of each layer's weight, looked up by parameter name.

    ``tensors``: ``<layer>.weight.{exp_avg,exp_avg_sq,step}`` as written after training; ``shapes``: of the weights, by
    layer. Raises ArtifactError naming the parameter whose state is missing or has another shape, and any state that
    belongs to no layer.
    """
    moments = {}
    for layer, shape in shapes.items():
        for key in ("exp_avg", "exp_avg_sq", "step"):
            name = f"{layer}.weight.{key}"
            if name not in tensors:
                raise ArtifactError(f"{source}: no optimizer state {name}; run the warm-up again with this adapter")
            if key != "step" and tensors[name].shape != shape:
                raise ArtifactError(
                    f"{source}: {name} has the shape {tuple(tensors[name].shape)}, expected {tuple(shape)}; "
                    "run the warm-up again with this adapter"
                )
        moments[layer] = AdamMoments(
            tensors[f"{layer}.weight.exp_avg"].flatten(),
            tensors[f"{layer}.weight.exp_avg_sq"].flatten(),
            float(tensors[f"{layer}.weight.step"]),
        )
    for name in tensors:
        if name.rpartition(".weight.")[0] not in shapes:
            raise ArtifactError(f"{source}: optimizer state {name} belongs to no trainable layer of this model")
    return moments
