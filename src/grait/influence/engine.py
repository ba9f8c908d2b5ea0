"""Exact influence between examples and sets of examples, in two passes over the data.

With unit gradients u, the mean influence of example i on a set is <u_i, mean_j u_j>: the first pass forms the mean
direction of every set, the second takes the products. Cost grows linearly with the data; no matrix of all pairs is
formed. Gradients of the first pass that fit into a given memory are kept, and take no second one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from grait.errors import DataError, NonFiniteError
from grait.influence.batches import Batch, GradientPass, Transform, gradient_pass, settings_of
from grait.influence.gradients import Factors, Whole, as_factor
from grait.influence.kept import MOST_BYTES, Block, KeptGradients
from grait.influence.resume import SavedPasses
from grait.influence.scores import Influence
from grait.model.completions import TokenizedExample
from grait.model.engine import Road
from grait.runtime import processes
from grait.runtime.files import as_path

Directions = dict[str, Tensor]
"""By layer: the mean unit gradient of each set, [sets, out * in]."""

Norms = Mapping[TokenizedExample, float]
"""Norm of each member's gradient; NaN where it is not finite, or 0."""


def check_examples(name: str, members: Sequence[TokenizedExample]) -> None:
    """Raise DataError when there are none, or an id stands twice."""
    if not members:
        raise DataError(f"influence: {name} is empty")
    seen: set[str] = set()
    for member in members:
        if member.id in seen:
            raise DataError(f"influence: {name} holds an id twice: {member.id}")
        seen.add(member.id)


def influence(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    *,
    pad_token_id: int,
    tokens_per_batch: int = 2048,
    transform: Transform | None = None,
    advance: Callable[[int], None] | None = None,
    resume: str | Path | None = None,
    road: Road | None = None,
    memory: float = MOST_BYTES,
) -> Influence:
    """How much a step on each of ``examples`` lowers the mean loss of each of ``sets``, to first order.

    Influence of i on a set = mean over j in the set of <u_i, u_j>, u = gradient / norm, over all trainable weights
    of ``model`` (GRAIT section 3; LESS eq. 3 for one checkpoint and plain SGD). Positive: learning i lowers the
    set's loss. Ids name examples within ``examples`` and within each set and must be unique there.

    ``transform`` replaces the gradients before they are made units, as ``transforms.AdamTransform`` does.
    ``resume``: a folder for what is done so far; a call that was killed goes on from there, and ends with the same
    numbers. At the end it holds everything, so that the same call again only reads it; delete it when you have the
    result. It is refused with ArtifactError when it belongs to another call.

    ``road``: how the prompts' common beginning runs; None: two short examples find it (``gradient_road``).
    ``memory``: bytes of main memory for gradients of examples that are in a set, too; these run once instead of
    twice. Not with ``resume``: what was in memory could not be resumed.

    The result does not depend on the batches, nor on ``memory``, up to rounding, nor on the number of processes: each
    runs its share of the examples, and all get the whole result. ``advance`` is told the examples done; in all
    ``sum(len(set)) + len(examples)``, where an example that is in several sets is run once.
    """
    if memory < 0:
        raise DataError(f"influence: memory is {memory}; expected a number of bytes, or 0 to keep no gradients")
    check_examples("examples", examples)
    for name, members in sets.items():
        check_examples(name, members)
    everything = [*examples, *(member for members in sets.values() for member in members)]
    with gradient_pass(model, everything, pad_token_id, tokens_per_batch, transform, advance, road) as run:
        folder = None if resume is None else as_path(resume, "resume")
        saved = saved_passes(run, folder, {"examples": examples, **sets}) if folder else None
        kept = None if saved else kept_gradients(run, examples, sets, memory)
        directions, norms = mean_directions(run, sets, saved, kept=kept)
        return inner_products(run, examples, directions, list(sets), norms, saved, kept)


def kept_gradients(
    run: GradientPass,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    memory: float,
) -> KeptGradients:
    """Room for the gradients of what this process runs in both passes."""
    size = sum(linear.weight.numel() * max(4, linear.weight.element_size()) for linear in run.linears.values())
    in_sets = {member for members in sets.values() for member in members}
    return KeptGradients(in_sets.intersection(processes.own(examples)), int(memory), size)


def saved_passes(run: GradientPass, folder: Path, examples: Mapping[str, Sequence[TokenizedExample]]) -> SavedPasses:
    """What this process keeps of its passes in ``folder``."""
    if processes.count() > 1:
        folder = folder / f"process-{processes.rank()}-of-{processes.count()}"
    return SavedPasses.open(folder, settings_of(run, examples))


def _usable(losses: Tensor, norms: Tensor) -> Tensor:
    """Which rows have a direction: loss and gradient are finite, and the gradient is not 0."""
    return losses.isfinite() & norms.isfinite() & (norms > 0)


