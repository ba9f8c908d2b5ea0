"""Over-refusal at the same share of wrong answers, so that an operating point is not mistaken for a method.

``python -m experiments.equal_wrong FOLDER`` reads the runs of a comparison, or what ``experiments.answers`` kept of
them, and holds each method against that of ``--versus`` in two ways. Means over the seeds; 95% bootstrap intervals
over questions, the same draws for both.

By own answers: of the two, the one that answers more questions wrong also refuses those of its answers that come with
the highest refusal score (log-odds against the answer), until no more are wrong than with the other. This is what the
refusal dial does. The other stays as it was trained.

By rank: questions are answered from the lowest refusal score of the tuned model up, until as many of them are ones that
the initial model answers wrong as the method of ``--versus`` answers wrong by itself. This measures the score alone,
and leaves out what tuning made of the answers.

Over-refusal is the share not answered of those that the initial model answers right.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.answers import Cells, read_seeds
from grait.methods.catalog import INIT_BASIC

RESAMPLES = 1000


@dataclass(frozen=True)
class Cell:
    """One system's answers on one seed, in the order of the question ids. All: [questions]"""

    scores: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    refused: NDArray[np.bool_]

    def of(self, rows: NDArray[np.int64]) -> "Cell":
        return Cell(self.scores[rows], self.wrong[rows], self.refused[rows])


def read_cell(cells: Cells, dataset: str, method: str) -> Cell:
    rows = sorted(cells[dataset][method], key=lambda row: row.id)
    return Cell(
        np.array([row.refusal_log_odds for row in rows]),
        np.array([row.outcome == "wrong" for row in rows]),
        np.array([row.outcome == "refused" for row in rows]),
    )


def over_refusal(scores: NDArray[np.float64], right: NDArray[np.bool_], pw: float) -> float:
    """Of the questions that are ``right``, the share left when those of lowest score are answered.

    ``pw``: the share of all questions that are answered and not right.
    """
    ordered = right[np.argsort(scores, kind="stable")]
    answered = np.cumsum(~ordered) <= pw * len(ordered)
    return float(1 - ordered[answered].sum() / ordered.sum())


def over_refusal_of_answers(cell: Cell, right: NDArray[np.bool_], pw: float) -> float:
    """Of the questions that are ``right``, the share refused once at most ``pw`` of all questions are answered wrong.

    Answers are kept from the lowest score up.
    """
    answered = np.flatnonzero(~cell.refused)
    answered = answered[np.argsort(cell.scores[answered], kind="stable")]
    kept = answered[np.cumsum(cell.wrong[answered]) <= round(pw * len(right))]
    return float(1 - right[kept].sum() / right.sum())


def at_equal_wrong(one: Cell, other: Cell, right: NDArray[np.bool_]) -> tuple[float, float]:
    """Over-refusal of both when neither answers more questions wrong than the other does as trained."""
    pw = float(min(one.wrong.mean(), other.wrong.mean()))
    return over_refusal_of_answers(one, right, pw), over_refusal_of_answers(other, right, pw)


def print_row(method: str, versus: str, rates: NDArray[np.float64]) -> None:
    """``rates``: [1 + RESAMPLES, 2], over-refusal of both, of all questions first."""
    low, high = np.percentile((rates[:, 0] - rates[:, 1])[1:], [2.5, 97.5])
    ratio_low, ratio_high = np.percentile((rates[:, 0] / rates[:, 1])[1:], [2.5, 97.5])
    own, others = rates[0]
    print(
        f"    {method:20} {100 * own:5.1f}% and {100 * others:5.1f}% of {versus}: {own / others:.2f} of it "
        f"[{ratio_low:.2f}, {ratio_high:.2f}], {100 * (own - others):5.1f} [{100 * low:.1f}, {100 * high:.1f}] points"
    )


def print_dataset(seeds: Sequence[Cells], dataset: str, methods: Sequence[str], versus: str) -> None:
    initial = [sorted(seed[dataset][INIT_BASIC], key=lambda row: row.id) for seed in seeds]
    rights = [np.array([row.outcome == "correct" for row in rows]) for rows in initial]  # may differ between machines
    n = len(rights[0])
    cells = {method: [read_cell(seed, dataset, method) for seed in seeds] for method in methods}
    pw = [float(cell.wrong.mean()) for cell in cells[versus]]
    generator = np.random.default_rng(0)
    draws = [np.arange(n), *generator.integers(n, size=(RESAMPLES, n))]
    print(f"{dataset}: {n} questions, {len(seeds)} seeds; wrong answers of {versus}: {100 * np.mean(pw):.1f}%")
    print("  by own answers")
    for method in methods:
        if method != versus:
            of_seeds = list(zip(cells[method], cells[versus], rights, strict=True))
            rates = [
                np.mean(
                    [at_equal_wrong(one.of(rows), other.of(rows), right[rows]) for one, other, right in of_seeds],
                    axis=0,
                )
                for rows in draws
            ]
            print_row(method, versus, np.array(rates))
    print("  by rank")
    ranked = {
        method: np.array(
            [
                np.mean(
                    [
                        over_refusal(cell.scores[rows], right[rows], of)
                        for cell, right, of in zip(own, rights, pw, strict=True)
                    ]
                )
                for rows in draws
            ]
        )
        for method, own in cells.items()
    }
    for method in methods:
        if method != versus:
            print_row(method, versus, np.stack([ranked[method], ranked[versus]], axis=1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--versus", default="cor-rait")
    arguments = parser.parse_args()
    seeds = list(read_seeds(arguments.folder).values())
    for dataset in seeds[0]:
        common = set.intersection(*(set(seed.get(dataset, ())) for seed in seeds))
        if {INIT_BASIC, arguments.versus} <= common:
            print_dataset(seeds, dataset, sorted(common), arguments.versus)


if __name__ == "__main__":
    main()
