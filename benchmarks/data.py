"""How long the look at many questions takes, and how much memory: ``grait run --dry-run`` and ``grait data show``.

python -m benchmarks.data [--rows 1000,100000] [--json FILE] [--markdown FILE]

Each row of the table is a process of its own on one thread, on a file of made-up questions: the smallest file says what
the program itself takes.
"""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.report import markdown, write

Row = dict[str, Any]
N_TESTED = 1000


def main(
    rows: str = "1000,100000",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """One row for each kind of file and number of questions."""
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = folder / "test.jsonl"
        _jsonl(test, made_up(N_TESTED, "tested"))
        for suffix, save in WRITERS.items():
            for n in map(int, rows.split(",")):
                train = folder / f"train-{n}{suffix}"
                save(train, made_up(n, "trained on"))
                size = train.stat().st_size / 1e6
                dry_run = ["run", "--dry-run", "--train", train, "--test", test, "--out", folder / "run"]
                for name, command in (("dry run", dry_run), ("data show", ["data", "show", train])):
                    records.append({"command": name, "file": suffix, "n": n, "mb": size} | measured(command))
    records.sort(key=lambda own: own["command"], reverse=True)
    cells = [
        [own["command"], own["file"], f"{own['n']:,}", *(f"{own[key]:,.1f}" for key in ("mb", "seconds", "peak_mb"))]
        for own in records
    ]
    note = f"Seconds of processor time; peak of resident memory; {N_TESTED:,} test questions beside those of a dry run."
    columns = ["command", "file", "questions", "MB", "seconds", "peak MB"]
    table = markdown("A look at many questions", columns, cells, note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json_file, records)


def made_up(n: int, what: str) -> list[Row]:
    """Questions of about 60 characters with two references each, all different."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=draw.randint(3, 9))) for _ in range(20_000)]
    return [
        {
            "question": f"What is the {draw.choice(words)} of {draw.choice(words)} {draw.choice(words)}, {what} {i}?",
            "answers": [draw.choice(words).capitalize(), f"{draw.choice(words)} {draw.choice(words)}"],
        }
        for i in range(n)
    ]


def measured(command: list[str | Path]) -> dict[str, float]:
    """Processor time and peak memory of a command."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    used = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": used["seconds"], "peak_mb": used["peak_kb"] / 1024}


MEASURED = """
import json, resource, subprocess, sys
subprocess.run([sys.executable, "-m", "grait", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "peak_kb": used.ru_maxrss}))
"""


def _jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["question", "answers"], *([row["question"], json.dumps(row["answers"])] for row in rows)])


def _parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, list[Row]], None]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}

if __name__ == "__main__":
    typer.run(main)
