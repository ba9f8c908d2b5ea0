"""Weighted supervised fine-tuning of a LoRA adapter with the transformers Trainer.

The loss of an optimizer step is (1 / n) * sum_i w_i * l_i over its n examples, l_i the mean token cross-entropy of
the completion (GRAIT section 3). It is the same for any micro-batch size, accumulation and number of processes.

A run that is killed goes on at its newest checkpoint (``checkpoints``) and ends with the same adapter: bit for bit on a
CPU with one thread.

An example with a teacher has another l_i: the mean over its completion's tokens of KL(teacher || model). Examples may
be made anew at each step, of the model's own samples (``on_policy``).

The tokens with which all prompts of a form begin run once for each micro-batch, not once for each example: their keys
and values carry the gradients of all its rows, which attend to them in one product (``model.shared_prefix``). With
dropout they run for each row, since every row has its own noise.

The model may be sharded over the processes (``processes.sharding``). All of them then have to run it equally often and
in one piece: the common beginning is not run by itself, nor the head in chunks, and a loss that is not finite stops
the run where else its example is left out.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainingArguments, set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.pytorch_utils import Conv1D

from grait.config import LoraSection, OptimizerSection
from grait.errors import ConfigError, NonFiniteError
from grait.model.common_prefix import shared_length
from grait.model.compiled import is_compiled
from grait.model.completions import TokenizedExample
from grait.model.engine import Road
from grait.runtime import processes, progress
from grait.runtime.machine import versions
from grait.runtime.unfinished import digest_of_weights, open_folder
from grait.training.checkpoints import Checkpoints, newest_checkpoint
from grait.training.examples import NOTHING, WeightedCollator, WeightedExample, digest_of
from grait.training.gathered import moments, trained_weights
from grait.training.on_policy import OnPolicy, OnPolicyTrainer
from grait.training.road import training_road
from grait.training.targets import check_experts, check_layers, linear_targets, lost_keys
from grait.training.trainer import SHARDED_BY, EndOfEpoch, Epochs, Progress, Rounds, WeightedTrainer


@dataclass(frozen=True)
class TrainingLog:
    """``losses``: weighted loss of each optimizer step; ``non_finite``: ids left out because their loss was not finite.

    ``adapter``: the trained weights by parameter name. ``moments``: exp_avg and exp_avg_sq of the optimizer by
    parameter name, with the number of its steps. ``learning_rates``: the mean over the steps of each epoch. All hold
    for the whole run, also where it was killed. ``rewards``: of each step that ``on_policy`` made, its mean reward.
    """

    losses: list[float]
    non_finite: tuple[str, ...]
    adapter: dict[str, Tensor]
    moments: dict[str, Tensor]
    learning_rates: list[float]
    rewards: list[float | None]


def add_adapter(model: PreTrainedModel, config: LoraSection, seed: int) -> PeftModel:
    """The model with a fresh LoRA adapter (fp32, B = 0), the only trainable part."""
    set_seed(seed)
    targets = config.target_modules
    if targets == "all-linear":
        found = linear_targets(model)
        targets = targets if found.are_all else found.adapted
    else:
        check_layers(model, targets)
    check_experts(model, config.target_parameters)
    try:
        adapted = get_peft_model(
            model,
            LoraConfig(
                r=config.r,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=targets,
                target_parameters=config.target_parameters or None,
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2
                task_type="CAUSAL_LM",
            ),
        )
    except ValueError as error:
        raise ConfigError(f"lora.target_modules = {config.target_modules!r}: {' '.join(str(error).split())}") from error
    if lost := lost_keys(adapted, get_peft_model_state_dict(adapted, save_embedding_layers=False)):
        raise ConfigError(
            f"lora.target_modules = {config.target_modules!r}: PEFT loses {len(lost)} weights of these when it loads "
            f"an adapter, such as {lost[0]}; name other layers, or all-linear"
        )
    return adapted


def randomize(model: PeftModel) -> None:
    """Give a fresh adapter small random weights everywhere: with B = 0 its A would have no gradient."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)


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
    road: Road | None = None,
    on_policy: OnPolicy | None = None,
    rounds: Rounds | None = None,
) -> TrainingLog:
    """Train the model's adapter in place on the examples. ``on_epoch`` is told after each epoch, as LESS keeps them.

    ``on_policy``: gives what each step trains on in the place of its examples; for one process. An example is then as
    long as the longest that may stand in its place.

    With sharding (``processes.sharding``) each process is left with a shard of the model, which is of no other use.

    ``resume``: a folder in which a killed call finds what it did; checkpoints are written there now and then. The
    epochs before the checkpoint are not told of again, those after it are. A folder of other examples, settings or
    weights is refused with ArtifactError, which names the difference; the micro-batch may be another, to the rounding.
    With DeepSpeed no checkpoint is written. ``road``: as ``road.training_road`` finds it; None to find it here.
    ``rounds``: gives new weights on the way, to which a checkpoint is not held; not with sharding.

    Raises NonFiniteError when no example has a finite loss, or the trained adapter has weights that are not finite.
    """
    sharding = processes.sharding()
    if rounds and rounds.n > (steps := n_steps(len(examples), config)):
        raise ConfigError(f"influence.rounds = {rounds.n}: this training has only {steps} steps; lower it")
    road = road or training_road(model, pad_token_id, is_compiled=is_compiled(model))
    collator = WeightedCollator(pad_token_id, _beginnings(model, examples, road), is_whole=sharding != "none")
    if sharding == "zero" and resume:
        resume = None
        progress.note("no checkpoints within training: DeepSpeed's are pickled files")
    checkpoint, non_finite = None, set[str]()
    if resume:
        checkpoint, non_finite = _newest(resume, _settings(model, examples, config, seed))
    with nullcontext(str(resume)) if resume else tempfile.TemporaryDirectory() as folder:
        kind: Callable[..., WeightedTrainer] = WeightedTrainer
        given = config
        if on_policy:
            kind = partial(OnPolicyTrainer, on_policy=on_policy, micro_batch_size=config.micro_batch_size)
            given = config.model_copy(update={"micro_batch_size": config.batch_size})
        trainer = kind(
            model,
            _arguments(model, given, n_steps(len(examples), config), folder, seed),
            examples,
            collator=collator,
            non_finite=non_finite,
            callbacks=[
                *([Progress(advance)] if advance else []),
                *([Epochs(on_epoch)] if on_epoch else []),
                *([Checkpoints(resume, non_finite)] if resume else []),
            ],
            road=road,
            rounds=rounds,
        )
        assert (trainer.is_fsdp_enabled, trainer.is_deepspeed_enabled) == (sharding == "fsdp", sharding == "zero")
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if sharding == "zero":
        unset_hf_deepspeed_config()  # transformers would shard the next model that is loaded
    log = _log(trainer, model, examples)
    model.eval()
    return log


