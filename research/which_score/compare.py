"""Which of a tuned model's probabilities tells known from unknown questions?

``python -m research.which_score.compare FOLDER DATASET`` reads the runs of a comparison, or kept answers, and answers
the questions of one data set in the order of each score, every question with the answer that it gets when the refusal
is suppressed: what the refusal dial does. Means over the seeds: AUROC over all pairs of a question that the initial
model answers right and one that it does not, and over those of one relation (WorldFacts only); over-refusal where 6, 10
and 15% of all are answered wrong; the best THS of any threshold. The scores:

- ``refusal``: log-probability of the refusal;
- ``first-token``, ``text``: log-odds of the refusal against the answer, as the dial has them (answers to validation
  questions have only ``text``);
- ``answer``: minus the log-probability of the answer.

Then over-refusal of each system where as many questions are answered wrong as ``--versus`` answers wrong as trained,
as a share of that of ``--versus`` itself, as trained and by the same score; 95% bootstrap intervals over questions.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grait.config import DataConfig
from grait.data.load import load_questions
from grait.evaluation.metrics import refusal_auroc
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction
from research.answers import read_seeds

WRONG = (0.06, 0.10, 0.15)
RESAMPLES = 1000
SPLITS = ("val", "test_id", "test_ood")

SCORES: dict[str, Callable[[Prediction], float]] = {
    "refusal": lambda row: row.refusal_logprob,
    "first-token": lambda row: row.first_token_log_odds,
    "text": lambda row: row.refusal_log_odds,
    "answer": lambda row: -row.suppressed_logprob,
}

Rows = list[Prediction]


@dataclass(frozen=True)
class Cell:
    """One system's answers on one seed, in the order of the question ids. All: [questions]"""

    scores: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    refused: NDArray[np.bool_]

    def at(self, rows: NDArray[np.int64]) -> "Cell":
        return Cell(self.scores[rows], self.wrong[rows], self.refused[rows])


def over_refusal_at(cell: Cell, right: NDArray[np.bool_], pw: float) -> float:
    """Of the questions that are ``right``, the share refused once at most ``pw`` of all questions are answered wrong.

    Answers are kept from the lowest score up.
    """
    answered = np.flatnonzero(~cell.refused)
    answered = answered[np.argsort(cell.scores[answered], kind="stable")]
    kept = answered[np.cumsum(cell.wrong[answered]) <= round(pw * len(right))]
    return float(1 - right[kept].sum() / right.sum())


def auroc_within(scores: Mapping[str, float], initial: Mapping[str, Outcome], relations: Mapping[str, str]) -> float:
    """AUROC over the pairs of one relation, in [0, 1]; NaN when no relation has both kinds of question."""
    areas, pairs = [], []
    for relation in {relations[id_] for id_ in initial}:
        own = {id_: outcome for id_, outcome in initial.items() if relations[id_] == relation}
        n_known = sum(outcome == "correct" for outcome in own.values())
        if 0 < n_known < len(own):
            areas.append(refusal_auroc({id_: scores[id_] for id_ in own}, own))
            pairs.append(n_known * (len(own) - n_known))
    return float(np.average(areas, weights=pairs)) if pairs else float("nan")


def along(
    scores: NDArray[np.float64], right: NDArray[np.bool_], initial: NDArray[np.bool_]
) -> tuple[list[float], float]:
    """Over-refusal at each of ``WRONG``, and the best THS, both in [0, 1], when the lowest scores are answered.

    ``right``: [questions], the system's answers; ``initial``: whether the initial model's are right.
    """
    order = np.argsort(scores, kind="stable")
    pc, pw = np.cumsum(right[order]) / len(order), np.cumsum(~right[order]) / len(order)
    kept = np.cumsum(initial[order]) / initial.sum()
    refused = [float(1 - kept[pw <= limit].max(initial=0.0)) for limit in WRONG]
    return refused, float(max(0.0, (pc - pw * initial.mean() / (1 - initial.mean())).max()))


def ordered_by(rows: Sequence[Prediction], name: str) -> Cell:
    """Every question answered, with its score: higher refuses more readily."""
    return Cell(
        np.array([SCORES[name](row) for row in rows]),
        np.array([row.suppressed_outcome != "correct" for row in rows]),
        np.zeros(len(rows), dtype=bool),
    )


def as_trained(rows: Sequence[Prediction]) -> Cell:
    """What the system does by itself."""
    return Cell(
        np.array([row.refusal_log_odds for row in rows]),
        np.array([row.outcome == "wrong" for row in rows]),
        np.array([row.outcome == "refused" for row in rows]),
    )


