"""Stage 4: every system's answers to every data set, and what they amount to."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from grait.config import DataConfig
from grait.dial.stored import with_dial
from grait.evaluation.compare import compare, gather
from grait.evaluation.groups import summarize_groups
from grait.evaluation.metrics import summarize
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS, Judge
from grait.pipeline.parts import in_parts
from grait.pipeline.predict import predict
from grait.pipeline.results import DIALLED, DIALLED_DIFFERENCES, DIFFERENCES, PROBES, SUMMARY, Answered, RunResult
from grait.pipeline.workbench import Notes, Workbench, digest, engine_key, model_key
from grait.records import Asked, DifferenceRecord, GroupRecord, MetricRecord, Prediction, ProbeRecord, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, write_json, write_rows
from grait.runtime.machine import machine, peak_memory_mb, versions


def evaluation(bench: Workbench, system: str, adapter: Stage | None, dataset: DataConfig) -> list[Prediction]:
    """One system's answers to one data set. ``adapter``: None for the initial model."""
    return answers(bench, system, adapter, dataset.title, METHODS[system].asked, METHODS[system].judge)


def answers(
    bench: Workbench, system: str, adapter: Stage | None, title: str, asked: Asked, judge: Judge
) -> list[Prediction]:
    """The judged answers of a system, which need not be one of ours, to the data set of this title."""
    folder = bench.folder / "evaluation" / title / system
    heading = f"4/4 Evaluation: {system} on {title}"
    return answered(bench, folder, heading, system, adapter, title, bench.test_sets[title], asked, judge)


def answered(
    bench: Workbench,
    folder: Path,
    heading: str,
    system: str,
    adapter: Stage | None,
    title: str,
    questions: Sequence[Question],
    asked: Asked,
    judge: Judge,
) -> list[Prediction]:
    """The judged answers of a system to these questions, kept as a stage in ``folder``."""
    key = asked_key(bench, adapter, questions, asked) | {"columns": [column.name for column in fields(Prediction)]}
    stage = Stage(folder, key)

    def compute(partial: Path) -> Notes:
        predictions, skipped = ask(bench, stage, system, adapter, title, questions, asked, judge)
        write_rows(partial / "predictions.parquet", predictions)
        return {"skipped": skipped}

    bench.once(heading, stage, compute)
    return read_rows(stage.folder / "predictions.parquet", Prediction)


def asked_key(bench: Workbench, adapter: Stage | None, questions: Sequence[Question], asked: Asked) -> dict[str, Any]:
    """All that decides what a system answers."""
    config = bench.config
    return {
        "model": model_key(config),
        **engine_key(config),
        "adapter": adapter.fingerprint if adapter else None,
        "asked": asked,
        "prompt": config.prompt.model_dump(exclude={"shots_in"}),
        "shots": digest(bench.prompts.shots_of(questions)) if bench.prompts.shows_shots(asked) else None,
        "answer_form": bench.prompts.answer_form,
        "questions": digest(questions),
        "max_new_tokens": config.evaluation.max_new_tokens,
    }


def ask(
    bench: Workbench,
    stage: Stage,
    system: str,
    adapter: Stage | None,
    title: str,
    questions: Sequence[Question],
    asked: Asked,
    judge: Judge,
) -> tuple[list[Prediction], list[str]]:
    """A prediction for each question that is not too long, in their order, and the ids of the others.

    What is finished is kept in ``stage.unfinished()``.
    """
    max_new_tokens = bench.config.evaluation.max_new_tokens
    kept, skipped = bench.fitting(questions, max_new_tokens, title)
    with (
        bench.engine(adapter) as engine,
        progress.bar(f"{system}, {title}", len(processes.own(kept)), "questions") as advance,
    ):
        predictions = in_parts(
            stage.unfinished(),
            Prediction,
            bench.prompts.asked_together(kept, asked),
            lambda part: predict(
                engine,
                bench.prompts,
                part,
                asked,
                judge,
                max_new_tokens=max_new_tokens,
                advance=advance,
            ),
            advance,
        )
    return [predictions[question.id] for question in kept], skipped


def measured(bench: Workbench, predictions: Answered) -> tuple[list[MetricRecord], list[GroupRecord]]:
    """Metrics of all systems on all data sets, against Init-Basic on the same questions; and those of groups."""
    records, groups = [], []
    n, seed = bench.config.evaluation.n_bootstrap, bench.config.seed
    for dataset, systems in predictions.items():
        questions = bench.test_sets[dataset]
        outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in systems.items()}
        initial = outcomes[INIT_BASIC]
        for system, rows in systems.items():
            refusal_log_odds = {row.id: row.refusal_log_odds for row in rows}
            records.append(
                summarize(
                    system,
                    dataset,
                    initial,
                    outcomes[system],
                    n,
                    seed,
                    refusal_log_odds,
                    unparsable_rate=sum(row.is_unparsable for row in rows) / len(rows),
                    hedged_rate=sum(row.is_hedged for row in rows) / len(rows),
                )
            )
            if any(question.group is not None for question in questions):
                groups += summarize_groups(system, dataset, questions, initial, outcomes[system], n, seed)
    return records, groups


def paired(bench: Workbench, predictions: Answered, main: str = "grait") -> list[DifferenceRecord]:
    """THS of ``main`` less that of each other tuned system; none where it is not there, or nothing else is."""
    config = bench.config
    found: list[DifferenceRecord] = []
    for dataset, systems in predictions.items():
        trained = {name: {config.seed: rows} for name, rows in systems.items() if name != INIT_REFUSE}
        if {INIT_BASIC, main} < set(trained):
            answers = gather(dataset, trained, INIT_BASIC)
            _, differences = compare(answers, config.evaluation.n_bootstrap, config.seed, (main,))
            found += [row for row in differences if row.method == main and row.versus != INIT_BASIC]
    return found


def measured_with_dials(bench: Workbench, dialled: Answered) -> tuple[list[MetricRecord], list[DifferenceRecord]]:
    """Metrics and paired differences of the methods that have a dial, with it; of no other system."""
    records, _ = measured(bench, dialled)
    return [row for row in records if row.method != INIT_BASIC], paired(bench, dialled, with_dial("grait"))


def result(
    bench: Workbench, predictions: Answered, probes: Sequence[ProbeRecord] = (), dialled: Answered | None = None
) -> RunResult:
    """What all systems' answers amount to; also as files. Arguments as the fields of ``RunResult``."""
    records, groups = measured(bench, predictions)
    differences = paired(bench, predictions)
    dialled_records, dialled_differences = measured_with_dials(bench, dialled or {})
    summary = {
        "processes": processes.count(),
        "peak_memory_mb": peak_memory_mb(),
        "stages": bench.notes,
        "versions": versions(),
        "machine": machine(),
    }
    if processes.is_main():
        for name, rows in (
            ("metrics.json", records),
            ("groups.json", groups),
            (DIFFERENCES, differences),
            (PROBES, probes),
            (DIALLED, dialled_records),
            (DIALLED_DIFFERENCES, dialled_differences),
        ):
            if rows:
                write_json(bench.folder / name, [asdict(record) for record in rows])
            else:  # an earlier config of this folder may have had some
                (bench.folder / name).unlink(missing_ok=True)
        write_json(bench.folder / SUMMARY, summary)
    return RunResult(
        bench.folder,
        records,
        groups,
        bench.test_sets,
        predictions,
        summary,
        list(probes),
        differences,
        dialled or {},
        dialled_records,
        dialled_differences,
    )
