"""Stage 2, second half: influence at the warm-up adapter."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file

from grait.config import Config
from grait.errors import ArtifactError
from grait.influence import (
    AdamTransform,
    Curvature,
    GradientDatastore,
    Influence,
    fit_curvature,
    over_checkpoints,
    read_moments,
    sketch,
)
from grait.influence.batches import Transform
from grait.influence.datastore import influence_and_sketch
from grait.influence.gradients import trainable_linears
from grait.influence.margins import label_separation
from grait.influence.transforms import AdamForm
from grait.methods.selection import sample_ids, with_label
from grait.model.completions import TokenizedExample
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.stages import Notes, Stages, digest, left_out
from grait.pipeline.training import CHECKPOINTS, MOMENTS
from grait.pipeline.work import ANSWER_TOKENS, FORWARD_AND_BACKWARD, Count, SetSize, StagePlan, Work
from grait.records import InfluenceScore, KnowledgeState, Label
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, write_rows
from grait.runtime.files import replacing_folder, written

CURVATURE = "curvature"
"""In a datastore's folder: the curvature by which its gradients are taken."""

LOW_SEPARATION = 0.6
"""AUROC of left-out margins below which a run says that they tell hardly anything."""


@dataclass(frozen=True)
class _Examples:
    """What gradients are taken of, by the name of their set: the refusals of both labels, the answers of known ones."""

    labels: dict[str, Label]
    sets: dict[str, list[TokenizedExample]]

    @property
    def refusals(self) -> list[TokenizedExample]:
        """The examples that are scored."""
        return [*self.sets["idk"], *self.sets["ik"]]

    @property
    def ids(self) -> dict[str, list[str]]:
        return {name: [row.id for row in rows] for name, rows in self.sets.items()}


def influence_scores(
    data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState], warmed_up: Stage
) -> list[InfluenceScore]:
    """R, O, S, K and left-out margin of the labelled questions.

    ``influence.mode`` exact: R, O, S and K from two passes over all gradients; the margin, which needs the gradients of
    all questions at once, from a sketch of them in both modes, which the first of the two passes makes on its way.
    """
    config = data.config
    examples = _examples(data, states)
    stage = Stage(
        stages.folder / "influence" / config.influence.mode,
        {
            "warmup": warmed_up.fingerprint,
            "transform": config.influence.transform,
            **{name: digest(rows) for name, rows in examples.sets.items()},
            "dimensions": config.influence.dimensions,
            "projection_seed": config.seed,
            "columns": [column.name for column in fields(InfluenceScore)],
        },
    )

    def compute(folder: Path) -> Notes:
        checkpoints = checkpoints_of(config, warmed_up)
        models.roads()  # found before an adapter is on
        at_each = [
            (rate, *_at_checkpoint(models, adapter, examples, stage.unfinished(), name))
            for name, rate, adapter in checkpoints
        ]
        found = over_checkpoints((rate, scores) for rate, scores, _ in at_each)
        margins = {
            example_id: sum(rate * own[example_id] for rate, _, own in at_each)
            for example_id in found.gradient_norms
            if all(example_id in own for _, _, own in at_each)
        }
        processes.wait()  # until all have opened what is moved now
        if processes.is_main():
            for name, _, _ in checkpoints:
                (stage.unfinished() / name).rename(folder / name)
        write_rows(folder / "influence.parquet", _rows(found, margins, examples.labels))
        return left_out("influence", sorted({*found.non_finite, *(found.gradient_norms.keys() - margins.keys())}))

    stages.once(f"2/4 Influence: {config.influence.mode}, from per-example gradients", stage, compute)
    scores = read_rows(stage.folder / "influence.parquet", InfluenceScore)
    _tell_separation(scores)
    return scores


