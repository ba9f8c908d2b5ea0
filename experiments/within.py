"""Does a system tell what is known among questions of one kind, or only the kinds apart?

``python -m experiments.within FOLDER`` reads the runs of a comparison on WorldFacts, or what ``experiments.answers``
kept of them. AUROC of the refusal score (log-odds against the answer) against "the initial model is not right", over
all pairs of a known and an unknown question, and over those of one relation. For comparison, that of the share of
unknown questions in the question's relation on this very set, which no system can know. Means over the seeds.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.answers import read_seeds
from grait.config import DataConfig
from grait.data.load import load_questions
from grait.evaluation.metrics import refusal_auroc
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction

SPLITS = ("val", "test_id", "test_ood")


def within(scores: Mapping[str, float], initial: Mapping[str, Outcome], relations: Mapping[str, str]) -> float:
    """AUROC over the pairs of one relation, in [0, 1]; NaN when no relation has both kinds of question."""
    areas, pairs = [], []
    for relation in {relations[id_] for id_ in initial}:
        of = {id_: outcome for id_, outcome in initial.items() if relations[id_] == relation}
        n_known = sum(outcome == "correct" for outcome in of.values())
        if 0 < n_known < len(of):
            areas.append(refusal_auroc({id_: scores[id_] for id_ in of}, of))
            pairs.append(n_known * (len(of) - n_known))
    return float(np.average(areas, weights=pairs)) if pairs else float("nan")


def measured(cells: Mapping[str, Sequence[Prediction]], relations: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """System -> AUROC over all pairs, and within relations; that of the relation's own share comes last."""
    initial = {row.id: row.outcome for row in cells[INIT_BASIC]}
    scores = {system: {row.id: row.refusal_log_odds for row in rows} for system, rows in cells.items()}
    unknown: dict[str, list[bool]] = {}
    for id_, outcome in initial.items():
        unknown.setdefault(relations[id_], []).append(outcome != "correct")
    scores["(relation)"] = {id_: float(np.mean(unknown[relations[id_]])) for id_ in initial}
    return {system: (refusal_auroc(of, initial), within(of, initial, relations)) for system, of in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    seeds = read_seeds(parser.parse_args().folder)
    questions = [row for split in SPLITS for row in load_questions(DataConfig(path="worldfacts", split=split))]
    relations = {row.id: row.relation or "" for row in questions}
    first = next(iter(seeds.values()))
    for dataset in (name for name in first if all(row.id in relations for row in first[name][INIT_BASIC])):
        of_seeds = [measured(cells[dataset], relations) for cells in seeds.values()]
        print(
            f"{dataset}: {len(first[dataset][INIT_BASIC])} questions, {len(seeds)} seeds; AUROC, and within relations"
        )
        for system in (name for name in of_seeds[0] if all(name in areas for areas in of_seeds)):
            over_all, inside = 100 * np.mean([areas[system] for areas in of_seeds], axis=0)
            print(f"  {system:20} {over_all:5.1f} {inside:5.1f}")


if __name__ == "__main__":
    main()
