"""Gradient transforms against torch.optim's own step, moments by name, and sums over checkpoints."""

import math

import pytest
import torch
from torch import Tensor

from grait.errors import ArtifactError, DataError
from grait.influence import AdamTransform, Influence, over_checkpoints, read_moments

SHAPES = {"a": torch.Size([3, 4]), "b": torch.Size([2, 3])}


def state_after(
    n_steps: int, seed: int = 0
) -> tuple[dict[str, torch.nn.Parameter], torch.optim.Adam, dict[str, Tensor]]:
    """Two weights, Adam after some steps on them, and its state as training writes it."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in SHAPES.items()
    }
    adam = torch.optim.Adam(weights.values(), lr=0.01)
    for _ in range(n_steps):
        for weight in weights.values():
            weight.grad = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        adam.step()
    tensors = {
        f"{name}.weight.{key}": torch.as_tensor(adam.state[weight][key]).clone()
        for name, weight in weights.items()
        for key in ("exp_avg", "exp_avg_sq", "step")
    }
    return weights, adam, tensors


@pytest.mark.parametrize("n_steps", [1, 7])
def test_the_adam_transform_is_the_step_that_torch_takes(n_steps: int) -> None:
    weights, adam, tensors = state_after(n_steps)
    transform = AdamTransform(read_moments(tensors, SHAPES, "file"))
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    for weight in weights.values():
        weight.grad = torch.randn(weight.shape, dtype=torch.float64)
    gradients = {name: weight.grad.clone() for name, weight in weights.items() if weight.grad is not None}
    adam.step()
    for name, weight in weights.items():
        taken = (before[name] - weight.detach()).flatten() / 0.01
        batch = torch.stack([gradients[name].flatten(), torch.zeros_like(taken)])
        torch.testing.assert_close(transform(name, batch)[0], taken, rtol=1e-9, atol=1e-12)


def test_less_has_no_bias_correction_and_its_epsilon_inside_the_root() -> None:
    _, _, tensors = state_after(2)
    moments = read_moments(tensors, SHAPES, "file")
    gradient = torch.linspace(-1, 1, 12, dtype=torch.float64)
    found = AdamTransform(moments, form="less", eps=0.1)("a", gradient[None])[0]
    for index in range(12):
        m = 0.9 * float(moments["a"].exp_avg[index]) + 0.1 * float(gradient[index])
        v = 0.999 * float(moments["a"].exp_avg_sq[index]) + 0.001 * float(gradient[index]) ** 2
        assert float(found[index]) == pytest.approx(m / math.sqrt(v + 0.1), rel=1e-12)


def test_a_missing_a_misshapen_and_a_foreign_state_are_named() -> None:
    _, _, tensors = state_after(1)
    missing = {name: value for name, value in tensors.items() if name != "b.weight.exp_avg_sq"}
    with pytest.raises(ArtifactError, match=r"file: no optimizer state b\.weight\.exp_avg_sq"):
        read_moments(missing, SHAPES, "file")
    with pytest.raises(ArtifactError, match=r"a\.weight\.exp_avg has the shape \(3, 4\), expected \(4, 4\)"):
        read_moments(tensors, {**SHAPES, "a": torch.Size([4, 4])}, "file")
    with pytest.raises(ArtifactError, match=r"b\.weight\.exp_avg belongs to no trainable layer"):
        read_moments(tensors, {"a": SHAPES["a"]}, "file")


def result(scale: float, ids: tuple[str, ...] = ("x", "y"), non_finite: tuple[str, ...] = ()) -> Influence:
    scores = {"idk": {key: scale * (index + 1) for index, key in enumerate(ids)}}
    return Influence(scores, dict.fromkeys(ids, scale), dict.fromkeys(ids, scale), non_finite)


def test_checkpoints_add_up_weighted_by_their_learning_rates() -> None:
    total = over_checkpoints([(0.5, result(1.0)), (0.1, result(10.0))])
    assert total.scores == {"idk": {"x": pytest.approx(1.5), "y": pytest.approx(3.0)}}
    assert total.gradient_norms == {"x": 10.0, "y": 10.0}


def test_an_example_without_a_gradient_at_one_checkpoint_is_left_out_of_the_sum() -> None:
    total = over_checkpoints([(1.0, result(1.0, ("y",), ("x",))), (1.0, result(2.0))])
    assert total.non_finite == ("x",)
    assert total.scores == {"idk": {"y": 1.0 + 4.0}}


def test_checkpoints_of_other_examples_are_refused() -> None:
    with pytest.raises(DataError, match="not asked about the same"):
        over_checkpoints([(1.0, result(1.0, ("x",))), (1.0, result(1.0))])
    with pytest.raises(DataError, match="no checkpoint"):
        over_checkpoints([])