def plan_influence(config: Config, training: SetSize) -> StagePlan:
    """The most that ``influence_scores`` costs: were all questions known (ik), each would have a refusal and an answer.

    Shots go forward once for a batch, and backward, half of the work, once for each gradient; the second of the exact
    passes, over the refusals, stops before them.
    """
    n, is_exact = training.count.or_per, config.influence.mode == "exact"
    n_gradients = 2 * n * (3 if config.influence.transform == "curvature" else 1)
    passes = n_gradients + (n if is_exact else 0)
    own = passes * (training.prompt_tokens + ANSWER_TOKENS - 1)
    work = Work(
        trained_tokens=own + n_gradients * training.shots_tokens(config) / 2,
        trained_positions=passes * ANSWER_TOKENS,
        passes=FORWARD_AND_BACKWARD * own / config.influence.tokens_per_batch,
    )
    how = "exact, two passes" if is_exact else f"one pass, {config.influence.dimensions:,} numbers each"
    if config.influence.transform == "curvature":
        how += ", after two for the curvature"
    does = f"gradients of the refusal for every question and of the answer for known ones; {how}"
    per = training.count.per("training questions")
    return StagePlan("influence", does, Count(None if per else passes, False), work, unit="gradients", per=per)


def _examples(data: RunData, states: Sequence[KnowledgeState]) -> _Examples:
    """Of the unknown questions ``influence.max_idk`` at most."""
    config, prompts = data.config, data.prompts
    members = {
        "idk": sample_ids(with_label(states, "idk"), config.influence.max_idk, config.seed),
        "ik": [state.id for state in with_label(states, "ik")],
    }
    sets = {
        name: [data.tokenized(row, "refuse", prompts.refusal(data.questions[row])) for row in ids]
        for name, ids in members.items()
    }
    answers = [
        data.tokenized(question_id, "refuse", prompts.reference(data.questions[question_id]))
        for question_id in members["ik"]
    ]
    sets["ik answers"] = [replace(answer, id=f"{answer.id}/answer") for answer in answers]
    return _Examples({state.id: state.label for state in states}, sets)


def _at_checkpoint(
    models: Models, adapter: Stage, examples: _Examples, unfinished: Path, name: str
) -> tuple[Influence, dict[str, float]]:
    """Influence and left-out margins at one adapter of the warm-up. The datastore is left in ``unfinished / name``."""
    with models.adapted(adapter, is_trainable=True) as model:
        ids = examples.ids
        everything = list({row.id: row for rows in examples.sets.values() for row in rows}.values())
        transform = gradient_transform(models, adapter, model, everything, unfinished / f"{name}-{CURVATURE}")
        if models.config.influence.mode == "sketch":
            store = sketched(models, model, everything, unfinished / name, "gradients, one pass", transform)
            found = store.influence(ids, examples=[row.id for row in examples.refusals])
        else:
            found, store = _exact(models, model, examples, transform, unfinished, name)
        if isinstance(transform, Curvature):
            keep_curvature(unfinished / f"{name}-{CURVATURE}", store.folder)
        return found, store.left_out_margins(ids["idk"], ids["ik"])


def _rows(found: Influence, margins: Mapping[str, float], labels: Mapping[str, Label]) -> list[InfluenceScore]:
    """A row of each example that has a margin, by id."""
    idk, ik, answers = (found.scores[name] for name in ("idk", "ik", "ik answers"))
    return [
        InfluenceScore(
            id=example_id,
            label=labels[example_id],
            refusal_influence=idk[example_id],
            over_refusal_influence=ik[example_id],
            stable_influence=idk[example_id] - ik[example_id],
            retention_influence=answers[example_id],
            gradient_norm=found.gradient_norms[example_id],
            left_out_margin=margins[example_id],
        )
        for example_id in sorted(margins)
    ]


def _tell_separation(scores: Sequence[InfluenceScore]) -> None:
    """Whether the labels and the gradients have to do with each other; without, the weights mean nothing."""
    auroc = label_separation(scores)
    if auroc is None:
        return
    progress.note(f"left-out margins tell unknown from known questions with AUROC {100 * auroc:.1f} (50: not at all)")
    if auroc < LOW_SEPARATION:
        progress.note(
            "that is hardly more than chance: weights by influence mean little here; look at the answers of the "
            "training questions, and take more of them"
        )


