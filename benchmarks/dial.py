"""Which refusal score ranks better: the odds at the first token, of the whole texts, or the answer alone.

python -m benchmarks.dial RUN [--method grait] [--json FILE] [--markdown FILE]

Reads a run's answers to its test sets and, after ``grait calibrate``, to calibration questions; no model is loaded.
"""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from benchmarks.report import markdown, write
from grait.dial.curve import dial_curve
from grait.dial.threshold import ScoreName, refusal_score
from grait.evaluation.metrics import outcome_shares, refusal_auroc
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction
from grait.runtime.artifacts import read_rows

COLUMNS = ["questions", "n", "score", "AUROC", "highest THS", "Pw at 5% over-refusal", "Pw at 10%", "Pw at 20%"]
LIMITS = (0.05, 0.1, 0.2)


def main(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    method: str = "grait",
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """One row for each set of questions and score."""
    files = [
        file
        for part in ("calibration", "evaluation")
        for file in sorted((run / part).glob(f"*/{method}/predictions.parquet"))
    ]
    if not files:
        raise typer.BadParameter(f"{run}: no answers of {method}; finish the run first")
    records = [measured(file, score) for file in files for score in scores_of(file)]
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


def scores_of(file: Path) -> list[ScoreName]:
    """All scores; where answers are stored without their length, all but the mean over it."""
    has_lengths = all(row.n_suppressed_tokens is not None for row in read_rows(file, Prediction))
    return [score for score in get_args(ScoreName) if score != "answer-mean" or has_lengths]


def measured(file: Path, score: ScoreName) -> dict[str, Any]:
    """How well one score ranks one set of questions."""
    title = file.parents[1].name
    rows = read_rows(file, Prediction)
    initial_file = file.parents[1] / INIT_BASIC / file.name
    initial: dict[str, Outcome] = {row.id: row.outcome for row in read_rows(initial_file, Prediction)}
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


if __name__ == "__main__":
    typer.run(main)
