"""What benchmarks have in common: timing in turns, the machine, the table."""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def medians(jobs: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Median seconds of each job; the jobs take turns, after one untimed turn, so that drift hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for repetition in range(repetitions + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if repetition:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine() -> dict[str, Any]:
    """Processor, cores, threads of torch and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
    }


def markdown(title: str, columns: list[str], rows: list[list[str]], note: str) -> str:
    """A table with the machine below it."""
    lines = [f"## {title}", "", "| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    facts = ", ".join(f"{key} {value}" for key, value in machine().items())
    return "\n".join([*lines, "", note, "", facts, ""])


def write(path: Path | None, records: list[dict[str, Any]]) -> None:
    """Write the records and the machine as JSON."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "records": records}, indent=2) + "\n", encoding="utf-8")
