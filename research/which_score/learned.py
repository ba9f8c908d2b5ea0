"""What does a dial bring that weighs the tuned model's sureness and the initial model's?

``python -m research.which_score.learned research/which_method/answers`` fits the score ``learned`` of
``dial/learned.py`` (``--right-answers``: on the tuned model's right answers, too) on 400 questions of the first data
set, and sets every threshold on the same ones, for the highest THS. Measured on the rest of that set and on all of the
others, which are never fitted on. Means over the seeds: AUROC of each score; THS and over-refusal at its threshold; in
percent.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit

from grait.dial.choice import highest_ths
from grait.dial.learned import fit_learned
from grait.dial.threshold import Array, refusal_score, refuses
from grait.evaluation.metrics import summarize
from grait.methods.catalog import INIT_BASIC
from grait.methods.logistic import auroc
from grait.records import Outcome, Prediction
from research.answers import Cells, read_seeds

N_FITTED = 400
INITIAL, TUNED, LEARNED = "answer of the initial model", "answer of the tuned model", "learned, both"


def measured(
    cells: Cells, system: str, seed: int, right_answers: bool
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """AUROC, THS and over-refusal by data set and score, on one seed."""
    first, *others = cells
    ids = np.random.default_rng(seed).permutation(sorted(row.id for row in cells[first][INIT_BASIC]))
    fitted, rest = set(ids[:N_FITTED].tolist()), set(ids[N_FITTED:].tolist())
    own = _rows(cells, first, system, fitted)
    tuned, initial = own
    if right_answers:
        judged = [replace(was, outcome=row.suppressed_outcome) for row, was in zip(tuned, initial, strict=True)]
        learned = fit_learned([*tuned, *tuned], [*initial, *judged])
    else:
        learned = fit_learned(tuned, initial)

    def scores(tuned: Sequence[Prediction], initial: Sequence[Prediction]) -> dict[str, Array]:
        return {
            TUNED: np.array([refusal_score(row, "answer") for row in tuned]),
            INITIAL: np.array([refusal_score(row, "answer") for row in initial]),
            LEARNED: expit(learned.log_odds(tuned, initial)),
        }

    found = {}
    for name, of_fitted in scores(*own).items():
        answering = 1 if name == INITIAL else 0  # whose answers are given
        outcomes = [row.suppressed_outcome for row in own[answering]]
        threshold = highest_ths(of_fitted, outcomes, [row.outcome for row in own[1]])
        for title in (first, *others):
            rows = _rows(cells, title, system, rest if title == first else None)
            found[title, name] = _at(threshold, scores(*rows)[name], rows[answering], rows[1], title)
    return found


def _at(
    threshold: float, scores: Array, rows: Sequence[Prediction], initial: Sequence[Prediction], title: str
) -> tuple[float, float, float]:
    outcomes: dict[str, Outcome] = {
        row.id: "refused" if refuses(score, threshold) else row.suppressed_outcome
        for row, score in zip(rows, scores.tolist(), strict=True)
    }
    record = summarize("", title, {row.id: row.outcome for row in initial}, outcomes, resamples=100, seed=0)
    unknown = np.array([row.outcome != "correct" for row in initial])
    return auroc(scores, unknown), record.ths, record.over_refusal_rate


def _rows(cells: Cells, title: str, system: str, only: set[str] | None) -> tuple[list[Prediction], list[Prediction]]:
    """The tuned model's answers and the initial model's, in one order."""
    tuned, initial = ({row.id: row for row in cells[title][name]} for name in (system, INIT_BASIC))
    ids = sorted(id_ for id_ in initial if only is None or id_ in only)
    return [tuned[id_] for id_ in ids], [initial[id_] for id_ in ids]


def table(seeds: Mapping[int, Cells], system: str, right_answers: bool = False) -> str:
    """The means over the seeds, as Markdown."""
    of_seeds = [measured(cells, system, seed, right_answers) for seed, cells in seeds.items()]
    lines = ["| questions | score | AUROC | THS | over-refusal |", "| --- | --- | --- | --- | --- |"]
    for title, name in of_seeds[0]:
        means = 100 * np.mean([found[title, name] for found in of_seeds], axis=0)
        lines.append(f"| {title} | {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--system", default="grait")
    parser.add_argument("--right-answers", action="store_true", help="fit on the tuned model's right answers, too")
    given = parser.parse_args()
    print(table(read_seeds(given.folder), given.system, given.right_answers))
