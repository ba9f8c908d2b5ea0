"""What a second process is worth on two cores: one run, stage by stage, in one process and in two.

python -m benchmarks.processes [--quick] [--questions N] [--repetitions N] [--json FILE] [--markdown FILE]
"""

import json as json_format
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import markdown, write
from benchmarks.setting import REPOSITORY

ALONE = [sys.executable]
TWO = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"),
    *("--config_file", "configs/accelerate/cpu-2.yaml"),
]
SETTINGS = {
    "1 process, 2 threads": (ALONE, 2),
    "1 process, 1 thread": (ALONE, 1),
    "2 processes, 1 thread each": (TWO, 1),
}
STAGES = {
    "knowledge": "knowledge query",
    "warmup": "warm-up",
    "influence": "influence",
    "adapters": "training",
    "evaluation": "evaluation",
}
"""Of a run's folders."""

WHOLE = "whole run"


def seconds_of_run(launcher: list[str], threads: int, questions: int) -> tuple[dict[str, float], Any]:
    """Of each stage, and from start to end with imports and the report; and what the systems answered, as shares."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "out": folder,
            "data.limit": questions + 3,  # three are shots
            "training.methods": "[grait]",
            "influence.max_idk": questions // 3,
            "evaluation.datasets": f"[{{path: worldfacts, split: test_id, limit: {questions // 2}, name: in-domain}}]",
        }
        options = [option for key, value in settings.items() for option in ("--set", f"{key}={value}")]
        start = time.perf_counter()
        subprocess.run(
            [*launcher, "-m", "grait", "demo", "--quick", *options],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = dict.fromkeys(STAGES.values(), 0.0) | {WHOLE: time.perf_counter() - start}
        summary = json_format.loads((Path(folder) / "summary.json").read_text())
        assert summary["processes"] == (1 if launcher is ALONE else 2)
        for path, notes in summary["stages"].items():
            if name := STAGES.get(path.split("/")[0]):
                seconds[name] += notes["seconds"]
        metrics = json_format.loads((Path(folder) / "metrics.json").read_text())
        return seconds, [[row[name] for name in ("dataset", "method", "pc", "pw", "pr")] for row in metrics]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="60 questions, to see that it works.")] = False,
    questions: Annotated[int, typer.Option(help="Training questions; half as many test questions.")] = 300,
    repetitions: Annotated[int, typer.Option(help="Runs in each setting, which take turns; medians are given.")] = 1,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """The demo's model and questions in each setting; the ratios are of one call of this program."""
    n = 60 if quick else questions
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SETTINGS}
    shares = []
    for _ in range(repetitions):
        for name, (launcher, threads) in SETTINGS.items():
            seconds, answered = seconds_of_run(launcher, threads, n)
            found[name].append(seconds)
            shares.append(answered)
    medians = {
        name: {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
        for name, runs in found.items()
    }
    two_threads, one, two = (medians[name] for name in SETTINGS)
    are_equal = all(answered == shares[0] for answered in shares)
    columns = ["", *(f"{name} (s)" for name in SETTINGS), "second process", "second thread"]
    rows = [
        [
            stage,
            *(f"{medians[name][stage]:.0f}" for name in SETTINGS),
            f"{one[stage] / two[stage]:.2f}x",
            f"{one[stage] / two_threads[stage]:.2f}x",
        ]
        for stage in (*STAGES.values(), WHOLE)
    ]
    note = (
        f"SmolLM2-135M-Instruct, {n} WorldFacts questions to train with and {n // 2} to test, one method; "
        f"{repetitions} run(s) in each setting, in turns. Second process: 1 process with 1 thread against 2 processes "
        "with 1 thread each; second thread: against 1 process with 2 threads. Loading the model counts to the stage "
        "that needs it first. Shares of right, wrong and refused answers "
        + ("are the same." if are_equal else "differ.")
    )
    table = markdown("One run in one process and in two", columns, rows, note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    records = [
        {"name": name, "questions": n, "runs": runs, "medians": medians[name], "answers_are_equal": are_equal}
        for name, runs in found.items()
    ]
    write(json, records)


if __name__ == "__main__":
    typer.run(main)
