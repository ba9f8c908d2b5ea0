"""Margins of left-out rows: against regressions that really leave a row out, and against S."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import PAD, poison, random_examples, tiny_model, with_lora
from torch import Tensor

from grait.errors import NonFiniteError
from grait.influence import sketch
from grait.influence.margins import label_separation, left_out_margins, separation
from grait.records import InfluenceScore, Label


def two_kinds(n: int, dimensions: int, seed: int = 0, apart: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rows with a large part in common, a third of them of another kind; their targets."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, dimensions, generator=generator, dtype=torch.float64)
    targets = torch.where(torch.arange(n) % 3 == 0, -1.0, 1.0).double()
    common, direction = torch.randn(2, dimensions, generator=generator, dtype=torch.float64)
    return rows + 5 * common + apart * targets[:, None] * direction, targets


def margins(rows: Tensor, targets: Tensor, ridge: float = 1.0, at_once: int = 7) -> Tensor:
    def blocks() -> Iterator[Tensor]:
        yield from rows.split(at_once)

    return left_out_margins(blocks, targets, ridge)


def units(rows: Tensor) -> Tensor:
    rows = rows - rows.mean(0)
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(("n", "dimensions"), [(20, 40), (20, 20), (40, 12)])
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_margins_are_those_of_regressions_without_the_row(n: int, dimensions: int, ridge: float) -> None:
    """With fewer rows than dimensions and with more."""
    rows, targets = two_kinds(n, dimensions)
    x, y = units(rows), targets - targets.mean()
    expected = []
    for i in range(n):
        others = torch.arange(n) != i
        gram = x[others].T @ x[others] + ridge * torch.eye(dimensions, dtype=torch.float64)
        expected.append(x[i] @ torch.linalg.solve(gram, x[others].T @ y[others]) + targets.mean())
    torch.testing.assert_close(margins(rows, targets, ridge), torch.stack(expected), rtol=1e-8, atol=1e-10)


def test_separation_counts_pairs_in_order() -> None:
    assert separation([3.0, 2.0], [1.0]) == 1.0
    assert separation([3.0, 0.0, 1.0], [1.0, 0.5]) == pytest.approx(3.5 / 6)  # a tie counts half


def test_separation_by_labels_is_of_the_unknown_from_the_known() -> None:
    labels: list[tuple[Label, float]] = [("idk", 3.0), ("dropped", 9.0), ("ik", 1.0), ("idk", 0.0), ("ik", 0.5)]
    scores = [InfluenceScore(str(i), label, 0, 0, 0, 0, 0, margin) for i, (label, margin) in enumerate(labels)]
    assert label_separation(scores) == separation([3.0, 0.0], [1.0, 0.5])
    assert label_separation(scores[:2]) is None and label_separation([]) is None


def test_random_labels_are_told_apart_no_better_than_by_chance() -> None:
    """Margins are of the OTHER rows: what a row says of itself would tell any labels apart."""
    found = []
    for seed in range(30):
        rows, targets = two_kinds(90, 200, seed)
        shuffled = targets[torch.randperm(90, generator=torch.Generator().manual_seed(seed))]
        for labels in (targets, shuffled):
            own = margins(rows, labels)
            found.append(separation(own[labels > 0].tolist(), own[labels < 0].tolist()))
    true, random = torch.tensor(found).reshape(-1, 2).mean(0).tolist()
    assert true > 0.95 and abs(random - 0.5) < 0.06


def test_margins_do_not_depend_on_order_and_blocks() -> None:
    rows, targets = two_kinds(30, 50)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    shuffled = margins(rows[order], targets[order], at_once=30)
    torch.testing.assert_close(shuffled, margins(rows, targets)[order], rtol=1e-8, atol=1e-10)


def test_a_row_does_not_speak_for_itself() -> None:
    """Its own target changes its margin through the mean of all targets only."""
    rows, targets = two_kinds(30, 50)
    flipped = targets.clone()
    flipped[4] = -flipped[4]
    shift = flipped.mean() - targets.mean()
    before, after = margins(rows, targets), margins(rows, flipped)
    assert float((after - before)[4].abs()) <= abs(float(shift)) * 1.5
    assert float((after - before)[torch.arange(30) != 4].abs().max()) > 0


def test_two_kinds_are_told_apart_and_shuffled_targets_are_not() -> None:
    rows, targets = two_kinds(300, 60)
    found = margins(rows, targets)
    assert float(found[targets > 0].quantile(0.1)) > float(found[targets < 0].quantile(0.9))
    shuffled = targets[torch.randperm(300, generator=torch.Generator().manual_seed(3))]
    by_chance = margins(rows, shuffled)
    assert abs(float(by_chance[shuffled > 0].mean() - by_chance[shuffled < 0].mean())) < 0.3


def test_with_a_large_ridge_the_order_is_that_of_stable_influence() -> None:
    """S of the centred units, each row's own products left out."""
    rows, targets = two_kinds(40, 60)
    x, y = units(rows), targets - targets.mean()
    stable = x @ (x.T @ y) - (x * x).sum(1) * y
    found = 1e6 * (margins(rows, targets, ridge=1e6) - targets.mean())
    torch.testing.assert_close(found, stable, rtol=1e-4, atol=1e-4)


def test_equal_rows_have_the_mean_of_the_targets() -> None:
    targets = torch.tensor([1.0, 1.0, -1.0])
    found = margins(torch.ones(3, 5, dtype=torch.float64), targets)
    torch.testing.assert_close(found, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_a_datastore_gives_margins_by_id_and_leaves_out_what_is_not_finite(tmp_path: Path) -> None:
    model, examples = with_lora(tiny_model()), random_examples(9)
    own = set(examples[2].prompt_ids).difference(
        *(row.prompt_ids + row.completion_ids for row in examples if row.id != "q02")
    )
    poison(model, min(own))
    store = sketch(model, examples, tmp_path / "store", pad_token_id=PAD, dimensions=64)
    ids = [example.id for example in examples]
    found = store.left_out_margins(ids[4:], ids[:4])
    assert set(found) == set(ids) - {ids[2]}
    kept = [row for row in range(9) if row != 2]
    rows = torch.from_numpy(store.unit_gradients[kept].astype("float32"))
    expected = margins(rows, torch.tensor([1.0 if row >= 4 else -1.0 for row in kept]))
    assert found == pytest.approx({ids[row]: float(value) for row, value in zip(kept, expected, strict=True)})
    with pytest.raises(NonFiniteError, match="no example of one of two sets"):
        store.left_out_margins(ids[4:], [ids[2]])
