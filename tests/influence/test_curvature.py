"""EK-FAC against explicit dense matrices: its own, and the damped Fisher made of a loop over single examples."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny import ATTENTION, END, PAD, loop_gradients, poison, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.errors import ArtifactError, DataError, NonFiniteError
from grait.influence import Curvature, TokenizedExample, fit_curvature, influence, resume, sketch
from grait.influence import curvature as module
from grait.influence.batches import draws
from grait.influence.gradients import Factors, Whole, gradient_factors, trainable_linears
from grait.influence.resume import SavedPasses
from grait.model import completions
from grait.model.completions import collate, completion_losses, drawn_labels

EXAMPLES = random_examples(9)
BEGIN = (11, 12, 13, 14)
SHARING = [replace(row, prompt_ids=(*BEGIN, *row.prompt_ids)) for row in EXAMPLES]
"""All prompts begin with the same tokens."""


def adapted(targets: Sequence[str] = ("q_proj", "v_proj", "down_proj"), architecture: str = "llama") -> PeftModel:
    return with_lora(tiny_model(architecture, dtype=torch.float64), list(targets), r=2)


def fit(
    model: nn.Module, folder: Path, examples: Sequence[TokenizedExample] = EXAMPLES, size: int = 64, **more: object
) -> Curvature:
    return fit_curvature(model, examples, folder, pad_token_id=PAD, tokens_per_batch=size, **more)  # type: ignore[arg-type]


def drawn_gradients(model: nn.Module, examples: Sequence[TokenizedExample], seed: int = 0) -> dict[str, Tensor]:
    """By layer, [examples, out * in], one example at a time: labels drawn from the model, losses over their root.

    A loop of its own: only the random numbers are those of the fit.
    """
    linears = trainable_linears(model)
    rows = []
    for example in examples:
        n, sequence = len(example.completion_ids), [*example.prompt_ids, *example.completion_ids]
        logits = model(input_ids=torch.tensor([sequence[:-1]])).logits[0, -n:]
        up_to = logits.detach().softmax(-1).cumsum(-1)
        labels = [int((own <= float(u)).sum()) for own, u in zip(up_to, draws([example], n, seed)[0], strict=True)]
        loss = nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="sum") / math.sqrt(n)
        rows.append(torch.autograd.grad(loss, [own.weight for own in linears.values()]))
    return {
        name: torch.stack([own.flatten() for own in column])
        for name, column in zip(linears, zip(*rows, strict=True), strict=True)
    }


def fisher(gradients: Tensor) -> Tensor:
    return gradients.T @ gradients / len(gradients)


def basis_of(found: Curvature, name: str) -> Tensor:
    """The eigenbasis of a layer as columns of [out * in, out * in]."""
    n_out, n_in = found.eigenvalues[name].shape
    outputs, inputs = (
        found.bases.get(f"{name}.{side}", torch.eye(n, dtype=torch.float64))
        for side, n in (("outputs", n_out), ("inputs", n_in))
    )
    return torch.kron(outputs.contiguous(), inputs.contiguous())


def dense(found: Curvature, name: str) -> Tensor:
    """The damped EK-FAC matrix of a layer: U diag(eigenvalues + damping) U^T."""
    values, basis = found.eigenvalues[name], basis_of(found, name)
    damping = 0.1 * values.mean() if found.damping is None else found.damping
    return basis @ torch.diag(values.flatten() + damping) @ basis.T


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def inverse(found: Curvature, name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """What inner products of transformed gradients have in the middle: all unit vectors, transformed, by each other."""
    rows = found(name, torch.eye(found.eigenvalues[name].numel(), dtype=dtype))
    return rows @ rows.T


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_eigenvalues_are_the_diagonal_of_the_fisher_in_the_eigenbasis(architecture: str, tmp_path: Path) -> None:
    model = adapted(ATTENTION[architecture], architecture)
    found = fit(model, tmp_path / "f")
    for name, gradients in drawn_gradients(model, EXAMPLES).items():
        basis = basis_of(found, name)
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-9)
        expected = (basis.T @ fisher(gradients) @ basis).diagonal()
        assert error(found.eigenvalues[name].flatten(), expected) < 1e-9
        assert float(gradients.norm()) > 0


def test_of_all_diagonals_in_that_basis_it_is_the_nearest_to_the_fisher(tmp_path: Path) -> None:
    """George et al. 2018: nearer than K-FAC's own eigenvalues, products of those of the two covariances."""
    model = adapted()
    found, gradients = fit(model, tmp_path / "f"), drawn_gradients(model, EXAMPLES)
    for name, own in gradients.items():
        basis, values = basis_of(found, name), found.eigenvalues[name]
        kfac = torch.outer(values.sum(1), values.sum(0)) / values.sum()
        distance = {
            key: error(basis @ torch.diag(diagonal.flatten()) @ basis.T, fisher(own))
            for key, diagonal in (("ekfac", values), ("kfac", kfac), ("none", torch.full_like(values, values.mean())))
        }
        assert distance["ekfac"] < min(distance["kfac"], distance["none"])


