"""THS of one trial less that of others, on the same validation questions, with paired 95% bootstrap intervals.

``python -m experiments.paired RUN TRIAL OTHER ...`` reads what ``experiments.selection`` left in RUN; names are those
of the folders in RUN/evaluation/validation.
"""

import argparse
from pathlib import Path

from grait.artifacts import read_rows
from grait.evaluation.compare import compare, gather
from grait.methods.catalog import INIT_BASIC
from grait.records import Prediction


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("trial")
    parser.add_argument("others", nargs="+")
    arguments = parser.parse_args()
    folder = arguments.run / "evaluation" / "validation"
    predictions = {
        name: {0: read_rows(folder / name / "predictions.parquet", Prediction)}
        for name in (INIT_BASIC, arguments.trial, *arguments.others)
    }
    _, differences = compare(gather("validation", predictions, INIT_BASIC), differences_of=(arguments.trial,))
    for row in differences:
        if row.method == arguments.trial and row.versus != INIT_BASIC:
            points = [f"{100 * value:.1f}" for value in (row.ths_difference, row.low, row.high)]
            print(f"{row.method} less {row.versus}: {points[0]} [{points[1]}, {points[2]}]")


if __name__ == "__main__":
    main()
