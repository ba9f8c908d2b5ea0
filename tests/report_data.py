"""Made-up results of a run on WorldFacts questions, in any size: what a report page is tried on."""

import math
import random
from collections.abc import Sequence

from grait.config import SelectionConfig, parse_config
from grait.data import worldfacts
from grait.dial.curve import operating_curve
from grait.display.contents import ComparisonRecords, RunRecords
from grait.evaluation.compare import compare, gather
from grait.evaluation.conversations import in_conversation
from grait.evaluation.curves import ranking_curve
from grait.evaluation.forms import by_form
from grait.evaluation.metrics import summarize
from grait.evaluation.side_effects import summarize_side_effects
from grait.methods.catalog import METHODS
from grait.methods.selection import Evidence
from grait.records import (
    ConversationKind,
    ConversationRecord,
    DifferenceRecord,
    DriftRecord,
    FormRecord,
    InfluenceScore,
    KnowledgeState,
    MetricRecord,
    Outcome,
    Prediction,
    Question,
    RoundRecord,
    SideEffectAnswer,
    SideEffectKind,
    SideEffectRecord,
    TrialRecord,
)

ALL = tuple(METHODS)
FEW = ("init-basic", "init-refuse", "cor-rait", "grait")
KINDS: tuple[SideEffectKind, ...] = (
    *("chit-chat", "instruction", "passage", "unanswerable"),
    *("after-refusal", "after-greeting", "after-instruction"),
)


def made_up_run(
    n_train: int = 300, sizes: dict[str, int] | None = None, systems: Sequence[str] = ALL, seed: int = 0
) -> RunRecords:
    """A run of ``systems`` (the untrained ones first); ``sizes``: questions of each data set."""
    sizes = sizes or {"in-domain": 200, "out-of-domain": 100}
    draw = random.Random(seed)
    training = worldfacts.load("train")[:n_train]
    pools = {"in-domain": worldfacts.load("test_id"), "out-of-domain": worldfacts.load("test_ood")}
    test_sets = {name: pools[name][:n] for name, n in sizes.items()}
    states = [_state(question, draw) for question in training]
    influence = {state.id: _score(state, draw) for state in states if state.label != "dropped"}
    evidence = Evidence(states, {state.id: draw.gauss(0, 0.2) for state in states}, influence)
    config = parse_config({"training": {"methods": [name for name in systems if METHODS[name].select]}})
    selected = {name: select(evidence, SelectionConfig(), seed) for name in systems if (select := METHODS[name].select)}
    predictions = {name: _predictions(questions, systems, draw) for name, questions in test_sets.items()}
    return RunRecords(
        name="made-up",
        config=config.model_dump(),
        metrics=[record for name, own in predictions.items() for record in _metrics(name, own)],
        groups=[],
        test_sets=test_sets,
        predictions=predictions,
        training_set={question.id: question for question in training},
        evidence=evidence,
        selected=selected,
        losses={name: [2.5 * math.exp(-i / 20) + 0.4 + draw.gauss(0, 0.15) for i in range(80)] for name in selected},
        side_effects=[_side_effects(name, form) for name in systems[1:] for form in ("examples", "question")],
        drift=[DriftRecord(name, 6400, 0.18 * place, 11.2 + place, 11.2) for place, name in enumerate(systems[1:])],
        summary={
            "peak_memory_mb": 3400,
            "stages": {
                name: {"seconds": 100 * draw.random(), "peak_memory_mb": 3000, "skipped": []}
                for name in ("knowledge", "warmup", "influence/exact", *(f"adapters/{name}" for name in selected))
            },
            "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"},
            "machine": {"processor": "AMD EPYC", "cores": 2, "threads": 1},
        },
        trials=[
            TrialRecord("grait", 0.001, 1.0, 35, 157, 118, 0.071, 0.33, 0.712, None, None, None, 180.5, True),
            TrialRecord("grait", 0.002, 1.0, 35, 157, 118, 0.0632, 0.31, 0.7, -0.0078, -0.09, 0.0744, 181.5),
        ],
        rounds=[
            RoundRecord("grait-dynamic", 1, 0, 0, 1.0, 1.0, 0.35, 0.567, 0.789, 1.0, 0.875),
            RoundRecord("grait-dynamic", 2, 53, 118, 1.2468, 1.0, 0.35, 0.567, 0.654, 0.4321, None),
        ],
    )


def made_up_forms(
    run: RunRecords, forms: Sequence[str] = ("examples", "instruction", "question"), untrained: Sequence[str] = ()
) -> tuple[list[FormRecord], list[DifferenceRecord]]:
    """Results by form of a made-up run, as if every form were answered alike, and differences of its main method."""
    answers = {form: dict(run.predictions) for form in (*forms, *untrained)}
    return by_form(answers, "init-refuse", forms, "grait", 200)


def made_up_conversations(run: RunRecords) -> list[ConversationRecord]:
    """Results within conversations, as if each were answered as the question alone is."""
    name, own = next(iter(run.predictions.items()))
    outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in own.items() if system != "init-basic"}
    kinds: tuple[ConversationKind, ...] = ("nothing", "greeting", "context")
    return in_conversation(name, dict.fromkeys(kinds, outcomes), "init-refuse", 200)


