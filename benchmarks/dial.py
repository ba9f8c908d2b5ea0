"""Which refusal score ranks better: the probability of the refusal's first token, or of its whole text.

python -m benchmarks.dial RUN [--method grait] [--json FILE] [--markdown FILE]

Reads the answers that ``grait calibrate`` left in a run (calibration questions and test sets); no model is loaded.
"""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from benchmarks.report import markdown, write
from grait.artifacts import read_rows
from grait.dial.answers import DialAnswers
from grait.dial.curve import dial_curve
from grait.dial.threshold import ScoreName, refusal_score
from grait.evaluation.metrics import outcome_shares, refusal_auroc
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction

COLUMNS = ["questions", "n", "score", "AUROC", "highest THS", "Pw at 5% over-refusal", "Pw at 10%", "Pw at 20%"]
LIMITS = (0.05, 0.1, 0.2)


def main(
    run: Annotated[Path, typer.Argument(help="Run folder in which grait calibrate has run.")],
    method: str = "grait",
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """One row for each set of questions and score."""
    files = sorted((run / "calibration").glob(f"*/{method}/answers.parquet"))
    if not files:
        raise typer.BadParameter(f"{run}: no answers of {method}; run grait calibrate first")
    records = [measured(run, file, score) for file in files for score in get_args(ScoreName)]
    rows = [
        [
            record["questions"],
            f"{record['n']:,}",
            record["score"],
            "-" if record["auroc"] is None else f"{100 * record['auroc']:.1f}",
            f"{100 * record['ths']:.1f}",
            *(f"{100 * record['pw'][str(limit)]:.1f}" for limit in LIMITS),
        ]
        for record in records
    ]
    note = (
        "Percent. AUROC: the score against what the initial model does not answer right. THS and Pw (wrong answers): "
        "at the best threshold and at the lowest one within the limit, both chosen on these very questions."
    )
    table = markdown("Refusal scores", COLUMNS, rows, note)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


def measured(run: Path, file: Path, score: ScoreName) -> dict[str, Any]:
    """How well one score ranks one set of questions."""
    title = file.parents[1].name
    rows = read_rows(file, DialAnswers)
    initial = initial_outcomes(run, title)
    scores = {row.id: refusal_score(row, score) for row in rows}
    has_both_sides = 0 < outcome_shares(initial.values()).pc < 1
    points = dial_curve(rows, initial, score)
    return {
        "questions": title,
        "n": len(rows),
        "score": score,
        "auroc": refusal_auroc(scores, initial) if has_both_sides else None,
        "ths": max(point.ths or 0 for point in points),
        "pw": {
            str(limit): min((point.pw for point in points if point.over_refusal_rate <= limit), default=float("nan"))
            for limit in LIMITS
        },
    }


def initial_outcomes(run: Path, title: str) -> dict[str, Outcome]:
    """What the initial model made of the questions: calibration questions and test sets lie in different folders."""
    folders = (run / part / title / INIT_BASIC for part in ("calibration", "evaluation"))
    file = next(file for folder in folders if (file := folder / "predictions.parquet").exists())
    return {row.id: row.outcome for row in read_rows(file, Prediction)}


if __name__ == "__main__":
    typer.run(main)
