"""Gradients as a datastore: one pass stores a projection of every unit gradient; then any sets can be asked about.

The rows lie on disk and are mapped into memory, so their number is bounded by the disk alone. A query reads them
once, in blocks, and needs no model.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor, nn

from grait.errors import ArtifactError, DataError, NonFiniteError
from grait.influence.batches import Batch, GradientPass, Transform, digest_of_examples, gradient_pass, settings_of
from grait.influence.engine import check_examples, inner_products, mean_directions, saved_passes
from grait.influence.margins import left_out_margins
from grait.influence.projection import SparseProjection
from grait.influence.scores import Influence
from grait.model.completions import TokenizedExample
from grait.model.engine import Road
from grait.runtime import processes
from grait.runtime.artifacts import differences, write_json
from grait.runtime.files import as_path, replacing_folder, written
from grait.runtime.unfinished import SECONDS_BETWEEN_WRITES, SETTINGS, Clock, check_settings

SCHEMA_VERSION = 1
IDS, UNIT_GRADIENTS, NORMS, LOSSES, DONE = "ids.json", "unit_gradients.npy", "norms.npy", "losses.npy", "done.npy"
ROWS_AT_ONCE = 1024

ALIKE = ("dimensions", "seed", "frozen_model", "adapter", "transform")
"""Settings that two datastores have to share for their rows to be compared."""
DURING_TRAINING = "as it was in training"
"""The adapter of gradients that were captured in training."""


@dataclass(frozen=True)
class GradientDatastore:
    """Projected unit gradients of examples, row by row, in a folder.

    ``unit_gradients`` [examples, dimensions]: the gradient's projection, made a unit; fp16 on disk, summed up in fp32.
    An example without a finite gradient has a row of zeros and the norm NaN. ``norms``, ``losses`` [examples]: of the
    gradients before projection, exact.

    A row is divided by its own norm, not by that of the gradient: the cosine of two projections varies by about
    (1 - cosine^2) / sqrt(m) around the true one, their inner product by sqrt((1 + cosine^2) / m), which is much more
    for the gradients of one completion after many prompts, whose cosines are high.
    """

    folder: Path
    ids: tuple[str, ...]
    unit_gradients: np.ndarray
    norms: np.ndarray
    losses: np.ndarray

    @classmethod
    def open(cls, folder: str | Path) -> "GradientDatastore":
        """A finished datastore, for reading. Raises ArtifactError when it is unfinished, damaged or foreign."""
        folder = as_path(folder, "folder")
        try:
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            ids = tuple(json.loads((folder / IDS).read_text(encoding="utf-8")))
            arrays = [
                np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (UNIT_GRADIENTS, NORMS, LOSSES)
            ]
            done = np.load(folder / DONE, allow_pickle=False)
            version, dimensions = settings["schema_version"], settings["dimensions"]
        except FileNotFoundError as error:
            raise ArtifactError(f"{folder}: no gradient datastore (no {Path(error.filename).name})") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: not a readable gradient datastore ({error}); delete it") from error
        if version != SCHEMA_VERSION:
            raise ArtifactError(f"{folder}: schema version {version}, expected {SCHEMA_VERSION}; make it again")
        if arrays[0].shape != (len(ids), dimensions) or any(
            array.shape != (len(ids),) for array in (*arrays[1:], done)
        ):
            raise ArtifactError(f"{folder}: its files do not belong together; delete it and make it again")
        if not done.all():
            raise ArtifactError(
                f"{folder}: unfinished, {int(done.sum())} of {len(ids)} examples are there; make it again to go on"
            )
        return cls(folder, ids, *arrays)

    def is_made_of(self, examples: Sequence[TokenizedExample]) -> bool:
        """Whether these are the examples, by ids and tokens."""
        settings = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
        return bool(settings["examples"] == digest_of_examples(examples))

    @property
    def dimensions(self) -> int:
        return int(self.unit_gradients.shape[1])

    def influence(self, sets: Mapping[str, Sequence[str]], examples: Sequence[str] | None = None) -> Influence:
        """Influence of ``examples`` (default: all) on each of ``sets``, both named by id; as ``engine.influence``.

        Exact but for the projection. Two readings of the rows; the model is not needed.
        """
        own = self._rows("examples", self.ids if examples is None else examples)
        means = torch.stack([self._mean(name, self._rows(name, members)) for name, members in sets.items()])
        products = torch.cat([block @ means.T for block in self._blocks(own)])
        left_out = {
            self.ids[row]
            for name, members in sets.items()
            for row in self._rows(name, members)
            if not self._usable[row]
        }
        return Influence.of_columns(
            [self.ids[row] for row in own],
            {name: products[:, column].tolist() for column, name in enumerate(sets)},
            norms=self.norms[own].tolist(),
            losses=self.losses[own].tolist(),
            left_out=left_out,
        )

    def influence_on(self, targets: "GradientDatastore", sets: Mapping[str, Sequence[str]]) -> Influence:
        """Influence of all examples on ``sets`` of another datastore's, named by their ids there.

        Raises ArtifactError, naming the difference, where the two were not projected alike or are of another model or
        adapter. Gradients that were captured in training are of many adapters, and go with any. Plain gradients of the
        targets go with transformed ones of the examples: what a step of Adam's on each does to their loss (LESS).
        With curvature both have to be transformed.
        """
        ours, theirs = ({key: self._settings[key] for key in ALIKE}, {key: targets._settings[key] for key in ALIKE})
        if DURING_TRAINING in (ours["adapter"], theirs["adapter"]):
            ours["adapter"] = theirs["adapter"]
        if theirs["transform"] == "none" and "curvature" not in ours["transform"]:
            ours["transform"] = "none"
        if changed := list(differences(ours, theirs)):
            raise ArtifactError(f"{self.folder}: not to be compared with {targets.folder} ({'; '.join(changed)})")
        rows = {name: targets._rows(name, members) for name, members in sets.items()}
        means = torch.stack([targets._mean(name, own) for name, own in rows.items()])
        products = torch.cat([block @ means.T for block in self._blocks(range(len(self.ids)))])
        return Influence.of_columns(
            self.ids,
            {name: products[:, column].tolist() for column, name in enumerate(sets)},
            norms=self.norms.tolist(),
            losses=self.losses.tolist(),
            left_out={targets.ids[row] for own in rows.values() for row in own if not targets._usable[row]},
        )

    def left_out_margins(self, positive: Sequence[str], negative: Sequence[str]) -> dict[str, float]:
        """By id, how far on the side of ``positive`` (1) and not of ``negative`` (-1) the others put each example.

        See ``margins.left_out_margins``. Ids without a finite gradient are left out; raises NonFiniteError when none of
        a set is left.
        """
        rows = [*self._rows("positive", positive), *self._rows("negative", negative)]
        sides = [1.0] * len(positive) + [-1.0] * len(negative)
        usable = [(row, side) for row, side in zip(rows, sides, strict=True) if self._usable[row]]
        if {side for _, side in usable} != {1.0, -1.0}:
            raise NonFiniteError("influence: no example of one of two sets has a finite loss and gradient")
        own = [row for row, _ in usable]
        margins = left_out_margins(lambda: self._blocks(own), torch.tensor([side for _, side in usable]))
        return {self.ids[row]: margin for row, margin in zip(own, margins.tolist(), strict=True)}

    def most_alike_mean(self, candidates: Sequence[str], toward: Sequence[str], n: int) -> list[str]:
        """``n`` of the candidates whose mean unit gradient comes near that of the set ``toward``, in order of choice.

        Greedy (herding): each choice is the one that brings the mean of those chosen nearest to the set's mean, so
        a near-duplicate of what is already there adds little and a new direction much. Ties by the candidates' order.
        """
        own = [row for row in self._rows("candidates", candidates) if self._usable[row]]
        if not 1 <= n <= len(own):
            raise DataError(f"influence: {n} of {len(own)} candidates with a finite gradient asked for")
        target = self._mean("toward", self._rows("toward", toward))
        gradients = torch.cat(list(self._blocks(own)))
        on_target, squares = gradients @ target, gradients.square().sum(1)
        on_sum = torch.zeros_like(squares)
        free = torch.ones(len(own), dtype=torch.bool)
        chosen: list[int] = []
        while len(chosen) < n:
            k = len(chosen) + 1
            # |target - (sum + u) / k|^2 but for what is the same for all candidates
            distance = (2 * on_sum + squares) / k**2 - 2 * on_target / k
            pick = int(torch.where(free, distance, torch.inf).argmin())
            on_sum += gradients @ gradients[pick]
            free[pick] = False
            chosen.append(pick)
        return [self.ids[own[pick]] for pick in chosen]

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / SETTINGS).read_text(encoding="utf-8")))

    @property
    def _usable(self) -> np.ndarray:
        return np.asarray(np.isfinite(self.norms))

    def _rows(self, name: str, ids: Sequence[str]) -> list[int]:
        places = {example_id: row for row, example_id in enumerate(self.ids)}
        unknown = [example_id for example_id in ids if example_id not in places]
        if unknown:
            raise DataError(f"influence: {name}: {unknown[0]} is not in {self.folder}")
        if not ids or len(set(ids)) < len(ids):
            raise DataError(f"influence: {name} is empty or holds an id twice")
        return [places[example_id] for example_id in ids]

    def _blocks(self, rows: Sequence[int]) -> Iterator[Tensor]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield torch.from_numpy(self.unit_gradients[rows[start : start + ROWS_AT_ONCE]].astype(np.float32))

    def _mean(self, name: str, rows: Sequence[int]) -> Tensor:
        usable = [row for row in rows if self._usable[row]]
        if not usable:
            raise NonFiniteError(f"influence: no example of set {name} has a finite loss and gradient")
        return torch.stack([block.sum(0) for block in self._blocks(usable)]).sum(0) / len(usable)


def sketch(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    folder: str | Path,
    *,
    pad_token_id: int,
    dimensions: int = 8192,
    seed: int = 0,
    tokens_per_batch: int = 2048,
    transform: Transform | None = None,
    advance: Callable[[int], None] | None = None,
    road: Road | None = None,
) -> GradientDatastore:
    """One pass over ``examples``: the projection of every unit gradient into a datastore in ``folder``.

    Ids must be unique; where a question stands with two completions, give each an id of its own. Influence read from
    the datastore has an error of about 1 / sqrt(dimensions) for each pair of examples, less where their cosine is
    high, and far less for means over sets. ``seed``: of the projection.

    Finished rows of a folder made with the same settings are kept, so a killed call goes on where it was; a folder
    made with other settings is refused with ArtifactError, which names the difference. Several processes share the
    work; each writes its own rows into the same files, so ``folder`` has to be on a disk that all see. Disk: 2 bytes
    times ``dimensions`` per example, taken at the beginning. ``road``: as of ``influence``.
    """
    check_examples("examples", examples)
    folder = as_path(folder, "folder")
    with gradient_pass(model, examples, pad_token_id, tokens_per_batch, transform, advance, road) as run:
        projection, _ = _begun(run, examples, folder, dimensions, seed)
        _fill(run, examples, folder, projection)
        processes.wait()
    return GradientDatastore.open(folder)


def influence_and_sketch(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    folder: Path,
    *,
    pad_token_id: int,
    resume: Path,
    dimensions: int = 8192,
    seed: int = 0,
    tokens_per_batch: int = 2048,
    transform: Transform | None = None,
    advance: Callable[[int], None] | None = None,
    road: Road | None = None,
) -> tuple[Influence, GradientDatastore]:
    """Exact ``influence`` and a datastore of ``examples`` in the two passes that influence takes alone.

    The first pass over the sets has their gradients at hand, so those of the examples among them are stored on the way;
    only examples of no set take a pass of their own. Arguments as of ``influence`` and ``sketch``.
    """
    check_examples("examples", examples)
    for name, members in sets.items():
        check_examples(name, members)
    everything = [*examples, *(member for members in sets.values() for member in members)]
    with gradient_pass(model, everything, pad_token_id, tokens_per_batch, transform, advance, road) as run:
        projection, store = _begun(run, examples, folder, dimensions, seed)
        places = {example: row for row, example in enumerate(examples)}

        def observe(batch: Batch, members: list[TokenizedExample]) -> None:
            kept = [row for row, member in enumerate(members) if member in places]
            if not kept:
                return
            layers = ((name, run.gradients(name, layer)) for name, layer in batch.factors.items())
            found, norms = units(layers, batch.losses, projection)
            store.put([places[members[row]] for row in kept], found[kept], norms[kept], batch.losses[kept])

        saved = saved_passes(run, resume, {"examples": examples, **sets})
        directions, norms = mean_directions(run, sets, saved, observe)
        store.flush()
        processes.wait()
        _fill(replace(run, advance=lambda _: None), examples, folder, projection)
        found = inner_products(run, examples, directions, list(sets), norms, saved)
        processes.wait()
    return found, GradientDatastore.open(folder)


def _begun(
    run: GradientPass, examples: Sequence[TokenizedExample], folder: Path, dimensions: int, seed: int
) -> tuple[SparseProjection, "Writing"]:
    """The projection, and the datastore to be filled with it, which may hold some rows already."""
    if dimensions < 1:
        raise DataError(f"influence: dimensions is {dimensions}; expected at least 1")
    settings = {"dimensions": dimensions, "seed": seed, **settings_of(run, {"examples": examples})}
    Writing.begin(folder, settings, [example.id for example in examples])
    sizes = {name: layer.weight.numel() for name, layer in run.linears.items()}
    return SparseProjection(dimensions, seed, sizes, run.device), Writing(folder)


def _create(folder: Path, settings: dict[str, Any], ids: list[str]) -> None:
    """An empty datastore whose place on the disk is taken, so that a full disk is noticed now."""
    with written(folder, "the gradient datastore"), replacing_folder(folder) as partial:
        write_json(partial / IDS, ids)
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            UNIT_GRADIENTS: (np.float16, (len(ids), settings["dimensions"])),
            NORMS: (np.float64, (len(ids),)),
            LOSSES: (np.float64, (len(ids),)),
            DONE: (np.bool_, (len(ids),)),
        }
        for name, (dtype, shape) in shapes.items():
            open_memmap(partial / name, mode="w+", dtype=dtype, shape=shape).flush()
            with open(partial / name, "r+b") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        write_json(partial / SETTINGS, settings)


def units(layers: Iterable[tuple[str, Tensor]], losses: Tensor, projection: SparseProjection) -> tuple[Tensor, Tensor]:
    """From all gradients of a batch, by layer [batch, out * in]: unit rows [batch, dimensions], and norms [batch].

    A row whose loss [batch] or gradient is not finite, or whose gradient is 0, is 0 and has the norm NaN.
    """
    projected = torch.zeros((len(losses), projection.dimensions), device=losses.device)
    squares = torch.zeros_like(losses)
    for name, gradients in layers:
        squares += gradients.square().sum(1)
        projection.add(projected, name, gradients.to(projected))
    length = projected.norm(dim=1)
    usable = losses.isfinite() & length.isfinite() & (length > 0)
    return torch.where(usable[:, None], projected / length[:, None], 0.0), squares.sqrt().where(usable, torch.nan)


class Writing:
    """A datastore that is being filled. What is put is on the disk, and counts, after ``flush``, or some time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = self._mapped(DONE)
        self._rows, self._norms, self._losses = (self._mapped(name) for name in (UNIT_GRADIENTS, NORMS, LOSSES))
        self._clock = Clock(SECONDS_BETWEEN_WRITES)
        self._waiting: list[int] = []

    @classmethod
    def begin(cls, folder: Path, settings: dict[str, Any], ids: Sequence[str]) -> None:
        """Make the folder unless it is there; ArtifactError where it is there with other settings."""
        settings = {"schema_version": SCHEMA_VERSION, **settings}
        if processes.is_main() and not folder.exists():
            _create(folder, settings, list(ids))
        processes.wait()
        check_settings(folder, settings)

    def put(self, rows: list[int], units: Tensor, norms: Tensor, losses: Tensor) -> None:
        self._rows[rows] = units.to(torch.float16).cpu().numpy()
        self._norms[rows] = norms.double().cpu().numpy()
        self._losses[rows] = losses.double().cpu().numpy()
        self._waiting.extend(rows)
        if self._clock.is_due():
            self.flush()

    def flush(self) -> None:
        for array in (self._rows, self._norms, self._losses):
            array.flush()
        self.done[self._waiting] = True  # only after what it speaks of is on the disk
        self.done.flush()
        self._waiting.clear()
        self._rows = self._mapped(UNIT_GRADIENTS)  # anew, so that what is written no longer takes memory

    def leave_out(self, rows: list[int]) -> None:
        """Count as done rows that have no gradient."""
        self._norms[rows] = self._losses[rows] = np.nan
        self._waiting.extend(rows)
        self.flush()

    def _mapped(self, name: str) -> "np.memmap[Any, Any]":
        try:
            array: np.memmap[Any, Any] = np.load(self.folder / name, mmap_mode="r+", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.folder}: not a readable gradient datastore ({error}); delete it") from error
        return array


def _fill(run: GradientPass, examples: Sequence[TokenizedExample], folder: Path, projection: SparseProjection) -> None:
    store = Writing(folder)
    finished = store.done.copy()
    own = processes.own(range(len(examples)))
    for batch in run.batches(
        [examples[row] for row in own], lambda _, positions: bool(finished[[own[i] for i in positions]].all())
    ):
        layers = ((name, run.gradients(name, layer)) for name, layer in batch.factors.items())
        found = units(layers, batch.losses, projection)
        store.put([own[position] for position in batch.positions], *found, batch.losses)
    store.flush()
