"""Short trainings on random subsets of the unknown questions, and how well influence predicts what they do.

Candidates are refusals of unknown questions, as a method would select them; each training is on a random part of them
and on the same answers of known questions. Outcomes are measured on targets, questions that no training sees. Influence
of the candidates is taken on these targets, at the run's warm-up adapter.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from grait.errors import KnowledgeError
from grait.influence import Influence, over_checkpoints
from grait.influence.validation import Prediction, random_subsets, table, word_overlap
from grait.methods.selection import with_label
from grait.model.common_prefix import cache_of, for_gradients, keys_and_values, shared_length
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.engine import Road
from grait.model.sampling import by_length
from grait.model.sentences import find_folder, load_embedder
from grait.pipeline.data import RunData
from grait.pipeline.influence import adam_transform, checkpoints_of, curvature, sketched
from grait.pipeline.models import Models, model_key
from grait.pipeline.stages import Notes, Stages, digest, left_out
from grait.records import KnowledgeState
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint, readable, write_json
from grait.training.examples import WeightedExample
from grait.training.sft import add_adapter, n_steps, train

MEASURED = "measured.json"
UNKNOWN, KNOWN, APART, ANSWERS = (
    "refusal log-odds, unknown",
    "refusal log-odds, known",
    "unknown less known",
    "answers of known",
)
"""Outcomes, means over the targets: log-probability of the refusal less that of the reference answer, in nats; their
difference; and minus the loss of the reference answers. Of all but the second more is better."""


@dataclass(frozen=True)
class Sizes:
    """``subsets``: trainings; ``share``: of the candidates in each; ``candidates``: at most; ``targets``: of each
    label, at most."""

    subsets: int = 50
    share: float = 0.5
    candidates: int = 500
    targets: int = 100


@dataclass(frozen=True)
class Rows:
    """Examples as tokens. ``answers``: trained on beside each subset; ``unknown``, ``known``: refusals of targets.
    ``references``: of all targets; those of ``known`` are what is not to be unlearned."""

    candidates: list[TokenizedExample]
    answers: list[TokenizedExample]
    unknown: list[TokenizedExample]
    known: list[TokenizedExample]
    references: dict[str, TokenizedExample]

    @property
    def known_answers(self) -> list[TokenizedExample]:
        return [replace(self.references[row.id], id=f"{row.id}/answer") for row in self.known]


@dataclass(frozen=True)
class Validation:
    """``predictions``: of every score and outcome; ``outcomes``: of each subset; ``folder``: where all of it lies."""

    folder: Path
    predictions: list[Prediction]
    subsets: list[list[str]]
    outcomes: dict[str, list[float]]


def rows_of(data: RunData, states: Sequence[KnowledgeState], sizes: Sizes) -> Rows:
    """Targets and candidates, apart, drawn by the seed. KnowledgeError where there are too few."""
    seed = data.config.seed
    unknown, known = ([state.id for state in with_label(states, label)] for label in ("idk", "ik"))
    own = {name: sample_ids_of(ids, min(sizes.targets, len(ids) // 3), seed) for name, ids in
           (("idk", unknown), ("ik", known))}  # fmt: skip
    taken = {name for ids in own.values() for name in ids}
    candidates = sample_ids_of([name for name in unknown if name not in taken], sizes.candidates, seed)
    answers = [name for name in known if name not in taken]
    if len(candidates) < 4 or not answers or not own["idk"] or not own["ik"]:
        raise KnowledgeError(
            f"validation: expected at least 6 unknown and 3 known questions, found {len(unknown)} and {len(known)}; "
            "take more training questions"
        )
    size = round(sizes.share * len(candidates))

    def refusals(ids: Sequence[str]) -> list[TokenizedExample]:
        return [data.tokenized(name, "refuse", data.prompts.refusal(data.questions[name])) for name in ids]

    def reference(name: str) -> TokenizedExample:
        return data.tokenized(name, "refuse", data.prompts.reference(data.questions[name]))

    return Rows(
        candidates=refusals(candidates),
        answers=[replace(reference(name), id=f"{name}/answer") for name in sample_ids_of(answers, size, seed)],
        unknown=refusals(own["idk"]),
        known=refusals(own["ik"]),
        references={name: reference(name) for name in (*own["idk"], *own["ik"])},
    )


def sample_ids_of(ids: Sequence[str], n: int, seed: int) -> list[str]:
    """At most ``n`` of the ids, drawn by the seed, sorted."""
    return sorted(random.Random(f"validation {seed}").sample(sorted(ids), min(n, len(ids))))


def trainings(
    data: RunData, models: Models, stages: Stages, rows: Rows, subsets: Sequence[Sequence[str]]
) -> dict[str, list[float]]:
    """What a training on each subset leads to, by outcome: a stage for each, with its result in a file of its own."""
    found: dict[str, list[float]] = {}
    by_id = {row.id: row for row in rows.candidates}
    for number, subset in enumerate(subsets):
        examples = [WeightedExample(row, 1.0) for row in (*(by_id[name] for name in subset), *rows.answers)]
        which = f"{number + 1} of {len(subsets)}"
        for name, value in _training(data, models, stages, rows, examples, which, f"subset-{number:03}").items():
            found.setdefault(name, []).append(value)
    return found


def _training(
    data: RunData,
    models: Models,
    stages: Stages,
    rows: Rows,
    examples: Sequence[WeightedExample],
    which: str,
    name: str,
) -> dict[str, float]:
    config = data.config
    optimizer = config.training.resolved(len(examples))
    key = {
        "model": model_key(config),
        "examples": fingerprint([row.content for row in examples]),
        "lora": config.lora.model_dump(),
        "training": optimizer.model_dump(exclude={"micro_batch_size", "methods", "max_steps"}),
        "seed": config.seed,
        "targets": digest([*rows.unknown, *rows.known, *rows.references.values()]),
    }
    stage = Stage(stages.folder / "validation" / name, key)

    def compute(folder: Path) -> Notes:
        road = models.roads().training
        model = add_adapter(models.initial, config.lora, config.seed)
        try:
            with progress.bar("training", n_steps(len(examples), optimizer), "steps") as advance:
                log = train(
                    model,
                    examples,
                    optimizer,
                    pad_token_id=models.pad_token_id,
                    seed=config.seed,
                    advance=advance,
                    resume=stage.unfinished(),
                    road=road,
                )
            found = measured(model, models.pad_token_id, rows, config.tokens_per_batch, models.roads().gradients)
            write_json(folder / MEASURED, found)
        finally:
            models.take_off(model)
        return left_out("validation", log.non_finite)

    stages.once(f"Validation: training {which}, on {len(examples)} examples", stage, compute)
    path = stage.folder / MEASURED
    with readable(f"{path}: not readable outcomes; delete {stage.folder} to train again"):
        return {name: float(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}


@torch.no_grad()
def measured(
    model: nn.Module, pad_token_id: int, rows: Rows, tokens_per_batch: int, road: Road | None
) -> dict[str, float]:
    """The outcomes of a model; what all prompts begin with runs once. Reference answers of known targets count by their
    mean token loss, as in training."""
    refusals = [*rows.unknown, *rows.known]
    references = [rows.references[row.id] for row in refusals]
    examples = [*refusals, *references]
    losses = np.zeros(len(examples))
    device = next(model.parameters()).device
    with for_gradients(model):
        n_shared = shared_length(model, examples, road or "no sharing")
        prefix = keys_and_values(model, examples[0].prompt_ids[:n_shared], device) if n_shared else []
        for positions in by_length([row.n_tokens - n_shared for row in examples], tokens_per_batch):
            batch = collate([examples[position] for position in positions], pad_token_id, n_shared)
            cache = cache_of(prefix, len(positions)) if prefix else None
            own = completion_losses(model, {name: tensor.to(device) for name, tensor in batch.items()}, cache)
            losses[positions] = own.double().cpu().numpy()
    logprobs = -losses * np.array([len(row.completion_ids) for row in examples])
    log_odds = logprobs[: len(refusals)] - logprobs[len(refusals) :]
    unknown, known = float(log_odds[: len(rows.unknown)].mean()), float(log_odds[len(rows.unknown) :].mean())
    answers = -float(losses[len(refusals) + len(rows.unknown) :].mean())
    return {UNKNOWN: unknown, KNOWN: known, APART: unknown - known, ANSWERS: answers}


def scores_of(
    data: RunData, models: Models, stages: Stages, rows: Rows, warmed_up: Stage
) -> dict[str, dict[str, float]]:
    """All that is to predict, by name and candidate: influence in its forms, and the controls."""
    config = data.config
    ids = [row.id for row in rows.candidates]
    sets = {"R": [row.id for row in rows.unknown], "O": [row.id for row in rows.known],
            "K": [row.id for row in rows.known_answers]}  # fmt: skip
    everything = [*rows.candidates, *rows.unknown, *rows.known, *rows.known_answers]
    named = fingerprint([warmed_up.fingerprint, digest(everything), config.influence.dimensions, config.seed])
    work = stages.folder / "validation" / ".sketches" / named[:16]
    models.roads()
    found: dict[str, dict[str, float]] = {}
    at_each: list[tuple[float, Influence]] = []
    store = None
    for name, rate, adapter in checkpoints_of(config, warmed_up):
        with models.adapted(adapter, is_trainable=True) as model:
            store = sketched(models, model, everything, work / name, "gradients of candidates and targets")
            stepped = sketched(
                models,
                model,
                rows.candidates,
                work / f"{name}-adam",
                "gradients of candidates, Adam's",
                adam_transform(adapter, model),
            )
        at_each.append((rate, store.influence(sets, examples=ids)))
    assert store is not None
    trained_on = [*rows.candidates, *rows.answers]
    work = work / f"curvature-{digest(trained_on)[:16]}"
    with models.adapted(adapter, is_trainable=True) as model:
        transform = curvature(models, model, trained_on, work / "fitted")
        curved = sketched(models, model, everything, work / "sketch", "gradients by curvature", transform)
    plain, by_curvature = at_each[-1][1], curved.influence(sets, examples=ids)
    found |= _forms(plain.scores)
    found |= _forms(stepped.influence_on(store, sets).scores, ", Adam's steps")
    if len(at_each) > 1:
        found |= _forms(over_checkpoints(at_each).scores, ", all epochs")
    found |= _forms(_times_norm(plain), ", times norm")
    found |= _forms(by_curvature.scores, ", curvature") | _forms(_times_norm(by_curvature), ", curvature, times norm")
    margins = store.left_out_margins([*ids, *sets["R"]], sets["O"])
    found["left-out margin"] = {name: margins[name] for name in ids if name in margins}
    return found | _controls(data, rows, plain.gradient_norms)


def _times_norm(found: Influence) -> dict[str, dict[str, float]]:
    """Products of the candidates' whole gradients, not of those at length 1."""
    norms = found.gradient_norms
    return {name: {key: value * norms[key] for key, value in own.items()} for name, own in found.scores.items()}


