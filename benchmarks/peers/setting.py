"""What the peers' scripts have in common: examples from a file, peak memory, and the record they print.

Imported in the peers' environments, so it needs neither grait nor what grait depends on.
"""

import contextlib
import importlib.metadata
import json
import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IGNORED = -100


@dataclass(frozen=True)
class LabelledTokens:
    """Prompt and completion as one sequence; ``labels`` are ``IGNORED`` at the prompt's tokens."""

    id: str
    input_ids: list[int]
    labels: list[int]


def read_examples(path: Path, n: int | None) -> list[LabelledTokens]:
    """The first ``n`` examples of a file made by ``run.write_examples`` (all of them: None)."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [
        LabelledTokens(
            row["id"],
            row["prompt_ids"] + row["completion_ids"],
            [IGNORED] * len(row["prompt_ids"]) + row["completion_ids"],
        )
        for row in rows[:n]
    ]


def peak_memory_mb() -> int:
    """Highest resident memory of this process so far, in MB (10^6 bytes).

    From the kernel's own mark where there is one: ``ru_maxrss`` of a process that a larger one has started is at first
    that of the larger one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(kilobytes) * 1024 / 1e6)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of ``packages``."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def print_record(measure: Callable[[], dict[str, Any]]) -> None:
    """Print what ``measure`` returns as JSON, the last line on stdout; what peers print meanwhile goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        record = measure()
    print(json.dumps(record))