@pytest.mark.parametrize("damping", [None, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_applied_it_is_the_inverse_of_the_damped_ekfac_matrix(
    dtype: torch.dtype, damping: float | None, tmp_path: Path
) -> None:
    found = fit(adapted(), tmp_path / "f", damping=damping)
    for name in found.eigenvalues:
        assert error(inverse(found, name, dtype).double(), torch.linalg.inv(dense(found, name))) < 1e-4


@pytest.mark.parametrize("damping", [None, 1e-3])
def test_of_a_single_token_it_is_the_damped_fisher(damping: float | None, tmp_path: Path) -> None:
    """One outer product: the Kronecker assumption holds."""
    one = [TokenizedExample("one", (17,), (5,))]
    model = adapted(["v_proj", "down_proj"])
    found = fit(model, tmp_path / "f", one, damping=damping)
    n_with_curvature = 0
    for name, gradients in drawn_gradients(model, one).items():
        own = 0.1 * float(found.eigenvalues[name].mean()) if damping is None else damping
        if own == 0:  # of the last layer's B there is no other
            continue
        expected = torch.linalg.inv(fisher(gradients) + own * torch.eye(gradients.shape[1], dtype=torch.float64))
        assert error(inverse(found, name), expected) < 1e-4
        n_with_curvature += 1
    assert n_with_curvature == len(found.eigenvalues)


def factors(inputs: Tensor, output_gradients: Tensor) -> Factors:
    return Factors(inputs[:, None], output_gradients[:, None])


def test_where_inputs_and_gradients_are_independent_it_is_the_damped_fisher() -> None:
    """Every input with every gradient, one token each: F is the Kronecker product of the two covariances."""
    inputs, gradients = torch.randn(6, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    layer = factors(inputs.repeat_interleave(4, 0), gradients.repeat(6, 1))
    bases = {
        f"a.{side}": module._eigenvectors(vectors.T @ vectors)
        for side, vectors in module._vectors(layer, (3, 5)).items()
    }
    rows = layer.gradients()
    eigenvalues = Curvature(bases, {"a": torch.zeros(3, 5)}).coordinates("a", rows).square().mean(0)
    found = Curvature(bases, {"a": eigenvalues}, damping=0.01)
    expected = fisher(rows) + 0.01 * torch.eye(15, dtype=torch.float64)
    assert error(inverse(found, "a"), torch.linalg.inv(expected)) < 1e-9
    x, y = torch.randn(2, 15, dtype=torch.float64)
    solved = torch.linalg.solve(expected, x)
    assert float(found("a", y[None])[0] @ found("a", x[None])[0]) == pytest.approx(float(y @ solved), rel=1e-9)


def test_the_fisher_is_the_gauss_newton_matrix_of_the_mean_loss() -> None:
    """Over many draws of the labels: 1/n sum_t J_t^T (diag(p) - p p^T) J_t, from the derivatives of all logits."""
    model = with_lora(tiny_model(vocab_size=6, dtype=torch.float64), ["v_proj"], r=1, layers_to_transform=[1])
    example = TokenizedExample("a", (3, 4), (2, 5, END))
    weights = [own.weight for own in trainable_linears(model).values()]
    logits = model(input_ids=torch.tensor([[3, 4, 2, 5]])).logits[0, -3:]
    expected = torch.zeros(sum(own.numel() for own in weights), sum(own.numel() for own in weights)).double()
    for token in logits:
        rows = [torch.autograd.grad(value, weights, retain_graph=True) for value in token]
        jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
        p = token.detach().softmax(-1)
        expected += jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian / 3
    many = [replace(example, id=f"a{i}") for i in range(2000)]
    batch = collate(many, PAD) | {"draws": draws(many, 3, seed=0)}
    per_example = torch.cat(list(_of_batch(model, batch).values()), dim=1)
    assert error(fisher(per_example), expected) < 0.08
    plain = _of_batch(model, collate(many[:1], PAD))
    assert error(fisher(torch.cat(list(plain.values()), dim=1)), expected) > 0.5  # the completion's own labels


def _of_batch(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: own.gradients() for name, own in gradient_factors(model, trainable_linears(model), batch)[1].items()}


def test_labels_are_drawn_with_the_models_probabilities_and_by_id() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, -math.inf]]).expand(4000, 4)
    rows = [TokenizedExample(f"r{i}", (2,), (3,)) for i in range(4000)]
    own = draws(rows, 1, seed=0)
    labels = drawn_labels(logits, own[:, 0])
    shares = labels.bincount(minlength=4) / len(labels)
    torch.testing.assert_close(shares, logits[0].softmax(-1), rtol=0, atol=0.025)
    assert shares[3] == 0
    assert torch.equal(draws(rows[::-1][:5], 3, seed=0)[:, -1], own.flip(0)[:5, 0])  # by id, at the end
    assert not torch.equal(draws(rows[:5], 1, seed=1), own[:5])
    assert drawn_labels(torch.full((1, 4), math.nan), own[:1, 0]).item() == 3
    assert drawn_labels(torch.tensor([[0.0, -math.inf]]), torch.tensor([0.0])).item() == 0