def _forms(scores: Mapping[str, Mapping[str, float]], how: str = "") -> dict[str, dict[str, float]]:
    """R, O, S and K by candidate."""
    own = {f"{name}{how}": dict(values) for name, values in scores.items()}
    own[f"S{how}"] = {key: value - scores["O"][key] for key, value in scores["R"].items()}
    return own


def _controls(data: RunData, rows: Rows, norms: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What knows nothing of gradients, or nothing at all. Likeness: to the unknown targets less that to the known."""
    texts = {row.id: data.questions[row.id].question for row in rows.candidates}
    sides = [[data.questions[row.id].question for row in own] for own in (rows.unknown, rows.known)]
    overlap = [word_overlap(texts, own) for own in sides]
    found = {
        "gradient norm": {name: norms[name] for name in texts if name in norms},
        "word overlap (BM25)": {name: overlap[0][name] - overlap[1][name] for name in texts},
        "random": {name: random.Random(f"random {data.config.seed} {name}").random() for name in texts},
    }
    if find_folder() is not None:
        embed = load_embedder(torch.device("cpu"))
        own, unknown, known = (embed(part) for part in (list(texts.values()), *sides))
        likeness = (own @ (unknown.mean(0) - known.mean(0))).tolist()
        found["embedding similarity"] = dict(zip(texts, likeness, strict=True))
    return found


def validation(
    data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState], warmed_up: Stage, sizes: Sizes
) -> Validation:
    """Train on random subsets, measure, and hold every score against what was measured. Writes ``validation.json``."""
    rows = rows_of(data, states, sizes)
    scores = scores_of(data, models, stages, rows, warmed_up)
    usable = [row.id for row in rows.candidates if all(row.id in own for own in scores.values())]
    subsets = random_subsets(usable, sizes.subsets, sizes.share, data.config.seed)
    outcomes = trainings(data, models, stages, rows, subsets)
    predictions = table(scores, subsets, outcomes, data.config.seed)
    folder = stages.folder / "validation"
    write_json(
        folder / "validation.json",
        {
            "sizes": asdict(sizes),
            "n_candidates": len(usable),
            "predictions": [asdict(row) for row in predictions],
            "subsets": subsets,
            "outcomes": outcomes,
            "scores": scores,
        },
    )
    return Validation(folder, predictions, subsets, outcomes)
