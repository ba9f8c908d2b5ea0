"""Several methods on several seeds: one ordinary run for each seed, and what they show together.

All methods of a seed share its knowledge state, warm-up, flow, influence and initial predictions.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any, get_args

from grait.commands.recipe import run_config
from grait.config import Config
from grait.data.load import load_questions
from grait.dial.stored import with_dial
from grait.display.tables import comparison_markdown
from grait.errors import ArtifactError
from grait.evaluation.compare import compare as compare_answers
from grait.evaluation.compare import gather
from grait.methods.catalog import INIT_BASIC, METHODS, UNTRAINED, main_method
from grait.pipeline.data import HELD_OUT, MOMENT
from grait.pipeline.models import model_key
from grait.pipeline.order import run
from grait.pipeline.reporting import comparison_page, last
from grait.pipeline.results import COMPARISON, Answered, Comparison, RunResult
from grait.pipeline.scorers import P_TRUE
from grait.pipeline.stages import digest
from grait.records import ComparisonRecord, DifferenceRecord, RefusedRecord, ScorerName
from grait.runtime import processes, progress
from grait.runtime.artifacts import fingerprint, readable, write_json
from grait.runtime.files import replacing_folder, written
from grait.runtime.lock import locked
from grait.runtime.machine import machine, versions

ROWS = ("records", "differences", "dialled", "dialled_differences", "refused")


LATER = (*get_args(ScorerName), "uniform", "refusal-token", "dpo", "truthrl", "tiar", "grait-dynamic")
"""Systems that were added when comparisons had been kept: one that does not name them is named as ever."""


def compare(config: Config | dict[str, Any] | str | Path) -> Comparison:
    """Run, or continue, ``config`` with each of its ``compare.methods`` and ``compare.seeds``; then compare.

    ``config``: as of ``run``. A folder that holds the finished comparison of this very config and these questions is
    only read: no model loads. Raises a GraitError for what the user has to mend.
    """
    config = run_config(config)
    folder = Path(config.out)
    if (folder / "config.json").exists():
        raise ArtifactError(f"{folder}: holds a run of its own; name another folder (out)")
    key = fingerprint(_key(config))
    found = _finished(folder, key)
    if found:
        progress.note(f"{folder / COMPARISON}: finished before")
        return found
    with locked(folder):
        return _compared(config, key)


def _compared(config: Config, key: str) -> Comparison:
    folder = Path(config.out)
    seeds = config.compare.seeds or [config.seed]
    runs: dict[int, RunResult] = {}
    for number, seed in enumerate(seeds, 1):
        progress.heading(f"Seed {seed} ({number} of {len(seeds)})")
        if number > 1 and processes.is_main():
            _share_initial(config, seeds[0], seed)
        runs[seed] = run(_of_seed(config, seed))
    answers = {seed: result.predictions for seed, result in runs.items()}
    with_dials = {seed: result.dialled for seed, result in runs.items()}
    main = main_method(_trained(config))
    records, differences = _side_by_side(config, answers, main)
    dialled, dialled_differences = _side_by_side(config, with_dials, with_dial(main))
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "seeds": seeds,
        "resamples": config.evaluation.n_bootstrap,
        "versions": versions(),
        "machine": machine(),
        "config": config.model_dump(),
    }
    found = Comparison(
        folder=folder,
        records=records,
        differences=differences,
        about=about,
        dialled=[row for row in dialled if row.method != INIT_BASIC],
        dialled_differences=[row for row in dialled_differences if row.versus != INIT_BASIC],
        refused=_mean_refused([result.refused for result in runs.values()]),
    )
    if processes.is_main():
        _write(found, key)
    last(folder, lambda: comparison_page(found, answers))
    return found


def _side_by_side(
    config: Config, answers: Mapping[int, Answered], main: str
) -> tuple[list[ComparisonRecord], list[DifferenceRecord]]:
    """Of the systems that every seed has; ``answers``: seed -> predictions. Nothing where a seed has none."""
    records: list[ComparisonRecord] = []
    differences: list[DifferenceRecord] = []
    first, *others = answers.values()
    for title, systems in first.items():
        if not all(title in own for own in others):
            continue
        predictions = {
            system: {seed: own[title][system] for seed, own in answers.items()}
            for system in systems
            if all(system in own[title] for own in others)
        }
        own_records, own_differences = compare_answers(
            gather(title, predictions, INIT_BASIC),
            resamples=config.evaluation.n_bootstrap,
            seed=config.seed,
            differences_of=[main] if main in predictions else [],
        )
        records += own_records
        differences += own_differences
    return records, differences


def _mean_refused(seeds: Sequence[Sequence[RefusedRecord]]) -> list[RefusedRecord]:
    """Means over seeds, of the systems that every seed has."""
    first, *others = ({(row.dataset, row.answerable, row.method): row for row in rows} for rows in seeds)
    found = []
    for name, row in first.items():
        rows = [row, *(own[name] for own in others if name in own)]
        if len(rows) == len(seeds):
            refused, corrected = mean(own.refused for own in rows), mean(own.corrected for own in rows)
            found.append(replace(row, refused=refused, corrected=corrected))
    return found


def _write(found: Comparison, key: str) -> None:
    path = found.folder / COMPARISON
    rows = (found.records, found.differences, found.about, found.dialled, found.dialled_differences, found.refused)
    with written(path):
        (found.folder / "compare.md").write_text(comparison_markdown(*rows), encoding="utf-8")
        records = {name: [asdict(row) for row in getattr(found, name)] for name in ROWS}
        write_json(path, {"key": key, "about": found.about} | records)


def _share_initial(config: Config, done: int, seed: int) -> None:
    """Give a seed the untrained systems' answers: greedy, so no seed changes them. Their keys are checked later. And
    the time that the chat template tells, if it tells one."""
    titles = [dataset.title for dataset in config.evaluation.datasets]
    stages = [
        Path(kind, title, system) for kind in ("evaluation", "unanswerable") for title in titles for system in UNTRAINED
    ]
    if calibration := config.evaluation.calibration:
        title = HELD_OUT if calibration == "auto" else calibration.title
        stages += [Path("calibration", title, INIT_BASIC), Path("scorers", P_TRUE)]
    for stage in stages:
        own, other = (Path(config.out) / f"seed-{number}" / stage for number in (seed, done))
        if other.exists() and not own.exists():
            with replacing_folder(own) as partial:
                shutil.copytree(other, partial, dirs_exist_ok=True)
    moment, of_first = (Path(config.out) / f"seed-{number}" / MOMENT for number in (seed, done))
    if of_first.exists() and not moment.exists():
        moment.parent.mkdir(exist_ok=True)
        shutil.copyfile(of_first, moment)


def _of_seed(config: Config, seed: int) -> Config:
    """The config of one seed's run. No trials: all methods have the same learning rate and passes."""
    return config.model_copy(
        update={
            "seed": seed,
            "out": str(Path(config.out) / f"seed-{seed}"),
            "training": config.training.model_copy(update={"methods": _trained(config)}),
            "tune": config.tune.model_copy(update={"budget": 0.0}),
            "evaluation": config.evaluation.model_copy(update={"probes": False, "scorers": _scorers(config)}),
        }
    )