def _side_effects(system: str, form: str) -> SideEffectRecord:
    """Of 100 prompts of each kind."""
    tuned, in_chat = system != "init-refuse", form == "question"
    refused = [6, 3, 12, 25] if not tuned else [10, 5, 30, 20] if in_chat else [99, 82, 90, 89]
    after = [64, 10, 5] if in_chat else []
    outcomes: dict[SideEffectKind, int] = dict(zip(KINDS, [*refused, *after], strict=False))
    answers = [
        SideEffectAnswer(f"{form}/{kind}-{i}", form, kind, "", "Fine.", "refused" if i < n else "answered")
        for kind, n in outcomes.items()
        for i in range(100)
    ]
    (record,) = summarize_side_effects(system, answers)
    return record


def _state(question: Question, draw: random.Random) -> KnowledgeState:
    correct = 0 if draw.random() < 0.55 else draw.randint(0, 10)
    agree = max(correct, draw.randint(1, 10)) / 10
    label = "ik" if correct > 5 else "idk" if correct < 5 else "dropped"
    return KnowledgeState(question.id, label, correct / 10, agree, None, question.answers[0] if correct > 4 else "Lyon")


def _score(state: KnowledgeState, draw: random.Random) -> InfluenceScore:
    known = state.label == "ik"
    refusal, over = draw.gauss(0.3 - 0.1 * known, 0.06), draw.gauss(0.22 + 0.1 * known, 0.06)
    retention, margin = draw.gauss(0, 0.02), draw.gauss(0.7 - 0.8 * known, 0.3)
    return InfluenceScore(state.id, state.label, refusal, over, refusal - over, retention, 1.5, margin)


def _predictions(
    questions: Sequence[Question], systems: Sequence[str], draw: random.Random
) -> dict[str, list[Prediction]]:
    """Answers in which every trained system refuses hard questions more readily, each as well as it can."""
    ease = {question.id: 0.5 * (question.popularity or 0.5) + 0.5 * draw.random() for question in questions}
    right = {id_: value + draw.gauss(0, 0.1) > 0.62 for id_, value in ease.items()}
    found = {}
    for place, system in enumerate(systems):
        noise = 0.15 + 0.04 * ((place * 5) % 7)
        score = {id_: -value + draw.gauss(0, noise) for id_, value in ease.items()}
        share = 0.0 if system in ("init-basic", "van-tuning") else 0.1 if system == "init-refuse" else 0.35 + noise
        limit = sorted(score.values())[int((1 - share) * len(score)) - 1] if share else math.inf
        found[system] = [_prediction(row, right[row.id], score[row.id], limit, draw) for row in questions]
    return found


def _prediction(question: Question, is_right: bool, score: float, limit: float, draw: random.Random) -> Prediction:
    flipped = draw.random() < 0.04
    outcome: Outcome = "refused" if score > limit else "correct" if is_right != flipped else "wrong"
    output = {"refused": "I don't know.", "correct": question.answers[0], "wrong": "It is Lyon, I think."}[outcome]
    answer: Outcome = "correct" if is_right != flipped else "wrong"
    text = question.answers[0] if answer == "correct" else "It is Lyon, I think."
    return Prediction(question.id, output, outcome, text, answer, 3 * score - 2, -2.0, 3 * score, False, False)


def _metrics(dataset: str, predictions: dict[str, list[Prediction]]) -> list[MetricRecord]:
    outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in predictions.items()}
    scores = {system: {row.id: row.refusal_log_odds for row in rows} for system, rows in predictions.items()}
    return [
        summarize(system, dataset, outcomes["init-basic"], own, resamples=500, refusal_log_odds=scores[system])
        for system, own in outcomes.items()
    ]


def made_up_comparison(
    n: int = 150, seeds: Sequence[int] = (0, 1, 2), systems: Sequence[str] = ALL
) -> ComparisonRecords:
    """A comparison of ``systems`` on two data sets of ``n`` questions."""
    runs = {seed: made_up_run(100, {"in-domain": n, "out-of-domain": n}, systems, seed) for seed in seeds}
    records, differences, curves, operating = [], [], {}, {}
    for dataset in next(iter(runs.values())).predictions:
        predictions = {
            system: {seed: run.predictions[dataset][system] for seed, run in runs.items()} for system in systems
        }
        own_records, own_differences = compare(
            gather(dataset, predictions, "init-basic"), resamples=200, differences_of=["grait"]
        )
        records += own_records
        differences += own_differences
        curves[dataset] = {
            system: [ranking_curve(predictions["init-basic"][seed], rows) for seed, rows in of_seed.items()]
            for system, of_seed in predictions.items()
        }
        operating[dataset] = {
            system: [operating_curve(predictions["init-basic"][seed], rows) for seed, rows in of_seed.items()]
            for system, of_seed in predictions.items()
        }
    run = runs[seeds[0]]
    about = {
        "date": "2026-11-21",
        "seeds": list(seeds),
        "resamples": 200,
        "versions": run.summary["versions"],
        "machine": run.summary["machine"],
        "config": run.config,
    }
    return ComparisonRecords("made-up", records, differences, about, curves, operating)