def test_a_head_in_chunks_draws_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    batch = collate(EXAMPLES, PAD)
    batch |= {"draws": draws(EXAMPLES, batch["targets"].shape[1], seed=0)}
    whole = completion_losses(model, batch)
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", 1000)
    torch.testing.assert_close(completion_losses(model, batch), whole)
    assert (whole - completion_losses(model, collate(EXAMPLES, PAD))).abs().min() > 1e-3


@pytest.mark.parametrize("examples", [EXAMPLES, SHARING])
def test_batches_order_padding_and_a_shared_beginning_change_nothing(
    examples: list[TokenizedExample], tmp_path: Path
) -> None:
    model = adapted()
    one = fit(model, tmp_path / "a", examples, size=64, road="copied prefix")
    other = fit(model, tmp_path / "b", examples[::-1], size=1, road="no sharing")
    for name in one.eigenvalues:
        assert error(inverse(other, name), inverse(one, name)) < 1e-6
        expected = fisher(drawn_gradients(model, examples)[name]).trace()
        assert float(one.eigenvalues[name].sum()) == pytest.approx(float(expected), rel=1e-9)


def test_it_is_linear_symmetric_and_positive(tmp_path: Path) -> None:
    found = fit(adapted(), tmp_path / "f")
    for name in found.eigenvalues:
        x, y = torch.randn(2, 1, found.eigenvalues[name].numel(), dtype=torch.float64)
        torch.testing.assert_close(found(name, 2 * x - 3 * y), 2 * found(name, x) - 3 * found(name, y))
        matrix = inverse(found, name)
        torch.testing.assert_close(matrix, matrix.T)
        assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def scores(model: nn.Module, transform: Callable[[str, Tensor], Tensor] | None) -> dict[str, float]:
    return influence(
        model, EXAMPLES[:5], {"set": EXAMPLES[5:]}, pad_token_id=PAD, tokens_per_batch=64, transform=transform
    ).scores["set"]


def test_with_much_damping_influence_is_that_of_plain_gradients_and_with_little_it_is_not(tmp_path: Path) -> None:
    model, plain = adapted(), None
    plain = scores(model, None)
    assert scores(model, fit(model, tmp_path / "f", damping=1e9)) == pytest.approx(plain, abs=1e-6)
    assert scores(model, fit(model, tmp_path / "f")) != pytest.approx(plain, abs=0.05)


