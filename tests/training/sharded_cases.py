"""Tiny trainings for tests/training/test_sharding.py, and a program that does them all in the processes of a launcher:

accelerate launch --config_file configs/accelerate/cpu-2-fsdp.yaml tests/training/sharded_cases.py FOLDER
"""

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from tiny import END, PAD, poison, random_examples, tiny_model
from torch import Tensor
from torch.distributed.tensor import DTensor

from grait.config import LoraSection, OptimizerSection
from grait.errors import GraitError
from grait.runtime import processes
from grait.training import checkpoints
from grait.training.examples import WeightedExample
from grait.training.sft import TrainingLog, add_adapter, train
from grait.training.trainer import EndOfEpoch

PROMPT = tuple(range(30, 42))
"""What all prompts begin with: long enough to be run once where it may."""

EXAMPLES = [
    WeightedExample(
        replace(example, prompt_ids=(*PROMPT, *example.prompt_ids), completion_ids=(17, 4, 130, END)), 0.25 * (n % 7)
    )
    for n, example in enumerate(random_examples(13))
]
N_STEPS = 10


def plain() -> PeftModel:
    return add_adapter(tiny_model(), LoraSection(r=4), seed=3)


def tied() -> PeftModel:
    """The head is the embedding."""
    return add_adapter(tiny_model(tie_word_embeddings=True), LoraSection(r=4), seed=3)


def gpt2() -> PeftModel:
    """Its linear layers are transposed."""
    return add_adapter(tiny_model("gpt2", attn_pdrop=0, embd_pdrop=0, resid_pdrop=0), LoraSection(r=4), seed=3)


def checkpointed() -> PeftModel:
    """Gradient checkpointing: layers run again in the backward pass."""
    model = tiny_model()
    model.activation_checkpointing_enable()
    return add_adapter(model, LoraSection(r=4), seed=3)


def bfloat16() -> PeftModel:
    """Frozen weights of another type than the adapter's."""
    return add_adapter(tiny_model(dtype=torch.bfloat16), LoraSection(r=4), seed=3)


def one_without_loss() -> PeftModel:
    """Of one example the loss is not finite."""
    model = tiny_model()
    poison(model, EXAMPLES[4].example.prompt_ids[-1])
    return add_adapter(model, LoraSection(r=4), seed=3)


CASES: dict[str, Callable[[], PeftModel]] = {
    case.__name__: case for case in (plain, tied, gpt2, checkpointed, bfloat16)
}


class Killed(BaseException):
    """Nothing handles it."""


def trained(
    model: PeftModel,
    resume: Path | None = None,
    kill_after: int | None = None,
    tell: Callable[[int], None] = lambda n: None,
) -> tuple[TrainingLog, dict[int, EndOfEpoch]]:
    """Log of the training, and what was told at the end of each epoch. ``tell``: of finished steps."""
    epochs: dict[int, EndOfEpoch] = {}
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        tell(n)
        if done == kill_after:
            raise Killed

    log = train(
        model,
        EXAMPLES,
        OptimizerSection(learning_rate=1e-2, epochs=2.5, batch_size=4, micro_batch_size=2),
        pad_token_id=PAD,
        seed=5,
        advance=advance,
        on_epoch=lambda epoch: epochs.update({epoch.number: epoch}),
        resume=resume,
    )
    return log, epochs


def tensors(log: TrainingLog, epochs: dict[int, EndOfEpoch]) -> dict[str, Tensor]:
    """All that a training leaves, under one name each."""
    named = {"losses": torch.tensor(log.losses), "rates": torch.tensor(log.learning_rates)}
    for where, (adapter, moments) in {
        "end": (log.adapter, log.moments),
        **{f"epoch {number}": (epoch.adapter, epoch.moments) for number, epoch in epochs.items()},
    }.items():
        named |= {f"{where}: {name}": tensor for name, tensor in {**adapter, **moments}.items()}
    return named


def share_of_weights(model: PeftModel) -> float:
    """How many of the model's weights this process has, as a share."""
    parameters = list(model.parameters())
    own = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in parameters]
    return sum(weight.numel() for weight in own) / sum(weight.numel() for weight in parameters)


def main(folder: Path) -> None:
    processes.start("cpu")
    shares, errors = {}, {}
    for name, case in CASES.items():
        model = case()
        found = tensors(*trained(model))
        shares[name] = share_of_weights(model)
        if processes.is_main():
            save_file(found, folder / f"{name}.safetensors")
    checkpoints.SECONDS_BETWEEN_WRITES, checkpoints.LARGEST_SHARE = 0.0, float("inf")
    with contextlib.suppress(Killed):
        trained(plain(), folder / "kept", kill_after=6)
    kept = sorted(path.name for path in (folder / "kept").glob("checkpoint-*"))
    processes.wait()
    told: list[int] = []
    found = tensors(*trained(plain(), folder / "kept", tell=told.append))
    if processes.is_main():
        save_file(found, folder / "resumed.safetensors")
    try:
        trained(one_without_loss())
    except GraitError as error:
        errors["one_without_loss"] = str(error)
    everyone = processes.of_each({"shares": shares, "kept": kept, "told": told, "errors": errors})
    if processes.is_main():
        (folder / "processes.json").write_text(json.dumps(everyone))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
