"""What the initial model knows of the facts in a set for SFT: stages beside the set that is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grait.config import Config
from grait.judging.judges import Judge
from grait.knowledge.conversations import (
    GivenAnswer,
    InConversation,
    KeyLikelihood,
    Samples,
    key_likelihoods,
    own_samples,
)
from grait.knowledge.temperature import SAMPLES, TEMPERATURES, best_temperature, known_f1, try_temperatures
from grait.model.answers import Shown
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, digest
from grait.pipeline.temperature import sample_size
from grait.records import Question, TemperatureTrial
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows

PART = 50
"""Conversations that are asked before what was said is kept."""


def conversation_temperature(
    data: RunData, models: Models, stages: Stages, asked: Sequence[Shown], facts: Sequence[Question], judge: Judge
) -> RunData:
    """The same with a number for ``knowledge.temperature``, found as in a run (``pipeline.temperature``), in the rows'
    own conversations. ``facts``: what each of ``asked`` asks for, with the same ids. ``judge``: of what is said."""
    config = data.config
    if config.knowledge.temperature != "auto":
        return data
    tried = sorted(facts, key=lambda fact: fingerprint([config.seed, fact.id]))[: sample_size(len(facts))]
    own = {row.id: row.prompt for row in asked}
    prompts = InConversation.of(data.prompts, own)
    key = _key(config, [row for row in asked if row.id in {fact.id for fact in tried}]) | {
        "prompt": config.prompt.model_dump(include={"language", "refusal_phrases"}),
        "questions": digest(tried),
        "tried": [SAMPLES, *TEMPERATURES],
        "max_new_tokens": config.knowledge.max_new_tokens,
        **(judge_key(config) if judge is data.judge else {"judge": judge.name}),
    }
    stage = Stage(stages.folder / "temperature", key)

    def compute(folder: Path) -> Notes:
        with models.engine(None) as engine:
            rows = stage_rows(
                stage,
                TemperatureTrial,
                tried,
                lambda part, advance: try_temperatures(
                    engine,
                    prompts,
                    part,
                    config.knowledge,
                    answer_tokens=config.knowledge.max_new_tokens,
                    seed=config.seed,
                    advance=advance,
                    judge=judge,
                ),
                bar="temperature",
                size=PART,
            )
        write_rows(folder / "trials.parquet", rows)
        return {}

    stages.once("1/2 At which temperature?", stage, compute)
    trials = read_rows(stage.folder / "trials.parquet", TemperatureTrial)
    found = best_temperature(known_f1(trials, config.knowledge.correctness_threshold))
    stages.tell(f"temperature {found:g}, found on {len(trials)} questions (docs/defaults.md)")
    return data.at_temperature(found)


def conversation_samples(data: RunData, models: Models, stages: Stages, asked: Sequence[Shown]) -> dict[str, list[str]]:
    """The model's own answers to each conversation, by id."""
    config = data.config
    key = _key(config, asked) | config.knowledge.model_dump(include={"n_samples", "temperature", "max_new_tokens"})
    stage = Stage(stages.folder / "samples", key)

    def compute(folder: Path) -> Notes:
        with models.engine(None) as engine:
            rows = stage_rows(
                stage,
                Samples,
                asked,
                lambda part, advance: own_samples(
                    engine, data.prompts, part, config.knowledge, seed=config.seed, advance=advance
                ),
                bar="own answers",
                unit="conversations",
                size=PART,
            )
        write_rows(folder / "samples.parquet", rows)
        return {}

    stages.once(f"2/2 What does the model say to {len(asked)} questions?", stage, compute)
    return {row.id: row.outputs for row in read_rows(stage.folder / "samples.parquet", Samples)}


def given_likelihoods(
    data: RunData, models: Models, stages: Stages, given: Sequence[GivenAnswer]
) -> dict[str, KeyLikelihood]:
    """How likely the key of each given answer is to the model, by id."""
    key = _key(data.config, given) | {"answers": fingerprint([[row.answer, row.start, row.end] for row in given])}
    stage = Stage(stages.folder / "likelihood", key)

    def compute(folder: Path) -> Notes:
        with models.engine(None) as engine:
            rows = stage_rows(
                stage,
                KeyLikelihood,
                given,
                lambda part, advance: key_likelihoods(engine, data.prompts, part, advance=advance),
                bar="given answers",
                unit="answers",
                size=PART,
            )
        write_rows(folder / "likelihoods.parquet", rows)
        return {}

    stages.once(f"How likely are {len(given)} given answers to the model?", stage, compute)
    return {row.id: row for row in read_rows(stage.folder / "likelihoods.parquet", KeyLikelihood)}


def _key(config: Config, asked: Sequence[Shown]) -> dict[str, Any]:
    return {
        "model": model_key(config),
        **engine_key(config),
        "seed": config.seed,
        "prompts": fingerprint([[row.id, row.prompt.token_ids] for row in asked]),
    }
