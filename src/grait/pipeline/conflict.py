"""Static conflict among the training questions, for runs that train CRaFT: a diagnostic that no method depends on."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from grait.knowledge.conflict import THRESHOLD, last_hidden_states, nearest_known
from grait.methods.selection import with_label
from grait.pipeline.workbench import Notes, Workbench, model_key
from grait.records import KnowledgeState, StaticConflict
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, write_rows

N_NAMED = 5
"""Most conflicting pairs that the notes spell out; ``conflict.parquet`` has all."""


def static_conflict(bench: Workbench, states: Sequence[KnowledgeState]) -> None:
    """Note the conflict rate (CRSS) of the labelled questions, and the pairs that conflict most.

    Of the initial model, at the end of the REFUSE prompt. All unknown and known questions are compared, before any
    selection. Expects questions with both labels.
    """
    known, unknown = with_label(states, "ik"), with_label(states, "idk")
    prompts = [bench.prompts.prompt(bench.questions[state.id], "refuse").token_ids for state in (*known, *unknown)]
    key = {
        "model": model_key(bench.config),
        "ik": fingerprint([state.id for state in known]),
        "idk": fingerprint([state.id for state in unknown]),
        "prompts": fingerprint(prompts),
    }
    stage = Stage(bench.folder / "conflict", key)

    def compute(folder: Path) -> Notes:
        found = _representations(bench, prompts)
        cosines, nearest = nearest_known(found[: len(known)], found[len(known) :])
        rows = [
            StaticConflict(state.id, known[place].id, cosine)
            for state, place, cosine in zip(unknown, nearest.tolist(), cosines.tolist(), strict=True)
        ]
        rows.sort(key=lambda row: (-row.cosine, row.id))
        write_rows(folder / "conflict.parquet", rows)
        return {
            "threshold": THRESHOLD,
            "n_idk": len(unknown),
            "n_conflicting": sum(row.cosine > THRESHOLD for row in rows),
            "conflict_rate": sum(row.cosine > THRESHOLD for row in rows) / len(rows),
            "most_conflicting": [
                {
                    "idk": row.id,
                    "idk_question": bench.questions[row.id].question,
                    "ik": row.nearest_ik,
                    "ik_question": bench.questions[row.nearest_ik].question,
                    "cosine": row.cosine,
                }
                for row in rows[:N_NAMED]
            ],
        }

    bench.once("2/4 Static conflict: which unknown questions look like known ones?", stage, compute)
    notes = stage.notes()
    progress.note(
        f"conflict rate (CRSS) {notes['conflict_rate']:.1%}: {notes['n_conflicting']} of {notes['n_idk']} unknown "
        f"questions have a known one of cosine above {notes['threshold']}"
    )


def _representations(bench: Workbench, prompts: Sequence[Sequence[int]]) -> Tensor:
    """``last_hidden_states`` of all prompts, in every process; each computes every n-th."""
    own = processes.own(range(len(prompts)))
    size = bench.model.config.get_text_config(decoder=True).hidden_size
    found = torch.zeros((len(prompts), size))
    if own:
        found[own] = last_hidden_states(
            bench.model, [prompts[row] for row in own], bench.pad_token_id, bench.config.tokens_per_batch
        )
    return processes.summed(found.to(bench.model.device)).cpu()
