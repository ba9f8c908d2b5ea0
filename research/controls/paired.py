"""THS of one trial less that of others, on the same validation questions, with paired 95% bootstrap intervals.

``python -m research.controls.paired FILE TRIAL OTHER ...`` reads answers that ``--keep`` of a trial script wrote.
With ``--score answer`` (or ``text``, ``first-token``) every system has its refusal dial set on that score, the
threshold of each half of the questions chosen on the other half.
"""

import argparse
from pathlib import Path
from typing import get_args

from grait.dial.threshold import ScoreName
from grait.evaluation.compare import compare, gather
from grait.methods.catalog import INIT_BASIC
from research.answers import read_kept
from research.best_threshold.compare import cross_fitted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("trial")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--score", choices=get_args(ScoreName))
    arguments = parser.parse_args()
    kept = read_kept(arguments.file)["validation"]
    rows = {name: kept[name] for name in (INIT_BASIC, arguments.trial, *arguments.others)}
    if arguments.score:
        dialled = {name: cross_fitted(own, rows[INIT_BASIC], arguments.score) for name, own in rows.items()}
        rows = dialled | {INIT_BASIC: rows[INIT_BASIC]}
    answers = gather("validation", {name: {0: own} for name, own in rows.items()}, INIT_BASIC)
    records, differences = compare(answers, differences_of=(arguments.trial,))
    for record in records:
        print(f"{record.method}: THS {_points(record.ths, record.ths_low, record.ths_high)}")
    for row in differences:
        if row.method == arguments.trial and row.versus != INIT_BASIC:
            print(f"{row.method} less {row.versus}: {_points(row.ths_difference, row.low, row.high)}")


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
