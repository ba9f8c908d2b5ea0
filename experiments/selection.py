"""Trial training sets on the validation split: which unknown questions, and with which weights.

``python -m experiments.selection CONFIG --seed 0 --variants coverage,coverage-s`` trains every variant on the evidence
of the comparison's own run folder (knowledge state, warm-up, influence are computed there when they are missing) and
evaluates it on the validation split only. One JSON line for each goes to ``experiments.jsonl`` in the run folder.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from grait.config import Config, DataConfig, load_config
from grait.evaluation.metrics import summarize
from grait.influence import GradientDatastore
from grait.methods.catalog import INIT_BASIC, METHODS, Method
from grait.methods.grait import stable_weights
from grait.methods.selection import Evidence, random_sides, with_label
from grait.pipeline.evaluation import evaluation
from grait.pipeline.influence import influence_scores
from grait.pipeline.knowledge import initial_knowledge
from grait.pipeline.training import training, warmup
from grait.pipeline.workbench import Workbench
from grait.records import Prediction, Selected

VALIDATION = DataConfig(path="worldfacts", split="val", limit=400, name="validation")

Weigh = Callable[["Trial"], Mapping[str, float]]
"""From the evidence to the weight of every unknown question that is refused, 0 for none; any scale."""


class Trial:
    """The evidence of one seed, and ways to look at it."""

    def __init__(self, evidence: Evidence, folder: Path, config: Config) -> None:
        self.evidence, self.config = evidence, config
        self.known, self.unknown = with_label(evidence.states, "ik"), with_label(evidence.states, "idk")
        self.mu = {state.id: state.correctness for state in evidence.states}
        self.s = {id_: score.stable_influence for id_, score in evidence.influence.items()}
        self.store = folder / "influence" / "sketch" / "datastore"

    def equal(self) -> dict[str, float]:
        return {state.id: 1.0 for state in self.unknown}

    def by_s(self, tau: float = 0.05) -> dict[str, float]:
        ids = [state.id for state in self.unknown]
        return dict(zip(ids, stable_weights([self.s[id_] for id_ in ids], tau, 1.0), strict=True))

    def unlearnt(self) -> dict[str, float]:
        """1 where no sample is right, falling to 0 at T_c."""
        threshold = self.config.knowledge.correctness_threshold
        return {state.id: 1 - state.correctness / threshold for state in self.unknown}

    def never(self) -> dict[str, float]:
        """Only where no sample is right."""
        return {state.id: float(state.correctness == 0) for state in self.unknown}

    def permuted_s(self) -> dict[str, float]:
        """Control: the same weights, dealt out at random."""
        weights = self.by_s()
        values = list(weights.values())
        random.Random(self.config.seed).shuffle(values)
        return dict(zip(weights, values, strict=True))


def product(*weighings: Mapping[str, float]) -> dict[str, float]:
    return {id_: float(np.prod([weights[id_] for weights in weighings])) for id_ in weighings[0]}


def coverage(trial: Trial, weights: Mapping[str, float], times: int = 3, ratio: float = 1.0) -> list[Selected]:
    """All unknown questions of positive weight once, all known ones ``times`` times: one epoch of it.

    The weights are scaled so that the unknown ones' sum is ``ratio`` times that of the known ones.
    """
    total = sum(weights.values())
    scale = ratio * times * len(trial.known) / total
    return [
        *(Selected(state.id, "ik", 1.0, "answer") for state in trial.known for _ in range(times)),
        *(Selected(id_, "idk", scale * weight, "refusal") for id_, weight in weights.items() if weight > 0),
    ]


def subset(trial: Trial, ids: list[str]) -> list[Selected]:
    """These unknown questions and all known ones, weight 1: the papers' form, for the papers' epochs."""
    return [
        *(Selected(state.id, "ik", 1.0, "answer") for state in trial.known),
        *(Selected(id_, "idk", 1.0, "refusal") for id_ in ids),
    ]


def herded(trial: Trial) -> list[Selected]:
    store = GradientDatastore.open(trial.store)
    ids = [state.id for state in trial.unknown]
    return subset(trial, store.most_alike_mean(ids, ids, len(trial.known)))


def soft(trial: Trial, price: float) -> list[Selected]:
    """Every question with its answer, weight mu, and with the refusal, weight price * (1 - mu); those of mu > 0 x 3."""
    rows: list[Selected] = []
    for state in trial.evidence.states:
        times = 3 if state.correctness > 0 else 1
        rows += [Selected(state.id, state.label, state.correctness, "answer")] * (times if state.correctness > 0 else 0)
        if state.correctness < 1:
            rows.append(Selected(state.id, state.label, price * times * (1 - state.correctness), "refusal"))
    return rows


def cor_rait(trial: Trial) -> list[Selected]:
    _known, unknown = random_sides(trial.evidence.states, trial.config.selection, trial.config.seed)
    return subset(trial, unknown)


ONE_EPOCH = 1.0
VARIANTS: dict[str, tuple[Callable[[Trial], list[Selected]], float | None]] = {
    # name: training set, epochs (None: the config's)
    "cor-rait": (cor_rait, None),
    "herded": (herded, None),
    "coverage": (lambda t: coverage(t, t.equal()), ONE_EPOCH),
    "coverage-s": (lambda t: coverage(t, t.by_s()), ONE_EPOCH),
    "coverage-s-permuted": (lambda t: coverage(t, t.permuted_s()), ONE_EPOCH),
    "coverage-mu": (lambda t: coverage(t, t.unlearnt()), ONE_EPOCH),
    "coverage-mu-s": (lambda t: coverage(t, product(t.unlearnt(), t.by_s())), ONE_EPOCH),
    "coverage-never": (lambda t: coverage(t, t.never()), ONE_EPOCH),
    "coverage-never-s": (lambda t: coverage(t, product(t.never(), t.by_s())), ONE_EPOCH),
    "coverage-never-s-2": (lambda t: coverage(t, product(t.never(), t.by_s()), ratio=2.0), ONE_EPOCH),
    "soft": (lambda t: soft(t, 0.3), ONE_EPOCH),
}


def evaluated(bench: Workbench, name: str, rows: list[Selected], epochs: float | None) -> list[Prediction]:
    METHODS[name] = Method(name, name, "trial", None)
    config = bench.config
    if epochs is not None:
        bench.config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})
    try:
        return evaluation(bench, name, training(bench, name, rows), VALIDATION)
    finally:
        bench.config = config


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    arguments = parser.parse_args()
    config = load_config(arguments.config, [f"seed={arguments.seed}"])
    folder = Path(config.out) / f"seed-{arguments.seed}"
    config = config.model_copy(
        update={
            "out": str(folder),
            "evaluation": config.evaluation.model_copy(update={"datasets": [VALIDATION]}),
        }
    )
    bench = Workbench(config)
    states = initial_knowledge(bench)
    scores = influence_scores(bench, states, warmup(bench, states))
    trial = Trial(Evidence(states, {}, {row.id: row for row in scores}), folder, config)
    initial = {row.id: row.outcome for row in evaluation(bench, INIT_BASIC, None, VALIDATION)}
    for name in arguments.variants.split(","):
        make, epochs = VARIANTS[name]
        rows = make(trial)
        begin = time.monotonic()
        predictions = evaluated(bench, name, rows, epochs)
        record = summarize(
            name,
            VALIDATION.title,
            initial,
            {row.id: row.outcome for row in predictions},
            1000,
            0,
            {row.id: row.refusal_logprob for row in predictions},
        )
        line = {
            "variant": name,
            "seed": arguments.seed,
            "n_examples": len(rows),
            "seconds": round(time.monotonic() - begin),
            **{key: getattr(record, key) for key in ("pc", "pw", "pr", "over_refusal_rate", "ths", "auroc")},
        }
        with open(folder / "experiments.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
