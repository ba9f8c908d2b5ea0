"""Command lines that start a script in several processes on this machine's CPUs."""

import importlib.util
import os
import sys
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "accelerate"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
HAS_DEEPSPEED = importlib.util.find_spec("deepspeed") is not None

ALONE = [sys.executable]
THREE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]


def accelerated(config: str) -> list[str]:
    """``accelerate launch`` with one of our configs, at a free port."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    return [*launcher, "--config_file", str(CONFIGS / config), "--main_process_port", "0"]
