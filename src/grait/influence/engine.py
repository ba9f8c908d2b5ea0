"""Exact influence between examples and sets of examples, in two passes over the data.

With unit gradients u, the mean influence of example i on a set is <u_i, mean_j u_j>: the first pass forms the mean
direction of every set, the second takes the products. Cost and memory grow linearly with the data; no matrix of
all pairs is formed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grait.errors import DataError, NonFiniteError
from grait.influence.gradients import per_example_gradients, trainable_linears
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


@dataclass(frozen=True)
class UnitGradients:
    """Gradients of one batch, each divided by its norm.

    ``units``: [batch, parameters], fp32 or better; a row whose loss or gradient is not finite is 0.
    ``finite``: [batch]; ``losses`` and ``norms``: [batch].
    """

    units: Tensor
    finite: Tensor
    losses: Tensor
    norms: Tensor


def unit_gradients(
    model: nn.Module, linears: dict[str, nn.Linear], examples: Sequence[TokenizedExample], pad_token_id: int
) -> UnitGradients:
    """Unit gradients of a batch over all layers of ``linears``, in their order."""
    device = next(iter(linears.values())).weight.device
    batch = {key: value.to(device) for key, value in collate(examples, pad_token_id).items()}
    losses, gradients = per_example_gradients(model, linears, batch)
    flat = torch.cat(list(gradients.values()), dim=1)
    norms = torch.linalg.vector_norm(flat, dim=1)
    finite = losses.isfinite() & norms.isfinite() & (norms > 0)
    units = torch.where(finite[:, None], flat / norms[:, None], 0.0)
    return UnitGradients(units, finite, losses, norms)


def influence(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    *,
    pad_token_id: int,
    tokens_per_batch: int = 2048,
    advance: Callable[[int], None] | None = None,
) -> Influence:
    """How much a step on each of ``examples`` lowers the mean loss of each of ``sets``, to first order.

    Influence of i on a set = mean over j in the set of <u_i, u_j>, u = gradient / norm, over all trainable weights
    of ``model`` (GRAIT section 3; LESS eq. 3 for one checkpoint and plain SGD). Positive: learning i lowers the
    set's loss. Ids name examples within ``examples`` and within each set and must be unique there.

    The result does not depend on the batches up to rounding. ``advance`` is told the examples done; in all
    ``sum(len(set)) + len(examples)``, where an example that is in several sets is run once.
    """
    for name, members in (("examples", examples), *sets.items()):
        if not members:
            raise DataError(f"influence: {name} is empty")
        if len({member.id for member in members}) < len(members):
            raise DataError(f"influence: {name} holds an id twice")
    linears = trainable_linears(model)
    was_training = model.training
    model.eval()  # no dropout: one gradient for each example
    try:
        directions, left_out = mean_directions(
            model, linears, sets, pad_token_id=pad_token_id, tokens_per_batch=tokens_per_batch, advance=advance
        )
        scores: dict[str, dict[str, float]] = {name: {} for name in sets}
        norms: dict[str, float] = {}
        losses: dict[str, float] = {}
        non_finite = set(left_out)
        for positions in by_length([example.n_tokens for example in examples], tokens_per_batch):
            rows = [examples[position] for position in positions]
            batch = unit_gradients(model, linears, rows, pad_token_id)
            products = (batch.units @ directions.T).tolist()
            for row, example in enumerate(rows):
                if not batch.finite[row]:
                    non_finite.add(example.id)
                    continue
                norms[example.id], losses[example.id] = float(batch.norms[row]), float(batch.losses[row])
                for column, name in enumerate(sets):
                    scores[name][example.id] = products[row][column]
            if advance:
                advance(len(rows))
    finally:
        model.train(was_training)
    if not norms:
        raise NonFiniteError(f"influence: none of {len(examples)} examples has a finite loss and gradient")
    return Influence(scores, norms, losses, tuple(sorted(non_finite)))


def mean_directions(
    model: nn.Module,
    linears: dict[str, nn.Linear],
    sets: Mapping[str, Sequence[TokenizedExample]],
    *,
    pad_token_id: int,
    tokens_per_batch: int,
    advance: Callable[[int], None] | None = None,
) -> tuple[Tensor, list[str]]:
    """Mean unit gradient of each set, [sets, parameters] in fp32 or better, and the ids that were not finite."""
    members: dict[TokenizedExample, list[int]] = {}
    for column, examples in enumerate(sets.values()):
        for example in examples:
            members.setdefault(example, []).append(column)
    distinct = list(members)
    sums: Tensor | None = None
    counts = [0] * len(sets)
    non_finite = []
    for positions in by_length([example.n_tokens for example in distinct], tokens_per_batch):
        rows = [distinct[position] for position in positions]
        batch = unit_gradients(model, linears, rows, pad_token_id)
        membership = torch.zeros((len(sets), len(rows)), dtype=batch.units.dtype, device=batch.units.device)
        for row, example in enumerate(rows):
            if not batch.finite[row]:
                non_finite.append(example.id)
                continue
            for column in members[example]:
                membership[column, row] = 1
                counts[column] += 1
        product = membership @ batch.units
        sums = product if sums is None else sums.add_(product)
        if advance:
            advance(len(rows))
    for name, count in zip(sets, counts, strict=True):
        if count == 0:
            raise NonFiniteError(f"influence: no example of set {name} has a finite loss and gradient")
    assert sums is not None
    return sums / torch.tensor(counts, dtype=sums.dtype, device=sums.device)[:, None], non_finite
