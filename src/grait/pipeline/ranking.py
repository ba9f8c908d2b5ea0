"""Influence of anybody's training examples on anybody's targets: LESS's workflow, warm-up and all."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from grait.data.pairs import Pair
from grait.errors import DataError, ModelError
from grait.influence import Influence, influence, over_checkpoints, token_influence
from grait.model.adapters import CONFIG, WEIGHTS
from grait.model.common_prefix import common_prefix_length
from grait.model.completions import TokenizedExample
from grait.model.prompts import PromptFormat
from grait.pipeline.influence import CURVATURE, checkpoints_of, gradient_transform, keep_curvature, sketched
from grait.pipeline.models import Models, model_key
from grait.pipeline.stages import Notes, Stages, digest, left_out
from grait.pipeline.training import warm_up_on
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, readable, write_json
from grait.runtime.files import replacing_file, written
from grait.training.examples import WeightedExample

ALL = "all"
"""The group of targets that name none."""

MADE_WITH = "made_with.json"
ADAPTER = "adapter"
"""In a datastore's folder: what model it was made with, and the adapter."""

LEAST_WARMUP = 100
"""Examples of a warm-up by share, where there are so many: fewer would hardly move the adapter."""


@dataclass(frozen=True)
class Targets:
    """What influence is asked on, by group."""

    groups: dict[str, list[TokenizedExample]]

    @property
    def everything(self) -> list[TokenizedExample]:
        return [row for rows in self.groups.values() for row in rows]

    @property
    def ids(self) -> dict[str, list[str]]:
        return {name: [row.id for row in rows] for name, rows in self.groups.items()}


def tokenized(prompts: PromptFormat, pair: Pair) -> TokenizedExample:
    """A row as the model is trained on it. Text has its end token, once; of ``text`` the first token has no loss.

    A prompt and a completion of text are tokenised together, and the completion begins where the prompt's own tokens
    end, or change, as TRL's SFTTrainer does.
    """
    if pair.template_arguments:
        prompts = replace(
            prompts, config=prompts.config.model_copy(update={"template_arguments": pair.template_arguments})
        )
    eos = str(prompts.tokenizer.eos_token)
    if isinstance(pair.prompt, tuple):
        prompt = prompts.conversation(pair.prompt)
        return TokenizedExample(pair.id, prompt.token_ids, prompts.completion(prompt, pair.completion).token_ids)
    completion = pair.completion.removesuffix(eos)
    if pair.prompt is None:
        token_ids = (*prompts.tokens(completion, is_chat=False), prompts.end_id(is_chat=False))
        return TokenizedExample(pair.id, token_ids[:1], token_ids[1:])
    token_ids = (*prompts.tokens(pair.prompt + completion, is_chat=False), prompts.end_id(is_chat=False))
    own = prompts.tokens(pair.prompt, is_chat=False)
    n_prompt = max(1, common_prefix_length([(*own, -1), token_ids]))
    return TokenizedExample(pair.id, token_ids[:n_prompt], token_ids[n_prompt:])


def read_examples(models: Models, prompts: PromptFormat, pairs: Sequence[Pair], what: str) -> list[TokenizedExample]:
    """The rows as tokens; those longer than the model attends to are left out, and named."""
    found = [tokenized(prompts, pair) for pair in pairs]
    longest = models.longest
    kept = [row for row in found if row.n_tokens <= longest]
    if len(kept) < len(found):
        ids = [row.id for row in found if row.n_tokens > longest]
        progress.note(f"{what}: left out, longer than {longest} tokens ({len(ids)}): {progress.first_few(ids)}")
    if not kept:
        raise DataError(f"{what}: every row is longer than the {longest} tokens that the model attends to")
    return kept