def test_influence_is_the_cosine_in_the_metric_of_the_inverse(tmp_path: Path) -> None:
    """Against the dense matrices, from gradients of a loop; in the sketch but for the projection."""
    model = adapted()
    found = fit(model, tmp_path / "f")
    middle = torch.block_diag(*(torch.linalg.inv(dense(found, name)) for name in trainable_linears(model)))
    gradients = torch.stack(loop_gradients(model, EXAMPLES)[1])
    products = gradients @ middle @ gradients.T
    norms = products.diagonal().sqrt()
    expected = (products / norms / norms[:, None])[:5, 5:].mean(1)
    exact = scores(model, found)
    assert list(exact.values()) == pytest.approx(expected.tolist(), rel=1e-6)
    store = sketch(
        model, EXAMPLES, tmp_path / "d", pad_token_id=PAD, dimensions=2**15, transform=found, tokens_per_batch=64
    )
    assert store.norms.tolist() == pytest.approx(norms.tolist(), rel=1e-5)
    ids = [row.id for row in EXAMPLES]
    assert store.influence({"set": ids[5:]}, ids[:5]).scores["set"] == pytest.approx(exact, abs=0.02)


def test_sketches_with_curvature_are_compared_with_those_of_the_same_alone(tmp_path: Path) -> None:
    """Coordinates of one eigenbasis say nothing in another, nor beside plain gradients."""
    model = adapted()
    of = {
        "same": fit(model, tmp_path / "f"),
        "opened": Curvature.open(tmp_path / "f"),
        "damped": Curvature.open(tmp_path / "f", damping=1.0),
        "other": fit(model, tmp_path / "g", EXAMPLES[:4]),
        "plain": None,
    }
    stores = {
        name: sketch(model, EXAMPLES[:3], tmp_path / name, pad_token_id=PAD, dimensions=64, transform=own)
        for name, own in of.items()
    }
    sets = {"set": [row.id for row in EXAMPLES[:3]]}
    assert stores["same"].influence_on(stores["opened"], sets).scores["set"]
    for name in ("damped", "other", "plain"):
        for one, two in ((stores["same"], stores[name]), (stores[name], stores["same"])):
            with pytest.raises(ArtifactError, match="transform"):
                one.influence_on(two, sets)


def test_a_long_side_keeps_its_own_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BASIS", 40)
    model = adapted()
    found = fit(model, tmp_path / "f")  # 48 wide inside the MLP, 32 elsewhere
    (wide,) = [name for name in found.eigenvalues if "layers.0.mlp.down_proj.lora_A" in name]
    assert f"{wide}.inputs" not in found.bases and f"{wide}.outputs" in found.bases
    basis, gradients = basis_of(found, wide), drawn_gradients(model, EXAMPLES)[wide]
    assert error(found.eigenvalues[wide].flatten(), (basis.T @ fisher(gradients) @ basis).diagonal()) < 1e-9
    assert error(inverse(found, wide), torch.linalg.inv(dense(found, wide))) < 1e-9


def test_without_factors_squares_of_gradients_stand_for_the_covariances() -> None:
    gradients = torch.randn(7, 3, 5, dtype=torch.float64)
    found = module._vectors(Whole(gradients.flatten(1)), (3, 5))
    torch.testing.assert_close(found["inputs"].T @ found["inputs"], (gradients.transpose(1, 2) @ gradients).sum(0))
    torch.testing.assert_close(found["outputs"].T @ found["outputs"], (gradients @ gradients.transpose(1, 2)).sum(0))


def test_covariances_are_over_all_tokens_inputs_by_the_squared_length_of_their_gradient() -> None:
    """So that padding, which no gradient reaches, is in none."""
    inputs, gradients = torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    gradients[0, 0] = 0
    prefix, at_prefix = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 2, 4, dtype=torch.float64)
    found = module._vectors(Factors(inputs, gradients, prefix, at_prefix), (4, 5))
    tokens = [(inputs[b, t], gradients[b, t]) for b in range(2) for t in range(3)]
    tokens += [(prefix[t], at_prefix[b, t]) for b in range(2) for t in range(2)]
    squares = {"inputs": sum(d.dot(d) * torch.outer(x, x) for x, d in tokens[1:]),
               "outputs": sum(torch.outer(d, d) for _, d in tokens[1:])}  # fmt: skip
    for side, expected in squares.items():
        torch.testing.assert_close(found[side].T @ found[side], expected)


