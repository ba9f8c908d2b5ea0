"""Wrong answers by over-refusal at every threshold (score ``text``), as in a comparison's report.

``python -m research.best_threshold.curves KEPT FOLDER`` writes FOLDER/operating-DATASET.png for each data set, means
over the seeds; ``--systems`` chooses the lines.
"""

import argparse
from pathlib import Path

import numpy as np

from grait.dial.curve import operating_curve
from grait.display.figures import curves as figures
from grait.display.pictures import file_png, svg
from grait.evaluation.metrics import outcome_shares, over_refusal_rate
from grait.methods.catalog import INIT_BASIC
from research.answers import read_seeds

SYSTEMS = "init-refuse,van-tuning,cor-rait,craft,grait-paper,grait-known-answers,grait"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kept", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--systems", default=SYSTEMS)
    arguments = parser.parse_args()
    systems = arguments.systems.split(",")
    seeds = list(read_seeds(arguments.kept).values())
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for dataset in seeds[0]:
        curves, trained = {}, {}
        for system in systems:
            pairs = [(cells[dataset][INIT_BASIC], cells[dataset][system]) for cells in seeds]
            curves[system] = [operating_curve(initial, rows) for initial, rows in pairs]
            outcomes = [[{row.id: row.outcome for row in rows} for rows in pair] for pair in pairs]
            over = np.mean([over_refusal_rate(initial, own) for initial, own in outcomes])
            wrong = np.mean([outcome_shares(own.values()).pw for _, own in outcomes])
            trained[system] = (float(over), float(wrong))
        name = f"operating-{dataset}"
        picture = svg(figures.operating_curves(curves, trained, "grait"), name)
        (arguments.folder / f"{name}.png").write_bytes(file_png(picture))
        print(arguments.folder / f"{name}.png")


if __name__ == "__main__":
    main()
