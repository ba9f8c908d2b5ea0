"""Gradients of single examples from a training of anybody's: no pass of their own.

A training step has already taken what is needed: inputs of the adapter's layers, and the gradients at their outputs.
Each row of these is the row's own gradient times one number, by which the Trainer scales the loss of the batch: the
tokens of the whole step, the accumulated batches, the loss scale of float16. That number is read off the backward pass
and divided out, so that what is kept is the gradient of the example's own mean loss, whatever it was batched with.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grait.errors import ArtifactError, ConfigError, DataError, ModelError
from grait.influence.datastore import DURING_TRAINING, Writing, units
from grait.influence.gradients import Captured, capture, factors_of, trainable_linears
from grait.influence.projection import SparseProjection
from grait.model.completions import IGNORED
from grait.runtime import progress
from grait.runtime.artifacts import fingerprint
from grait.runtime.files import as_path
from grait.runtime.unfinished import digest_of_weights

PACKED = ("cu_seq_lens_q", "cu_seq_lens_k", "seq_idx")
"""What a forward pass is told where several examples lie in one row."""

SAME_LOSS = 1e-2
"""How far the mean of the token losses may lie from the loss that is trained on, as a part of it: bf16 rounds."""

SAME_FACTOR = 1e-3
"""How far the factors of two tokens may differ, as a part of them."""


@dataclass
class _Step:
    """One forward pass that waits for its backward pass. ``scale``: the factor of each token's loss."""

    rows: list[list[int]]
    captured: Captured
    losses: Tensor
    n_targets: Tensor
    gradients: dict[int, Tensor] = field(default_factory=dict)
    scale: float | None = None


