"""Exact influence between examples and sets of examples, in two passes over the data.

With unit gradients u, the mean influence of example i on a set is <u_i, mean_j u_j>: the first pass forms the mean
direction of every set, the second takes the products. Cost and memory grow linearly with the data; no matrix of
all pairs is formed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.errors import DataError, NonFiniteError
from grait.influence.gradients import Factors, gradient_factors, trainable_linears
from grait.model.completions import TokenizedExample, collate
from grait.model.inference import by_length


@dataclass(frozen=True)
class Influence:
    """Scores by example id.

    ``scores``: set name -> id -> mean over the set of <u_i, u_j>, in [-1, 1]; an example of a set counts itself, too.
    ``gradient_norms``: id -> norm of the loss gradient.
    ``losses``: id -> mean completion loss (nats per token).
    ``non_finite``: ids left out of everything because loss or gradient was not finite.
    """

    scores: dict[str, dict[str, float]]
    gradient_norms: dict[str, float]
    losses: dict[str, float]
    non_finite: tuple[str, ...]


Transform = Callable[[str, Tensor], Tensor]
"""From a layer's name and its gradients [batch, out * in] to what is compared instead, of the same shape."""

Directions = dict[str, Tensor]
"""By layer: the mean unit gradient of each set, [sets, out * in]."""


def over_checkpoints(results: Sequence[tuple[float, Influence]]) -> Influence:
    """Influence over several warm-up checkpoints: the sum of their scores, each times its learning rate.

    LESS eq. 4, TracIn. ``results``: learning rate and influence at each checkpoint, of the same examples and sets.
    Norms and losses are those of the last checkpoint; an example that was not finite at any of them is left out.
    """
    if not results:
        raise DataError("influence: no checkpoint to sum over")
    last = results[-1][1]
    non_finite = sorted({example_id for _, result in results for example_id in result.non_finite})
    kept = [example_id for example_id in last.gradient_norms if example_id not in set(non_finite)]
    for _, result in results:
        if result.scores.keys() != last.scores.keys() or not result.gradient_norms.keys() >= set(kept):
            raise DataError("influence: the checkpoints were not asked about the same examples and sets")
    return Influence(
        scores={
            name: {key: sum(rate * result.scores[name][key] for rate, result in results) for key in kept}
            for name in last.scores
        },
        gradient_norms={key: last.gradient_norms[key] for key in kept},
        losses={key: last.losses[key] for key in kept},
        non_finite=tuple(non_finite),
    )


@dataclass(frozen=True)
class GradientPass:
    """What both passes need: the model with its trainable layers, and how examples are put into batches."""

    model: nn.Module
    linears: dict[str, nn.Linear]
    pad_token_id: int
    tokens_per_batch: int
    advance: Callable[[int], None]
    transform: Transform | None = None

    def gradients(self, name: str, layer: Factors) -> Tensor:
        """Every example's gradient of one layer, transformed, [batch, out * in]."""
        gradients = layer.gradients()
        return self.transform(name, gradients) if self.transform else gradients

    def weighted_sum(self, name: str, layer: Factors, coefficients: Tensor) -> Tensor:
        """Their sum for each row of ``coefficients`` [sums, batch]; [sums, out * in]."""
        if self.transform is None:
            return layer.weighted_sum(coefficients)
        return coefficients @ self.gradients(name, layer)

    def batches(
        self, examples: Sequence[TokenizedExample]
    ) -> Iterator[tuple[list[TokenizedExample], Tensor, dict[str, Factors]]]:
        """The examples in batches of similar length, with losses [batch] and gradient factors by layer."""
        device = next(iter(self.linears.values())).weight.device
        for positions in by_length([example.n_tokens for example in examples], self.tokens_per_batch):
            rows = [examples[position] for position in positions]
            batch = {key: value.to(device) for key, value in collate(rows, self.pad_token_id).items()}
            yield rows, *gradient_factors(self.model, self.linears, batch)
            self.advance(len(rows))


def _usable(losses: Tensor, norms: Tensor) -> Tensor:
    """Which rows have a direction: loss and gradient are finite, and the gradient is not 0."""
    return losses.isfinite() & norms.isfinite() & (norms > 0)