def _compared_systems(config: Config) -> list[str]:
    return [name for name in METHODS if config.compare.methods is None or name in config.compare.methods]


def _trained(config: Config) -> list[str]:
    return [name for name in _compared_systems(config) if METHODS[name].select]


def _scorers(config: Config) -> list[str]:
    return [name for name in _compared_systems(config) if METHODS[name].needs is not None]


def _key(config: Config) -> dict[str, Any]:
    """All that decides the comparison, known without a model."""
    sets = [config.data, *config.evaluation.all_sets]
    unused = config.unused
    in_evaluation = {"probes", "max_probes"} | unused.get("evaluation", set())
    return {
        "config": config.model_dump(exclude=unused | {"out": True, "evaluation": in_evaluation}),
        "model": model_key(config),
        "questions": [digest(load_questions(dataset)) for dataset in sets],
        "systems": [name for name in METHODS if name not in LATER or name in _compared_systems(config)],
    }


def _finished(folder: Path, key: str) -> Comparison | None:
    """The comparison in the folder, if it is the one of this key."""
    try:
        found = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        return _comparison(folder, found) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # made again, from finished stages


def read_comparison(folder: Path) -> Comparison:
    """The finished comparison in a folder. Raises ArtifactError when it is damaged or of another version."""
    with readable(f"{folder / COMPARISON}: not a readable comparison; run grait compare again"):
        return _comparison(folder, json.loads((folder / COMPARISON).read_text(encoding="utf-8")))


def _comparison(folder: Path, found: dict[str, Any]) -> Comparison:
    records, dialled = (
        [ComparisonRecord(**{**row, "seeds": tuple(row["seeds"])}) for row in found[name]]
        for name in ("records", "dialled")
    )
    differences, dialled_differences = (
        [DifferenceRecord(**row) for row in found[name]] for name in ("differences", "dialled_differences")
    )
    refused = [RefusedRecord(**row) for row in found.get("refused", [])]  # those of before have none
    return Comparison(folder, records, differences, dict(found["about"]), dialled, dialled_differences, refused)
