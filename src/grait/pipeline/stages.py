"""What runs a stage: its folder, its notes, and whether it is finished already."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grait.errors import ConfigError
from grait.judging.reasoning import ends_in_reasoning
from grait.model.prompt_check import check_prompts
from grait.model.vllm_engine import check_vllm
from grait.pipeline.data import MOMENT, RunData
from grait.pipeline.judging import check_judge
from grait.pipeline.models import Models
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, write_json
from grait.runtime.files import written
from grait.runtime.lock import locked
from grait.runtime.machine import peak_memory_mb

_USUAL = (("answerable", True), ("tolerance", None), ("context", ()), ("holds_answer", None), ("beyond", ()))
"""Fields of questions that runs of before did not have, as they were then."""

Notes = dict[str, Any]
"""What a stage has to tell besides its result: ``skipped`` and ``non_finite`` ids."""


@dataclass
class Stages:
    """Runs stages in the folder of a run. ``notes``: what each noted, seconds and memory, too, by its folder. ``told``,
    ``warnings``: what the run finds out about its data, a sentence each, for the summary and the report."""

    folder: Path
    notes: dict[str, Notes] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def tell(self, sentence: str) -> None:
        """Say it, and keep it."""
        progress.note(sentence)
        self.told.append(sentence)

    def warn(self, sentences: Sequence[str]) -> None:
        """Say them as warnings, and keep them."""
        for sentence in sentences:
            progress.note(f"warning: {sentence}")
        self.warnings += sentences

    def once(self, title: str, stage: Stage, compute: Callable[[Path], Notes]) -> None:
        """Run a stage unless it is finished; say which, and why. Keeps what it notes. Of several processes all compute,
        and the main one's folder is kept."""
        reasons = processes.from_main(stage.changes() if processes.is_main() else None)
        progress.heading(title)
        if reasons is None:
            progress.note("finished before, reused")
            if processes.is_main():
                stage.sweep()
        else:
            _run(stage, reasons, compute)
        processes.wait()
        self.notes[str(stage.folder.relative_to(self.folder))] = stage.notes()

    def note_reasoning(self, stage: Stage, outputs: Sequence[str], key: str) -> None:
        """Say how many of a stage's outputs ended inside their reasoning. ``key``: what limits their length."""
        n = sum(map(ends_in_reasoning, outputs))
        if n:
            self.notes[str(stage.folder.relative_to(self.folder))]["ended_in_reasoning"] = n
            progress.note(
                f"{n} of {len(outputs)} answers ended inside their reasoning, and count as wrong: raise {key}, or turn "
                "reasoning off (prompt.template_arguments)"
            )


def _run(stage: Stage, reasons: Sequence[str], compute: Callable[[Path], Notes]) -> None:
    if stage.folder.exists():
        progress.note("running again: " + "; ".join(reasons))
    start = time.monotonic()
    writing = stage.writing() if processes.is_main() else _thrown_away()
    with written(stage.folder), writing as (folder, notes):
        notes.update(compute(folder))
        notes["seconds"] = round(time.monotonic() - start, 1)
        notes["peak_memory_mb"] = peak_memory_mb()


@contextmanager
def _thrown_away() -> Iterator[tuple[Path, Notes]]:
    """Where the other processes write what the main one keeps."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), {}


@contextmanager
def alone(data: RunData, models: Models) -> Iterator[Stages]:
    """Makes the run folder, with the config in it, and keeps other runs out; yields what runs its stages.

    Before, data that is bad, a model that is unknown, a chat template that would teach something else, and an engine
    that is missing, are found.
    """
    config = data.config
    if config.inference.engine == "vllm":
        check_vllm(processes.count())
    if config.model.compile and processes.sharding() != "none":
        raise ConfigError("model.compile = true: was not tried with sharded training (FSDP, ZeRO); set it to false")
    _ = data.test_sets, (data.training_set, data.replay_prompts) if data.has_training else None, data.prompts
    data.look_across()
    for note in check_prompts(data.prompts, data.untaught):
        progress.note(note)
    with locked(data.folder):
        if processes.is_main():
            check_judge(data.judge, [question for own in data.tests.values() for question in own])
        if processes.is_main() and data.has_training:
            with written(data.folder, "the run folder"):
                write_json(data.folder / "config.json", config.model_dump())
        keep_moment(data)
        with models.releasing_vllm():
            yield Stages(data.folder)


def keep_moment(data: RunData) -> None:
    """Write down the time that the chat template tells, if it tells one, and say so."""
    if (moment := data.moment) and processes.is_main():
        progress.note(
            f"the chat template tells the time: {moment:%Y-%m-%d %H:%M} in all of this run, whenever it goes on"
        )
        with written(data.folder, "the run folder"):
            write_json(data.folder / MOMENT, {"moment": moment.isoformat()})


def left_out(where: str, ids: Sequence[str]) -> Notes:
    """The note about examples without a finite loss or gradient; says so on stderr when there are any."""
    if ids:
        named = progress.first_few(ids)
        progress.note(f"{where}: {len(ids)} examples without a finite loss and gradient left out: {named}")
    return {"non_finite": list(ids)}


def digest(rows: Sequence[Any]) -> str:
    """Fingerprint of dataclass rows, for stage keys."""
    return fingerprint([named_fields(row) for row in rows])


def named_fields(row: Any) -> dict[str, Any]:
    """A dataclass row in a key: without fields of questions that are as they were before there were such."""
    return {key: value for key, value in asdict(row).items() if (key, value) not in _USUAL}
