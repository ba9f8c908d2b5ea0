"""Every adapter of a run: the warm-up's (stage 2, first half) and each method's (stage 3)."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import save_file

from grait.config import OptimizerSection
from grait.judging.sureness import with_sureness
from grait.methods.selection import Evidence, by_question, most_correct, with_label
from grait.model.compiled import compiled
from grait.pipeline.workbench import Notes, Workbench, digest, left_out, model_key
from grait.records import KnowledgeState, RaitExample, Selected
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, write_json, write_jsonl, write_rows
from grait.training.examples import WeightedExample
from grait.training.sft import add_adapter, n_steps, train
from grait.training.trainer import EndOfEpoch

MOMENTS = "optimizer_moments.safetensors"
CHECKPOINTS = "checkpoints.json"
"""Learning rates of the epochs whose adapters are kept, in folders of their own: ``epoch-1``, ..."""


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """A row of ``influence/scores.parquet``: influence, and what GRAIT made of it."""

    id: str
    label: str
    refusal_influence: float
    over_refusal_influence: float
    stable_influence: float
    retention_influence: float
    gradient_norm: float
    left_out_margin: float
    selected: bool
    sample_weight: float


def warmup(bench: Workbench, states: Sequence[KnowledgeState]) -> Stage:
    """The adapter of M~: a short tuning on what the model answers best."""
    config = bench.config
    best = most_correct(with_label(states, "ik"), config.warmup.n_examples)
    examples = [
        WeightedExample(bench.tokenized(state.id, "basic", bench.prompts.reference(bench.questions[state.id])), 1.0)
        for state in best
    ]
    key = {
        "model": model_key(config),
        "examples": digest(examples),
        "lora": config.lora.model_dump(),
        "warmup": config.warmup.model_dump(exclude={"micro_batch_size"}),
        "checkpoints": config.influence.checkpoints,
        "seed": config.seed,
    }
    is_kept = config.influence.checkpoints == "epochs"
    stage = Stage(bench.folder / "warmup", key)
    bench.once(
        f"2/4 Influence: warm-up on {len(examples)} known questions",
        stage,
        lambda folder: _train(bench, "warm-up", stage, examples, config.warmup, folder, keep_epochs=is_kept),
    )
    return stage


def training(bench: Workbench, method: str, selected: Sequence[Selected]) -> Stage:
    """One method's adapter, in PEFT's format."""
    config = bench.config
    examples = weighted_examples(bench, selected)
    optimizer = config.training.resolved(len(examples))
    key = {
        "model": model_key(config),
        "examples": digest(examples),
        "lora": config.lora.model_dump(),
        "training": optimizer.model_dump(exclude={"micro_batch_size", "methods", "max_steps"}),
        "seed": config.seed,
    }
    stage = Stage(bench.folder / "adapters" / method, key)
    n_refusals = sum(row.target == "refusal" for row in selected)
    bench.once(
        f"3/4 Training: {method} on {len(selected) - n_refusals} answers and {n_refusals} refusals",
        stage,
        lambda folder: _train(bench, method, stage, examples, optimizer, folder),
    )
    return stage


def write_selection(bench: Workbench, evidence: Evidence, selected: Mapping[str, Sequence[Selected]]) -> None:
    """Results for people: scores with what GRAIT made of them, and its training examples as text."""
    if "grait" not in selected or not processes.is_main():
        return
    weights = {row.id: row.sample_weight for row in by_question(selected["grait"]).values()}
    write_rows(
        bench.folder / "influence" / "scores.parquet",
        [
            ScoredQuestion(**asdict(score), selected=score.id in weights, sample_weight=weights.get(score.id, 0.0))
            for score in evidence.influence.values()
        ],
    )
    write_jsonl(bench.folder / "rait.jsonl", [_rait_example(bench, row) for row in selected["grait"]])


def _train(
    bench: Workbench,
    title: str,
    stage: Stage,
    examples: Sequence[WeightedExample],
    config: OptimizerSection,
    folder: Path,
    keep_epochs: bool = False,
) -> Notes:
    """Train a fresh adapter; write it, the optimizer's moments and the losses into ``folder``, on request by epoch."""
    model = add_adapter(bench.model, bench.config.lora, bench.config.seed)
    unfinished = stage.unfinished()

    def keep(epoch: EndOfEpoch) -> None:
        if not processes.is_main():
            return
        partial = unfinished / ".epoch.partial"
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial, state_dict=epoch.adapter)
        save_file(epoch.moments, partial / MOMENTS)
        kept = unfinished / f"epoch-{epoch.number}"
        shutil.rmtree(kept, ignore_errors=True)  # of a run that was killed before the checkpoint of this epoch's end
        partial.rename(kept)

    try:
        with (
            progress.bar(title, n_steps(len(examples), config), "steps") as advance,
            compiled(model) if bench.config.model.compile else nullcontext(),
        ):
            log = train(
                model,
                examples,
                config,
                pad_token_id=bench.pad_token_id,
                seed=bench.config.seed,
                advance=advance,
                on_epoch=keep if keep_epochs else None,
                resume=unfinished,
            )
        model.save_pretrained(folder, state_dict=log.adapter)
    finally:
        if processes.sharding() == "none":
            bench.drop_adapter(model)
        else:
            bench.drop_model()  # only a shard of it is left; whoever asks for it next loads it again
    save_file(log.moments, folder / MOMENTS)
    write_json(folder / "losses.json", log.losses)
    if keep_epochs and processes.is_main():
        for number, _ in enumerate(log.learning_rates, 1):
            shutil.copytree(unfinished / f"epoch-{number}", folder / f"epoch-{number}")
        write_json(folder / CHECKPOINTS, log.learning_rates)
    return left_out(title, log.non_finite)


def weighted_examples(bench: Workbench, selected: Sequence[Selected]) -> list[WeightedExample]:
    """What is trained on: REFUSE prompts, and what each teaches."""
    return [
        WeightedExample(bench.tokenized(row.id, "refuse", taught(bench, row)), row.sample_weight) for row in selected
    ]


def taught(bench: Workbench, row: Selected) -> str:
    """What the selected question teaches, as text."""
    if row.target == "refusal":
        return bench.config.prompt.refusal
    reference = bench.prompts.reference(bench.questions[row.id])
    return reference if row.target == "answer" else with_sureness(reference, row.target == "answer-sure")


def _rait_example(bench: Workbench, row: Selected) -> RaitExample:
    prompt = bench.prompts.prompt(bench.questions[row.id], "refuse")
    completion = bench.prompts.completion(prompt, taught(bench, row))
    return RaitExample(row.id, row.label, prompt.text, completion.text, row.sample_weight)
