"""Weighted supervised fine-tuning of a LoRA adapter with the transformers Trainer.

The loss of an optimizer step is (1 / n) * sum_i w_i * l_i over its n examples, l_i the mean token cross-entropy of
the completion (GRAIT section 3). It is the same for any micro-batch size, accumulation and number of processes.

A run that is killed goes on at its newest checkpoint (``checkpoints``) and ends with the same adapter: bit for bit on a
CPU with one thread.

The tokens with which all prompts begin run once for each micro-batch, not once for each example: their keys and values
carry the gradients of all rows, which attend to them in one product (``model.shared_prefix``). With dropout they run
for each row, since every row has its own noise.

The model may be sharded over the processes (``processes.sharding``). All of them then have to run it equally often and
in one piece: the common beginning is not run by itself, nor the head in chunks, and a loss that is not finite stops
the run where else its example is left out.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, extract_model_from_parallel
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.pytorch_utils import Conv1D
from transformers.trainer_callback import PrinterCallback

from grait.config import LoraSection, OptimizerSection
from grait.errors import ArtifactError, ConfigError, NonFiniteError
from grait.model import shared_prefix
from grait.model.common_prefix import cache_of, keys_and_values, shared_length
from grait.model.compiled import is_compiled
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.runtime import processes, progress
from grait.runtime.artifacts import fingerprint
from grait.runtime.machine import versions
from grait.runtime.unfinished import digest_of_weights, open_folder
from grait.training.checkpoints import Checkpoints, newest_checkpoint
from grait.training.gathered import moments, trained_weights

SHARDED_BY = {"fsdp": "FSDP", "zero": "DeepSpeed ZeRO"}

NOTHING = ""
"""The id of an example that only fills up a batch."""


@dataclass(frozen=True, slots=True)
class WeightedExample:
    """An example and the factor of its loss."""

    example: TokenizedExample
    sample_weight: float


@dataclass(frozen=True)
class TrainingLog:
    """``losses``: weighted loss of each optimizer step; ``non_finite``: ids left out because their loss was not finite.

    ``adapter``: the trained weights by parameter name. ``moments``: exp_avg and exp_avg_sq of the optimizer by
    parameter name, with the number of its steps. ``learning_rates``: the mean over the steps of each epoch. All hold
    for the whole run, also where it was killed.
    """

    losses: list[float]
    non_finite: tuple[str, ...]
    adapter: dict[str, Tensor]
    moments: dict[str, Tensor]
    learning_rates: list[float]


def add_adapter(model: PreTrainedModel, config: LoraSection, seed: int) -> PeftModel:
    """The model with a fresh LoRA adapter (fp32, B = 0), the only trainable part."""
    set_seed(seed)
    targets = config.target_modules
    try:
        return get_peft_model(
            model,
            LoraConfig(
                r=config.r,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=targets,
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2
                task_type="CAUSAL_LM",
            ),
        )
    except ValueError as error:
        raise ConfigError(f"lora.target_modules = {targets!r}: {' '.join(str(error).split())}") from error


class _Examples(Dataset[WeightedExample]):
    """Position -1 is an example that counts for nothing."""

    def __init__(self, examples: Sequence[WeightedExample]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> WeightedExample:
        if index >= 0:
            return self.examples[index]
        return WeightedExample(replace(self.examples[0].example, id=NOTHING), 0.0)


class _Order(Sampler[int]):
    """All positions in an order by seed and epoch, then -1 until there are as many for every process.

    The epoch, from 0, is asked for: of several processes that go on in the middle of one, accelerate does not tell it.
    """

    def __init__(self, n: int, multiple: int, seed: int, epoch: Callable[[], int]) -> None:
        self.n, self.multiple, self.seed, self.epoch = n, multiple, seed, epoch

    def __len__(self) -> int:
        return -(-self.n // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.epoch() + self.seed)
        yield from torch.randperm(self.n, generator=generator).tolist()
        yield from [-1] * (len(self) - self.n)


class WeightedTrainer(Trainer):
    """The transformers Trainer with the weighted loss; nothing else is changed.

    With several processes the last micro-batches of an epoch are filled up, where accelerate would repeat examples.
    """

    loss_is_scaled_for_ga = True  # compute_loss already divides by the examples of the whole optimizer step

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        n_processes, n_examples = self.accelerator.num_processes, len(self.train_dataset)
        at_once = self.args.per_device_train_batch_size * n_processes
        per_epoch = -(-n_examples // (at_once * self.args.gradient_accumulation_steps))
        return _Order(
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
            losses, weights = self.losses_of_batch(model, inputs), inputs["sample_weight"]
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
        return self.losses_of_batch(model, {key: value[rows] for key, value in inputs.items() if key != "ids"})

    def losses_of_batch(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        """l_i of each row, [batch], behind the shared tokens."""
        if not self.shared_ids:
            return completion_losses(model, inputs, in_chunks=processes.sharding() == "none")
        tokens = inputs["input_ids"]
        found = keys_and_values(model, self.shared_ids, tokens.device)
        if not self.shares_attention:
            return completion_losses(model, inputs, cache_of(found, len(tokens)))
        own = {**inputs, "attention_mask": inputs["attention_mask"][:, len(self.shared_ids) :]}
        with shared_prefix.use(extract_model_from_parallel(model), found):
            return completion_losses(model, own)

    non_finite: set[str]
    shared_ids: tuple[int, ...]
    shares_attention: bool


class _Progress(TrainerCallback):
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if state.global_step:
            self.advance(state.global_step)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.advance(1)


@dataclass(frozen=True)
class EndOfEpoch:
    """``number``: from 1; ``adapter`` and ``moments``: as in ``TrainingLog``."""

    number: int
    adapter: dict[str, Tensor]
    moments: dict[str, Tensor]


class _Epochs(TrainerCallback):
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


def _learning_rates(steps: Sequence[dict[str, float]]) -> list[float]:
    """The mean over the steps of each epoch, from the Trainer's log of them."""
    by_epoch: dict[int, list[float]] = {}
    for step in steps:
        by_epoch.setdefault(math.ceil(step["epoch"]), []).append(step["learning_rate"])
    return [sum(rates) / len(rates) for _, rates in sorted(by_epoch.items())]


