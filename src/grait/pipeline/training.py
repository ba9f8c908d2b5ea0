"""Every adapter of a run: the warm-up's (stage 2, first half) and each method's (stage 3)."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor

from grait.config import Config, OptimizerSection, TrainingConfig
from grait.data.replay import BUILTIN, load_unanswerable
from grait.errors import DataError
from grait.knowledge.own_words import OwnAnswers
from grait.methods.catalog import METHODS, main_method, needing_flow, needing_influence
from grait.methods.selection import Evidence, by_question, most_correct, with_label
from grait.model.compiled import compiled
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.lessons import NO_OWN_WORDS, as_row, rait_examples, unanswerable_rows, weighted_examples
from grait.pipeline.models import Models, model_key
from grait.pipeline.replay import Replayed, n_replayed, replay_examples, replay_set, training_key
from grait.pipeline.stages import Notes, Stages, left_out
from grait.pipeline.work import ANSWER_TOKENS, FORWARD_AND_BACKWARD, Count, SetSize, StagePlan, Work
from grait.records import InfluenceScore, KnowledgeState, Selected
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, write_json, write_jsonl, write_rows
from grait.runtime.files import replacing_folder
from grait.training.examples import WeightedExample, digest_of
from grait.training.sft import add_adapter, n_steps, train
from grait.training.trainer import EndOfEpoch, Rounds

if TYPE_CHECKING:
    from grait.pipeline.rounds import Reweighing

MOMENTS = "optimizer_moments.safetensors"
CHECKPOINTS = "checkpoints.json"
"""Learning rates of the epochs whose adapters are kept, in folders of their own: ``epoch-1``, ..."""

EXAMPLES = "rait.jsonl"
"""Training examples as text: beside each adapter, and those of the run's main method at the top of its folder."""


@dataclass(frozen=True, slots=True)
class ScoredQuestion(InfluenceScore):
    """A row of ``influence/scores.parquet``: influence, and what the run's main method made of it."""

    selected: bool
    sample_weight: float


def warmup(data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState]) -> Stage:
    """The adapter of M~: a short tuning on what the model answers best."""
    config = data.config
    best = most_correct(with_label(states, "ik"), config.warmup.n_examples)
    examples = [
        WeightedExample(data.tokenized(state.id, "basic", data.prompts.reference(data.questions[state.id])), 1.0)
        for state in best
    ]
    return warm_up_on(models, stages, f"2/4 Influence: warm-up on {len(examples)} known questions", examples)


def warm_up_on(models: Models, stages: Stages, title: str, examples: Sequence[WeightedExample]) -> Stage:
    """The adapter that a warm-up on these examples gives, in the folder ``warmup``, on request that of every epoch."""
    config = models.config
    key = {
        "model": model_key(config),
        "examples": digest_of(examples),
        "lora": config.lora.model_dump(),
        "warmup": config.warmup.model_dump(exclude={"micro_batch_size"}),
        "checkpoints": config.influence.checkpoints,
        "seed": config.seed,
    }
    is_kept = config.influence.checkpoints == "epochs"
    stage = Stage(stages.folder / "warmup", key)
    stages.once(
        title,
        stage,
        lambda folder: _train(models, "warm-up", stage, examples, config.warmup, folder, keep_epochs=is_kept),
    )
    return stage


def plan_warmup(config: Config, training: SetSize) -> StagePlan:
    """The cost of ``warmup``."""
    methods = dict.fromkeys(needing_flow(config.training.methods) + needing_influence(config.training.methods))
    does = f"trains an adapter on the best known questions with their answers, for {', '.join(methods)}"
    count = training.count.at_most(config.warmup.n_examples)
    return _plan(config, training, "warm-up", does, count, config.warmup)


def training(
    data: RunData,
    models: Models,
    stages: Stages,
    method: str,
    selected: Sequence[Selected],
    own: OwnAnswers = NO_OWN_WORDS,
    replayed: Replayed | None = None,
    reweighing: "Reweighing | None" = None,
) -> Stage:
    """One method's adapter, in PEFT's format, with ``rait.jsonl`` beside it. ``own``: the model's own words.

    ``reweighing``: for a training in rounds; ``rait.jsonl`` has the weights of the first.
    """
    config = data.config
    _check_length(data, models)
    questions = weighted_examples(data, selected, own)
    examples = [*questions, *replay_examples(config, replayed, questions)]
    n_refusals, n_forms = sum(row.target == "refusal" for row in selected), len(data.prompts.forms)
    each = f", each in {n_forms} forms" if n_forms > 1 else ""
    if data.unanswerable or data.built_in_unanswerable:
        n_more = len(unanswerable_rows(data, selected))
        each += f", and the refusal of {n_more} that nobody can answer" if n_more else ", without refusals of its own"
    each += f", beside {len(examples) - len(questions)} rows of replay" if replayed else ""
    goes_on = method in METHODS and METHODS[method].goes_on  # research trains variants of methods, too
    stage = train_on(
        models,
        stages,
        f"tuned/{method}" if goes_on else f"adapters/{method}",
        f"{method} on {len(selected) - n_refusals} answers and {n_refusals} refusals{each}",
        config.training.resolved(len(examples)),
        questions,
        replayed,
        reweighing,
    )
    path = stage.folder / EXAMPLES
    if processes.is_main() and not path.exists():  # beside the stage's own files: earlier versions wrote none
        _write_examples(path, data, selected, own)
    return stage


