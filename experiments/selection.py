"""Trial training sets on the validation split: which unknown questions, and with which weights.

``python -m experiments.selection CONFIG --seed 0 --variants coverage,coverage-s`` trains every variant on the evidence
of the comparison's own run folder (knowledge state, warm-up, influence are computed there when they are missing) and
evaluates it on the validation split only; ``--set training.epochs=1`` and the like change the training alone.
``coverage``, ``margin`` and their kin are made for one epoch, the others for the config's. One JSON line for each goes
to ``experiments.jsonl`` in the run folder.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.influences import evidence, gradients_of
from grait.config import Config, DataConfig, load_config, override, parse_config
from grait.evaluation.metrics import summarize
from grait.influence import GradientDatastore
from grait.knowledge.query import label
from grait.methods import grait
from grait.methods.catalog import INIT_BASIC, METHODS, Method
from grait.methods.grait import softmax_weights, spread
from grait.methods.selection import Evidence, random_sides, with_label
from grait.pipeline.evaluation import evaluation
from grait.pipeline.influence import influence_scores
from grait.pipeline.knowledge import initial_knowledge, warmup_flow
from grait.pipeline.training import training, warmup
from grait.pipeline.workbench import Workbench
from grait.records import KnowledgeState, Prediction, Selected

FloatArray = NDArray[np.float32]
VALIDATION = DataConfig(path="worldfacts", split="val", limit=800, name="validation")

TIMES = 3
"""How often the variants for one epoch hold a known question: as often as the papers' epochs show it."""


class Trial:
    """The evidence of one seed, and ways to look at it."""

    def __init__(self, evidence: Evidence, folder: Path, config: Config) -> None:
        self.evidence, self.config = evidence, config
        self.known, self.unknown = with_label(evidence.states, "ik"), with_label(evidence.states, "idk")
        self.mu = {state.id: state.correctness for state in evidence.states}
        self.s = {id_: score.stable_influence for id_, score in evidence.influence.items()}
        self.store = folder / "influence" / "sketch" / "datastore"

    # Weights of the unknown questions, on any scale; 0 leaves a question out.

    def equal(self) -> dict[str, float]:
        return {state.id: 1.0 for state in self.unknown}

    def by_s(self) -> dict[str, float]:
        """softmax(S / its standard deviation)"""
        return self._softmax(self.s)

    def never(self) -> dict[str, float]:
        """Only where no sample is right."""
        return {state.id: float(state.correctness == 0) for state in self.unknown}

    def unsure(self) -> dict[str, float]:
        """1 - certainty; 1 where the model never answers."""
        return {state.id: 1 - (state.certainty or 0.0) for state in self.unknown}

    def by_left_out_margin(self) -> dict[str, float]:
        """As by_s, of how far on the unknown side the other questions' gradients put it."""
        return self._softmax(self.margins())

    def margins(self) -> dict[str, float]:
        return {id_: score.left_out_margin for id_, score in self.evidence.influence.items()}

    def _softmax(self, scores: Mapping[str, float]) -> dict[str, float]:
        values = [scores[state.id] for state in self.unknown]
        weights = softmax_weights(values, spread(values), 1.0)
        return {state.id: weight for state, weight in zip(self.unknown, weights, strict=True)}

    def permuted_s(self) -> dict[str, float]:
        """Control: the same weights, dealt out at random."""
        weights = self.by_s()
        values = list(weights.values())
        random.Random(self.config.seed).shuffle(values)
        return dict(zip(weights, values, strict=True))


def product(*weighings: Mapping[str, float]) -> dict[str, float]:
    return {id_: float(np.prod([weights[id_] for weights in weighings])) for id_ in weighings[0]}


def coverage(trial: Trial, weights: Mapping[str, float], times: int = TIMES) -> list[Selected]:
    """All unknown questions of positive weight once, all known ones ``times`` times; both sides with the same total."""
    scale = times * len(trial.known) / sum(weights.values())
    return [
        *(Selected(state.id, "ik", 1.0, "answer") for state in trial.known for _ in range(times)),
        *(Selected(id_, "idk", scale * weight, "refusal") for id_, weight in weights.items() if weight > 0),
    ]


