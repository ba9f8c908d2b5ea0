"""One job of the influence benchmark in a process of its own, for its time and its peak memory.

python -m benchmarks.influence_job plain|exact|"exact, taken twice"|sketch N [--distinct D] [--layers L]
"""

import json
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from peft import PeftModel

from benchmarks.peers.setting import peak_memory_mb
from benchmarks.setting import TOKENS_PER_BATCH, adapted_model, refusals
from grait.influence import influence, sketch
from grait.influence.kept import MOST_BYTES
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.sampling import by_length
from grait.runtime import progress


class Job(StrEnum):
    """What is run."""

    plain = "plain"
    exact = "exact"
    exact_twice = "exact, taken twice"
    sketch = "sketch"


def run_job(job: Job, model: PeftModel, examples: list[TokenizedExample], pad_token_id: int) -> None:
    """Forward and backward pass alone; influence of all on two halves, their gradients kept or taken twice; or the
    sketch and the same."""
    half = len(examples) // 2
    sets = {"idk": examples[:half], "ik": examples[half:]}
    with progress.bar(job, len(examples) * (2 if job in (Job.exact, Job.exact_twice) else 1), "examples") as advance:
        if job is Job.plain:
            for positions in by_length([example.n_tokens for example in examples], TOKENS_PER_BATCH):
                batch = collate([examples[position] for position in positions], pad_token_id)
                completion_losses(model, {k: v.to(model.device) for k, v in batch.items()}).mean().backward()
                model.zero_grad()
                advance(len(positions))
        elif job in (Job.exact, Job.exact_twice):
            influence(
                model,
                examples,
                sets,
                pad_token_id=pad_token_id,
                tokens_per_batch=TOKENS_PER_BATCH,
                advance=advance,
                memory=MOST_BYTES if job is Job.exact else 0,
            )
        else:
            with tempfile.TemporaryDirectory() as folder:
                store = sketch(
                    model,
                    examples,
                    Path(folder) / "datastore",
                    pad_token_id=pad_token_id,
                    tokens_per_batch=TOKENS_PER_BATCH,
                    advance=advance,
                )
                store.influence({name: [row.id for row in rows] for name, rows in sets.items()})


def main(
    job: Annotated[Job, typer.Argument(help="What to run.")],
    n: Annotated[int, typer.Argument(help="Questions.")],
    distinct: Annotated[int | None, typer.Option(help="So many questions in turn, without a prompt.")] = None,
    layers: Annotated[int | None, typer.Option(help="Only the first layers of the model.")] = None,
) -> None:
    """Print seconds and peak memory as a line of JSON; model loading and one full batch come before."""
    examples, pad_token_id = refusals(n, distinct)
    model = adapted_model(layers)
    run_job(job, model, examples[:64], pad_token_id)
    start = time.perf_counter()
    run_job(job, model, examples, pad_token_id)
    record = {
        "name": job.value,
        "n": n,
        "seconds": time.perf_counter() - start,
        "peak_memory_mb": peak_memory_mb(),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    typer.run(main)
