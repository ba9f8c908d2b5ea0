"""Part of stage 4: how far each system is from the initial model on what the initial model says by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from grait.config import Config
from grait.evaluation.side_effects import summarize_drift
from grait.methods.catalog import INIT_REFUSE
from grait.model.answers import Shown, greedy_answers
from grait.model.completions import TokenizedExample
from grait.model.drift import drift
from grait.model.engine import Advance
from grait.model.prompts import Prompt
from grait.pipeline.data import RunData
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.work import Count, StagePlan, Work
from grait.records import DriftRecord, DriftSums, InitialAnswer
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows

NEW_TOKENS = 40
"""Of an answer of the initial model, at most."""


def drift_of_systems(
    data: RunData, models: Models, stages: Stages, prompts: Mapping[str, Prompt], systems: Mapping[str, Stage | None]
) -> list[DriftRecord]:
    """One record for each system, by its adapter; None is the initial model. ``prompts``: by id, of what is ordinary.
    None at all where the initial model says nothing."""
    spoken = _initial_answers(data, models, stages, prompts)
    examples = [
        TokenizedExample(row.id, prompts[row.id].token_ids, tuple(row.token_ids))
        for row in read_rows(spoken.folder / "answers.parquet", InitialAnswer)
        if row.token_ids
    ]
    if not examples:
        return []
    found = []
    for name, adapter in systems.items():
        key = {
            "model": model_key(data.config),
            "adapter": adapter.fingerprint if adapter else None,
            "answers": spoken.fingerprint,
            "columns": [column.name for column in fields(DriftSums)],
        }
        stage = Stage(stages.folder / "drift" / name, key)
        found.append(_drift(data, models, stages, stage, adapter, examples))
    return found


def _initial_answers(data: RunData, models: Models, stages: Stages, prompts: Mapping[str, Prompt]) -> Stage:
    """The finished stage with the initial model's greedy answers."""
    key = {
        "model": model_key(data.config),
        **engine_key(data.config),
        "prompts": fingerprint([[id_, prompt.text] for id_, prompt in prompts.items()]),
        "max_new_tokens": NEW_TOKENS,
        "columns": [column.name for column in fields(InitialAnswer)],
    }
    stage = Stage(stages.folder / "initial_answers", key)

    def compute(folder: Path) -> Notes:
        longest = models.longest - NEW_TOKENS
        kept = [Shown(id_, "", prompt) for id_, prompt in prompts.items() if len(prompt.token_ids) <= longest]
        with models.engine(None) as engine:

            def answer(part: list[Shown], advance: Advance) -> list[InitialAnswer]:
                found = greedy_answers(engine, data.prompts, part, NEW_TOKENS, advance)
                return [InitialAnswer(id_, data.prompts.decode(tokens), tuple(tokens)) for id_, tokens in found.items()]

            rows = stage_rows(stage, InitialAnswer, kept, answer, bar="the initial model's own answers", unit="prompts")
        write_rows(folder / "answers.parquet", rows)
        return {}

    stages.once("4/4 Evaluation: what the initial model says by itself", stage, compute)
    return stage


def _drift(
    data: RunData,
    models: Models,
    stages: Stages,
    stage: Stage,
    adapter: Stage | None,
    examples: Sequence[TokenizedExample],
) -> DriftRecord:
    name = stage.folder.name

    def compute(folder: Path) -> Notes:
        with models.adapted(adapter) as model:
            rows = stage_rows(
                stage,
                DriftSums,
                examples,
                lambda part, advance: drift(
                    model, part, models.pad_token_id, tokens_per_batch=data.config.tokens_per_batch, advance=advance
                ),
                bar=f"{name}, drift",
                unit="answers",
            )
        write_rows(folder / "sums.parquet", rows)
        return {}

    stages.once(f"4/4 Evaluation: drift of {name} from the initial model", stage, compute)
    return summarize_drift(name, read_rows(stage.folder / "sums.parquet", DriftSums))


def plan_drift(config: Config, n: Count, prompt_tokens: float) -> StagePlan:
    """The cost of ``drift_of_systems``. Tuned systems take two passes over the answers, the initial model one."""
    passes = 1 + 2 * len(config.training.methods)
    work = Work.generating(n.or_per, prompt_tokens, NEW_TOKENS, config.tokens_per_batch)
    tokens = passes * n.or_per * NEW_TOKENS
    work += Work(prompt_tokens=passes * n.or_per * prompt_tokens + tokens, prompt_positions=tokens)
    systems = ", ".join([INIT_REFUSE, *config.training.methods])
    does = f"the initial model's own answers as {1 + len(config.training.methods)} systems see them: {systems}"
    return StagePlan("drift", does, n, work, unit="prompts", samples=n)