def train_on(
    models: Models,
    stages: Stages,
    place: str,
    what: str,
    optimizer: TrainingConfig,
    questions: Sequence[WeightedExample],
    replayed: Replayed | None,
    reweighing: "Reweighing | None" = None,
) -> Stage:
    """The adapter that is trained on these examples and on replay beside them, in the folder ``place`` of the run.

    ``what``: for the heading. ``optimizer``: without ``max_steps``.
    """
    config = models.config
    key = {
        "model": model_key(config),
        "examples": digest_of(questions),
        "lora": config.lora.model_dump(),
        "training": optimizer.model_dump(exclude={"micro_batch_size", "methods", "max_steps"}),
        "seed": config.seed,
        **training_key(config, replayed),
        **({"rounds": reweighing.key} if reweighing else {}),
    }
    stage = Stage(stages.folder / place, key)
    examples = [*questions, *replay_examples(config, replayed, questions)]
    stages.once(
        f"3/4 Training: {what}",
        stage,
        lambda folder: _train(models, stage.folder.name, stage, examples, optimizer, folder, reweighing=reweighing),
    )
    return stage


def trained_with(config: Config, adapter: Stage) -> TrainingConfig:
    """The settings that a finished adapter was trained with: ``training``, changed by what trials found."""
    if not config.tuned:
        return config.training
    found = {key: adapter.key["training"][key] for key in ("learning_rate", "epochs")}
    return config.training.model_copy(update=found | {"max_steps": None})


def _check_length(data: RunData, models: Models) -> None:
    """DataError where a question that nobody can answer is to be taught, and is too long for the model."""
    others = list(data.unanswerable.values())
    _, skipped = data.fitting(others, models.longest, 1, "unanswerable", True) if others else ([], [])
    if skipped:
        raise DataError(f"data.unanswerable = train: {skipped[0]!r} is longer than the model attends to; take it out")


def plan_training(config: Config, training: SetSize, method: str, n_rows: int | None = None) -> StagePlan:
    """The cost of ``training`` of one method. ``n_rows``: of questions, where they are known already."""
    count = n_selected(config, training.count, method).times(len(forms_of(config.prompt)))
    if config.replay.path == BUILTIN and count.n is not None and method != "van-tuning":  # which refuses nothing
        n_more = len(load_unanswerable(config.replay.unanswerable, config.seed))
        count = Count(count.n + n_more, is_exact=False)
    if n_rows is not None:
        count = Count(n_rows)
    n_beside = n_replayed(count.or_per, config)
    optimizer = config.training.resolved(count.or_per + n_beside)
    plan = _plan(config, training, f"training {method}", METHODS[method].summary, count, optimizer)
    return _with_replay(plan, replay_set(config, training), config, optimizer, n_beside) if n_beside else plan


def _with_replay(plan: StagePlan, prompts: SetSize, config: Config, optimizer: OptimizerSection, n: int) -> StagePlan:
    """The plan of questions with n rows of replay beside them."""
    seen, new_tokens = n * optimizer.epochs, config.replay.max_new_tokens
    tokens = prompts.prompt_tokens + new_tokens - 1
    count = plan.examples if plan.examples.n is None else Count(plan.examples.n + n, plan.examples.is_exact)
    work = plan.work + Work(trained_tokens=seen * tokens, trained_positions=seen * new_tokens)
    steps = Count(None if count.n is None else n_steps(count.n, optimizer), count.is_exact)
    return replace(plan, examples=count, work=work, steps=steps)


def n_selected(config: Config, questions: Count, method: str) -> Count:
    """Examples that a method trains on: n_ik + n_idk as configured, or at most what there is."""
    n_ik, n_idk = config.selection.n_ik, config.selection.n_idk
    if METHODS[method].takes_all_unknown:
        # An unknown question may teach its answer, too.
        return questions.times(2).at_most(n_ik + 2 * n_idk if n_ik is not None and n_idk is not None else None)
    if n_ik is not None and n_idk is not None:
        return Count(n_ik + n_idk)
    # By default all known questions, and no more unknown ones than known ones.
    return questions.at_most(2 * n_ik if n_ik is not None else None)


