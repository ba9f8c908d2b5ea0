"""Part of the dials, in the chat forms of ``prompt.forms``: what the tuned model thinks of refusing ordinary prompts.

Asked are prompts that ship with this package and that the run has not replayed, each put in the form.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grait.config import Config
from grait.data.replay import BUILTIN, load_replay
from grait.dial.stored import Gate
from grait.dial.threshold import ScoreName, gate_of, passes, signal
from grait.judging.matching import normalize
from grait.model.answers import Shown
from grait.model.engine import Advance, Engine
from grait.model.forms import Form
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import System
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.work import Count, SetSize, StagePlan, Work
from grait.records import Likelihoods, Prediction, Question
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows

N_PROMPTS = 200
FILE = "prompts.parquet"


@dataclass(frozen=True, slots=True)
class OrdinaryPrompt(Likelihoods):
    """How likely a refusal is after one ordinary prompt; ``Likelihoods`` that a signal takes, and no other."""

    id: str
    kind: str
    refusal_logprob: float
    first_token_logprob: float


def ordinary_prompts(
    data: RunData, models: Models, stages: Stages, system: System, form: Form, said: str | None = None
) -> list[OrdinaryPrompt]:
    """What a tuned model makes of ``N_PROMPTS`` held-out ordinary prompts, without those that are too long. None where
    the run replays all of them. ``said``: the dial's refusal text; None for that of the config."""
    asked = _shown(data, form)
    if not asked:
        return []
    refusal = data.prompts.completion(asked[0].prompt, said or data.config.prompt.first_refusal).token_ids
    key = {
        "model": model_key(data.config),
        **engine_key(data.config),
        "adapter": system.adapter.fingerprint if system.adapter else None,
        "prompts": fingerprint([[row.id, row.prompt.token_ids] for row in asked]),
        "refusal": list(refusal),
    }
    stage = Stage(stages.folder / "gate" / form.name / system.name, key)
    kinds = {prompt.id: prompt.kind for prompt in load_replay(BUILTIN)}

    def likelihoods(engine: Engine, part: Sequence[Shown], advance: Advance) -> list[OrdinaryPrompt]:
        found = engine.completion_logprobs(
            [row.prompt.token_ids for row in part], [[refusal]] * len(part), advance=advance
        )
        return [
            OrdinaryPrompt(row.id, kinds[row.id], sum(logprobs), logprobs[0])
            for row, (logprobs,) in zip(part, found, strict=True)
        ]

    def compute(folder: Path) -> Notes:
        longest = models.longest - len(refusal)
        kept = [row for row in asked if len(row.prompt.token_ids) <= longest]
        skipped = [row.id for row in asked if len(row.prompt.token_ids) > longest]
        with models.engine(system.adapter) as engine:
            rows = stage_rows(
                stage,
                OrdinaryPrompt,
                kept,
                lambda part, advance: likelihoods(engine, part, advance),
                bar=f"{system.name}, ordinary prompts",
                unit="prompts",
            )
        write_rows(folder / FILE, rows)
        return {"skipped": skipped}

    stages.once(f"Calibration: the gate of {system.name} in the form {form.name}", stage, compute)
    return read_rows(stage.folder / FILE, OrdinaryPrompt)


def gate(ordinary: Sequence[OrdinaryPrompt], rows: Sequence[Prediction], score: ScoreName) -> Gate | None:
    """The gate for a score; None without ordinary prompts. ``rows``: the calibration questions."""
    if not ordinary:
        return None
    at = gate_of(np.array([signal(row, score) for row in ordinary]))
    return Gate(
        at=at,
        n=len(ordinary),
        refused=sum(signal(row, "text") > 0.5 for row in ordinary) / len(ordinary),
        n_passed=sum(passes(row, score, at) for row in rows),
    )


def plan_gate(config: Config, form: Form, methods: Sequence[str]) -> StagePlan:
    """The cost of ``ordinary_prompts`` of all methods."""
    prompts = random.Random(0).sample(_single(), N_PROMPTS)
    size = SetSize.counted("", "", [Question("", text, ("",)) for _, text in prompts])
    work = Work(prompt_tokens=len(methods) * N_PROMPTS * size.prompt_tokens, prompt_positions=len(methods) * N_PROMPTS)
    does = "how likely a refusal is after ordinary prompts that were not replayed"
    return StagePlan(f"gate {form.name}", does, Count(N_PROMPTS), work, unit="prompts")


def _single() -> list[tuple[str, str]]:
    """Id and text of the prompts of this package that are one user turn."""
    return [(prompt.id, prompt.messages[0]["content"]) for prompt in load_replay(BUILTIN) if prompt.is_single]


def _shown(data: RunData, form: Form) -> list[Shown]:
    """Prompts drawn by the seed, of those that the run does not replay, as they are put in the form."""
    replayed = {normalize(message["content"]) for prompt in data.replay_prompts for message in prompt.messages}
    others = [(name, text) for name, text in _single() if normalize(text) not in replayed]
    drawn = random.Random(f"gate {data.config.seed}").sample(others, min(N_PROMPTS, len(others)))
    if len(drawn) < N_PROMPTS:
        what = f"{len(drawn)} of {N_PROMPTS} ordinary prompts are left that the run does not replay"
        progress.note(f"the gate of the form {form.name}: {what}" + ("" if drawn else ", so there is none"))
    return [
        Shown(name, form.name, data.prompts.prompt(Question(name, text, ("",)), "refuse", form)) for name, text in drawn
    ]
