"""Time and peak memory of influence by the number of questions: both should be straight lines, memory a flat one.

python -m benchmarks.scaling [--quick] [--json FILE] [--markdown FILE]
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import markdown, write
from benchmarks.setting import in_a_process_of_its_own

COLUMNS = ["", "questions", "seconds", "ms a question", "peak memory (MB)", "datastore on disk, mapped (MB)"]
OPTIONS = ("--distinct", "250", "--layers", "2")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""glibc gives freed tensors back to the system, so that the peak is what is in use and not how the heap is cut up."""
BYTES_PER_ROW = 2 * 8192 + 8 + 8 + 1


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Up to 1,000 questions.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """Exact influence and the sketch on 250 to 10,000 questions, each in a process of its own."""
    sizes = (250, 1000) if quick else (250, 1000, 4000, 10_000)

    def grow(job: str) -> list[dict[str, Any]]:
        return [in_a_process_of_its_own(job, n, OPTIONS, ENVIRONMENT) for n in sizes]

    with ThreadPoolExecutor() as both:
        records = [record for grown in both.map(grow, ("sketch", "exact")) for record in grown]
    rows = [
        [
            record["name"],
            f"{record['n']:,}",
            f"{record['seconds']:.0f}",
            f"{1000 * record['seconds'] / record['n']:.1f}",
            f"{record['peak_memory_mb']:,}",
            f"{record['n'] * BYTES_PER_ROW / 1e6:.0f}" if record["name"] == "sketch" else "",
        ]
        for record in records
    ]
    note = (
        "The first 2 of SmolLM2-135M's 30 layers, so that 10,000 questions are soon done and what grows with "
        "their number would show; bf16, LoRA r = 16 on attention. 250 questions in turn, so that batches are "
        "alike at every size, without a prompt around them (nothing is shared), with the refusal as "
        "completion; influence of all on two halves. Each in a process of its own, one thread, two at a "
        "time, freed memory given back at once; seconds after loading and one batch."
    )
    table = markdown("Time and memory by the number of questions", COLUMNS, rows, note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


if __name__ == "__main__":
    typer.run(main)
