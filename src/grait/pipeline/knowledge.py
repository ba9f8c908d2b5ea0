"""Stage 1, and again after the warm-up: what the model knows, and how that changes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from grait.config import Config
from grait.data.contexts import closed_book
from grait.knowledge.flow import knowledge_flow
from grait.knowledge.query import query
from grait.methods.catalog import needing_flow
from grait.methods.selection import with_label
from grait.model.load import resolve_device
from grait.model.sentences import load_embedder
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, digest
from grait.pipeline.work import CHARACTERS_PER_TOKEN, SetSize, StagePlan, Work
from grait.records import KnowledgeFlow, KnowledgeState, Question
from grait.runtime import progress
from grait.runtime.artifacts import Stage, read_rows, write_rows


def knowledge_key(data: RunData) -> dict[str, Any]:
    """All that decides the knowledge state."""
    config = data.config
    return {
        "model": model_key(config),
        **engine_key(config),
        **judge_key(config),
        **data.prompts.key,
        **_forms_that_have_to_fit(data),
        "knowledge": config.knowledge.model_dump(exclude={"own_samples", "own_max_new_tokens"}),
        "seed": config.seed,
        "questions": digest(list(data.training_set)),
        "shots": digest(data.prompts.shots_of(list(data.questions.values()))),
    }


def _forms_that_have_to_fit(data: RunData) -> dict[str, Any]:
    """Forms with words of their own, and several refusal texts, in which a question may be too long."""
    forms = [asdict(form) for form in data.prompts.forms if form.template is not None]
    refusals = data.config.prompt.refusals
    key: dict[str, Any] = {"refusals": list(refusals)} if len(refusals) > 1 else {}
    return key | ({"forms": forms, "own_max_new_tokens": data.config.knowledge.own_max_new_tokens} if forms else {})


def initial_knowledge(data: RunData, models: Models, stages: Stages) -> list[KnowledgeState]:
    """What the initial model knows of each training question, asked without its text."""
    stage = Stage(stages.folder / "knowledge", knowledge_key(data))

    def compute(folder: Path) -> Notes:
        knowledge = data.config.knowledge
        models.roads()  # what cannot be trained says so before the first question is asked
        new_tokens = max(knowledge.max_new_tokens, knowledge.own_max_new_tokens if data.config.prompt.forms else 0)
        kept, skipped = data.fitting(
            list(data.questions.values()), models.longest, new_tokens, "training", is_trained_on=True
        )
        states = _query_in_parts(data, models, stage, None, [*map(closed_book, kept)])
        without, threshold = _without_verdict(states), knowledge.correctness_threshold
        write_rows(
            folder / "knowledge.parquet",
            [replace(state, correctness=threshold) if state.id in without else state for state in states],
        )
        return {"skipped": skipped} | ({"without_verdict": without} if without else {})

    stages.once("1/4 Knowledge: what does the model know?", stage, compute)
    states = read_rows(stage.folder / "knowledge.parquet", KnowledgeState)
    n_ik, n_idk = len(with_label(states, "ik")), len(with_label(states, "idk"))
    dropped = len(states) - n_ik - n_idk
    stages.note_reasoning(stage, [state.answer for state in states], "knowledge.max_new_tokens")
    progress.note(f"{len(states)} questions: {n_ik} known (ik), {n_idk} unknown (idk), {dropped} on the threshold")
    return states


def _without_verdict(states: list[KnowledgeState]) -> list[str]:
    """The ids of those of which no sample has a verdict; says so."""
    without = [state.id for state in states if math.isnan(state.correctness)]
    if without:
        progress.note(f"{len(without)} questions none of whose samples has a verdict: {progress.first_few(without)}")
    return without


def plan_knowledge(config: Config, training: SetSize) -> StagePlan:
    """The cost of ``initial_knowledge``."""
    return _plan_query(config, training, "knowledge", "what does the model know? ")


def warmup_flow(
    data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState], warmed_up: Stage
) -> list[KnowledgeFlow]:
    """For CRaFT: the knowledge query again, with the warm-up adapter.

    The same questions, shots and seed: samples of the two models share their random numbers.
    """
    stage = Stage(stages.folder / "flow", {"warmup": warmed_up.fingerprint, **knowledge_key(data)})

    def compute(folder: Path) -> Notes:
        questions = data.closed_book(state.id for state in states)
        states_after = _query_in_parts(data, models, stage, warmed_up, questions)
        without = _without_verdict(states_after)
        before = {state.id: state.correctness for state in states}  # what is not judged does not flow
        states_after = [
            replace(state, correctness=before[state.id]) if state.id in without else state for state in states_after
        ]
        write_rows(folder / "flow.parquet", knowledge_flow(states, states_after))
        return {"without_verdict": without} if without else {}

    stages.once("2/4 Knowledge flow: what does the model know after the warm-up?", stage, compute)
    return read_rows(stage.folder / "flow.parquet", KnowledgeFlow)


def plan_flow(config: Config, training: SetSize) -> StagePlan:
    """The cost of ``warmup_flow``."""
    methods = ", ".join(needing_flow(config.training.methods))
    return _plan_query(config, training, "knowledge flow", f"for {methods}: the same with the warm-up adapter, ")


def _query_in_parts(
    data: RunData, models: Models, stage: Stage, adapter: Stage | None, questions: Sequence[Question]
) -> list[KnowledgeState]:
    """The knowledge query, in parts that survive a kill."""
    config = data.config
    is_embedded = config.knowledge.certainty == "embedding"
    embed = load_embedder(resolve_device(config.model.device)) if is_embedded else None
    with models.engine(adapter) as engine:
        return stage_rows(
            stage,
            KnowledgeState,
            questions,
            lambda part, advance: query(
                engine,
                data.prompts,
                part,
                config.knowledge,
                seed=config.seed,
                advance=advance,
                judge=data.judge,
                embed=embed,
            ),
            bar="knowledge query",
            groups=data.prompts.by_shots(questions),
        )


def _plan_query(config: Config, training: SetSize, name: str, begins: str) -> StagePlan:
    knowledge, count, tokens = config.knowledge, training.count, training.query_tokens
    per, n = count.per("training questions"), count.or_per
    if not training.has_options or knowledge.scoring == "sampling":
        samples = knowledge.n_samples
        at = (
            "the temperature that was found"
            if knowledge.temperature == "auto"
            else f"temperature {knowledge.temperature:g}"
        )
        does = f"{begins}{samples} samples of each question at {at}"
        work = Work.generating(n, tokens, knowledge.max_new_tokens, config.tokens_per_batch, samples)
        return StagePlan(name, does, count, work, samples=count.times(samples), per=per)
    by_text = knowledge.scoring == "likelihood"
    does = f"{begins}probabilities of the option {'texts' if by_text else 'letters'} of each question, no sampling"
    options = training.characters / CHARACTERS_PER_TOKEN if by_text else 1.0
    scored = Work(prompt_tokens=n * (tokens + (options if by_text else 0)), prompt_positions=n * options)
    return StagePlan(name, does, count, scored, per=per)
