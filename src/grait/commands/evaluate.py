"""Any model, with or without an adapter, on any question sets: the numbers of a run without a run.

The base of THS is the initial model: the same model without the adapter, or another one that is named. It is asked with
the BASIC prompt, after shots where the question set keeps shots for its own questions (MMLU), else after those of a run
that is named, else without.
"""

import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from grait.commands.finished import open_run
from grait.commands.harness import HarnessTasks, check_tasks, run_tasks
from grait.config import Config, ModelConfig
from grait.errors import ArtifactError
from grait.evaluation.groups import summarize_groups
from grait.judging.outcomes import judge
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE
from grait.model.adapters import adapter_digests, find_adapter
from grait.pipeline.evaluation import answers, measured
from grait.pipeline.probes import probe
from grait.pipeline.results import PROBES
from grait.pipeline.workbench import Notes, Workbench, model_key
from grait.records import Asked, GroupRecord, HarnessRecord, MetricRecord, Prediction, ProbeRecord, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_json, write_rows
from grait.runtime.machine import machine, versions

ABOUT, HARNESS = "about.json", "lm_eval.json"
INITIAL = "initial"
"""The initial model in the harness, where none of our prompts is used."""


@dataclass(frozen=True)
class ModelEvaluation:
    """``metrics``: of each data set, the initial model first. ``without_ths``: of the data sets on which the initial
    model gives no wrong answer, so that THS and all that builds on it is undefined.

    ``probes``, ``harness``: empty where they were not asked for. ``about``: models, prompts, shots, versions, machine.
    """

    folder: Path
    metrics: list[MetricRecord]
    groups: list[GroupRecord]
    without_ths: list[GroupRecord]
    probes: list[ProbeRecord]
    harness: list[HarnessRecord]
    about: dict[str, Any]


def evaluate(
    config: Config,
    adapter: str | None = None,
    initial: ModelConfig | None = None,
    asked: Asked = "refuse",
    harness: HarnessTasks | None = None,
    shots: Sequence[Question] = (),
) -> ModelEvaluation:
    """Ask, or go on asking, the model of ``config`` its ``evaluation.datasets``, and hold it against the initial one.

    ``config``: model, prompt, evaluation, seed, out and tokens_per_batch count; nothing is trained, ``data`` is not
    read. ``adapter``: folder or hub id in PEFT's format. ``initial``: the base of THS; default: the same model without
    the adapter. ``asked``: how the model is asked; without adapter and initial model, ``query`` is the initial model
    itself. ``shots``: shown where the question set keeps none of its own (``asked_as`` has those of a run). Stages that
    are finished in ``config.out`` are reused. Raises a GraitError with one line.
    """
    if (Path(config.out) / "config.json").exists():
        raise ArtifactError(f"{config.out}: holds a run of its own; name another folder with --out")
    tuned = Workbench(config, has_training=False, given_shots=tuple(shots))
    base = tuned if initial is None else replace(tuned, config=config.model_copy(update={"model": initial}))
    put_on = _adapter_stage(adapter)
    run = None if put_on is None else _run_that_shows_shots(put_on.folder)
    if run and not shots:
        progress.note(
            f"{adapter}: trained with solved examples in its prompts (prompt.shots_in: all), which are not shown here; "
            f"to ask as its run did, add --prompt-of {run}"
        )
    is_initial = base is tuned and put_on is None
    name = INIT_REFUSE if is_initial else label(config.model.name, adapter)
    index = check_tasks(harness) if harness else None
    for title, questions in tuned.test_sets.items():  # bad data is found before a model is loaded
        if shown := {shot.question for shot in shots} & {question.question for question in questions}:
            progress.note(
                f"{title}: {len(shown)} of its questions are among the shots: they are asked after their own answers"
            )
    with tuned.alone(), base.releasing_vllm():
        # The tuned model first: an adapter that does not fit is found before the initial model is asked.
        ours = {} if is_initial and asked == "query" else _answers(tuned, name, put_on, asked)
        probes = [probe(tuned, name, put_on)] if config.evaluation.probes else []
        tasks = _harness(tuned, name, put_on, harness, index) if harness and not is_initial else []
        if base is not tuned:
            tuned.drop_model()
        theirs = _answers(base, INIT_BASIC, None, "query")
        if config.evaluation.probes and not is_initial:
            probes = [probe(base, INIT_REFUSE, None), *probes]
        if harness:
            tasks = [*_harness(base, INITIAL, None, harness, index), *tasks]
        predictions = _common(theirs, {name: ours} if ours else {})
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "model": model_key(config),
            "adapter": None if put_on is None else {"name": adapter, **put_on.key},
            "initial": model_key(base.config),
            "asked": {INIT_BASIC: "query", **({name: asked} if ours else {})},
            "shots": shots_of(base),
            "config": config.model_dump(
                include={"model", "prompt", "inference", "evaluation", "seed", "tokens_per_batch"}
            ),
            "stages": tuned.notes,
            "versions": versions(),
            "machine": machine(),
        }
        return _written(tuned, predictions, probes, tasks, about)


def label(model: str, adapter: str | None) -> str:
    """What tables and folders call a model: the last part of its adapter's, else of its own name."""
    name = Path(adapter or model).resolve().name or "model"
    return f"{name}-model" if name in (INIT_BASIC, INIT_REFUSE, INITIAL) else name