def mean_directions(
    run: GradientPass,
    sets: Mapping[str, Sequence[TokenizedExample]],
    saved: SavedPasses | None = None,
    observe: Callable[[Batch, list[TokenizedExample]], None] | None = None,
    kept: KeptGradients | None = None,
) -> tuple[Directions, Norms]:
    """First pass: mean_j u_j of each set, and the norms of its gradients. Shared examples are run once.

    ``observe``: gets every batch that runs now, with its examples. ``kept``: gets gradients for the second pass.
    """
    columns: dict[TokenizedExample, list[int]] = {}
    for column, members in enumerate(sets.values()):
        for example in members:
            columns.setdefault(example, []).append(column)
    distinct = processes.own(list(columns))
    state = saved.load("directions") if saved else None
    if state is None:
        state = {
            "done": torch.tensor(0),
            "counts": torch.zeros(len(sets), dtype=torch.long),
            "norms": torch.full((len(distinct),), torch.nan, dtype=torch.float64),
        }
    n_done = int(state["done"])
    for batch in run.batches(distinct, lambda number, _: number < n_done):
        squares = torch.zeros_like(batch.losses)
        members = [distinct[position] for position in batch.positions]
        to_keep = kept.rows(members) if kept else []
        block: dict[str, Tensor] = {}
        for name, layer in batch.factors.items():
            gradients = run.gradients(name, layer)
            squares += gradients.square().sum(1)
            if to_keep:
                block[name] = gradients[to_keep].cpu()
        norms = squares.sqrt()
        if kept and to_keep:
            kept.add(Block([members[row] for row in to_keep], batch.losses[to_keep], norms[to_keep], block))
        usable = _usable(batch.losses, norms).tolist()
        coefficients = torch.zeros((len(sets), len(batch.positions)), dtype=norms.dtype)
        for row, member in enumerate(batch.positions):
            if not usable[row]:
                continue
            state["norms"][member] = float(norms[row])
            for column in columns[distinct[member]]:
                coefficients[column, row] = 1 / norms[row]
                state["counts"][column] += 1
        if observe:
            observe(batch, members)
        coefficients = coefficients.to(norms.device)
        keep = coefficients.sum(0) > 0
        is_at_hand = len(to_keep) == len(members)
        for name, layer in batch.factors.items():
            own: Factors | Whole = Whole(block[name].to(run.device)) if is_at_hand else layer
            if not bool(keep.all()):  # 0 * NaN is NaN: rows without a direction must go
                own = own.rows(keep)
            weights = coefficients[:, keep]
            total = own.weighted_sum(weights) if is_at_hand else run.weighted_sum(name, own, weights)
            key = f"sum.{name}"
            state[key] = state[key].to(total).add_(total) if key in state else total
        state["done"] += 1
        if saved:
            saved.keep("directions", state)
    if saved:
        saved.write("directions", state)
    counts = processes.summed(state["counts"].to(run.device)).tolist()
    for name, count in zip(sets, counts, strict=True):
        if count == 0:
            raise NonFiniteError(f"influence: no example of set {name} has a finite loss and gradient")
    divisors = torch.tensor(counts, dtype=torch.float32, device=run.device)[:, None]
    directions = {}
    for name, linear in run.linears.items():
        none = torch.zeros((len(sets), linear.weight.numel()), dtype=torch.float32, device=run.device)
        directions[name] = processes.summed(state.get(f"sum.{name}", none).to(run.device)) / divisors
    norms_of_all = processes.gathered(state["norms"].tolist())
    return directions, dict(zip(columns, norms_of_all, strict=True))


def inner_products(
    run: GradientPass,
    examples: Sequence[TokenizedExample],
    directions: Directions,
    names: Sequence[str],
    norms: Norms,
    saved: SavedPasses | None = None,
    kept: KeptGradients | None = None,
) -> Influence:
    """Second pass: <u_i, direction> of each example with each set's direction; of ``kept`` ones without a pass.

    Where the norms are known of all examples, and nothing transforms their gradients, only products are left to be
    found; with a shared prefix these need no backward pass through it (``SharedPrefix.tangents``).
    """
    only_products = run.prefix is not None and run.transform is None and all(row in norms for row in examples)
    tangents = run.prefix.tangents(directions) if run.prefix is not None and only_products else []
    own = processes.own(examples)
    state = saved.load("products") if saved else None
    if state is None:
        nothing = torch.full((len(own),), torch.nan, dtype=torch.float64)
        state = {
            "done": torch.tensor(0),
            "norms": nothing,
            "losses": nothing.clone(),
            "scores": nothing[:, None].repeat(1, len(names)),
        }

    def put(rows: list[int], losses: Tensor, length: Tensor, products: Tensor) -> None:
        usable = _usable(losses, length).cpu()
        places = torch.tensor(rows)[usable]
        state["norms"][places] = length.cpu().double()[usable]
        state["losses"][places] = losses.cpu().double()[usable]
        state["scores"][places] = (products / length[:, None]).cpu().double()[usable]

    places = {example: place for place, example in enumerate(own)}
    for block in kept.blocks if kept else ():
        put([places.pop(member) for member in block.members], block.losses, block.norms, block.products(directions))
        run.advance(len(block.members))
    left = list(places.values())
    n_done = int(state["done"])
    rest = [own[place] for place in left]
    for batch in run.batches(rest, lambda number, _: number < n_done, stop_at_prefix=only_products):
        squares = torch.zeros_like(batch.losses)
        products = torch.zeros((len(batch.positions), len(names)), dtype=squares.dtype, device=squares.device)
        for name, layer in batch.factors.items():
            gradients = run.gradients(name, layer)
            products += gradients @ directions[name].to(gradients).T
            if not only_products:
                squares += gradients.square().sum(1)
        for gradient, tangent in zip(batch.at_prefix or [], tangents, strict=True):
            products += (as_factor(gradient).flatten(1) @ as_factor(tangent).flatten(1).T).to(products)
        length = squares.sqrt()
        if only_products:
            length = torch.tensor([norms[rest[row]] for row in batch.positions], dtype=torch.float64).to(length)
        put([left[position] for position in batch.positions], batch.losses, length, products)
        state["done"] += 1
        if saved:
            saved.keep("products", state)
    if saved:
        saved.write("products", state)
    scores, own_norms, losses = (processes.gathered(state[key].tolist()) for key in ("scores", "norms", "losses"))
    return Influence.of_columns(
        [example.id for example in examples],
        {name: [row[column] for row in scores] for column, name in enumerate(names)},
        norms=own_norms,
        losses=losses,
        left_out={member.id for member, norm in norms.items() if math.isnan(norm)},
    )
