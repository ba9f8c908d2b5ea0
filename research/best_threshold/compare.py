"""Which method is best when every system has its own best threshold?

``python -m research.best_threshold.compare KEPT OUT`` sets every system's refusal dial for the highest THS, on
questions other than those it is measured on: on ``--from`` (in-domain) the threshold of each half of the questions is
chosen on the other half, on all other data sets on all questions of ``--from``. It writes OUT/compare.md and
OUT/compare.json as ``research.which_method.compare`` does, with the answers at these thresholds. The initial model
keeps its own answers.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from grait.dial.choice import Target, choose
from grait.dial.threshold import ScoreName, dialled_outcomes
from grait.methods.catalog import INIT_BASIC
from grait.records import Prediction
from research.answers import Cells, add_seeds_option, read_seeds, write_comparison


def best_threshold(rows: Sequence[Prediction], initial: Sequence[Prediction], score: ScoreName) -> float:
    """The threshold of the highest THS on the questions of ``rows``."""
    outcomes = {row.id: row.outcome for row in initial}
    return choose(rows, outcomes, score, Target("ths")).threshold


def dialled(rows: Sequence[Prediction], score: ScoreName, threshold: float) -> list[Prediction]:
    """The same questions at a threshold."""
    outcomes = dialled_outcomes(rows, score, threshold)
    return [replace(row, outcome=outcomes[row.id]) for row in rows]


def cross_fitted(rows: Sequence[Prediction], initial: Sequence[Prediction], score: ScoreName) -> list[Prediction]:
    """Each half of the questions at the best threshold of the other half; halves by the order of the ids."""
    ordered = sorted(rows, key=lambda row: row.id)
    before = {row.id: row for row in initial}
    halves = [ordered[::2], ordered[1::2]]
    found = []
    for half, other in (halves, halves[::-1]):
        found += dialled(half, score, best_threshold(other, [before[row.id] for row in other], score))
    return found


def at_best_thresholds(cells: Cells, source: str, score: ScoreName) -> Cells:
    """The cells of one seed with every system's dial set."""
    found: Cells = {}
    for dataset, systems in cells.items():
        found[dataset] = {}
        for system, rows in systems.items():
            if system == INIT_BASIC:
                found[dataset][system] = rows
            elif dataset == source:
                found[dataset][system] = cross_fitted(rows, systems[INIT_BASIC], score)
            else:
                threshold = best_threshold(cells[source][system], cells[source][INIT_BASIC], score)
                found[dataset][system] = dialled(rows, score, threshold)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kept", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="source", default="in-domain")
    parser.add_argument("--score", choices=get_args(ScoreName), default="answer")
    add_seeds_option(parser)
    arguments = parser.parse_args()
    seeds = {
        seed: at_best_thresholds(cells, arguments.source, arguments.score)
        for seed, cells in read_seeds(arguments.kept, arguments.seeds).items()
    }
    write_comparison(seeds, arguments.kept, arguments.out)


if __name__ == "__main__":
    main()
