"""Influence beside what it cannot do without (a plain training pass) and beside other programs for the same.

python -m benchmarks.influence [--quick] [--json FILE] [--markdown FILE]
    [--less-python BIN --less-repo DIR] [--bergson-python BIN]

The peers run in environments of their own (see benchmarks/peers) and are left out where none is given.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.influence_job import Job, run_job
from benchmarks.peers.run import peer_record, write_adapter, write_examples
from benchmarks.report import markdown, medians, write
from benchmarks.setting import TOKENS_PER_BATCH, adapted_model, in_a_process_of_its_own, refusals
from grait.influence.gradients import gradient_factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.model.completions import collate
from grait.model.sampling import by_length

BARE = ", nothing in common"
"""Of jobs on the questions alone, without a prompt around them."""

HIDDEN = ("influence", "gradient_norms", "seconds_of_turns")
"""Of the peers' records, too long for the result file."""


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions and repetitions.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the tables here.")] = None,
    less_python: Annotated[Path | None, typer.Option(help="Python of an environment for LESS.")] = None,
    less_repo: Annotated[Path | None, typer.Option(help="Checkout of LESS.")] = None,
    bergson_python: Annotated[Path | None, typer.Option(help="Python of an environment for bergson.")] = None,
) -> None:
    """Examples per second, peak memory, and time as a multiple of the plain pass."""
    n, repetitions = (56, 2) if quick else (112, 3)
    examples, pad = refusals(n)
    bare, _ = refusals(n, n)
    model = adapted_model()
    linears = trainable_linears(model)
    batches = [
        [examples[position] for position in positions]
        for positions in by_length([example.n_tokens for example in examples], TOKENS_PER_BATCH)
    ]

    def per_example(is_shared: bool) -> None:
        prefix = SharedPrefix.of(model, linears, examples) if is_shared else None
        for rows in batches:
            if prefix:
                _, factors = prefix.gradient_factors(prefix.collate(rows, pad))
            else:
                _, factors = gradient_factors(model, linears, collate(rows, pad))
            for layer in factors.values():
                layer.gradients()

    jobs = {
        **{job.value: lambda job=job: run_job(job, model, examples, pad) for job in Job},
        **{f"{job.value}{BARE}": lambda job=job: run_job(job, model, bare, pad) for job in Job},
        "gradients, every prompt in full": lambda: per_example(is_shared=False),
        "gradients, common beginning once": lambda: per_example(is_shared=True),
    }
    seconds = medians(jobs, repetitions)
    records: list[dict[str, Any]] = [
        {"name": name, "examples_per_second": n / value, "peak_memory_mb": None, "n": n}
        for name, value in seconds.items()
    ]
    for record in records:
        if record["name"] in list(Job):
            record["peak_memory_mb"] = in_a_process_of_its_own(record["name"], n)["peak_memory_mb"]
    records += _peers(examples, model, quick, less_python, less_repo, bergson_python)
    plain = {record["name"]: record["examples_per_second"] for record in records}
    for record in records:
        like = f"{Job.plain.value}{BARE if record['name'].endswith(BARE) else ''}"
        record["time_ratio_to_plain"] = plain[like] / record["examples_per_second"]
    tokens = sum(example.n_tokens for example in examples) / n
    shared = len(prefix.token_ids) if (prefix := SharedPrefix.of(model, linears, examples)) else 0
    table = _table(records, n, repetitions, tokens, shared)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


def _peers(
    examples: list[Any],
    model: Any,
    quick: bool,
    less_python: Path | None,
    less_repo: Path | None,
    bergson_python: Path | None,
) -> list[dict[str, Any]]:
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_examples(folder / "examples.json", examples)
        write_adapter(folder / "adapter", model)
        common = {"examples": folder / "examples.json", "adapter": folder / "adapter"}
        if less_python or less_repo:
            found = peer_record("less", less_python, {**common, "less-repo": less_repo, "n": 16})
            records.append({**found, "name": "less"})
        if bergson_python:
            for title, changes in (
                ("bergson", {"projection-dim": 0}),
                ("bergson, 16 x 16 a layer", {"projection-dim": 16}),
            ):
                count = {"n": 56 if quick else len(examples), "tokens-per-batch": TOKENS_PER_BATCH}
                found = peer_record(
                    "bergson_index", bergson_python, {**common, **changes, **count, "precision": "mixed"}
                )
                records.append({**found, "name": title})
    return [{key: value for key, value in record.items() if key not in HIDDEN} for record in records]


def _table(records: list[dict[str, Any]], n: int, repetitions: int, tokens: float, shared: int) -> str:
    rows = [
        [
            record["name"],
            f"{record['examples_per_second']:.3g}",
            f"{record['time_ratio_to_plain']:.3g}",
            str(record["peak_memory_mb"] or ""),
        ]
        for record in records
    ]
    note = (
        f"SmolLM2-135M, bf16, LoRA r = 16 on attention, {n} questions of {tokens:.0f} tokens on average, of which the "
        f"first {shared} are the same; batches of {TOKENS_PER_BATCH} tokens; median of {repetitions} turns in one "
        "process, peak memory of each job in a process of its own. `plain`: forward and backward pass over the same "
        "batches, every prompt in full. `exact`: gradients kept between the passes, as far as they fit into 1 GB, or "
        "taken twice. `sketch`: one pass, the datastore written and queried. `nothing in common`: questions without "
        "a prompt around them, time against the plain pass over these. "
        "Peers: in their own environments, model loading not counted; LESS on 16 questions; bergson in our precision, "
        "at its default (no projection) and with the projection of its trackstar command."
    )
    return markdown("Influence", ["", "examples/s", "time / plain", "peak memory (MB)"], rows, note)


if __name__ == "__main__":
    typer.run(main)
