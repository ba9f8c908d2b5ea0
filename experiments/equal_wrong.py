"""Over-refusal at the same share of wrong answers, so that an operating point is not mistaken for a method.

``python -m experiments.equal_wrong COMPARISON`` reads the predictions of a comparison's seeds. Questions are answered
from the lowest refusal probability of the tuned model up, until as many of them are ones that the initial model answers
wrong as the method of ``--versus`` answers wrong by itself. Over-refusal is then the share not answered of those that
the initial model answers right. Means over the seeds; 95% bootstrap intervals over questions.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grait.artifacts import read_rows
from grait.methods.catalog import INIT_BASIC
from grait.records import Prediction

RESAMPLES = 1000


def predictions(seed: Path, dataset: str, method: str) -> list[Prediction]:
    path = seed / "evaluation" / dataset / method / "predictions.parquet"
    return sorted(read_rows(path, Prediction), key=lambda row: row.id)


def over_refusal(scores: NDArray[np.float64], right: NDArray[np.bool_], pw: float) -> float:
    """Of the questions that are ``right``, the share left when those of lowest score are answered.

    ``pw``: the share of all questions that are answered and not right.
    """
    ordered = right[np.argsort(scores, kind="stable")]
    answered = np.cumsum(~ordered) <= pw * len(ordered)
    return float(1 - ordered[answered].sum() / ordered.sum())


def resampled(
    scores: Sequence[NDArray[np.float64]], right: NDArray[np.bool_], pw: Sequence[float]
) -> NDArray[np.float64]:
    """[1 + RESAMPLES]: mean over the seeds of over-refusal, of all questions and of each resample of them."""
    draws = np.random.default_rng(0).integers(len(right), size=(RESAMPLES, len(right)))
    return np.array(
        [
            np.mean([over_refusal(one[rows], right[rows], share) for one, share in zip(scores, pw, strict=True)])
            for rows in (np.arange(len(right)), *draws)
        ]
    )


def print_dataset(seeds: Sequence[Path], dataset: str, methods: Sequence[str], versus: str) -> None:
    right = np.array([row.outcome == "correct" for row in predictions(seeds[0], dataset, INIT_BASIC)])
    rows = {method: [predictions(seed, dataset, method) for seed in seeds] for method in methods}
    pw = [float(np.mean([row.outcome == "wrong" for row in of_seed])) for of_seed in rows[versus]]
    rates = {
        method: resampled([np.array([row.refusal_logprob for row in one]) for one in of_seeds], right, pw)
        for method, of_seeds in rows.items()
    }
    print(f"{dataset}: {len(right)} questions, {len(seeds)} seeds; wrong answers of {versus}: {100 * np.mean(pw):.1f}%")
    for method, rate in sorted(rates.items(), key=lambda item: float(item[1][0])):
        low, high = np.percentile((rate - rates[versus])[1:], [2.5, 97.5])
        print(
            f"  {method:20} over-refusal {100 * rate[0]:5.1f}%, {rate[0] / rates[versus][0]:.2f} of {versus}'s; "
            f"difference {100 * (rate[0] - rates[versus][0]):5.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--versus", default="cor-rait")
    arguments = parser.parse_args()
    seeds = sorted(arguments.comparison.glob("seed-*"))
    of_seed = [
        {(path.parent.parent.name, path.parent.name) for path in seed.glob("evaluation/*/*/predictions.parquet")}
        for seed in seeds
    ]
    cells = set.intersection(*of_seed)  # of all seeds
    for dataset in sorted({dataset for dataset, _ in cells}):
        methods = sorted(method for of, method in cells if of == dataset)
        if {INIT_BASIC, arguments.versus} <= set(methods):
            print_dataset(seeds, dataset, methods, arguments.versus)


if __name__ == "__main__":
    main()
