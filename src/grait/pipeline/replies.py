"""Replies of systems to prompts that measure side effects: asked once, judged, kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from grait.judging.judges import Judge, Matching, ToJudge
from grait.judging.premise import denies_premise
from grait.model.answers import Shown, greedy_answers
from grait.model.engine import Advance, Engine
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key, of_system
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, named_fields
from grait.records import Outcome, Question, SideEffectAnswer, SideEffectKind, SideEffectOutcome
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows

TITLES = {"side_effects": "side effects of", "conversations": "questions in a chat to"}
"""What is asked, in words, by the folder of the replies."""


WITH_REFERENCE: tuple[SideEffectKind, ...] = ("passage", "question")


@dataclass(frozen=True)
class Probing(Shown):
    """One thing that is asked in one form. ``question``: what the reply is judged by."""

    kind: SideEffectKind
    category: str
    question: Question


def replies(
    data: RunData,
    models: Models,
    stages: Stages,
    within: str,
    asked: Sequence[Probing],
    systems: Mapping[str, Stage | None],
) -> dict[str, list[SideEffectAnswer]]:
    """Those of each system, by its adapter; None is the initial model. ``within``: one of ``TITLES``, their folder."""
    config, found = data.config, {}
    for name, adapter in systems.items():
        key = {
            "model": model_key(config),
            **engine_key(config),
            **judge_key(config),
            "adapter": adapter.fingerprint if adapter else None,
            "prompts": fingerprint([_told_apart(row) for row in asked]),
            "refusal_phrases": fingerprint(config.prompt.all_refusal_phrases),
            **({} if config.prompt.language == "en" else {"language": config.prompt.language}),
            "max_new_tokens": config.evaluation.max_new_tokens,
            "columns": [column.name for column in fields(SideEffectAnswer)],
        }
        stage = Stage(stages.folder / within / name, key)

        def compute(folder: Path, stage: Stage = stage, adapter: Stage | None = adapter) -> Notes:
            return _ask(data, models, stage, adapter, asked, folder)

        stages.once(f"4/4 Evaluation: {TITLES[within]} {name}", stage, compute)
        found[name] = read_rows(stage.folder / "answers.parquet", SideEffectAnswer)
        stages.note_reasoning(stage, [row.output for row in found[name]], "evaluation.max_new_tokens")
    unjudged = {
        id_ for name in systems for id_ in stages.notes[f"{within}/{name}"].get("without_verdict", ())
    }  # count for no system
    return {name: [row for row in rows if row.id not in unjudged] for name, rows in found.items()}


def _told_apart(row: Probing) -> list[Any]:
    """In a key. Only test questions are the user's, whose answers may change."""
    return [row.id, row.prompt.text, *([named_fields(row.question)] if row.kind == "question" else [])]


def _ask(
    data: RunData, models: Models, stage: Stage, adapter: Stage | None, asked: Sequence[Probing], folder: Path
) -> Notes:
    kept, skipped = fitting(asked, models.longest - data.config.evaluation.max_new_tokens)
    name = stage.folder.name
    judge = of_system(data.judge, name)
    builtin = of_system(Matching(*data.config.prompt.refusing), name)
    with models.engine(adapter) as engine:
        rows = stage_rows(
            stage,
            SideEffectAnswer,
            kept,
            lambda part, advance: _reply(engine, data, part, judge, builtin, advance),
            bar=f"{name}, {stage.folder.parent.name.replace('_', ' ')}",
            unit="prompts",
        )
    judged = [row for row in rows if row.outcome is not None]
    without = [row.id for row in rows if row.outcome is None]
    if without:
        progress.note(f"{len(without)} replies without a verdict left out: {progress.first_few(without)}")
    write_rows(folder / "answers.parquet", judged)
    return {"skipped": skipped} | ({"without_verdict": without} if without else {})


def fitting(asked: Sequence[Probing], longest: int) -> tuple[list[Probing], list[str]]:
    """Those whose prompts have at most so many tokens, and the ids of the others."""
    kept = [row for row in asked if len(row.prompt.token_ids) <= longest]
    skipped = [row.id for row in asked if len(row.prompt.token_ids) > longest]
    if skipped:
        progress.note(f"{len(skipped)} prompts too long for the model skipped: {progress.first_few(skipped)}")
    return kept, skipped


def _reply(
    engine: Engine, data: RunData, asked: Sequence[Probing], judge: Judge, builtin: Judge, advance: Advance
) -> list[SideEffectAnswer]:
    """Greedy replies, judged, in their order; an outcome without a verdict is None, against its type. What has a
    reference is judged as in the evaluation, the rest by the built-in judge: refused or not."""
    answers = greedy_answers(engine, data.prompts, asked, data.config.evaluation.max_new_tokens, advance)
    outputs = {row.id: data.prompts.decode(answers[row.id]) for row in asked}
    outcomes: dict[str, Outcome | None] = {}
    for own, has_reference in ((judge, True), (builtin, False)):
        rows = [row for row in asked if (row.kind in WITH_REFERENCE) is has_reference]
        verdicts = own([ToJudge(row.question, outputs[row.id]) for row in rows])
        outcomes |= {row.id: verdict for row, verdict in zip(rows, verdicts, strict=True)}
    return [
        SideEffectAnswer(
            row.id,
            row.form,
            row.kind,
            row.category,
            outputs[row.id],
            cast(SideEffectOutcome, _outcome(row, outputs[row.id], outcomes[row.id])),
        )
        for row in asked
    ]


def _outcome(row: Probing, output: str, found: Outcome | None) -> SideEffectOutcome | None:
    if found is None or found == "refused":
        return found
    if row.kind in WITH_REFERENCE:
        return "right" if found == "correct" else "answered"
    if row.kind == "unanswerable" and denies_premise(output, row.question.question):
        return "corrected"
    return "answered"
