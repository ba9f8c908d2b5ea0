"""A second dial: scaling the adapter, against the threshold on the refusal score.

python -m benchmarks.adapter_scale RUN [--method grait] [--limit 400] [--json FILE] [--markdown FILE]

Asks the tuned model the run's calibration questions (so run grait calibrate first) with its adapter at several scales,
1 being as trained. Loads the model; about a minute for 400 questions and a scale on two CPU cores.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from peft.tuners.lora import LoraLayer

from benchmarks.report import markdown, write
from grait.commands.finished import finished_adapter, open_run
from grait.data.load import load_questions
from grait.dial.curve import DialPoint, dial_curve
from grait.dial.stored import find_dials
from grait.dial.threshold import refusal_score
from grait.evaluation.metrics import outcome_shares, over_refusal_rate, refusal_auroc, truthful_helpfulness_score
from grait.methods.catalog import INIT_BASIC
from grait.model.inference import InferenceEngine
from grait.pipeline.judging import of_system
from grait.pipeline.models import Models
from grait.pipeline.predict import predict
from grait.records import Outcome, Prediction
from grait.runtime import progress
from grait.runtime.artifacts import read_rows

SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
COLUMNS = [
    "scale",
    "Pc / Pw / Pr",
    "over-refusal",
    "THS",
    "AUROC",
    "THS at the best threshold",
    "Pw of the threshold at this over-refusal (scale 1)",
]


def main(
    run: Annotated[Path, typer.Argument(help="Run folder in which grait calibrate has run.")],
    method: str = "grait",
    limit: int = 400,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """One row for each scale."""
    opened = open_run(run)
    models = Models(opened)
    adapter = finished_adapter(opened, method)
    dials = find_dials(adapter.folder)
    if dials is None:
        raise typer.BadParameter(f"{run}: {method} has no dial; run grait calibrate first")
    data = dials.of().data
    file = run / "calibration" / data.title / INIT_BASIC / "predictions.parquet"
    asked: dict[str, Outcome] = {row.id: row.outcome for row in read_rows(file, Prediction)}
    questions = [question for question in load_questions(data) if question.id in asked][:limit]
    initial = {question.id: asked[question.id] for question in questions}
    answers: dict[float, list[Prediction]] = {}
    with (
        models.adapted(adapter) as model,
        progress.bar("answers at each scale", len(SCALES) * len(questions), "questions") as advance,
    ):
        layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
        for scale in SCALES:
            for layer in layers:
                layer.set_scale(model.active_adapter, scale)
            answers[scale] = predict(
                InferenceEngine(model, models.pad_token_id, opened.config.tokens_per_batch),
                opened.prompts,
                questions,
                "refuse",
                of_system(opened.judge, method),
                max_new_tokens=opened.config.evaluation.max_new_tokens,
                advance=advance,
            )
    as_trained = dial_curve(answers[1.0], initial, "first-token")
    records = [measured(scale, rows, initial, as_trained) for scale, rows in answers.items()]
    rows = [
        [
            f"{record['scale']:g}",
            " / ".join(f"{100 * record[name]:.1f}" for name in ("pc", "pw", "pr")),
            *(f"{100 * record[name]:.1f}" for name in ("over_refusal_rate", "ths", "auroc", "highest_ths")),
            f"{100 * record['pw_of_threshold']:.1f}",
        ]
        for record in records
    ]
    note = (
        f"Percent, {len(questions)} questions ({data.title}). First five columns: the adapter at that scale, no "
        "threshold. Sixth: with the best threshold on the first-token score at that scale, chosen on these very "
        "questions. Last: fewest wrong answers by a threshold on the adapter as trained, with no more over-refusal."
    )
    table = markdown(f"Scaling the adapter of {method}", COLUMNS, rows, note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


def measured(
    scale: float,
    rows: Sequence[Prediction],
    initial: dict[str, Outcome],
    as_trained: Sequence[DialPoint],
) -> dict[str, Any]:
    """The adapter at one scale."""
    outcomes = {row.id: row.outcome for row in rows}
    shares, base = outcome_shares(outcomes.values()), outcome_shares(initial.values())
    over_refusal = over_refusal_rate(initial, outcomes)
    return {
        "scale": scale,
        "n": len(rows),
        "pc": shares.pc,
        "pw": shares.pw,
        "pr": shares.pr,
        "over_refusal_rate": over_refusal,
        "ths": truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw),
        "auroc": refusal_auroc({row.id: refusal_score(row, "first-token") for row in rows}, initial),
        "highest_ths": max(point.ths or 0 for point in dial_curve(rows, initial, "first-token")),
        "pw_of_threshold": min(point.pw for point in as_trained if point.over_refusal_rate <= over_refusal),
    }


if __name__ == "__main__":
    typer.run(main)
