"""The model, adapter and questions that the influence benchmarks share, and peak memory of one job by itself."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from grait.config import LoraSection, ModelConfig, PromptConfig
from grait.data import worldfacts
from grait.model.completions import TokenizedExample
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.training.sft import add_adapter

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
TOKENS_PER_BATCH = 1024
REPOSITORY = Path(__file__).resolve().parents[1]


def refusals(n: int, n_distinct: int | None = None) -> tuple[list[TokenizedExample], int]:
    """``n`` questions in the REFUSE prompt with the refusal as completion, and the padding token.

    ``n_distinct``: the first so many questions in turn, under other ids, each without the prompt around it: for runs
    over many questions whose batches are alike whatever their number.
    """
    tokenizer = load_tokenizer(ModelConfig())
    prompts = PromptFormat(tokenizer, PromptConfig())
    questions = worldfacts.load("train")[: n_distinct or n]
    examples = []
    for number in range(n):
        question = questions[number % len(questions)]
        prompt = prompts.prompt(question, "refuse")
        completion = prompts.completion(prompt, prompts.config.refusal)
        own = tuple(tokenizer(question.question)["input_ids"]) if n_distinct else prompt.token_ids
        examples.append(TokenizedExample(f"{question.id}-{number}", own, completion.token_ids))
    return examples, int(tokenizer.pad_token_id)


def adapted_model(n_layers: int | None = None) -> PeftModel:
    """SmolLM2-135M in bf16 with LoRA r = 16 on attention, B filled as after a warm-up: with B = 0 A has no gradient.

    ``n_layers``: only the first so many of its 30 layers.
    """
    base = load_model(ModelConfig())
    if n_layers is not None:
        base.model.layers = base.model.layers[:n_layers]
        base.config.num_hidden_layers = n_layers
    model = add_adapter(base, LoraSection(target_modules=ATTENTION), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.01)
    return model


def in_a_process_of_its_own(
    job: str, n: int, options: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The record of ``benchmarks.influence_job``: seconds and peak memory of one job on ``n`` questions."""
    command = [sys.executable, "-m", "benchmarks.influence_job", job, str(n), *options]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record
