"""Curvature of the loss at the adapter, by EK-FAC, fitted in two passes over examples.

F is the Fisher information of the model, which for these losses is their Gauss-Newton matrix, a curvature that is never
negative (Grosse et al. 2023, arXiv 2308.03296). Its gradients are of labels drawn from the model, one draw for each
token, and not of the completions' own labels: the mean square of those is no curvature (Kunstner et al. 2019, arXiv
1905.12558). Layers are taken as independent of each other. For the weight of one, with inputs x and gradients d at its
outputs, K-FAC takes F as the Kronecker product of the covariances of x and d, over tokens; EK-FAC keeps their
eigenvectors as a basis, and takes the diagonal of F itself in it: the mean over examples of the squared coordinates of
their gradients (George et al. 2018, arXiv 1806.03476).

Memory does not grow with the examples: a layer [out, in] takes in^2 + out^2 + out * in numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from grait.errors import NonFiniteError
from grait.influence.batches import GradientPass, gradient_pass, settings_of
from grait.influence.engine import check_examples
from grait.influence.gradients import Factors, Whole
from grait.influence.resume import SavedPasses
from grait.influence.transforms import BASES, EIGENVALUES, Curvature
from grait.model.completions import TokenizedExample
from grait.model.engine import Road
from grait.runtime import processes
from grait.runtime.files import as_path

LARGEST_BASIS = 4096
"""Longer sides of a layer keep their own axes: eigenvectors of 8,192 would take minutes and 0.3 GB for each layer."""


def fit_curvature(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    folder: str | Path,
    *,
    pad_token_id: int,
    seed: int = 0,
    tokens_per_batch: int = 2048,
    damping: float | None = None,
    advance: Callable[[int], None] | None = None,
    road: Road | None = None,
) -> Curvature:
    """The curvature of the mean loss of ``examples``: those that training is on. A ``transform`` of influence.

    ``seed``: of the labels, which depend on it and the example's id. ``damping``: as of ``Curvature``; fitted anew for
    none. Two passes, of which ``advance`` is told: ``2 * len(examples)``. An x counts in its covariance by |d|^2 of its
    token. Where K-FAC's assumption holds, that changes a factor only; and tokens that no gradient reaches, padding
    among them, count for nothing. Adapters on fused experts have no x and d: the squares of their gradients stand for
    the covariances, as in Shampoo (Gupta et al. 2018, arXiv 1802.09568).

    ``folder``: gets bases and eigenvalues, to be read by ``Curvature.open``. A call that was killed goes on after the
    first pass, or within the second. Refused with ArtifactError when it belongs to another call. Examples without a
    finite gradient are left out; NonFiniteError when none is left.
    """
    check_examples("curvature's examples", examples)
    folder = as_path(folder, "folder")
    with gradient_pass(model, examples, pad_token_id, tokens_per_batch, None, advance, road) as run:
        run = replace(run, label_seed=seed)
        settings = {"label_seed": seed, **settings_of(run, {"examples": examples})}
        if processes.is_main():
            SavedPasses.open(folder, settings)
        processes.wait()
        saved, own = SavedPasses.open(folder, settings), processes.own(examples)
        if saved.load(BASES) is None:
            covariances = _covariances(run, own)
            if processes.is_main():
                saved.write(BASES, {name: _eigenvectors(covariances.pop(name)) for name in list(covariances)})
            processes.wait()
        else:
            run.advance(len(own))
        bases = {name: basis.to(run.device) for name, basis in (saved.load(BASES) or {}).items()}
        if saved.load(EIGENVALUES) is None:
            eigenvalues = _eigenvalues(run, own, bases, saved)
            if processes.is_main():
                saved.write(EIGENVALUES, eigenvalues)
            processes.wait()
        else:
            run.advance(len(own))
        found = saved.load(EIGENVALUES) or {}
    return Curvature(bases, {name: values.to(run.device) for name, values in found.items()}, damping)


def _covariances(run: GradientPass, examples: Sequence[TokenizedExample]) -> dict[str, Tensor]:
    """Sums over tokens of |d|^2 x x^T, ``<layer>.inputs``, and of d d^T, ``<layer>.outputs``."""
    found = {}
    for name, linear in run.linears.items():
        zeros = _zeros(linear)
        for side, size in (("outputs", zeros.shape[0]), ("inputs", zeros.shape[1])):
            if size <= LARGEST_BASIS:
                found[f"{name}.{side}"] = zeros.new_zeros(size, size)
    for _, layers in _finite(run, examples):
        for name, layer in layers.items():
            for side, vectors in _vectors(layer, run.linears[name].weight.shape).items():
                if f"{name}.{side}" in found:
                    found[f"{name}.{side}"].addmm_(vectors.T, vectors)
    return {name: processes.summed(own) for name, own in found.items()}


def _vectors(layer: Factors | Whole, shape: Sequence[int]) -> dict[str, Tensor]:
    """``inputs`` [n, in] and ``outputs`` [n, out], whose squares are the covariances."""
    if isinstance(layer, Whole):
        gradients = layer.own.reshape(-1, *shape)
        return {"inputs": gradients.flatten(0, 1), "outputs": gradients.transpose(1, 2).flatten(0, 1)}
    outputs = layer.output_gradients
    inputs = (layer.inputs * outputs.norm(dim=-1, keepdim=True)).flatten(0, 1)
    outputs = outputs.flatten(0, 1)
    if layer.prefix_inputs is not None and layer.prefix_output_gradients is not None:
        shared = layer.prefix_output_gradients  # at the same inputs for all examples
        inputs = torch.cat([inputs, layer.prefix_inputs * shared.square().sum((0, 2)).sqrt()[:, None]])
        outputs = torch.cat([outputs, shared.flatten(0, 1)])
    return {"inputs": inputs, "outputs": outputs}


def _eigenvectors(covariance: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(covariance.cpu().double()).eigenvectors
    return vectors.to(covariance)


def _eigenvalues(
    run: GradientPass, examples: Sequence[TokenizedExample], bases: dict[str, Tensor], saved: SavedPasses
) -> dict[str, Tensor]:
    """Mean squared coordinates of the gradients, by layer, [out, in]."""
    part = f"{EIGENVALUES}-{processes.rank()}-of-{processes.count()}"
    state = saved.load(part) or {"done": torch.tensor(0), "n": torch.tensor(0)}
    sums = {name: state.get(f"sum.{name}", _zeros(linear)).to(run.device) for name, linear in run.linears.items()}
    basis, n_done = Curvature(bases, sums), int(state["done"])
    for n, layers in _finite(run, examples, n_done):
        for name, layer in layers.items():
            sums[name] += basis.coordinates(name, layer.gradients()).square().sum(0)
        state |= {"n": state["n"] + n, "done": state["done"] + 1}
        saved.keep(part, state | {f"sum.{name}": own for name, own in sums.items()})
    n_all = int(processes.summed(state["n"].to(run.device)))
    if n_all == 0:
        raise NonFiniteError("curvature: no example has a finite loss and gradient")
    return {name: processes.summed(own) / n_all for name, own in sums.items()}


def _finite(
    run: GradientPass, examples: Sequence[TokenizedExample], n_done: int = 0
) -> Iterator[tuple[int, dict[str, Factors | Whole]]]:
    """By batch after the first ``n_done``, the rows with a finite loss and gradient: how many, and by layer."""
    for batch in run.batches(examples, lambda number, _: number < n_done):
        keep = batch.losses.isfinite()
        for layer in batch.factors.values():
            keep = keep & layer.gradients().sum(1).isfinite()
        layers = batch.factors
        if not bool(keep.all()):
            layers = {name: layer.rows(keep) for name, layer in layers.items()}
        yield int(keep.sum()), layers


def _zeros(linear: nn.Linear) -> Tensor:
    """As its weight, in fp32 or better."""
    return torch.zeros_like(linear.weight, dtype=torch.promote_types(linear.weight.dtype, torch.float32)).detach()
