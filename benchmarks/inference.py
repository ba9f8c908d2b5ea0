"""The knowledge query beside transformers' own ``generate`` with ``num_return_sequences`` on the same prompts.

python -m benchmarks.inference [--quick] [--json FILE]
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.report import markdown, medians, write
from grait.config import ModelConfig, PromptConfig
from grait.data import worldfacts
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat

N_SAMPLES, MAX_NEW_TOKENS, N_SHOTS = 10, 12, 3


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions and repetitions.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
) -> None:
    """Time ten samples for each question, ours and by ``generate`` in batches of 16 questions."""
    n_questions, repetitions = (16, 1) if quick else (48, 3)
    tokenizer, model = load_tokenizer(ModelConfig()), load_model(ModelConfig())
    questions = worldfacts.load("train")[: n_questions + N_SHOTS]
    prompts = PromptFormat(tokenizer, PromptConfig(), tuple(questions[:N_SHOTS]))
    queries = [prompts.query(question) for question in questions[N_SHOTS:]]
    ends = prompts.end_token_ids(queries[0].is_chat)

    def ours() -> None:
        InferenceEngine(model, int(tokenizer.pad_token_id)).generate(
            [query.token_ids for query in queries],
            [question.id for question in questions[N_SHOTS:]],
            n=N_SAMPLES,
            temperature=1.0,
            max_new_tokens=MAX_NEW_TOKENS,
            end_token_ids=ends,
        )

    def generate() -> None:
        tokenizer.padding_side = "left"
        for start in range(0, len(queries), 16):
            batch = tokenizer([query.text for query in queries[start : start + 16]], return_tensors="pt", padding=True)
            with torch.inference_mode():
                model.generate(
                    **batch,
                    do_sample=True,
                    top_k=0,
                    num_return_sequences=N_SAMPLES,
                    max_new_tokens=MAX_NEW_TOKENS,
                    eos_token_id=sorted(ends),
                )

    seconds = medians({"grait": ours, "generate": generate}, repetitions)
    records = [
        {"name": name, "questions_per_second": len(queries) / value, "time_ratio_to_grait": value / seconds["grait"]}
        for name, value in seconds.items()
    ]
    rows = [
        [record["name"], f"{record['questions_per_second']:.2f}", f"{record['time_ratio_to_grait']:.2f}"]
        for record in records
    ]
    note = (
        f"SmolLM2-135M, bf16, {len(queries)} questions after {N_SHOTS} shots, {N_SAMPLES} samples of at most "
        f"{MAX_NEW_TOKENS} tokens, median of {repetitions} turns."
    )
    print(markdown("Knowledge query", ["", "questions/s", "time / grait"], rows, note))
    write(json, records)


if __name__ == "__main__":
    typer.run(main)