def grouped(pairs: Sequence[Pair], rows: Sequence[TokenizedExample]) -> Targets:
    """The targets by their group, in the order in which groups appear; a group that has no row left is named. Raises
    DataError where a group is called as that of the rows that name none."""
    if {"", ALL} <= {pair.group for pair in pairs}:
        first = next(pair for pair in pairs if pair.group == ALL)
        raise DataError(f"{first.where}: a group called `{ALL}`, as are targets without a group; call it otherwise")
    names = {pair.id: pair.group or ALL for pair in pairs}
    if len(set(names.values())) > 1 and (n := sum(not pair.group for pair in pairs)):
        progress.note(f"targets: {n} of {len(pairs)} name no group; they are a group `{ALL}` of their own")
    groups: dict[str, list[TokenizedExample]] = {}
    for row in rows:
        groups.setdefault(names[row.id], []).append(row)
    if lost := [name for name in dict.fromkeys(names.values()) if name not in groups]:
        progress.note(f"targets: no row left of the groups {progress.first_few(lost)}; they have no score")
    return Targets(groups)


def note_own_targets(examples: Sequence[TokenizedExample], targets: Targets) -> None:
    """Says how many targets are examples, too."""
    own = {(row.prompt_ids, row.completion_ids) for row in examples}
    if n := sum((row.prompt_ids, row.completion_ids) in own for row in targets.everything):
        progress.note(
            f"targets: {n} of {len(targets.everything)} are examples, too; their own gradients are in their scores"
        )


def warmed_up(models: Models, stages: Stages, examples: Sequence[TokenizedExample], n: int) -> Stage:
    """The adapter of a short tuning on ``n`` of the examples, drawn by the seed (LESS, step 1)."""
    drawn = random.Random(f"warm-up {models.config.seed}").sample(list(examples), n)
    title = f"Warm-up on {n} of {len(examples)} examples, drawn at random"
    return warm_up_on(models, stages, title, [WeightedExample(row, 1.0) for row in drawn])


def check_trained(models: Models, adapter: Stage) -> None:
    """Raise ModelError for an adapter at its starting point, where the gradients of its A are 0."""
    with models.adapted(adapter) as model:
        after = [weight for name, weight in model.named_parameters() if "lora_B" in name]
        if after and not any(bool(weight.any()) for weight in after):
            raise ModelError(
                f"{adapter.folder}: this adapter was not trained yet (its B are 0), so that half of its gradients are "
                "0; train it a little, or leave it out for a warm-up"
            )


def ranking(
    models: Models,
    stages: Stages,
    adapter: Stage,
    examples: Sequence[TokenizedExample],
    targets: Targets,
    datastore: Path | None = None,
) -> Influence:
    """Influence of the examples on each group of targets, at the adapter or summed over the warm-up's epochs.
    ``datastore``: where the sketch of ``influence.mode: sketch`` is kept, to be asked again; None: in the stage."""
    config = models.config
    of_sketch = {"dimensions": config.influence.dimensions, "projection_seed": config.seed}
    key = {
        "model": model_key(config),
        "adapter": adapter.fingerprint,
        "transform": config.influence.transform,
        "checkpoints": config.influence.checkpoints,
        "mode": config.influence.mode,
        "examples": digest(examples),
        "targets": {name: digest(rows) for name, rows in targets.groups.items()},
        **(of_sketch if config.influence.mode == "sketch" else {}),
        **({"label_seed": config.seed} if config.influence.transform == "curvature" else {}),
    }
    stage = Stage(stages.folder / "influence", key)

    def compute(folder: Path) -> Notes:
        models.roads()
        found = over_checkpoints(
            (rate, _at(models, own, examples, targets, stage.unfinished() / name, datastore))
            for name, rate, own in checkpoints_of(config, adapter)
        )
        write_json(folder / "influence.json", asdict(found))
        return left_out("influence", found.non_finite)

    n = len(targets.everything)
    title = f"Influence of {len(examples)} examples on {n} targets: {config.influence.mode}"
    stages.once(title, stage, compute)
    return read_influence(stage)


def read_influence(stage: Stage) -> Influence:
    """What a finished ``ranking`` found."""
    path = stage.folder / "influence.json"
    with readable(f"{path}: not a readable ranking; delete {stage.folder} to make it again"):
        tree = json.loads(path.read_text(encoding="utf-8"))
        return Influence(**(tree | {"non_finite": tuple(tree["non_finite"])}))


