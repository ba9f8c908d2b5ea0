"""Stage 1, and again after the warm-up: what the model knows, and how that changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grait.knowledge.flow import knowledge_flow
from grait.knowledge.query import query
from grait.methods.selection import with_label
from grait.model.load import resolve_device
from grait.model.sentences import Embed, load_embedder
from grait.pipeline.parts import in_parts
from grait.pipeline.workbench import Notes, Workbench, digest, engine_key, model_key
from grait.records import KnowledgeFlow, KnowledgeState, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, write_rows


def knowledge_key(bench: Workbench) -> dict[str, Any]:
    """All that decides the knowledge state."""
    config = bench.config
    return {
        "model": model_key(config),
        **engine_key(config),
        "prompt": config.prompt.model_dump(exclude={"shots_in"}),
        "knowledge": config.knowledge.model_dump(),
        "seed": config.seed,
        "questions": digest(bench.training_set),
        "shots": digest(bench.prompts.shots_of(list(bench.questions.values()))),
    }


def initial_knowledge(bench: Workbench) -> list[KnowledgeState]:
    """What the initial model knows of each training question."""
    config = bench.config
    stage = Stage(bench.folder / "knowledge", knowledge_key(bench))

    def compute(folder: Path) -> Notes:
        kept, skipped = bench.fitting(
            list(bench.questions.values()), config.knowledge.max_new_tokens, "training", is_trained_on=True
        )
        write_rows(folder / "knowledge.parquet", _asked(bench, stage, None, kept))
        return {"skipped": skipped}

    bench.once("1/4 Knowledge: what does the model know?", stage, compute)
    states = read_rows(stage.folder / "knowledge.parquet", KnowledgeState)
    n_ik, n_idk = len(with_label(states, "ik")), len(with_label(states, "idk"))
    dropped = len(states) - n_ik - n_idk
    progress.note(f"{len(states)} questions: {n_ik} known (ik), {n_idk} unknown (idk), {dropped} on the threshold")
    return states


def warmup_flow(bench: Workbench, states: Sequence[KnowledgeState], warmed_up: Stage) -> list[KnowledgeFlow]:
    """For CRaFT: the knowledge query again, with the warm-up adapter.

    The same questions, shots and seed: samples of the two models share their random numbers.
    """
    stage = Stage(bench.folder / "flow", {"warmup": warmed_up.fingerprint, **knowledge_key(bench)})

    def compute(folder: Path) -> Notes:
        states_after = _asked(bench, stage, warmed_up, [bench.questions[state.id] for state in states])
        write_rows(folder / "flow.parquet", knowledge_flow(states, states_after))
        return {}

    bench.once("2/4 Knowledge flow: what does the model know after the warm-up?", stage, compute)
    return read_rows(stage.folder / "flow.parquet", KnowledgeFlow)


def _asked(
    bench: Workbench, stage: Stage, adapter: Stage | None, questions: Sequence[Question]
) -> list[KnowledgeState]:
    """The knowledge query, in parts that survive a kill."""
    embed = _embedder(bench)
    with (
        bench.engine(adapter) as engine,
        progress.bar("knowledge query", len(processes.own(questions)), "questions") as advance,
    ):
        states = in_parts(
            stage.unfinished(),
            KnowledgeState,
            bench.prompts.by_shots(questions),
            lambda part: query(
                engine,
                bench.prompts,
                part,
                bench.config.knowledge,
                seed=bench.config.seed,
                advance=advance,
                embed=embed,
            ),
            advance,
        )
    return [states[question.id] for question in questions]


def _embedder(bench: Workbench) -> Embed | None:
    """Sentence embeddings, where the certainty of free text is measured by them."""
    if bench.config.knowledge.certainty == "agreement":
        return None
    return load_embedder(resolve_device(bench.config.model.device))