def partial(trial: Trial, weights: Mapping[str, float], times: int) -> list[Selected]:
    """``coverage``, with answers of all questions that any sample gets right, weight mu, known ones ``times`` times."""
    answers = [
        Selected(state.id, state.label, state.correctness, "answer")
        for state in trial.evidence.states
        if state.correctness > 0
        for _ in range(times if state.label == "ik" else 1)
    ]
    scale = sum(row.sample_weight for row in answers) / sum(weights.values())
    return [*answers, *(Selected(id_, "idk", scale * weight, "refusal") for id_, weight in weights.items())]


def half_refusals(trial: Trial) -> list[Selected]:
    """``grait`` with refusals half as heavy as answers, in another order of the rows."""
    answers = [
        Selected(state.id, state.label, max(state.correctness, grait.LEAST_ANSWER_WEIGHT), "answer")
        for state in [*trial.known, *trial.unknown]
    ]
    weights = trial.by_left_out_margin()
    scale = sum(row.sample_weight for row in answers) / 2 / sum(weights.values())
    return [*answers, *(Selected(id_, "idk", scale * weight, "refusal") for id_, weight in weights.items())]


def rehearsed(trial: Trial) -> list[Selected]:
    """grait by what the model knows after the warm-up on known answers instead of before; margins stay."""
    threshold = trial.config.knowledge.correctness_threshold
    states = []
    for state in trial.evidence.states:
        correctness = round(state.correctness + trial.evidence.flow[state.id], 6)
        states.append(replace(state, correctness=correctness, label=label(correctness, threshold)))
    return grait.select(replace(trial.evidence, states=states), trial.config.selection, trial.config.seed)


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
    """Every question with its answer, weight mu, and with the refusal, weight price * (1 - mu).

    The best a model can do is to refuse where mu < price / (1 + price).
    """
    return [
        *(
            Selected(state.id, state.label, state.correctness, "answer")
            for state in trial.evidence.states
            if state.correctness > 0
        ),
        *(
            Selected(state.id, state.label, price * (1 - state.correctness), "refusal")
            for state in trial.evidence.states
            if state.correctness < 1
        ),
    ]


def soft_s(trial: Trial) -> list[Selected]:
    """``partial`` with a refusal of every question not always right, weight (1 - mu) softmax(S / its deviation)."""
    answers = [
        Selected(state.id, state.label, state.correctness, "answer")
        for state in trial.evidence.states
        if state.correctness > 0
    ]
    refused = [state for state in trial.evidence.states if state.correctness < 1 and state.id in trial.s]
    stable = [trial.s[state.id] for state in refused]
    weights = softmax_weights(stable, spread(stable), 1.0)
    doubts = [weight * (1 - state.correctness) for state, weight in zip(refused, weights, strict=True)]
    scale = sum(row.sample_weight for row in answers) / sum(doubts)
    return [
        *answers,
        *(
            Selected(state.id, state.label, scale * doubt, "refusal")
            for state, doubt in zip(refused, doubts, strict=True)
        ),
    ]


def refusal_gradients(trial: Trial) -> tuple[list[KnowledgeState], FloatArray, FloatArray]:
    """Known, then unknown questions; their gradients, units less their mean, made units again; -1 (known) and 1."""
    store = GradientDatastore.open(trial.store)
    states = [*trial.known, *trial.unknown]
    x = gradients_of(store, states)
    x -= x.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return states, x, np.array([-1.0 if state.label == "ik" else 1.0 for state in states], dtype=np.float32)


