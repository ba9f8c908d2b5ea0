"""Checkpoints of a training run, written by the transformers Trainer: a killed run goes on at the newest one.

A checkpoint is a folder with the adapter (safetensors), and as torch files the optimizer, the scheduler and the states
of the random numbers, which the Trainer reads with ``weights_only=True``; the place in the data follows from the number
of steps. It counts from the moment that it is sealed: that a list of its files with their SHA-256 lies in it.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from grait.model.default import sha256
from grait.runtime import processes, progress
from grait.runtime.artifacts import write_json
from grait.runtime.unfinished import SECONDS_BETWEEN_WRITES

SEAL = "complete.json"

LARGEST_SHARE = 0.05
"""Largest share of a run's time for writing checkpoints: those of large adapters are written less often."""


class Checkpoints(TrainerCallback):
    """Asks for a checkpoint when it is time for one, and keeps the newest only.

    ``non_finite``: the ids that the run has left out so far, which a checkpoint keeps as well.
    """

    def __init__(self, folder: Path, non_finite: set[str]) -> None:
        self.folder = folder
        self.non_finite = non_finite
        self.last = time.monotonic()
        self.wait = SECONDS_BETWEEN_WRITES

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """After the last step there is none: what is left to do takes less time than a checkpoint."""
        is_due = state.global_step < state.max_steps and time.monotonic() - self.last >= self.wait
        if processes.from_main(is_due):
            self.last = time.monotonic()
            control.should_save = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal what the Trainer has written, then delete what is older."""
        # Of several processes each has its own examples, and has written the states of its own random numbers by now.
        non_finite = sorted(set().union(*processes.gathered([self.non_finite])))
        if processes.is_main():
            self.seal(self.folder / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}", non_finite)
        now = time.monotonic()
        self.wait = max(SECONDS_BETWEEN_WRITES, (now - self.last) / LARGEST_SHARE)
        self.last = now

    def seal(self, newest: Path, non_finite: list[str]) -> None:
        """From here on it counts, and no older one does."""
        (newest / "training_args.bin").unlink(missing_ok=True)  # pickled, and read by no one
        files = {path.name: sha256(path) for path in sorted(newest.iterdir()) if path.is_file()}
        write_json(newest / SEAL, {"files": files, "non_finite": non_finite})
        for folder in _checkpoints(self.folder):
            if folder != newest:
                shutil.rmtree(folder)


def newest_checkpoint(folder: Path) -> tuple[Path, set[str]] | None:
    """The newest sealed checkpoint and its ``non_finite`` ids; None without any, which is to begin at the start.

    What is damaged, or was being written when the run was killed, is deleted; a note says so.
    """
    for checkpoint in sorted(_checkpoints(folder), key=_step, reverse=True):
        try:
            seal = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
            found = {name: sha256(checkpoint / name) for name in seal["files"]}
            if found == seal["files"]:
                return checkpoint, set(seal["non_finite"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        progress.note(f"{checkpoint}: incomplete or damaged, left out")
        shutil.rmtree(checkpoint)
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir() and _step(path) >= 0]


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    return int(number) if number.isascii() and number.isdecimal() else -1
