"""How is a threshold best chosen on a few calibration questions: by the highest THS, or by the highest mean of it?

``python -m research.dial_setting.compare KEPT`` draws 200, 400 and 800 in-domain questions, 12 times for each seed,
sets the refusal dial of ``grait`` and of Cor-RAIT on them (score ``answer``), and measures it on the other in-domain
questions and on all out-of-domain ones: mean and standard deviation of THS and over-refusal, in percent.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grait.dial.choice import smoothed
from grait.dial.curve import dial_points
from grait.dial.threshold import ScoreName, counts_above, refusal_score, thresholds
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction
from research.answers import read_seeds

SCORE: ScoreName = "answer"
DRAWS = 12

Initial = dict[str, Outcome]


def chosen(rows: Sequence[Prediction], initial: Initial) -> dict[str, float]:
    """Rule -> the threshold that it chooses on these questions."""
    scores = np.array([refusal_score(row, SCORE) for row in rows])
    at = thresholds(scores)
    ths = np.array([point.ths for point in dial_points(rows, initial, SCORE, at)])
    refused = counts_above(scores, np.ones(len(rows), dtype=bool), at)
    return {
        "highest": float(at[int(np.argmax(ths))]),
        "highest mean": float(at[int(np.argmax(smoothed(ths, refused, len(rows))))]),
    }


def measured(rows: Sequence[Prediction], initial: Initial, threshold: float) -> tuple[float, float]:
    """THS and over-refusal."""
    (point,) = dial_points(rows, initial, SCORE, np.array([threshold]))
    assert point.ths is not None
    return point.ths, point.over_refusal_rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kept", type=Path)
    seeds = read_seeds(parser.parse_args().kept)
    generator = np.random.default_rng(0)
    print("| system | questions | threshold of | in-domain THS | over-refusal | out-of-domain THS | over-refusal |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for system in ("grait", "cor-rait"):
        for n in (200, 400, 800):
            found: dict[str, list[tuple[float, ...]]] = {}
            for cells in seeds.values():
                initial = {row.id: row.outcome for own in cells.values() for row in own[INIT_BASIC]}
                rows, others = cells["in-domain"][system], cells["out-of-domain"][system]
                for _ in range(DRAWS):
                    order = generator.permutation(len(rows))
                    few, rest = [rows[i] for i in order[:n]], [rows[i] for i in order[n:]]
                    for rule, threshold in chosen(few, initial).items():
                        numbers = (*measured(rest, initial, threshold), *measured(others, initial, threshold))
                        found.setdefault(rule, []).append(numbers)
            for rule, values in found.items():
                cells_of = zip(100 * np.mean(values, axis=0), 100 * np.std(values, axis=0), strict=True)
                print(f"| {system} | {n} | {rule} | {' | '.join(f'{mean:.1f} ± {sd:.1f}' for mean, sd in cells_of)} |")


if __name__ == "__main__":
    main()