def collate_weighted(examples: Sequence[WeightedExample], pad_token_id: int, n_shared: int = 0) -> dict[str, Any]:
    """``collate``, with ids and sample_weight [batch]."""
    batch: dict[str, Any] = collate([row.example for row in examples], pad_token_id, n_shared)
    batch["sample_weight"] = torch.tensor([row.sample_weight for row in examples], dtype=torch.float32)
    batch["ids"] = [row.example.id for row in examples]
    return batch


def n_steps(n_examples: int, config: OptimizerSection) -> int:
    """Optimizer steps of a run; the last step of an epoch may be smaller."""
    per_epoch = -(-n_examples // config.batch_size)
    return max(1, round(per_epoch * config.epochs))


def train(
    model: PeftModel,
    examples: Sequence[WeightedExample],
    config: OptimizerSection,
    *,
    pad_token_id: int,
    seed: int,
    advance: Callable[[int], None] | None = None,
    on_epoch: Callable[[EndOfEpoch], None] | None = None,
    resume: Path | None = None,
) -> TrainingLog:
    """Train the model's adapter in place on the examples. ``on_epoch`` is told after each epoch, as LESS keeps them.

    With sharding (``processes.sharding``) each process is left with a shard of the model, which is of no other use.

    ``resume``: a folder in which a killed call finds what it did; checkpoints are written there now and then. The
    epochs before the checkpoint are not told of again, those after it are. A folder of other examples, settings or
    weights is refused with ArtifactError, which names the difference; the micro-batch may be another, to the rounding.
    With DeepSpeed no checkpoint is written.

    Raises NonFiniteError when no example has a finite loss, or the trained adapter has weights that are not finite.
    """
    sharding = processes.sharding()
    n_shared = 0 if _has_dropout(model) else shared_length(model, [row.example for row in examples])
    if sharding != "none":
        n_shared = 0
        progress.note(f"model sharded by {SHARDED_BY[sharding]}: what all prompts begin with runs for each of them")
    if sharding == "zero" and resume:
        resume = None
        progress.note("no checkpoints within training: DeepSpeed's are pickled files")
    micro_batch_size, n_accumulated = _split(config)
    checkpoint, non_finite = None, set[str]()
    if resume:
        settings = _settings(model, examples, config, seed)
        found = None
        if processes.is_main():
            open_folder(resume, settings)
            found = newest_checkpoint(resume)
        checkpoint, non_finite = processes.from_main(found) or (None, set[str]())
    with nullcontext(str(resume)) if resume else tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=n_steps(len(examples), config),
            learning_rate=config.learning_rate,
            per_device_train_batch_size=micro_batch_size,
            gradient_accumulation_steps=n_accumulated,
            lr_scheduler_type=config.scheduler,
            warmup_steps=config.warmup_ratio,  # a value below 1 is a share of all steps
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            optim="adamw_torch",
            seed=seed,
            data_seed=seed,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",  # Checkpoints asks for them
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            use_cpu=model.device.type == "cpu",
            fp16=_scales_loss(model),
            ddp_find_unused_parameters=False,
        )
        if sharding == "fsdp" and arguments.device.type == "cpu":
            # accelerate shards on GPUs only, though torch does on CPUs, too; this is where accelerate looks.
            PartialState().distributed_type = DistributedType.MULTI_GPU
        trainer = WeightedTrainer(
            model=model,
            args=arguments,
            train_dataset=_Examples(examples),
            data_collator=lambda rows: collate_weighted(rows, pad_token_id, n_shared),
            callbacks=[
                *([_Progress(advance)] if advance else []),
                *([_Epochs(on_epoch)] if on_epoch else []),
                *([Checkpoints(resume, non_finite)] if resume else []),
            ],
        )
        assert (trainer.is_fsdp_enabled, trainer.is_deepspeed_enabled) == (sharding == "fsdp", sharding == "zero")
        trainer.remove_callback(PrinterCallback)
        trainer.non_finite = non_finite
        trainer.shared_ids = examples[0].example.prompt_ids[:n_shared]
        # Compiled layers see the shared tokens as a cache: see model.compiled.
        trainer.shares_attention = shared_prefix.supports(model) and not is_compiled(model)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if sharding == "zero":
        unset_hf_deepspeed_config()  # transformers would shard the next model that is loaded
    trainer.non_finite = set().union(*processes.of_each(trainer.non_finite)) - {NOTHING}
    if trainer.non_finite == {row.example.id for row in examples}:
        raise NonFiniteError(f"training: none of {len(examples)} examples has a finite loss; lower learning_rate?")
    adapter = trained_weights(model)
    for name, weight in adapter.items():
        if not bool(weight.isfinite().all()):
            raise NonFiniteError(f"training: {name} is not finite after training; lower learning_rate")
    model.eval()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return TrainingLog(
        [step["loss"] for step in steps],
        tuple(sorted(trainer.non_finite)),
        adapter,
        moments(model, trainer.optimizer, trainer.state.global_step),
        _learning_rates(steps),
    )