def checkpoints_of(config: Config, warmed_up: Stage) -> list[tuple[str, float, Stage]]:
    """Name, weight and adapter of each checkpoint: the last one alone, or each epoch's with its learning rate."""
    if config.influence.checkpoints == "last":
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
    models: Models, model: PeftModel, examples: _Examples, transform: Transform | None, unfinished: Path, name: str
) -> tuple[Influence, GradientDatastore]:
    """With the datastore of those that have a margin."""
    config = models.config
    everything = [*examples.refusals, *(row for rows in examples.sets.values() for row in rows)]
    with progress.bar("gradients, two passes", len(processes.own(everything)), "examples") as advance:
        return influence_and_sketch(
            model,
            examples.refusals,
            examples.sets,
            unfinished / name,
            pad_token_id=models.pad_token_id,
            resume=unfinished / f"{name}-exact",
            dimensions=config.influence.dimensions,
            seed=config.seed,
            tokens_per_batch=config.influence.tokens_per_batch,
            transform=transform,
            advance=advance,
            road=models.roads().gradients,
        )


def sketched(
    models: Models,
    model: PeftModel,
    rows: Sequence[TokenizedExample],
    folder: Path,
    bar: str,
    transform: Transform | None = None,
) -> GradientDatastore:
    """A datastore of these rows' gradients, each as the config's ``influence`` says. ``bar``: what it is called."""
    config = models.config
    with progress.bar(bar, len(processes.own(rows)), "examples") as advance:
        return sketch(
            model,
            rows,
            folder,
            pad_token_id=models.pad_token_id,
            dimensions=config.influence.dimensions,
            seed=config.seed,
            tokens_per_batch=config.influence.tokens_per_batch,
            transform=transform,
            advance=advance,
            road=models.roads().gradients,
        )


def gradient_transform(
    models: Models, adapter: Stage, model: PeftModel, trained_on: Sequence[TokenizedExample], folder: Path
) -> Transform | None:
    """What ``influence.transform`` asks for: with the moments that lie beside the adapter, or fitted in ``folder``.

    ``trained_on``: the examples whose mean loss has the curvature.
    """
    how = models.config.influence.transform
    if how == "none":
        return None
    if how == "curvature":
        return curvature(models, model, trained_on, folder)
    return adam_transform(adapter, model, "torch" if how == "adam" else "less")


def adam_transform(warmed_up: Stage, model: PeftModel, form: AdamForm = "torch") -> AdamTransform:
    """Adam's next step, with the moments that lie beside the adapter."""
    path = warmed_up.folder / MOMENTS
    shapes = {name: layer.weight.shape for name, layer in trainable_linears(model).items()}
    try:
        tensors = load_file(path, device=str(model.device))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file; delete its folder to warm up again") from error
    return AdamTransform(read_moments(tensors, shapes, str(path)), form=form)


def curvature(models: Models, model: PeftModel, rows: Sequence[TokenizedExample], folder: Path) -> Curvature:
    """The curvature of these rows' mean loss, fitted in ``folder``, or read from there."""
    config = models.config
    with progress.bar("curvature, two passes", 2 * len(processes.own(rows)), "examples") as advance:
        return fit_curvature(
            model,
            rows,
            folder,
            pad_token_id=models.pad_token_id,
            seed=config.seed,
            tokens_per_batch=config.influence.tokens_per_batch,
            advance=advance,
            road=models.roads().gradients,
        )


def keep_curvature(fitted: Path, datastore: Path) -> None:
    """Beside the gradients that were taken by it, so that those of other targets can be."""
    processes.wait()
    if processes.is_main() and not (datastore / CURVATURE).is_dir():
        with written(datastore, "the curvature"), replacing_folder(datastore / CURVATURE) as partial:
            shutil.copytree(fitted, partial, dirs_exist_ok=True)