def write_selection(
    data: RunData, evidence: Evidence, selected: Mapping[str, Sequence[Selected]], own: OwnAnswers = NO_OWN_WORDS
) -> None:
    """Results for people, of the run's main method: its training examples as text, and what it made of the scores.

    No ``influence/scores.parquet`` where no method of the run needed influence.
    """
    if not selected or not processes.is_main():
        return
    chosen = selected[main_method(selected)]
    _write_examples(data.folder / EXAMPLES, data, chosen, own)
    if evidence.influence:
        rows = scored_questions(evidence.influence.values(), chosen)
        write_rows(data.folder / "influence" / "scores.parquet", rows)


def scored_questions(scores: Iterable[InfluenceScore], selected: Sequence[Selected]) -> list[ScoredQuestion]:
    """Each score, with what was made of it: of an unknown question that teaches both, its refusal."""
    weights = {row.id: row.sample_weight for row in by_question(selected).values()}
    return [
        ScoredQuestion(**asdict(score) | {"selected": score.id in weights, "sample_weight": weights.get(score.id, 0.0)})
        for score in scores
    ]


def _write_examples(path: Path, data: RunData, selected: Sequence[Selected], own: OwnAnswers) -> None:
    write_jsonl(path, [as_row(example) for example in rait_examples(data, selected, own)])


def _train(
    models: Models,
    title: str,
    stage: Stage,
    examples: Sequence[WeightedExample],
    config: OptimizerSection,
    folder: Path,
    keep_epochs: bool = False,
    reweighing: "Reweighing | None" = None,
) -> Notes:
    """Train a fresh adapter; write it, the optimizer's moments and the losses into ``folder``, on request by epoch."""
    run, road = models.config, models.roads().training
    model = add_adapter(models.initial, run.lora, run.seed)
    unfinished = stage.unfinished()

    def keep(epoch: EndOfEpoch) -> None:
        if processes.is_main():
            with replacing_folder(unfinished / f"epoch-{epoch.number}") as partial:
                save_adapter(model, partial, epoch.adapter)
                save_file(epoch.moments, partial / MOMENTS)

    try:
        with (
            progress.bar(title, n_steps(len(examples), config), "steps") as advance,
            compiled(model) if run.model.compile else nullcontext(),
        ):
            log = train(
                model,
                examples,
                config,
                pad_token_id=models.pad_token_id,
                seed=run.seed,
                advance=advance,
                on_epoch=keep if keep_epochs else None,
                resume=unfinished,
                road=road,
                rounds=Rounds(reweighing.n, partial(reweighing.weights, unfinished)) if reweighing else None,
            )
        save_adapter(model, folder, log.adapter)
    finally:
        if processes.sharding() == "none":
            models.take_off(model)
        else:
            models.drop()  # only a shard of it is left; whoever asks for it next loads it again
    save_file(log.moments, folder / MOMENTS)
    write_json(folder / "losses.json", log.losses)
    if reweighing and processes.is_main():
        for path in unfinished.glob("round-*.parquet"):
            shutil.copy(path, folder)
    if keep_epochs and processes.is_main():
        for number, _ in enumerate(log.learning_rates, 1):
            shutil.copytree(unfinished / f"epoch-{number}", folder / f"epoch-{number}")
        write_json(folder / CHECKPOINTS, log.learning_rates)
    return left_out(title, log.non_finite)


def save_adapter(model: PeftModel, folder: Path, adapter: dict[str, Tensor]) -> None:
    """The adapter in PEFT's format, without PEFT's empty model card: the run's own is written beside it."""
    model.save_pretrained(
        folder, state_dict=adapter, save_embedding_layers=False
    )  # else PEFT asks the hub whether they changed
    (folder / "README.md").unlink(missing_ok=True)


def _plan(
    config: Config, training: SetSize, name: str, does: str, count: Count, optimizer: OptimizerSection
) -> StagePlan:
    """The cost of ``_train`` on ``count`` examples; shots run once for each micro-batch."""
    seen, shots = count.or_per * optimizer.epochs, training.shots_tokens(config)
    work = Work(
        trained_tokens=seen * (training.prompt_tokens + ANSWER_TOKENS - 1) + shots * seen / optimizer.micro_batch_size,
        trained_positions=seen * ANSWER_TOKENS,
        passes=FORWARD_AND_BACKWARD * seen / optimizer.micro_batch_size,
    )
    steps = Count(None if count.n is None else n_steps(count.n, optimizer), count.is_exact)
    return StagePlan(name, does, count, work, unit="examples", steps=steps, per=count.per("examples"))
