"""Examples of several forms, some with a teacher, and a program that trains on them in the processes of a launcher:

accelerate launch --config_file configs/accelerate/cpu-2.yaml tests/training/replayed_cases.py FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from tiny import PAD, random_examples, tiny_model, with_lora
from torch import Tensor

from grait.config import OptimizerSection
from grait.model.common_prefix import SHORTEST
from grait.model.completions import TokenizedExample
from grait.model.teacher import Teacher, teachers
from grait.runtime import processes
from grait.training.examples import WeightedExample
from grait.training.sft import TrainingLog, train

BEGINNINGS = {
    "": (),
    "long": tuple(range(20, 22 + SHORTEST)),
    "other": tuple(range(60, 60 + SHORTEST)),
    "short": (90, 91),
}


def exact(teacher: Teacher, model: torch.nn.Module, example: TokenizedExample) -> Teacher:
    """The same tokens with unrounded log-probabilities, all of them in float64."""
    sequence = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
    logits = model(input_ids=sequence, use_cache=False).logits[0, len(example.prompt_ids) - 1 : -1]
    logprobs = logits.detach().double().log_softmax(-1)
    best = logprobs.gather(-1, teacher.token_ids.long())
    rest = logprobs.scatter(-1, teacher.token_ids.long(), -torch.inf).logsumexp(-1, keepdim=True)
    return Teacher(teacher.token_ids, torch.cat([best, rest], dim=-1))


def mixed(n: int = 23) -> list[WeightedExample]:
    """Every form in turn; every third example has a teacher."""
    forms = list(BEGINNINGS)
    rows = [
        replace(row, prompt_ids=(*BEGINNINGS[forms[index % 4]], *row.prompt_ids))
        for index, row in enumerate(random_examples(n, completion=(2, 7)))
    ]
    found = teachers(tiny_model(), rows, pad_token_id=PAD, tokens_per_batch=64)
    return [
        WeightedExample(row, 0.25 * (index % 9), forms[index % 4], found[index] if index % 3 == 0 else None)
        for index, row in enumerate(rows)
    ]


def trained(micro_batch_size: int, folder: Path | None = None) -> tuple[TrainingLog, dict[str, Tensor]]:
    """Two epochs from a trained-looking adapter."""
    model: PeftModel = with_lora(tiny_model(), ["q_proj", "down_proj"])
    config = OptimizerSection(learning_rate=1e-2, epochs=2, batch_size=8, micro_batch_size=micro_batch_size)
    log = train(model, mixed(), config, pad_token_id=PAD, seed=0, resume=folder)
    return log, log.adapter


def main(folder: Path) -> None:
    processes.start("cpu")
    log, adapter = trained(4)
    if processes.is_main():
        save_file(adapter | {"losses": torch.tensor(log.losses)}, folder / "adapter.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
