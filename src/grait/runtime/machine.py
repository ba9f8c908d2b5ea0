"""Versions and the machine, which a result has to name besides its config."""

import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path

import torch


def peak_memory_mb() -> int:
    """Highest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results."""
    names = ("torch", "transformers", "peft", "accelerate")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def machine() -> dict[str, str | int]:
    """Processor, cores, threads that torch uses, and the GPU where there is one."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if "model name" in line), processor)
    facts: dict[str, str | int] = {
        "processor": processor,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
    }
    return {**facts, "gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else facts