def _beginnings(model: PeftModel, examples: Sequence[WeightedExample], road: Road) -> dict[str, tuple[int, ...]]:
    """By form, the tokens with which all its prompts begin, where they are to run once for all.

    Of several forms, one with a single example shares with nobody.
    """
    if processes.sharding() != "none":
        by = SHARDED_BY[processes.sharding()]
        progress.note(f"model sharded by {by}: what all prompts begin with runs for each of them")
        return {}
    by_form: dict[str, list[TokenizedExample]] = {}
    for row in examples:
        by_form.setdefault(row.form, []).append(row.example)
    found = {
        form: own[0].prompt_ids[: shared_length(model, own, road)]
        for form, own in by_form.items()
        if len(own) > 1 or len(by_form) == 1
    }
    return {form: token_ids for form, token_ids in found.items() if token_ids}


def _newest(folder: Path, settings: dict[str, Any]) -> tuple[Path | None, set[str]]:
    """The checkpoint to go on at, None for the start, and the ids that were left out before it; in every process."""
    found = None
    if processes.is_main():
        open_folder(folder, settings)
        found = newest_checkpoint(folder)
    return processes.from_main(found) or (None, set())


def _arguments(model: PeftModel, config: OptimizerSection, max_steps: int, folder: str, seed: int) -> TrainingArguments:
    micro_batch_size, n_accumulated = _split(config)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=max_steps,
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
        ddp_broadcast_buffers=False,  # else all processes would have to run the model equally often
    )
    if processes.sharding() == "fsdp" and arguments.device.type == "cpu":
        # accelerate shards on GPUs only, though torch does on CPUs, too; this is where accelerate looks.
        PartialState().distributed_type = DistributedType.MULTI_GPU
    return arguments


def _log(trainer: WeightedTrainer, model: PeftModel, examples: Sequence[WeightedExample]) -> TrainingLog:
    """The log of the finished training, in every process. Raises NonFiniteError as ``train`` says."""
    non_finite = set().union(*processes.of_each(trainer.non_finite)) - {NOTHING}
    if non_finite == {row.example.id for row in examples}:
        raise NonFiniteError(f"training: none of {len(examples)} examples has a finite loss; lower learning_rate?")
    adapter = trained_weights(model)
    for name, weight in adapter.items():
        if not bool(weight.isfinite().all()):
            raise NonFiniteError(f"training: {name} is not finite after training; lower learning_rate")
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return TrainingLog(
        losses=[step["loss"] for step in steps],
        non_finite=tuple(sorted(non_finite)),
        adapter=adapter,
        moments=moments(model, trainer.optimizer, trainer.state.global_step),
        learning_rates=_learning_rates(steps),
        rewards=[step["reward"] for step in steps if "reward" in step],
    )


def _learning_rates(steps: Sequence[dict[str, float]]) -> list[float]:
    """The mean over the steps of each epoch, from the Trainer's log of them."""
    by_epoch: dict[int, list[float]] = {}
    for step in steps:
        by_epoch.setdefault(math.ceil(step["epoch"]), []).append(step["learning_rate"])
    return [sum(rates) / len(rates) for _, rates in sorted(by_epoch.items())]


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
        "examples": digest_of(examples),
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
