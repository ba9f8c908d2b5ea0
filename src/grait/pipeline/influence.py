"""Stage 2, second half: influence at the warm-up adapter."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from grait.errors import ArtifactError
from grait.influence import (
    AdamTransform,
    GradientDatastore,
    Influence,
    influence,
    over_checkpoints,
    read_moments,
    sketch,
)
from grait.influence.gradients import trainable_linears
from grait.influence.margins import separation
from grait.methods.selection import sample_ids, with_label
from grait.model.completions import TokenizedExample
from grait.pipeline.training import CHECKPOINTS, MOMENTS
from grait.pipeline.workbench import Notes, Workbench, digest, left_out
from grait.records import InfluenceScore, KnowledgeState
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, write_rows

LOW_SEPARATION = 0.6
"""AUROC of left-out margins below which a run says that they tell hardly anything."""


def influence_scores(bench: Workbench, states: Sequence[KnowledgeState], warmed_up: Stage) -> list[InfluenceScore]:
    """R, O, S, K and left-out margin of the labelled questions.

    ``influence.mode`` exact: R, O, S and K from two passes over all gradients; the margin, which needs the gradients of
    all questions at once, from a sketch of them in both modes.
    """
    config = bench.config
    labels = {state.id: state.label for state in states}
    members = {
        "idk": sample_ids(with_label(states, "idk"), config.influence.max_idk, config.seed),
        "ik": [state.id for state in with_label(states, "ik")],
    }
    sets = {
        name: [bench.tokenized(question_id, "refuse", config.prompt.refusal) for question_id in ids]
        for name, ids in members.items()
    }
    examples = [*sets["idk"], *sets["ik"]]
    answers = [
        bench.tokenized(question_id, "refuse", bench.prompts.reference(bench.questions[question_id]))
        for question_id in members["ik"]
    ]
    sets["ik answers"] = [replace(answer, id=f"{answer.id}/answer") for answer in answers]
    stage = Stage(
        bench.folder / "influence" / config.influence.mode,
        {
            "warmup": warmed_up.fingerprint,
            "transform": config.influence.transform,
            **{name: digest(rows) for name, rows in sets.items()},
            "dimensions": config.influence.dimensions,
            "projection_seed": config.seed,
            "columns": [column.name for column in fields(InfluenceScore)],
        },
    )

    def compute(folder: Path) -> Notes:
        checkpoints = _checkpoints(bench, warmed_up)
        margins_at: list[tuple[float, dict[str, float]]] = []

        def at_each() -> Iterator[tuple[float, Influence]]:
            for name, rate, adapter in checkpoints:
                with bench.adapted(adapter, is_trainable=True) as model:
                    transform = _gradient_transform(bench, adapter, model)
                    store = _sketched(bench, model, examples, sets, transform, stage.unfinished() / name)
                    if config.influence.mode == "sketch":
                        ids = {title: [row.id for row in rows] for title, rows in sets.items()}
                        found = store.influence(ids, examples=[row.id for row in examples])
                    else:
                        unfinished = stage.unfinished() / f"{name}-exact"
                        found = _exact(bench, model, examples, sets, transform, unfinished)
                    margins_at.append((rate, store.left_out_margins(members["idk"], members["ik"])))
                    yield rate, found

        found = over_checkpoints(at_each())
        margins = {
            example_id: sum(rate * at_one[example_id] for rate, at_one in margins_at)
            for example_id in found.gradient_norms
            if all(example_id in at_one for _, at_one in margins_at)
        }
        processes.wait()  # until all have opened what is moved now
        if processes.is_main():
            for name, _, _ in checkpoints:
                (stage.unfinished() / name).rename(folder / name)
        rows = [
            InfluenceScore(
                id=example_id,
                label=labels[example_id],
                refusal_influence=found.scores["idk"][example_id],
                over_refusal_influence=found.scores["ik"][example_id],
                stable_influence=found.scores["idk"][example_id] - found.scores["ik"][example_id],
                retention_influence=found.scores["ik answers"][example_id],
                gradient_norm=found.gradient_norms[example_id],
                left_out_margin=margin,
            )
            for example_id, margin in margins.items()
        ]
        write_rows(folder / "influence.parquet", sorted(rows, key=lambda row: row.id))
        return left_out("influence", sorted({*found.non_finite, *(found.gradient_norms.keys() - margins.keys())}))

    bench.once(f"2/4 Influence: {config.influence.mode}, from per-example gradients", stage, compute)
    scores = read_rows(stage.folder / "influence.parquet", InfluenceScore)
    _tell_separation(scores)
    return scores


def _tell_separation(scores: Sequence[InfluenceScore]) -> None:
    """Whether the labels and the gradients have to do with each other; without, the weights mean nothing."""
    unknown, known = ([row.left_out_margin for row in scores if row.label == label] for label in ("idk", "ik"))
    if not (unknown and known):
        return
    auroc = separation(unknown, known)
    progress.note(f"left-out margins tell unknown from known questions with AUROC {100 * auroc:.1f} (50: not at all)")
    if auroc < LOW_SEPARATION:
        progress.note(
            "that is hardly more than chance: weights by influence mean little here; look at the answers of the "
            "training questions, and take more of them"
        )


def _checkpoints(bench: Workbench, warmed_up: Stage) -> list[tuple[str, float, Stage]]:
    """Name, weight and adapter of each checkpoint: the last one alone, or each epoch's with its learning rate."""
    if bench.config.influence.checkpoints == "last":
        return [("datastore", 1.0, warmed_up)]
    path = warmed_up.folder / CHECKPOINTS
    try:
        rates = json.loads(path.read_text(encoding="utf-8"))
        if not rates or not all(isinstance(rate, float) for rate in rates):
            raise ValueError
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: not the learning rates of epochs; delete its folder to warm up again") from error
    return [
        (f"datastore-epoch-{epoch}", rate, replace(warmed_up, folder=warmed_up.folder / f"epoch-{epoch}"))
        for epoch, rate in enumerate(rates, 1)
    ]