class GradientCapture(TrainerCallback):
    """A callback for transformers' Trainer or TRL's SFTTrainer that keeps each example's gradient as it is trained on.

    ``Trainer(..., callbacks=[GradientCapture("gradients")])`` leaves a ``GradientDatastore`` for every epoch in
    ``gradients/epoch-1``, ...: of each example the gradient in the step that trained on it, with the weights and the
    dropout of that step. Examples are named by ``ids``, in the order of the training set; default: their row numbers,
    from 0. Examples of the same tokens share their gradient. ``dimensions``, ``seed``: of the projection, as of
    ``sketch``, with which the gradients of targets may be taken afterwards (``GradientDatastore.influence_on``).

    Cost: the projection, and memory for the layers' inputs and gradients of one micro-batch. Needs a LoRA adapter on
    linear layers and the model's own loss, the mean over tokens; a Trainer that resumes goes on in the same folders.
    Refused with one line: a folder of an earlier training, several processes or GPUs, packing, torch.compile, and
    losses that are not the model's. A term that a Trainer of your own adds to that loss cannot be seen, and would be in
    the gradients.
    """

    def __init__(
        self, folder: str | Path, *, ids: Sequence[str] | None = None, dimensions: int = 8192, seed: int = 0
    ) -> None:
        self.folder = as_path(folder, "folder")
        self.ids = None if ids is None else [str(name) for name in ids]
        self.dimensions, self.seed = dimensions, seed
        self._hooks = ExitStack()
        self._within: ExitStack | None = None
        self._step: _Step | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Look at the training set, and at every forward pass from now on."""
        _check(args)
        if state.global_step == 0:
            _check_new(self.folder)
        model, loader = given["model"], given["train_dataloader"]
        self._hooks.close()
        self._step = None
        self._linears = trainable_linears(model)
        self._places = _places(loader)
        n = len(loader.dataset)
        if self.ids is not None and (len(self.ids) != n or len(set(self.ids)) != n):
            raise DataError(f"GradientCapture: ids: expected {n} different names, one for each row of the training set")
        self._names = self.ids or [str(row) for row in range(n)]
        sizes = {name: layer.weight.numel() for name, layer in self._linears.items()}
        self._projection = SparseProjection(self.dimensions, self.seed, sizes, model.device)
        self._settings = {
            "dimensions": self.dimensions,
            "seed": self.seed,
            "frozen_model": digest_of_weights(model, is_trainable=False),
            "adapter": DURING_TRAINING,
            "transform": "none",
            "examples": fingerprint([[name, place] for name, place in sorted(self._places.items())]),
            "names": fingerprint(self._names),
        }
        handles = (
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, with_kwargs=True),
        )
        for handle in handles:
            self._hooks.callback(handle.remove)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A datastore of its own."""
        folder = self.folder / f"epoch-{math.floor((state.epoch or 0) + 1e-6) + 1}"
        Writing.begin(folder, self._settings, self._names)
        self._store = Writing(folder)

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Between two accumulated micro-batches."""
        self._keep()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """After the last of them."""
        self._keep()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Rows that the epoch did not come to are left out, and said."""
        self._store.flush()
        missing = [row for row, done in enumerate(self._store.done.tolist()) if not done]
        if missing:
            named = progress.first_few([self._names[row] for row in missing])
            progress.note(f"{self._store.folder}: {len(missing)} examples were not trained on, left out: {named}")
            self._store.leave_out(missing)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Leave the model as it was."""
        self._hooks.close()

    def _before(self, model: nn.Module, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        if not model.training or not torch.is_grad_enabled():
            return
        if self._step is not None:
            raise ModelError("GradientCapture: the model ran twice before a backward pass; expected one loss a batch")
        if inputs or given.get("input_ids") is None or given.get("labels") is None:
            raise ModelError("GradientCapture: expected batches with input_ids and labels, as of Trainer or SFTTrainer")
        _check_rows(given)
        self._within = ExitStack()
        self._captured = self._within.enter_context(capture(model, self._linears, *given["input_ids"].shape))

    def _after(self, model: nn.Module, inputs: tuple[Any, ...], given: dict[str, Any], output: Any) -> None:
        if self._within is None:
            return
        self._within.close()
        self._within = None
        step = _Step(self._rows_of(given), self._captured, *self._losses(output, given))
        self._follow(step, output, given)

        def at_output(place: int) -> Callable[[Tensor], None]:
            return lambda gradient: step.gradients.__setitem__(place, gradient.detach())

        for place, tensor in enumerate(self._captured.all_outputs):
            tensor.register_hook(at_output(place))  # type: ignore[no-untyped-call]
        self._step = step

    def _losses(self, output: Any, given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Mean loss and number of the targets of each row. ModelError where the model does not tell."""
        labels = given["labels"]
        if (log_probs := _log_probs(output, labels)) is not None and output.get("aux_loss") is None:
            n_targets = (labels[:, 1:] != IGNORED).sum(1)
            return -log_probs.detach().float().sum(1) / n_targets, n_targets
        logits = output.get("logits")
        if output.get("loss") is None or logits is None or logits.shape[:2] != labels.shape:
            raise ModelError(
                "GradientCapture: the model gives no loss with logits at every token, or one with further terms; set "
                "use_liger_kernel and output_router_logits to false"
            )
        return _token_means(logits.detach(), labels)

    def _follow(self, step: _Step, output: Any, given: Mapping[str, Any]) -> None:
        """Read the factor of the token losses off the backward pass: at TRL's log-probabilities, or at the loss."""
        log_probs = _log_probs(output, given["labels"])
        if log_probs is not None:
            is_target = given["labels"][:, 1:] != IGNORED

            def at_log_probs(gradient: Tensor) -> None:
                own = -gradient[is_target].double()
                if bool(((own - own.mean()).abs() <= SAME_FACTOR * own.mean().abs()).all()):  # not as of loss_type dft
                    step.scale = float(own.mean()) if len(own) else 1.0

            log_probs.register_hook(at_log_probs)  # type: ignore[no-untyped-call]
            return
        n_items = given.get("num_items_in_batch")
        n_items = float(step.n_targets.sum() if n_items is None else n_items)
        if n_items == 0:
            names = progress.first_few(list(dict.fromkeys(self._names[row] for own in step.rows for row in own)))
            raise DataError(
                f"GradientCapture: a step whose rows ({names}) have no target (labels all {IGNORED}): its loss is no "
                "number, and would make the weights none; take such rows out of the training set"
            )
        loss, expected = output["loss"], float((step.losses * step.n_targets).nansum()) / n_items
        if not math.isclose(expected, float(loss.detach()), rel_tol=SAME_LOSS, abs_tol=SAME_LOSS):
            raise ModelError(
                f"GradientCapture: the loss is {float(loss.detach()):.4g}, and the mean of the token losses "
                f"{expected:.4g}; expected plain cross-entropy, without further terms"
            )

        def at_loss(gradient: Tensor) -> None:
            step.scale = float(gradient) / n_items

        loss.register_hook(at_loss)

    def _rows_of(self, given: Mapping[str, Tensor]) -> list[list[int]]:
        """For each row of a batch, the rows of the training set that have its tokens."""
        found = []
        for name in _digests(given):
            if name not in self._places:
                raise DataError(
                    "GradientCapture: a row of the batch is not a row of the training set as its collator makes it "
                    "alone; collators that draw at random, or that give no attention_mask, cannot be followed"
                )
            found.append(self._places[name])
        return found

    def _keep(self) -> None:
        """Write what the backward pass has left. The loss of all rows is divided by what the Trainer scaled it with."""
        step, self._step = self._step, None
        if step is None:
            return
        if step.scale is None:
            raise ModelError(
                "GradientCapture: what is trained on is not the model's own loss, the mean over tokens; leave "
                "compute_loss_func, label smoothing and loss_type dft out"
            )
        outputs = step.captured.all_outputs  # of which the last layer's may not be reached
        gradients = [step.gradients.get(place, torch.zeros_like(own)) for place, own in enumerate(outputs)]
        factors = factors_of(step.captured, gradients, step.scale)
        n = step.n_targets

        def layers() -> Iterable[tuple[str, Tensor]]:
            for name, layer in factors.items():
                yield name, layer.gradients() / n[:, None]

        found, norms = units(layers(), step.losses, self._projection)
        for row, own in enumerate(step.rows):
            which = [row] * len(own)
            self._store.put(own, found[which], norms[which], step.losses[which])


