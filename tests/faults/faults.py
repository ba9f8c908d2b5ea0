"""Kills whole runs at random moments, starts them again, and compares what they end with: ``make faults N=50``.

Each run is a process of its own, forked from one that has imported the package, and is ended by SIGKILL. It is started
again in its folder until it finishes; then everything that it computed must be, bit for bit, what a run has that nobody
killed. Checkpoints are written after every step, and parts hold three questions, so that kills fall between and into
them. The same seed draws the same moments, in seconds of computing; where they fall differs a little.
"""

import argparse
import importlib
import math
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))  # where tiny_folder is; pytest has it there by itself

import psutil
import pyarrow.parquet as pq
import torch
import yaml
from tiny_folder import save_tiny, tiny_tree, write_half_known

import grait
from grait import cli
from grait.influence import datastore, resume
from grait.pipeline import parts
from grait.runtime import progress
from grait.runtime.artifacts import MANIFEST
from grait.runtime.lock import LOCK
from grait.training import checkpoints

SETTINGS = {
    "exact": {"influence": {"transform": "adam", "tokens_per_batch": 128}},
    "sketch": {"influence": {"mode": "sketch", "dimensions": 256, "checkpoints": "epochs", "tokens_per_batch": 128}},
}
NOT_RESULTS = (MANIFEST, LOCK, "config.json", "summary.json", "compare.md", ".html", "README.md")
"""Times, dates and paths are in them."""


@dataclass(frozen=True)
class Kill:
    """``where``: the last two lines that the run had written: its stage, and how far it was."""

    settings: str
    seconds: float
    where: str


def forked(work: Callable[[], None], log: Path) -> int:
    """The id of a new process that does the work, with its output in ``log``."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finished(child: int, log: Path, within: float = math.inf) -> float | None:
    """Seconds of computing until the process ended by itself; None when it was killed after ``within`` seconds.

    A failure ends everything.
    """
    process = psutil.Process(child)
    while True:
        times = process.cpu_times()
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            if os.waitstatus_to_exitcode(status) != 0:
                raise SystemExit(f"a run failed:\n{log.read_text(errors='replace')}")
            return usage.ru_utime + usage.ru_stime
        if times.user + times.system >= within:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def prepare(folder: Path) -> None:
    """A tiny model, question files, and a config for each of ``SETTINGS``."""
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder, n_train=24, n_test=10)
    for name, changes in SETTINGS.items():
        tree = tiny_tree(model, files, folder / "unused")
        tree["influence"] = changes["influence"]
        tree["lora"]["dropout"] = 0.1
        tree["warmup"] |= {"epochs": 2, "batch_size": 4, "micro_batch_size": 2}
        tree["training"] |= {
            "epochs": 2,
            "batch_size": 4,
            "micro_batch_size": 4,
            "methods": ["cor-rait", "craft", "grait"],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def run(config: Path, out: Path) -> None:
    """``grait run`` with everything kept at once."""
    torch.set_num_threads(1)
    checkpoints.SECONDS_BETWEEN_WRITES, checkpoints.LARGEST_SHARE = 0.0, float("inf")
    resume.SECONDS_BETWEEN_WRITES = datastore.SECONDS_BETWEEN_WRITES = 0.0
    parts.QUESTIONS = 3
    progress.SECONDS_BETWEEN_LINES = 0.0
    sys.argv = ["grait", "run", str(config), "--out", str(out)]
    cli.main()


def different(found: Path, expected: Path) -> list[str]:
    """Files that are not the same in both folders, or only in one of them."""
    names = {
        str(path.relative_to(folder))
        for folder in (found, expected)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(NOT_RESULTS)
    }
    return sorted(name for name in names if not _same(found / name, expected / name))


def _same(found: Path, expected: Path) -> bool:
    if not (found.is_file() and expected.is_file()):
        return False
    if found.suffix == ".parquet":
        return bool(pq.read_table(found).equals(pq.read_table(expected)))
    return found.read_bytes() == expected.read_bytes()


def last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    stage = next((line for line in reversed(lines) if line[:1].isdecimal()), "before the first stage")
    step = lines[-1] if lines and lines[-1] != stage else ""
    return f"{stage} | {step}" if step else stage


def faults(folder: Path, n_kills: int, seed: int) -> tuple[list[Kill], int, list[str]]:
    """The kills, the number of runs that were killed and finished, and what differs in them."""
    for module in pkgutil.walk_packages(grait.__path__, "grait."):  # once, not in each process
        if not module.name.endswith(("__main__", "train_trl")):  # scripts
            importlib.import_module(module.name)
    log, generator = folder / "log", random.Random(seed)
    finished(forked(lambda: prepare(folder), log), log)  # no thread of torch's is started before a fork
    seconds: dict[str, float] = {}
    for name in SETTINGS:
        child = forked(lambda name=name: run(folder / f"{name}.yaml", folder / f"{name}-whole"), log)
        seconds[name] = finished(child, log) or 0.0
        n = len(list((folder / f"{name}-whole").rglob("*")))
        print(f"{name}: the whole run takes {seconds[name]:.1f} s and leaves {n} files and folders", flush=True)
    kills: list[Kill] = []
    differences: list[str] = []
    n_runs = 0
    while len(kills) < n_kills:
        name = list(SETTINGS)[n_runs % len(SETTINGS)]
        out, n_before = folder / f"{name}-killed", len(kills)
        while True:
            within = generator.uniform(0, seconds[name]) if len(kills) < n_kills else math.inf
            child = forked(lambda name=name, out=out: run(folder / f"{name}.yaml", out), log)
            if finished(child, log, within) is not None:
                break
            kills.append(Kill(name, within, last_lines(log)))
            print(f"kill {len(kills)}: {name}, after {kills[-1].seconds:.2f} s, {kills[-1].where}", flush=True)
        found = different(out, folder / f"{name}-whole") if len(kills) > n_before else []
        differences += [f"{name}, run {n_runs + 1}: {file}" for file in found]
        shutil.rmtree(out)
        n_runs += len(kills) > n_before
    return kills, n_runs, differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills, n_runs, differences = faults(Path(folder), arguments.kills, arguments.seed)
    by_stage = Counter(kill.where.split(" | ")[0] for kill in kills)
    for stage, n in sorted(by_stage.items()):
        print(f"{n:4} in {stage}")
    for difference in differences:
        print(f"different: {difference}")
    print(
        f"{len(kills)} kills in {len(by_stage)} stages, {n_runs} runs finished, {len(differences)} files differ from "
        f"those of a run that nobody killed (seed {arguments.seed})"
    )
    raise SystemExit(bool(differences))


if __name__ == "__main__":
    main()
