"""Part of stage 4: one system's replies to the probes."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from grait.data.probes import load_probes
from grait.evaluation.probes import summarize_probes
from grait.judging.outcomes import judge
from grait.judging.premise import denies_premise
from grait.methods.catalog import INIT_REFUSE, METHODS
from grait.pipeline.evaluation import ask, asked_key
from grait.pipeline.workbench import Notes, Workbench
from grait.records import Prediction, ProbeAnswer, ProbeOutcome, ProbeRecord
from grait.runtime.artifacts import Stage, read_rows, write_rows


def probe_systems(bench: Workbench, adapters: Mapping[str, Stage], same: Mapping[str, str]) -> list[ProbeRecord]:
    """The probes' results for the initial model and all trained ones; none where ``evaluation.probes`` is off.

    ``same``: of each method, the one whose adapter it has.
    """
    if not bench.config.evaluation.probes:
        return []
    initial = probe(bench, INIT_REFUSE, None)
    found = {method: probe(bench, method, adapter) for method, adapter in adapters.items()}
    return [initial, *(replace(found[first], method=method) for method, first in same.items())]


def probe(bench: Workbench, system: str, adapter: Stage | None) -> ProbeRecord:
    """What a system, which need not be one of ours, says to the probes under the REFUSE prompt.

    ``adapter``: None for the initial model.
    """
    rows = load_probes()
    by_id = {probe.id: probe for probe in rows}
    questions = [probe.question for probe in rows]
    own_judge = METHODS[system].judge if system in METHODS else judge
    key = asked_key(bench, adapter, questions, "refuse") | {"columns": [column.name for column in fields(ProbeAnswer)]}
    stage = Stage(bench.folder / "probes" / system, key)

    def compute(folder: Path) -> Notes:
        predictions, skipped = ask(bench, stage, system, adapter, "probes", questions, "refuse", own_judge)
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

    bench.once(f"4/4 Evaluation: {system} on probes", stage, compute)
    return summarize_probes(system, read_rows(stage.folder / "answers.parquet", ProbeAnswer))


def _outcome(prediction: Prediction, is_unanswerable: bool, text: str) -> ProbeOutcome:
    if prediction.outcome == "refused":
        return "refused"
    return "corrected" if is_unanswerable and denies_premise(prediction.output, text) else "answered"