def _check(args: TrainingArguments) -> None:
    """ConfigError for ways to train in which an example's gradient is not to be had."""
    if args.world_size > 1 or args.n_gpu > 1 or args.deepspeed or args.fsdp:
        raise ConfigError("GradientCapture: one process on one device is supported; no DDP, FSDP or DeepSpeed")
    for name in ("packing", "padding_free"):
        if getattr(args, name, False):
            raise ConfigError(f"GradientCapture: {name} puts several examples into one row; set it to false")
    if args.label_smoothing_factor:
        raise ConfigError(
            "GradientCapture: label smoothing is not the model's own loss; set label_smoothing_factor to 0"
        )
    if args.gradient_checkpointing and (args.gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        raise ConfigError(
            "GradientCapture: reentrant gradient checkpointing hides the layers; set use_reentrant=False in its kwargs"
        )
    if args.torch_compile:
        raise ConfigError("GradientCapture: torch_compile hides the layers; set it to false")


def _check_new(folder: Path) -> None:
    """ArtifactError where a training that begins would mix its gradients with those of an earlier one."""
    for own in sorted(folder.glob("epoch-*")):
        if Writing(own).done.any():
            raise ArtifactError(
                f"GradientCapture: {own} holds gradients of an earlier training, and this one begins anew; name "
                "another folder, delete this one, or resume from a checkpoint"
            )


def _check_rows(given: Mapping[str, Any]) -> None:
    """ConfigError where a row holds several examples: it says so, or positions begin anew within it."""
    positions = given.get("position_ids")
    begins_anew = False
    if positions is not None:
        mask = given.get("attention_mask")
        steps = positions[..., 1:] <= positions[..., :-1]
        if mask is not None and mask.dim() == 2:
            steps = steps & mask[:, 1:].bool() & mask[:, :-1].bool()
        begins_anew = bool(steps.any())
    if begins_anew or any(given.get(name) is not None for name in PACKED):
        raise ConfigError("GradientCapture: rows hold several examples (packing, padding_free); set both to false")


def _places(loader: Any) -> dict[str, list[int]]:
    """Rows of the training set by the digest of their tokens, as the loader's collator makes them."""
    try:
        n = len(loader.dataset)
    except TypeError:
        raise DataError("GradientCapture: the training set is a stream; expected one with a length") from None
    places: dict[str, list[int]] = {}
    for row in range(n):
        batch = loader.collate_fn([loader.dataset[row]])
        if "input_ids" not in batch or "labels" not in batch:
            raise DataError("GradientCapture: expected a collator that gives input_ids and labels")
        (name,) = _digests(batch)
        places.setdefault(name, []).append(row)
    return places


def _digests(batch: Mapping[str, Tensor]) -> list[str]:
    """Of each row's tokens and labels, without padding."""
    mask = batch.get("attention_mask")
    found = []
    for row, (tokens, labels) in enumerate(zip(batch["input_ids"].cpu(), batch["labels"].cpu(), strict=True)):
        kept = slice(None) if mask is None else mask[row].cpu().bool()
        digest = hashlib.sha256(tokens[kept].long().numpy().tobytes())
        digest.update(labels[kept].long().numpy().tobytes())
        found.append(digest.hexdigest())
    return found


def _log_probs(output: Any, labels: Tensor) -> Tensor | None:
    """Of each target, as TRL's fused head gives them, [rows, tokens - 1]; None where the model gives none."""
    found: Tensor | None = output.get("log_probs")
    return found if found is not None and found.shape == labels[:, 1:].shape else None


def _token_means(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row, the mean loss of its targets (NaN without any) and their number, [rows]; a row at a time."""
    targets = labels[:, 1:]
    means = []
    for own, wanted in zip(logits, targets, strict=True):
        exact = own[:-1].to(torch.promote_types(own.dtype, torch.float32))
        means.append(nn.functional.cross_entropy(exact, wanted, ignore_index=IGNORED))
    return torch.stack(means), (targets != IGNORED).sum(1)