def margin_weights(trial: Trial) -> dict[str, float]:
    """Dual variables of the widest margin between unknown and known questions in the space of refusal gradients.

    Squared hinge loss, a constant as one more feature. A question far on its own side, or one whose neighbours hold the
    border already, gets 0. By coordinate descent (Hsieh et al. 2008): linear in questions and dimensions.
    """
    slack = 10.0  # lambda; the larger, the more equal the weights
    states, x, y = refusal_gradients(trial)
    x = np.concatenate([x, np.full((len(x), 1), 10**0.5, dtype=np.float32)], axis=1)
    squares = (x**2).sum(1)
    alpha, direction = np.zeros(len(y)), np.zeros(x.shape[1], dtype=np.float32)
    generator = np.random.default_rng(trial.config.seed)
    for _ in range(200):
        largest = 0.0
        for i in generator.permutation(len(y)):
            slope = y[i] * (direction @ x[i]) - 1 + slack * alpha[i]
            new = max(0.0, alpha[i] - slope / (squares[i] + slack))
            if new != alpha[i]:
                direction += np.float32((new - alpha[i]) * y[i]) * x[i]
                largest = max(largest, abs(new - alpha[i]))
                alpha[i] = new
        if largest < 1e-3 * alpha.mean():
            break
    return {state.id: float(a) for state, a in zip(states, alpha, strict=True)}


def margin(trial: Trial) -> list[Selected]:
    """All questions of positive dual weight, both sides with the same total; the known ones ``TIMES`` times."""
    weights = margin_weights(trial)
    n_known = len(trial.known)
    on_known = sum(weights[state.id] for state in trial.known) / n_known
    on_unknown = sum(weights[state.id] for state in trial.unknown) / (TIMES * n_known)
    return [
        *(
            Selected(state.id, "ik", weights[state.id] / on_known, "answer")
            for state in trial.known
            for _ in range(TIMES)
        ),
        *(
            Selected(state.id, "idk", weights[state.id] / on_unknown, "refusal")
            for state in trial.unknown
            if weights[state.id] > 0
        ),
    ]


def margin_top(trial: Trial) -> list[Selected]:
    """As many unknown questions as known ones, those of the highest dual weight; the papers' size and epochs."""
    weights = margin_weights(trial)
    ids = sorted((state.id for state in trial.unknown), key=lambda id_: -weights[id_])[: len(trial.known)]
    return subset(trial, ids)


def cleaned(trial: Trial, is_sure: Callable[[str], bool]) -> list[Selected]:
    """Known and random unknown questions, as many of each, of those that ``is_sure``; the papers' form and epochs."""
    known = [state.id for state in trial.known if is_sure(state.id)]
    unknown = [state.id for state in trial.unknown if is_sure(state.id)]
    chosen = random.Random(trial.config.seed).sample(unknown, min(len(known), len(unknown)))
    return [
        *(Selected(id_, "ik", 1.0, "answer") for id_ in known),
        *(Selected(id_, "idk", 1.0, "refusal") for id_ in chosen),
    ]


def clear(trial: Trial) -> list[Selected]:
    return cleaned(trial, lambda id_: trial.mu[id_] == 0 or trial.mu[id_] >= 0.8)


def clean(trial: Trial) -> list[Selected]:
    margins = trial.margins()
    middle = float(np.median([margins[state.id] for state in trial.known]))
    known_side = {state.id for state in trial.known if margins[state.id] <= max(middle, 0.0)}
    unknown_side = {state.id for state in trial.unknown if margins[state.id] >= 0.5}
    return cleaned(trial, lambda id_: id_ in known_side or id_ in unknown_side)


def permuted_gradients(trial: Trial) -> list[Selected]:
    """Control: grait when every question has the gradient of another."""
    store = GradientDatastore.open(trial.store)
    states = [*trial.known, *trial.unknown]
    gradients = np.random.default_rng(trial.config.seed).permutation(gradients_of(store, states))
    return grait.select(evidence(states, gradients), trial.config.selection, trial.config.seed)


def shuffled_labels(trial: Trial, method: str) -> list[Selected]:
    """Control: the method when labels and correctness are dealt out to the questions at random."""
    store = GradientDatastore.open(trial.store)
    states = [*trial.known, *trial.unknown]
    others = np.random.default_rng(trial.config.seed).permutation(len(states))
    shuffled = [
        replace(state, label=states[other].label, correctness=states[other].correctness)
        for state, other in zip(states, others, strict=True)
    ]
    select = METHODS[method].select
    assert select is not None
    return select(evidence(shuffled, gradients_of(store, states)), trial.config.selection, trial.config.seed)


