"""Trial training sets: trained on the evidence of one seed of a comparison, measured on the validation split only.

The scripts that use this say which variants they have; a method's name (``grait methods``) is one, too. Their common
command line: ``python -m research.QUESTION.train CONFIG --seed 0 --variants NAME,...``. Knowledge state, warm-up and
influence are computed in the comparison's own run folder when they are missing; ``--set training.epochs=2`` changes the
training alone. One JSON line for each trial is printed and appended to ``trials.jsonl`` in the run folder.
``--keep FILE`` writes what all systems and trials there made of the validation questions, for
``research.controls.paired``.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grait.config import Config, DataConfig, override, parse_config, parse_file
from grait.evaluation.metrics import summarize
from grait.influence import GradientDatastore
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.methods.selection import Evidence, with_label
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions
from grait.pipeline.influence import influence_scores
from grait.pipeline.knowledge import initial_knowledge
from grait.pipeline.models import Models
from grait.pipeline.stages import Stages
from grait.pipeline.training import training, warmup
from grait.records import KnowledgeState, Prediction, Selected
from grait.runtime.artifacts import read_rows
from research.answers import write_kept
from research.gradients import gradients_of

VALIDATION = DataConfig(path="worldfacts", split="val", limit=800, name="validation")


@dataclass(frozen=True)
class Trial:
    """The evidence of one seed. ``states``: known questions, then unknown ones; ``gradients``: [states, dimensions]."""

    evidence: Evidence
    config: Config
    states: list[KnowledgeState]
    gradients: NDArray[np.float32]


Variant = Callable[[Trial], list[Selected]]
"""The evidence to the training set."""


def gather_evidence(data: RunData, models: Models, stages: Stages) -> Trial:
    states = initial_knowledge(data, models, stages)
    scores = influence_scores(data, models, stages, states, warmup(data, models, stages, states))
    store = GradientDatastore.open(data.folder / "influence" / "sketch" / "datastore")
    both = [*with_label(states, "ik"), *with_label(states, "idk")]
    return Trial(Evidence(states, {}, {row.id: row for row in scores}), data.config, both, gradients_of(store, both))


def selected(trial: Trial, name: str, variants: Mapping[str, Variant]) -> list[Selected]:
    """The training set of a variant, or of a method that needs no knowledge flow."""
    if name in variants:
        return variants[name](trial)
    select = METHODS[name].select
    assert select is not None
    return select(trial.evidence, trial.config.selection, trial.config.seed)


def trained(config: Config, title: str, rows: Sequence[Selected], overrides: Sequence[str]) -> list[Prediction]:
    """Train with the overrides, which the evidence does not see, and answer the validation questions."""
    data = RunData(parse_config(override(config.model_dump(mode="json"), list(overrides)), "--set"))
    models, stages = Models(data), Stages(data.folder)
    system = System(title, training(data, models, stages, title, rows), "refuse")
    return answer_questions(data, models, stages, system, validation_of(data))


def validation_of(data: RunData) -> QuestionSet:
    """The only test set of the run."""
    ((title, questions),) = data.test_sets.items()
    return QuestionSet(title, questions)


def measure(title: str, rows: Sequence[Prediction], initial: Sequence[Prediction]) -> dict[str, float | None]:
    before, after = ({row.id: row.outcome for row in own} for own in (initial, rows))
    log_odds = {row.id: row.refusal_log_odds for row in rows}
    record = summarize(title, "validation", before, after, resamples=1000, refusal_log_odds=log_odds)
    return {key: getattr(record, key) for key in ("pc", "pw", "pr", "over_refusal_rate", "ths", "auroc")}


def keep(run: Path, path: Path) -> None:
    """Write the answers of all systems and trials in ``run`` to the validation questions, whatever their names."""
    folders = sorted((run / "evaluation" / VALIDATION.title).glob("[!.]*"))
    cells = {own.name: read_rows(own / "predictions.parquet", Prediction) for own in folders}
    write_kept({VALIDATION.title: cells}, path)


def run_trials(config: Config, variants: Mapping[str, Variant], names: Sequence[str], overrides: Sequence[str]) -> None:
    """``config``: of one run folder, its only test set being that of validation questions."""
    data = RunData(config)
    models, stages = Models(data), Stages(data.folder)
    trial = gather_evidence(data, models, stages)
    initial = answer_questions(data, models, stages, System.of_method(INIT_BASIC, None), validation_of(data))
    for name in names:
        rows = selected(trial, name, variants)
        begin = time.monotonic()
        title = "-".join([name, *(text.partition("=")[2].strip("[]").replace(", ", "+") for text in overrides)])
        predictions = trained(config, title, rows, overrides)
        line = {
            "variant": name,
            "set": list(overrides),
            "n_validation": len(predictions),
            "seed": config.seed,
            "n_examples": len(rows),
            "seconds": round(time.monotonic() - begin),
            **measure(title, predictions, initial),
        }
        with open(data.folder / "trials.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def main(variants: Mapping[str, Variant]) -> None:
    """The command line of a script with these variants."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", default=",".join(variants))
    parser.add_argument("--set", action="append", default=[], help="for the training only, as in grait run")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    config = parse_file(arguments.config, [f"seed={arguments.seed}"])
    own = config.evaluation.model_copy(update={"datasets": [VALIDATION]})
    folder = f"{config.out}/seed-{arguments.seed}"
    run_trials(
        config.model_copy(update={"out": folder, "evaluation": own}),
        variants,
        arguments.variants.split(","),
        arguments.set,
    )
    if arguments.keep:
        keep(Path(folder), arguments.keep)