def asked_as(run: Path) -> tuple[dict[str, Any], tuple[Question, ...]]:
    """What decides how a run asks its questions: config keys with their values, and its solved examples."""
    bench = open_run(run)
    keys = {"prompt": bench.config.prompt.model_dump(), "knowledge": {"scoring": bench.config.knowledge.scoring}}
    return keys, bench.shots


def shots_of(bench: Workbench) -> dict[str, str]:
    """What stands before the questions of each data set in a BASIC prompt, in words."""
    shots = {}
    for title, questions in bench.test_sets.items():
        shown = {bench.prompts.shots_for(question) for question in questions}
        if shown == {()}:
            shots[title] = "no shots"
        elif shown == {bench.given_shots}:
            shots[title] = f"{len(bench.given_shots)} shots that were given"
        else:
            shots[title] = f"{max(map(len, shown))} shots of the same topic, which the set keeps for this"
    return shots


def _adapter_stage(adapter: str | None) -> Stage | None:
    """An adapter from anywhere, as the stages of a run know theirs: a folder, and what its content is."""
    if adapter is None:
        return None
    folder = find_adapter(adapter)
    return Stage(folder, adapter_digests(folder))


def _run_that_shows_shots(adapter: Path) -> Path | None:
    """The run in whose folder the adapter lies, if it was trained with shots."""
    try:
        run = adapter.resolve().parents[1]
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return run if config["prompt"]["shots_in"] == "all" and config["prompt"]["n_shots"] else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _answers(bench: Workbench, name: str, adapter: Stage | None, asked: Asked) -> dict[str, list[Prediction]]:
    """By data set."""
    return {title: answers(bench, name, adapter, title, asked, judge) for title in bench.test_sets}


def _common(
    initial: Mapping[str, list[Prediction]], others: Mapping[str, Mapping[str, list[Prediction]]]
) -> dict[str, dict[str, list[Prediction]]]:
    """Data set -> system -> predictions of the questions that were not too long for any of them."""
    predictions: dict[str, dict[str, list[Prediction]]] = {}
    for title, rows in initial.items():
        systems = {INIT_BASIC: rows, **{name: of_set[title] for name, of_set in others.items()}}
        ids = set.intersection(*({row.id for row in own} for own in systems.values()))
        if any(len(own) > len(ids) for own in systems.values()):
            progress.note(f"{title}: compared on the {len(ids)} questions that are not too long for either model")
        predictions[title] = {name: [row for row in own if row.id in ids] for name, own in systems.items()}
    return predictions


def _harness(
    bench: Workbench, name: str, adapter: Stage | None, wanted: HarnessTasks, index: Any
) -> list[HarnessRecord]:
    """One model's results on the tasks of lm-evaluation-harness."""
    settings = asdict(wanted)
    del settings["batch_size"]
    key = {
        "model": model_key(bench.config),
        "adapter": adapter.fingerprint if adapter else None,
        "lm_eval": importlib.metadata.version("lm_eval"),
        **settings,
        "tasks": list(wanted.tasks),
        "task_files": _task_files(wanted.include_path),
    }
    stage = Stage(bench.folder / "lm-eval" / name, key)

    def compute(folder: Path) -> Notes:
        with bench.adapted(adapter) as model:
            records = run_tasks(name, model, bench.prompts.tokenizer, wanted, index)
        write_rows(folder / "results.parquet", records)
        return {}

    bench.once(f"lm-evaluation-harness: {name} on {', '.join(wanted.tasks)}", stage, compute)
    return read_rows(stage.folder / "results.parquet", HarnessRecord)


def _task_files(include_path: str | None) -> str | None:
    """Names the content of the user's task folder, so that changed tasks run again."""
    if include_path is None:
        return None
    root = Path(include_path)
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    stats = [(str(path.relative_to(root)), path.stat()) for path in files]
    return fingerprint([[name, found.st_size, found.st_mtime_ns] for name, found in stats])


def _written(
    bench: Workbench,
    predictions: dict[str, dict[str, list[Prediction]]],
    probes: list[ProbeRecord],
    tasks: list[HarnessRecord],
    about: dict[str, Any],
) -> ModelEvaluation:
    """Metrics of all that was answered; also as files."""
    has_ths = {title: any(row.outcome == "wrong" for row in rows[INIT_BASIC]) for title, rows in predictions.items()}
    metrics, groups = measured(bench, {title: rows for title, rows in predictions.items() if has_ths[title]})
    without_ths = [
        record
        for title, systems in predictions.items()
        if not has_ths[title]
        for record in _shares(title, bench.test_sets[title], systems)
    ]
    result = ModelEvaluation(bench.folder, metrics, groups, without_ths, probes, tasks, about)
    if processes.is_main():
        files: dict[str, Sequence[Any]] = {
            "metrics.json": metrics,
            "groups.json": groups,
            "without_ths.json": without_ths,
            PROBES: probes,
            HARNESS: tasks,
        }
        for name, records in files.items():
            (bench.folder / name).unlink(missing_ok=True)  # of an earlier call with other options
            if records:
                write_json(bench.folder / name, [asdict(record) for record in records])
        write_json(bench.folder / ABOUT, about)
    return result


def _shares(title: str, questions: Sequence[Question], systems: Mapping[str, list[Prediction]]) -> list[GroupRecord]:
    """Pc, Pw, Pr and over-refusal of each system where THS is undefined."""
    outcomes = {name: {row.id: row.outcome for row in rows} for name, rows in systems.items()}
    ungrouped = [replace(question, group=None) for question in questions]
    return [
        record
        for name, own in outcomes.items()
        for record in summarize_groups(name, title, ungrouped, outcomes[INIT_BASIC], own)
    ]
