"""How much exact per-example gradients and exact influence cost beside a plain training pass over the same batches.

python -m benchmarks.influence [--quick] [--json FILE]
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.report import markdown, medians, write
from grait.config import LoraSection, ModelConfig, PromptConfig
from grait.data import worldfacts
from grait.influence import influence
from grait.influence.gradients import gradient_factors, trainable_linears
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.inference import by_length
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.pipeline import peak_memory_mb
from grait.training.sft import add_adapter

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
TOKENS_PER_BATCH = 512


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions and repetitions.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
) -> None:
    """Compare plain forward + backward, the same with every example's own gradient, and two-pass influence."""
    n_questions, repetitions = (48, 2) if quick else (160, 5)
    config = ModelConfig()
    tokenizer = load_tokenizer(config)
    prompts = PromptFormat(tokenizer, PromptConfig())
    examples = []
    for question in worldfacts.load("train")[:n_questions]:
        prompt = prompts.prompt(question, "refuse")
        completion = prompts.completion(prompt, prompts.config.refusal)
        examples.append(TokenizedExample(question.id, prompt.token_ids, completion.token_ids))
    model = add_adapter(load_model(config), LoraSection(target_modules=ATTENTION), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # as after a warm-up: with B = 0 the gradient of A is 0
            parameter.data.normal_(std=0.01, generator=generator)
    linears = trainable_linears(model)
    pad = int(tokenizer.pad_token_id)
    batches = [
        collate([examples[position] for position in positions], pad)
        for positions in by_length([example.n_tokens for example in examples], TOKENS_PER_BATCH)
    ]
    half = len(examples) // 2
    sets = {"idk": examples[:half], "ik": examples[half:]}

    def plain() -> None:
        for batch in batches:
            completion_losses(model, batch).mean().backward()
            model.zero_grad()

    def per_example() -> None:
        for batch in batches:
            _, factors = gradient_factors(model, linears, batch)
            for layer in factors.values():
                layer.gradients()

    def exact() -> None:
        influence(model, examples, sets, pad_token_id=pad, tokens_per_batch=TOKENS_PER_BATCH)

    jobs = {"plain": plain, "per-example gradients": per_example, "exact": exact}
    seconds = medians(jobs, repetitions)
    records = [
        {
            "name": name,
            "examples_per_second": len(examples) / value,
            "time_ratio_to_plain": value / seconds["plain"],
        }
        for name, value in seconds.items()
    ]
    rows = [
        [record["name"], f"{record['examples_per_second']:.2f}", f"{record['time_ratio_to_plain']:.2f}"]
        for record in records
    ]
    tokens = sum(example.n_tokens for example in examples) / len(examples)
    note = (
        f"SmolLM2-135M, bf16, LoRA r = 16 on attention, {len(examples)} questions of {tokens:.0f} tokens on average, "
        f"median of {repetitions} turns. `exact` is both passes. Peak memory of the process: {peak_memory_mb()} MB."
    )
    print(markdown("Influence", ["", "examples/s", "time / plain"], rows, note))
    write(json, records)


if __name__ == "__main__":
    typer.run(main)
