"""Part of stage 4: one system's replies to the probes."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from grait.config import Config
from grait.data.probes import load_probes
from grait.evaluation.probes import summarize_probes
from grait.judging.outcomes import judge
from grait.judging.premise import denies_premise
from grait.methods.catalog import INIT_REFUSE, METHODS
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answers_key, ask
from grait.pipeline.models import Models
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import Prediction, ProbeAnswer, ProbeOutcome, ProbeRecord
from grait.runtime.artifacts import Stage, read_rows, write_rows


def probe_systems(
    data: RunData, models: Models, stages: Stages, adapters: Mapping[str, Stage], same: Mapping[str, str]
) -> list[ProbeRecord]:
    """The probes' results for the initial model and all trained ones; none where ``evaluation.probes`` is off.

    ``same``: of each method, the one whose adapter it has.
    """
    if not data.config.evaluation.probes:
        return []
    initial = probe(data, models, stages, INIT_REFUSE, None)
    found = {method: probe(data, models, stages, method, adapter) for method, adapter in adapters.items()}
    return [initial, *(replace(found[first], method=method) for method, first in same.items())]


def plan_probes(config: Config) -> StagePlan:
    """The cost of ``probe_systems``."""
    systems = [INIT_REFUSE, *config.training.methods]
    probes = SetSize.counted("probes", "in this package", [probe.question for probe in load_probes()])
    new_tokens = config.evaluation.max_new_tokens
    each = Work.generating(probes.count.or_per, probes.prompt_tokens, new_tokens, config.tokens_per_batch)
    does = f"unanswerable questions and chit-chat to {len(systems)} systems: {', '.join(systems)}"
    work = sum((each for _ in systems), Work())
    return StagePlan("probes", does, probes.count, work, unit="probes", samples=probes.count.times(len(systems)))


def probe(data: RunData, models: Models, stages: Stages, name: str, adapter: Stage | None) -> ProbeRecord:
    """What a system, which need not be one of ours, says to the probes under the REFUSE prompt.

    ``adapter``: None for the initial model.
    """
    rows = load_probes()
    by_id = {probe.id: probe for probe in rows}
    asked = QuestionSet("probes", [probe.question for probe in rows])
    system = System(name, adapter, "refuse", METHODS[name].judge if name in METHODS else judge)
    key = answers_key(data, system, asked.questions) | {"columns": [column.name for column in fields(ProbeAnswer)]}
    stage = Stage(stages.folder / "probes" / name, key)

    def compute(folder: Path) -> Notes:
        predictions, skipped = ask(data, models, stage, system, asked)
        answers = [
            ProbeAnswer(
                row.id,
                by_id[row.id].kind,
                by_id[row.id].category,
                row.output,
                _outcome(row, by_id[row.id].kind == "unanswerable", by_id[row.id].text),
                row.refusal_logprob,
            )
            for row in predictions
        ]
        write_rows(folder / "answers.parquet", answers)
        return {"skipped": skipped}

    stages.once(f"4/4 Evaluation: {name} on probes", stage, compute)
    return summarize_probes(name, read_rows(stage.folder / "answers.parquet", ProbeAnswer))


def _outcome(prediction: Prediction, is_unanswerable: bool, text: str) -> ProbeOutcome:
    if prediction.outcome == "refused":
        return "refused"
    return "corrected" if is_unanswerable and denies_premise(prediction.output, text) else "answered"