def no_labels(trial: Trial) -> list[Selected]:
    """What grait comes to without labels: the answer and the refusal of every question, all of weight 1."""
    states = [*trial.known, *trial.unknown]
    return [
        *(Selected(state.id, state.label, 1.0, "answer") for state in states),
        *(Selected(state.id, state.label, 1.0, "refusal") for state in states),
    ]


def cor_rait(trial: Trial) -> list[Selected]:
    _known, unknown = random_sides(trial.evidence.states, trial.config.selection, trial.config.seed)
    return subset(trial, unknown)


VARIANTS: dict[str, Callable[[Trial], list[Selected]]] = {
    "cor-rait": cor_rait,
    "herded": herded,
    "coverage": lambda t: coverage(t, t.equal()),
    "coverage-s": lambda t: coverage(t, t.by_s()),
    "coverage-s-permuted": lambda t: coverage(t, t.permuted_s()),
    "coverage-never": lambda t: coverage(t, t.never()),
    "coverage-never-s": lambda t: coverage(t, product(t.never(), t.by_s())),
    "coverage-once": lambda t: coverage(t, t.equal(), times=1),
    "coverage-once-s": lambda t: coverage(t, t.by_s(), times=1),
    "partial-s": lambda t: partial(t, t.by_s(), TIMES),
    "partial-once-s": lambda t: partial(t, t.by_s(), 1),
    "partial-once-s-unsure": lambda t: partial(t, product(t.by_s(), t.unsure()), 1),
    "partial-once-unsure": lambda t: partial(t, t.unsure(), 1),
    "grait": lambda t: grait.select(t.evidence, t.config.selection, t.config.seed),
    "grait-equal-weights": lambda t: grait.select_equal_weights(t.evidence, t.config.selection, t.config.seed),
    "grait-stable-weights": lambda t: grait.select_stable_weights(t.evidence, t.config.selection, t.config.seed),
    "partial-once-left-out": lambda t: partial(t, t.by_left_out_margin(), 1),
    "grait-known-answers": lambda t: grait.select_known_answers(t.evidence, t.config.selection, t.config.seed),
    "taught-30": half_refusals,
    "rehearsed": rehearsed,
    "soft-s": soft_s,
    "margin": margin,
    "margin-top": margin_top,
    "clear": clear,
    "clean": clean,
    "soft": lambda t: soft(t, 0.3),
    "permuted-gradients": permuted_gradients,
    "no-labels": no_labels,
    "shuffled-labels-grait": lambda t: shuffled_labels(t, "grait"),
    "shuffled-labels-cor-rait": lambda t: shuffled_labels(t, "cor-rait"),
}


def evaluated(bench: Workbench, name: str, rows: list[Selected], overrides: list[str]) -> list[Prediction]:
    """Train with the overrides, which the evidence does not see, and answer the validation questions."""
    title = "-".join([name, *(text.partition("=")[2].strip("[]").replace(", ", "+") for text in overrides)])
    METHODS[title] = Method(title, title, "trial", None)
    bench = Workbench(parse_config(override(bench.config.model_dump(mode="json"), overrides), "--set"))
    return evaluation(bench, title, training(bench, title, rows), VALIDATION)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--set", action="append", default=[], help="for the training only, as in grait run")
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
    warmed_up = warmup(bench, states)
    scores = influence_scores(bench, states, warmed_up)
    variants = arguments.variants.split(",")
    after = warmup_flow(bench, states, warmed_up) if "rehearsed" in variants else []
    flow = {row.id: row.flow for row in after}
    trial = Trial(Evidence(states, flow, {row.id: row for row in scores}), folder, config)
    initial = {row.id: row.outcome for row in evaluation(bench, INIT_BASIC, None, VALIDATION)}
    for name in variants:
        rows = VARIANTS[name](trial)
        begin = time.monotonic()
        predictions = evaluated(bench, name, rows, arguments.set)
        record = summarize(
            name,
            VALIDATION.title,
            initial,
            {row.id: row.outcome for row in predictions},
            1000,
            0,
            {row.id: row.refusal_log_odds for row in predictions},
        )
        line = {
            "variant": name,
            "set": arguments.set,
            "n_validation": len(predictions),
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
