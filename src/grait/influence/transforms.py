"""Gradients as the optimizer would use them, or as the loss's curvature has them.

Adam's step is taken from the moments at the end of warm-up. LESS (arXiv 2402.04333, section 3.2) compares Adam's update
directions instead of plain gradients. Its code leaves out the bias correction and puts epsilon inside the root; that
form is here for comparison. The default is that of torch.optim.

Curvature is that of influence functions (Koh and Liang 2017): g_y^T (F + damping)^-1 g_x, with the EK-FAC form of F
(George et al. 2018, arXiv 1806.03476; Grosse et al. 2023, arXiv 2308.03296). ``curvature`` fits it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from grait.errors import ArtifactError, DataError
from grait.influence.resume import load
from grait.runtime.files import as_path

AdamForm = Literal["torch", "less"]

DAMPING = 0.1
"""Times the mean eigenvalue of a layer, as Grosse et al. 2023."""
BASES, EIGENVALUES = "bases", "eigenvalues"


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


@dataclass(frozen=True)
class Curvature:
    """g to its coordinates in the eigenbasis of F, each divided by the root of eigenvalue plus damping.

    The inner product of two is g_y^T (F + damping)^-1 g_x, and their cosine that in this metric (of the examples'
    side the relative influence of Barshan et al. 2020, arXiv 2003.11630). So both sides have to be transformed, by the
    same curvature.

    ``bases``: orthonormal columns of each layer, ``<layer>.inputs`` [in, in] and ``<layer>.outputs`` [out, out]; a side
    that has none keeps its own axes. ``eigenvalues``: of F by layer, [out, in]. ``damping``: what is added to them;
    None: 0.1 of their mean in each layer. A layer without any curvature and damping counts for nothing.
    """

    bases: Mapping[str, Tensor]
    eigenvalues: Mapping[str, Tensor]
    damping: float | None = None

    def __post_init__(self) -> None:
        if self.damping is not None and not self.damping > 0:
            raise DataError(f"curvature: expected a damping above 0, found {self.damping}")

    @classmethod
    def open(cls, folder: str | Path, damping: float | None = None) -> "Curvature":
        """As ``fit_curvature`` leaves it. Raises ArtifactError where it is unfinished or not readable."""
        folder = as_path(folder, "folder")
        bases, eigenvalues = load(folder, BASES), load(folder, EIGENVALUES)
        if bases is None or eigenvalues is None:
            raise ArtifactError(f"{folder}: no finished curvature; fit it again to go on")
        return cls(bases, eigenvalues, damping)

    def coordinates(self, layer: str, gradients: Tensor) -> Tensor:
        """``gradients`` of the named layer's weight, [batch, out * in], in its eigenbasis, [batch, out, in]."""
        found = gradients.reshape(-1, *self.eigenvalues[layer].shape)
        inputs, outputs = (self.bases.get(f"{layer}.{side}") for side in ("inputs", "outputs"))
        if inputs is not None:
            found = found @ inputs.to(found)
        return found if outputs is None else outputs.to(found).T @ found

    def __call__(self, layer: str, gradients: Tensor) -> Tensor:
        """``gradients`` of the named layer's weight, [batch, out * in]; the same shape."""
        own = self.eigenvalues[layer].to(gradients)
        total = own + (DAMPING * own.mean() if self.damping is None else self.damping)
        scale = torch.where(total > 0, total.rsqrt(), 0)
        found: Tensor = self.coordinates(layer, gradients) * scale
        return found.flatten(1)
