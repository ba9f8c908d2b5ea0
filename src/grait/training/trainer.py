"""The transformers Trainer with the weighted loss, and what it tells of while it trains."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from grait.errors import ArtifactError, NonFiniteError
from grait.model.common_prefix import keys_and_values
from grait.model.engine import Road
from grait.model.shared_prefix import Prefix
from grait.runtime import processes
from grait.training.examples import NOTHING, Examples, Order, WeightedCollator, WeightedExample
from grait.training.gathered import moments, trained_weights
from grait.training.road import losses_behind

SHARDED_BY = {"fsdp": "FSDP", "zero": "DeepSpeed ZeRO"}


class WeightedTrainer(Trainer):
    """The transformers Trainer with the weighted loss; nothing else is changed.

    With several processes the last micro-batches of an epoch are filled up, where accelerate would repeat examples.
    """

    loss_is_scaled_for_ga = True  # compute_loss already divides by the examples of the whole optimizer step

    def __init__(
        self,
        model: PeftModel,
        arguments: TrainingArguments,
        examples: Sequence[WeightedExample],
        *,
        collator: WeightedCollator,
        non_finite: set[str],
        callbacks: list[TrainerCallback],
        road: Road,
        rounds: "Rounds | None" = None,
    ) -> None:
        """``non_finite``: gets the ids of examples whose loss is not finite."""
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=Examples(examples),
            data_collator=collator,
            callbacks=[*callbacks, rounds] if rounds else callbacks,
        )
        self.remove_callback(PrinterCallback)
        self.non_finite = non_finite
        self.beginnings = collator.beginnings
        self.road = road
        self.rounds = rounds

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        n_processes, n_examples = self.accelerator.num_processes, len(self.train_dataset)
        at_once = self.args.per_device_train_batch_size * n_processes
        per_epoch = -(-n_examples // (at_once * self.args.gradient_accumulation_steps))
        return Order(
            n_examples,
            at_once if n_processes > 1 else 1,
            self.args.data_seed,
            lambda: self.state.global_step // per_epoch,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-batches of one optimizer step, and its number of examples over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        n_examples = torch.tensor(sum(name != NOTHING for batch in batches for name in batch["ids"]), device=device)
        return batches, self.accelerator.gather(n_examples).sum()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Into a checkpoint. Of a sharded model the Trainer would gather all; it keeps the adapter in another file."""
        if processes.sharding() == "none":
            super().save_model(output_dir, _internal_call)

    def _save_checkpoint(self, *arguments: Any, **settings: Any) -> None:
        try:
            super()._save_checkpoint(*arguments, **settings)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have words of their own
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"{self.args.output_dir}: cannot write a checkpoint; is the disk full? ({reason})"
            ) from error

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Sum of w_i * l_i over the micro-batch, divided by the examples of the optimizer step.

        A row whose loss is not finite is left out, as if its weight were 0, and its id kept in ``non_finite``. With a
        sharded model that raises NonFiniteError instead.
        """
        if return_outputs or num_items_in_batch is None:
            raise NotImplementedError("WeightedTrainer trains only")
        with self.accelerator.autocast():
            losses, weights = self.losses_of_batches(model, inputs["batches"]), inputs["sample_weight"]
            if self.rounds:
                weights = self.rounds.of(inputs["places"], weights)
            finite = losses.isfinite()
            self.non_finite.update(name for name, ok in zip(inputs["ids"], finite.tolist(), strict=True) if not ok)
            if processes.sharding() != "none":
                self.stop_if_any_is_not_finite()
            elif not bool(finite.all()):
                # 0 * NaN is NaN in the backward pass, too: the others run again without these rows.
                losses, weights = self.losses_of_rows(model, inputs, finite), weights[finite]
        # Gradients are averaged over processes afterwards, hence their number.
        return (weights * losses).sum() / num_items_in_batch * self.accelerator.num_processes

    def stop_if_any_is_not_finite(self) -> None:
        """In all processes alike: one that ran its rows again would wait for the others' shards."""
        found = sorted(set().union(*processes.of_each(self.non_finite)) - {NOTHING})
        if found:
            raise NonFiniteError(
                f"training: the loss of {', '.join(found[:5])} is not finite, and a sharded model "
                f"({SHARDED_BY[processes.sharding()]}) cannot leave single examples out: lower learning_rate, "
                "take these questions out, or train with DDP"
            )

    def losses_of_rows(self, model: nn.Module, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """Losses of the rows where ``rows`` [batch] is true; without any a 0 that has a gradient, which is 0."""
        if not bool(rows.any()):
            trainable = [parameter.sum() for parameter in model.parameters() if parameter.requires_grad]
            return 0 * torch.stack(trainable).sum()
        kept, start = [], 0
        for batch in inputs["batches"]:
            own = rows[start : start + len(batch["input_ids"])]
            start += len(own)
            if bool(own.any()):
                kept.append({key: value[own] if key != "form" else value for key, value in batch.items()})
        return self.losses_of_batches(model, kept)

    def losses_of_batches(self, model: nn.Module, batches: Sequence[dict[str, Any]]) -> Tensor:
        """l_i of each row, [rows]. What a form's prompts begin with runs once for all its batches."""
        found: dict[str, Prefix] = {}
        losses = []
        for batch in batches:
            form, device = batch["form"], batch["input_ids"].device
            if form is not None and form not in found:
                found[form] = keys_and_values(model, self.beginnings[form], device)
            beginning = [] if form is None else found[form]
            losses.append(losses_behind(model, batch, beginning, self.road, in_chunks=processes.sharding() == "none"))
        return torch.cat(losses)


class Progress(TrainerCallback):
    """Tells of finished optimizer steps, those before a checkpoint included."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if state.global_step:
            self.advance(state.global_step)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.advance(1)


def first_step(number: int, n_rounds: int, n_steps: int) -> int:
    """Steps before a round, which is counted from 1."""
    return -(-(number - 1) * n_steps // n_rounds)


class Rounds(TrainerCallback):
    """``n`` rounds of equal length, but for a step; from the second on, examples have new weights.

    ``weigh``: from the number of a round, from 2, and the model before its first step to the weights of the first
    examples; those behind them keep theirs. A training that goes on in the middle of a round asks again, with None for
    the model: the weights have to be kept. It leaves the global random numbers alone.
    """

    def __init__(self, n: int, weigh: Callable[[int, PeftModel | None], Sequence[float]]) -> None:
        self.n = n
        self.weigh = weigh
        self.round = 1
        self.weights: Sequence[float] = ()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: PeftModel, **_: Any
    ) -> None:
        number = 1 + state.global_step * self.n // state.max_steps
        if number != self.round:
            begins = state.global_step == first_step(number, self.n, state.max_steps)
            self.round, self.weights = number, self.weigh(number, model if begins else None)

    def of(self, places: Sequence[int], weights: Tensor) -> Tensor:
        """The weights of a micro-batch, [rows], now: it may have been made before the round began."""
        own = [self.weights[place] if 0 <= place < len(self.weights) else None for place in places]
        kept = zip(own, weights.tolist(), strict=True)
        return torch.tensor([old if new is None else new for new, old in kept], dtype=weights.dtype).to(weights.device)


@dataclass(frozen=True)
class EndOfEpoch:
    """``number``: from 1; ``adapter`` and ``moments``: as in ``TrainingLog``."""

    number: int
    adapter: dict[str, Tensor]
    moments: dict[str, Tensor]


class Epochs(TrainerCallback):
    """Tells of the end of every epoch, in every process.

    A step is logged before its checkpoint is written, so that none is told of too late for a run that is killed then.
    """

    def __init__(self, on_epoch: Callable[[EndOfEpoch], None]) -> None:
        self.on_epoch = on_epoch

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        optimizer: Any,
        logs: dict[str, float],
        **_: Any,
    ) -> None:
        is_a_step, epoch = "learning_rate" in logs, logs["epoch"]
        if is_a_step and (epoch == round(epoch) or state.global_step == state.max_steps):
            adapter = trained_weights(model)
            self.on_epoch(EndOfEpoch(math.ceil(epoch), adapter, moments(model, optimizer, state.global_step)))