def _exact(
    bench: Workbench,
    model: PeftModel,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    transform: AdamTransform | None,
    unfinished: Path,
) -> Influence:
    n = len(processes.own([*examples, *(row for rows in sets.values() for row in rows)]))
    with progress.bar("gradients, two passes", n, "examples") as advance:
        return influence(
            model,
            examples,
            sets,
            pad_token_id=bench.pad_token_id,
            tokens_per_batch=bench.config.influence.tokens_per_batch,
            transform=transform,
            advance=advance,
            resume=unfinished,
        )


def _sketched(
    bench: Workbench,
    model: PeftModel,
    examples: Sequence[TokenizedExample],
    sets: Mapping[str, Sequence[TokenizedExample]],
    transform: AdamTransform | None,
    unfinished: Path,
) -> GradientDatastore:
    """Of all examples, or in exact mode of those alone that have a margin."""
    asked = sets.values() if bench.config.influence.mode == "sketch" else ()
    everything = {row.id: row for rows in (examples, *asked) for row in rows}
    with progress.bar("gradients, one pass", len(processes.own(list(everything))), "examples") as advance:
        return sketch(
            model,
            list(everything.values()),
            unfinished,
            pad_token_id=bench.pad_token_id,
            dimensions=bench.config.influence.dimensions,
            seed=bench.config.seed,
            tokens_per_batch=bench.config.influence.tokens_per_batch,
            transform=transform,
            advance=advance,
        )


def _gradient_transform(bench: Workbench, warmed_up: Stage, model: PeftModel) -> AdamTransform | None:
    if bench.config.influence.transform == "none":
        return None
    path = warmed_up.folder / MOMENTS
    shapes = {name: layer.weight.shape for name, layer in trainable_linears(model).items()}
    try:
        tensors = load_file(path, device=str(model.device))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file; delete its folder to warm up again") from error
    moments = read_moments(tensors, shapes, str(path))
    return AdamTransform(moments, form="torch" if bench.config.influence.transform == "adam" else "less")
