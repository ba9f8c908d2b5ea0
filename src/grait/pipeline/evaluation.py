"""Stage 4: every system's answers to every data set, and what they amount to."""

import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grait import progress
from grait.artifacts import Stage, read_rows, write_json, write_rows
from grait.config import DataConfig
from grait.evaluation.metrics import summarize
from grait.evaluation.predict import predict
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.pipeline.workbench import Notes, Workbench, digest, model_key, peak_memory_mb
from grait.records import MetricRecord, Prediction, Question


@dataclass(frozen=True)
class RunResult:
    """``predictions``: data set -> system -> predictions in the data set's order."""

    folder: Path
    metrics: list[MetricRecord]
    questions: dict[str, list[Question]]
    predictions: dict[str, dict[str, list[Prediction]]]
    summary: dict[str, Any]


def evaluation(bench: Workbench, system: str, adapter: Stage | None, dataset: DataConfig) -> list[Prediction]:
    """One system's answers to one data set. ``adapter``: None for the initial model."""
    config = bench.config
    asked = METHODS[system].asked
    questions = bench.test_sets[dataset.title]
    key = {
        "model": model_key(config),
        "adapter": adapter.fingerprint if adapter else None,
        "asked": asked,
        "prompt": config.prompt.model_dump(),
        "shots": digest(bench.prompts.shots_of(questions)) if asked == "query" else None,
        "answer_form": bench.prompts.answer_form,
        "questions": digest(questions),
        "max_new_tokens": config.evaluation.max_new_tokens,
    }
    stage = Stage(bench.folder / "evaluation" / dataset.title / system, key)

    def compute(folder: Path) -> Notes:
        kept, skipped = bench.fitting(questions, config.evaluation.max_new_tokens, dataset.title)
        with (
            bench.adapted(adapter) as model,
            progress.bar(f"{system}, {dataset.title}", len(kept), "questions") as advance,
        ):
            predictions = predict(
                bench.engine(model),
                bench.prompts,
                kept,
                asked,
                METHODS[system].judge,
                max_new_tokens=config.evaluation.max_new_tokens,
                advance=advance,
            )
        write_rows(folder / "predictions.parquet", predictions)
        return {"skipped": skipped}

    bench.once(f"4/4 Evaluation: {system} on {dataset.title}", stage, compute)
    return read_rows(stage.folder / "predictions.parquet", Prediction)


def result(bench: Workbench, predictions: dict[str, dict[str, list[Prediction]]]) -> RunResult:
    """Metrics of all systems on all data sets, against Init-Basic on the same questions; also as files."""
    records = []
    for dataset, systems in predictions.items():
        outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in systems.items()}
        for system in systems:
            records.append(
                summarize(
                    system,
                    dataset,
                    outcomes[INIT_BASIC],
                    outcomes[system],
                    resamples=bench.config.evaluation.n_bootstrap,
                    seed=bench.config.seed,
                )
            )
    summary = {
        "peak_memory_mb": peak_memory_mb(),
        "stages": bench.notes,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "accelerate")},
        },
    }
    write_json(bench.folder / "metrics.json", [asdict(record) for record in records])
    write_json(bench.folder / "summary.json", summary)
    return RunResult(bench.folder, records, bench.test_sets, predictions, summary)