def test_a_layer_without_curvature_counts_for_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    model = adapted()
    with torch.no_grad():
        next(own for name, own in model.named_parameters() if "lora_B" in name).zero_()  # its A has no gradient
    found = fit(model, tmp_path / "f")
    dead = [name for name, own in found.eigenvalues.items() if float(own.sum()) == 0]
    assert len(dead) == 1 and "lora_A" in dead[0]
    assert not found(dead[0], torch.ones(1, found.eigenvalues[dead[0]].numel(), dtype=torch.float64)).any()
    assert all(math.isfinite(value) for value in scores(model, found).values())


def test_examples_without_a_finite_gradient_are_left_out(tmp_path: Path) -> None:
    model = adapted()
    clean = [row for row in EXAMPLES if 199 not in row.prompt_ids]
    expected = fit(model, tmp_path / "clean", clean)
    bad = TokenizedExample("bad", (5, 199, 9), (4, END))
    poison(model, 199)
    found = fit(model, tmp_path / "all", [bad, *clean])
    for name in found.eigenvalues:
        assert error(inverse(found, name), inverse(expected, name)) < 1e-6
    with pytest.raises(NonFiniteError, match="no example"):
        fit(model, tmp_path / "bad", [bad])


class Killed(Exception):
    pass


def test_a_fit_that_was_killed_ends_with_the_same_numbers_and_a_finished_one_only_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    model, told = adapted(), list[int]()
    expected = fit(model, tmp_path / "whole", size=32, advance=told.append)
    assert sum(told) == 2 * len(EXAMPLES)
    runs: list[int] = []
    model.register_forward_hook(lambda *_: runs.append(1))
    for after in (0, len(told) // 2, len(told) // 2 + 1, len(told) - 1):
        left = iter(range(after))

        def advance(_: int, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise Killed

        with pytest.raises(Killed):
            fit(model, tmp_path / str(after), size=32, advance=advance)
        with pytest.raises(ArtifactError, match="no finished curvature"):
            Curvature.open(tmp_path / str(after))
        found, counted = fit(model, tmp_path / str(after), size=32, advance=(again := list[int]()).append), again
        assert sum(counted) == 2 * len(EXAMPLES)
        for name in found.eigenvalues:
            assert error(inverse(found, name), inverse(expected, name)) < 1e-9
    runs.clear()
    kept = fit(model, tmp_path / "whole", size=32, road="no sharing")
    assert not runs and {path.suffix for path in (tmp_path / "whole").iterdir()} == {".json", ".safetensors"}
    opened = Curvature.open(tmp_path / "whole")
    for name in opened.eigenvalues:
        assert torch.equal(opened.eigenvalues[name], kept.eigenvalues[name])


def test_a_fit_of_other_examples_weights_or_seed_is_refused_by_name(tmp_path: Path) -> None:
    model = adapted()
    fit(model, tmp_path / "f")
    with pytest.raises(ArtifactError, match="examples changed"):
        fit(model, tmp_path / "f", EXAMPLES[:3])
    with pytest.raises(ArtifactError, match="label_seed: 0 -> 1"):
        fit(model, tmp_path / "f", seed=1)
    with torch.no_grad():
        next(own for own in model.parameters() if own.requires_grad).add_(0.1)
    with pytest.raises(ArtifactError, match="adapter changed"):
        fit(model, tmp_path / "f")


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="damping above 0, found 0"):
        Curvature({}, {}, damping=0)
    with pytest.raises(DataError, match="curvature's examples holds an id twice"):
        fit(adapted(), tmp_path / "f", [EXAMPLES[0], EXAMPLES[0]])
    with pytest.raises(ArtifactError, match="no finished curvature"):
        Curvature.open(tmp_path / "nowhere")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bases.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="not readable"):
        Curvature.open(tmp_path / "bad")


def test_the_sums_that_a_pass_keeps_do_not_grow_with_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(
        SavedPasses, "keep", lambda _, name, state: kept.append(sum(own.numel() for own in state.values()))
    )
    fit(adapted(), tmp_path / "f", size=32)
    assert len(kept) > 3 and len(set(kept)) == 1
