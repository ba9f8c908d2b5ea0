"""Static conflict among the training questions, for runs that train CRaFT: a diagnostic that no method depends on."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from grait.knowledge.conflict import THRESHOLD, last_hidden_states, nearest_known
from grait.methods.selection import with_label
from grait.pipeline.data import RunData
from grait.pipeline.models import Models, model_key
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import KnowledgeState, StaticConflict
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, write_rows

N_NAMED = 5
"""Most conflicting pairs that the notes spell out; ``conflict.parquet`` has all."""


def static_conflict(data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState]) -> None:
    """Note the conflict rate (CRSS) of the labelled questions, and the pairs that conflict most.

    Of the initial model, at the end of the REFUSE prompt. All unknown and known questions are compared, before any
    selection. Expects questions with both labels.
    """
    known, unknown = with_label(states, "ik"), with_label(states, "idk")
    prompts = [data.prompts.prompt(data.questions[state.id], "refuse").token_ids for state in (*known, *unknown)]
    key = {
        "model": model_key(data.config),
        "ik": fingerprint([state.id for state in known]),
        "idk": fingerprint([state.id for state in unknown]),
        "prompts": fingerprint(prompts),
    }
    stage = Stage(stages.folder / "conflict", key)

    def compute(folder: Path) -> Notes:
        found = _representations(models, prompts)
        cosines, nearest = nearest_known(found[: len(known)], found[len(known) :])
        rows = [
            StaticConflict(state.id, known[place].id, cosine)
            for state, place, cosine in zip(unknown, nearest.tolist(), cosines.tolist(), strict=True)
        ]
        rows.sort(key=lambda row: (-row.cosine, row.id))
        write_rows(folder / "conflict.parquet", rows)
        return _notes(data, rows)

    stages.once("2/4 Static conflict: which unknown questions look like known ones?", stage, compute)
    notes = stage.notes()
    progress.note(
        f"conflict rate (CRSS) {notes['conflict_rate']:.1%}: {notes['n_conflicting']} of {notes['n_idk']} unknown "
        f"questions have a known one of cosine above {notes['threshold']}"
    )


def plan_conflict(training: SetSize) -> StagePlan:
    """The cost of ``static_conflict``."""
    work = Work(prompt_tokens=training.count.or_per * training.prompt_tokens)
    does = "which unknown questions look like known ones; one forward pass, a diagnostic"
    return StagePlan("static conflict", does, training.count, work, per=training.count.per("training questions"))


def _notes(data: RunData, rows: Sequence[StaticConflict]) -> Notes:
    """``rows``: one for each unknown question, most conflicting first."""
    n_conflicting = sum(row.cosine > THRESHOLD for row in rows)
    return {
        "threshold": THRESHOLD,
        "n_idk": len(rows),
        "n_conflicting": n_conflicting,
        "conflict_rate": n_conflicting / len(rows),
        "most_conflicting": [
            {
                "idk": row.id,
                "idk_question": data.questions[row.id].question,
                "ik": row.nearest_ik,
                "ik_question": data.questions[row.nearest_ik].question,
                "cosine": row.cosine,
            }
            for row in rows[:N_NAMED]
        ],
    }


def _representations(models: Models, prompts: Sequence[Sequence[int]]) -> Tensor:
    """``last_hidden_states`` of all prompts, in every process; each computes every n-th."""
    model = models.initial
    own = processes.own(range(len(prompts)))
    size = model.config.get_text_config(decoder=True).hidden_size
    found = torch.zeros((len(prompts), size))
    if own:
        rows = [prompts[row] for row in own]
        found[own] = last_hidden_states(
            model, rows, models.pad_token_id, models.config.tokens_per_batch, models.inference_road
        )
    return processes.summed(found.to(model.device)).cpu()