def influence(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    *,
    pad_token_id: int,
    tokens_per_batch: int = 2048,
    transform: Transform | None = None,
    advance: Callable[[int], None] | None = None,
) -> Influence:
    """How much a step on each of ``examples`` lowers the mean loss of each of ``sets``, to first order.

    Influence of i on a set = mean over j in the set of <u_i, u_j>, u = gradient / norm, over all trainable weights
    of ``model`` (GRAIT section 3; LESS eq. 3 for one checkpoint and plain SGD). Positive: learning i lowers the
    set's loss. Ids name examples within ``examples`` and within each set and must be unique there.

    ``transform`` replaces the gradients before they are made units, as ``transforms.AdamTransform`` does.

    The result does not depend on the batches up to rounding. ``advance`` is told the examples done; in all
    ``sum(len(set)) + len(examples)``, where an example that is in several sets is run once.
    """
    for name, members in (("examples", examples), *sets.items()):
        if not members:
            raise DataError(f"influence: {name} is empty")
        seen: set[str] = set()
        for member in members:
            if member.id in seen:
                raise DataError(f"influence: {name} holds an id twice: {member.id}")
            seen.add(member.id)
    linears = trainable_linears(model)
    was_training = model.training
    model.eval()  # no dropout: one gradient for each example
    run = GradientPass(model, linears, pad_token_id, tokens_per_batch, advance or (lambda _: None), transform)
    try:
        directions, left_out = mean_directions(run, sets)
        return inner_products(run, examples, directions, list(sets), left_out)
    finally:
        model.train(was_training)


def mean_directions(run: GradientPass, sets: Mapping[str, Sequence[TokenizedExample]]) -> tuple[Directions, set[str]]:
    """First pass: mean_j u_j of each set, and the ids that have no finite gradient. Shared examples are run once."""
    columns: dict[TokenizedExample, list[int]] = {}
    for column, members in enumerate(sets.values()):
        for example in members:
            columns.setdefault(example, []).append(column)
    directions: Directions = {}
    counts = [0] * len(sets)
    non_finite = set()
    for rows, losses, factors in run.batches(list(columns)):
        squares = torch.zeros_like(losses)
        for name, layer in factors.items():
            squares += run.gradients(name, layer).square().sum(1)
        norms = squares.sqrt()
        usable = _usable(losses, norms).tolist()
        coefficients = torch.zeros((len(sets), len(rows)), dtype=norms.dtype)
        for row, example in enumerate(rows):
            if not usable[row]:
                non_finite.add(example.id)
                continue
            for column in columns[example]:
                coefficients[column, row] = 1 / norms[row]
                counts[column] += 1
        coefficients = coefficients.to(norms.device)
        keep = coefficients.sum(0) > 0
        for name, layer in factors.items():
            if not bool(keep.all()):  # 0 * NaN is NaN: rows without a direction must go
                layer = Factors(layer.inputs[keep], layer.output_gradients[keep])
            total = run.weighted_sum(name, layer, coefficients[:, keep])
            directions[name] = directions[name].add_(total) if name in directions else total
    for name, count in zip(sets, counts, strict=True):
        if count == 0:
            raise NonFiniteError(f"influence: no example of set {name} has a finite loss and gradient")
    divisors = torch.tensor(counts, dtype=torch.float32)[:, None]
    return {name: total / divisors.to(total) for name, total in directions.items()}, non_finite


def inner_products(
    run: GradientPass,
    examples: Sequence[TokenizedExample],
    directions: Directions,
    names: Sequence[str],
    left_out: set[str],
) -> Influence:
    """Second pass: <u_i, direction> of each example with each set's direction."""
    scores: dict[str, dict[str, float]] = {name: {} for name in names}
    gradient_norms: dict[str, float] = {}
    all_losses: dict[str, float] = {}
    non_finite = set(left_out)
    for rows, losses, factors in run.batches(examples):
        squares = torch.zeros_like(losses)
        products = torch.zeros((len(rows), len(names)), dtype=losses.dtype, device=losses.device)
        for name, layer in factors.items():
            gradients = run.gradients(name, layer)
            squares += gradients.square().sum(1)
            products += gradients @ directions[name].T
        norms = squares.sqrt()
        usable, values = _usable(losses, norms).tolist(), (products / norms[:, None]).tolist()
        for row, example in enumerate(rows):
            if not usable[row]:
                non_finite.add(example.id)
                continue
            gradient_norms[example.id], all_losses[example.id] = float(norms[row]), float(losses[row])
            for column, name in enumerate(names):
                scores[name][example.id] = values[row][column]
    if not gradient_norms:
        raise NonFiniteError(f"influence: none of {len(examples)} examples has a finite loss and gradient")
    return Influence(scores, gradient_norms, all_losses, tuple(sorted(non_finite)))