def show(
    seeds: Sequence[Mapping[str, Rows]], systems: Sequence[str], versus: str, relations: Mapping[str, str]
) -> None:
    """``seeds``: system -> rows in the order of their ids, as all that is compared by position."""
    n = len(seeds[0][versus])
    given = [row for seed in seeds for system in systems for row in seed[system]]
    scores = [name for name, score in SCORES.items() if all(np.isfinite(score(row)) for row in given)]
    print(f"{n} questions, {len(seeds)} seeds\n")
    print("| system | score | AUROC | within relations | over-refusal at Pw 6 / 10 / 15 | best THS |")
    print("| --- | --- | --- | --- | --- | --- |")
    for system in systems:
        for name in scores:
            numbers = np.mean([_numbers(seed[system], seed[INIT_BASIC], name, relations) for seed in seeds], axis=0)
            area, inside, *refused, best = (f"{100 * value:.1f}" for value in numbers)
            print(f"| {system} | {name} | {area} | {inside} | {' / '.join(refused)} | {best} |", flush=True)
    print(f"\nOver-refusal at as many wrong answers as {versus} gives as trained\n")
    generator = np.random.default_rng(0)
    draws = [np.arange(n), *generator.integers(n, size=(RESAMPLES, n))]
    trained_of = [(as_trained(seed[versus]), _known(seed[INIT_BASIC])) for seed in seeds]
    for system in systems:
        for name in scores:
            cells = [(ordered_by(seed[system], name), ordered_by(seed[versus], name)) for seed in seeds]
            of_seeds = [(*own, *others) for own, others in zip(cells, trained_of, strict=True)]
            rates = np.array(
                [np.mean([_at_wrong_of(*cell, rows) for cell in of_seeds], axis=0) for rows in draws]
            )  # [1 + RESAMPLES, 3]
            own, trained, same = rates[0]
            spans = [np.percentile((rates[:, 0] / rates[:, column])[1:], [2.5, 97.5]) for column in (1, 2)]
            print(
                f"{system:20} by {name:11} {100 * own:.1f}%; {versus} as trained {100 * trained:.1f}%, "
                f"{own / trained:.2f} of it [{spans[0][0]:.2f}, {spans[0][1]:.2f}]; by {name} {100 * same:.1f}%, "
                f"{own / same:.2f} of it [{spans[1][0]:.2f}, {spans[1][1]:.2f}]",
                flush=True,
            )


def _numbers(rows: Rows, initial_rows: Rows, name: str, relations: Mapping[str, str]) -> list[float]:
    initial = {row.id: row.outcome for row in initial_rows}
    cell = ordered_by(rows, name)
    scores = dict(zip(initial, cell.scores.tolist(), strict=True))
    refused, best = along(cell.scores, ~cell.wrong, _known(initial_rows))
    inside = auroc_within(scores, initial, relations) if relations else float("nan")
    return [refusal_auroc(scores, initial), inside, *refused, best]


def _known(initial: Rows) -> NDArray[np.bool_]:
    return np.array([row.outcome == "correct" for row in initial])


def _at_wrong_of(
    one: Cell, other: Cell, trained: Cell, known: NDArray[np.bool_], rows: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Over-refusal of ``one``, of the other as trained, and of the other by the score; of the questions ``rows``."""
    trained, known = trained.at(rows), known[rows]
    pw = float(trained.wrong.mean())
    ours, theirs = (over_refusal_at(cell.at(rows), known, pw) for cell in (one, other))
    return ours, float(trained.refused[known].mean()), theirs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--systems", default="cor-rait,grait")
    parser.add_argument("--versus", default="cor-rait")
    arguments = parser.parse_args()
    seeds = []
    for cells in read_seeds(arguments.folder).values():
        if arguments.dataset not in cells:
            parser.error(f"{arguments.dataset}: expected one of {', '.join(cells)}")
        of = cells[arguments.dataset]
        seeds.append({system: sorted(rows, key=lambda row: row.id) for system, rows in of.items()})
    systems = arguments.systems.split(",")
    if lacking := {*systems, arguments.versus} - set[str].intersection(*(set(seed) for seed in seeds)):
        parser.error(f"{arguments.folder}: not every seed has {min(lacking)} on {arguments.dataset}")
    questions = [row for split in SPLITS for row in load_questions(DataConfig(path="worldfacts", split=split))]
    relations = {row.id: row.relation or "" for row in questions}
    is_worldfacts = all(row.id in relations for row in seeds[0][arguments.versus])
    show(seeds, systems, arguments.versus, relations if is_worldfacts else {})


if __name__ == "__main__":
    main()