def _at(
    models: Models,
    adapter: Stage,
    examples: Sequence[TokenizedExample],
    targets: Targets,
    unfinished: Path,
    datastore: Path | None,
) -> Influence:
    """At one adapter."""
    config = models.config
    with models.adapted(adapter, is_trainable=True) as model:
        transform = gradient_transform(models, adapter, model, examples, unfinished / CURVATURE)
        if config.influence.mode == "sketch":
            store = sketched(
                models, model, examples, datastore or unfinished / "examples", "gradients of examples", transform
            )
            if datastore and processes.is_main():
                _say_made_with(models, adapter, datastore)
            on_both = transform if config.influence.transform == "curvature" else None
            if datastore and on_both:
                keep_curvature(unfinished / CURVATURE, datastore)
            own = sketched(models, model, targets.everything, unfinished / "targets", "gradients of targets", on_both)
            return store.influence_on(own, targets.ids)
        everything = [*examples, *targets.everything]
        with progress.bar("gradients, two passes", len(processes.own(everything)), "examples") as advance:
            return influence(
                model,
                examples,
                targets.groups,
                pad_token_id=models.pad_token_id,
                tokens_per_batch=config.influence.tokens_per_batch,
                advance=advance,
                resume=unfinished,
                transform=transform,
                road=models.roads().gradients,
            )


def _say_made_with(models: Models, adapter: Stage, datastore: Path) -> None:
    """Keep with a datastore what a later question needs: the model's name and the adapter."""
    config = models.config
    with written(datastore, "the gradient datastore"):
        (datastore / ADAPTER).mkdir(exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            with replacing_file(datastore / ADAPTER / name) as partial:
                shutil.copyfile(adapter.folder / name, partial)
        own = config.influence.model_dump(include={"dimensions", "tokens_per_batch"})
        local = Path(config.model.name)
        name = str(local.resolve()) if local.is_dir() else config.model.name
        write_json(
            datastore / MADE_WITH,
            {"seed": config.seed, "model": config.model.model_dump() | {"name": name}, "influence": own},
        )


def made_with(datastore: Path) -> dict[str, Any]:
    """Sections of the config that a datastore was made with; empty where it does not say. ArtifactError: damaged."""
    path = datastore / MADE_WITH
    if not path.exists():
        return {}
    with readable(f"{path}: not readable; delete it, and say --model and --adapter"):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def tokens_of(
    models: Models, adapter: Stage, examples: Sequence[TokenizedExample], targets: Targets
) -> dict[str, dict[str, list[float]]]:
    """By group and example, the share of each completion token in the example's exact influence."""
    with models.adapted(adapter, is_trainable=True) as model:
        return token_influence(
            model,
            examples,
            targets.groups,
            pad_token_id=models.pad_token_id,
            tokens_per_batch=models.config.influence.tokens_per_batch,
            road=models.roads().gradients,
        )


def in_order(found: Influence) -> dict[str, str]:
    """Ids, the most helpful first, with the group that each helps most; ties by their order.

    An example counts by its best place among the influences on one group, so that the groups take turns; of one group
    that is the order of the scores. LESS (section 4.2) takes the highest influence on any group: one whose gradients
    are alike then takes all the first places, as cosines with it are larger.
    """
    best: dict[str, tuple[int, float, str]] = {}
    for group, own in found.scores.items():
        noise = 1e-6 * max((abs(score) for score in own.values()), default=0.0) or 1.0
        rounded = {name: round(score / noise) for name, score in own.items()}  # the same tokens are a tie
        for place, name in enumerate(sorted(own, key=lambda name: -rounded[name])):
            here = (place, -own[name], group)
            best[name] = min(best.get(name, here), here)
    order = sorted(found.gradient_norms, key=lambda name: best[name][:2])
    return {name: best[name][2] for name in order}