def _split(config: OptimizerSection) -> tuple[int, int]:
    """Examples of a micro-batch, at most those of the config, and micro-batches of a step in each process."""
    n_processes = processes.count()
    own, rest = divmod(config.batch_size, n_processes)
    if rest:
        raise ConfigError(
            f"batch_size = {config.batch_size} cannot be shared by {n_processes} processes; take a multiple of that"
        )
    micro = next(size for size in range(min(config.micro_batch_size, own), 0, -1) if own % size == 0)
    return micro, own // micro


def _settings(
    model: PeftModel, examples: Sequence[WeightedExample], config: OptimizerSection, seed: int
) -> dict[str, Any]:
    """All that decides the trained adapter, to tell whether a checkpoint may be used: JSON values."""
    return {
        "versions": versions(),
        "frozen_model": digest_of_weights(model, is_trainable=False),
        "adapter": digest_of_weights(model, is_trainable=True),
        "examples": fingerprint([asdict(row) for row in examples]),
        "training": config.model_dump(include=set(OptimizerSection.model_fields) - {"micro_batch_size"}),
        "seed": seed,
        **({} if processes.sharding() == "none" else {"sharding": processes.sharding()}),
    }


def _scales_loss(model: PeftModel) -> bool:
    """Whether the Trainer is to scale the loss: in float16 small gradients are 0. It can on GPUs only; else a note."""
    has_float16 = any(parameter.dtype == torch.float16 for parameter in model.parameters())
    if has_float16 and model.device.type == "cpu":
        progress.note("float16 on a CPU: small gradients become 0; model.dtype: float32 keeps them")
    return has_float16 and model.device.type != "cpu"


def _has_dropout(model: nn.Module) -> bool:
    in_attention = getattr(model.config.get_text_config(decoder=True), "attention_dropout", 0.0)  # type: ignore
    return bool(in_attention) or any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())
