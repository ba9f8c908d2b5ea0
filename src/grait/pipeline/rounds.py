"""Dynamic influence: a training in rounds, between which refusals are weighed anew at the adapter as it is then.

The paper takes influence once, at the warm-up adapter (arXiv 2502.05911). Here every round but the first begins with a
sketch of the refusals' gradients; what it says of them gives their weights by the method's own formula. What is trained
on, its order, the optimizer and the learning rates go on as in one training.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from peft import PeftModel
from scipy.stats import spearmanr

from grait.config import Config
from grait.errors import ConfigError
from grait.influence.margins import label_separation
from grait.knowledge.own_words import OwnAnswers
from grait.methods.catalog import METHODS
from grait.methods.selection import Evidence
from grait.pipeline.data import RunData
from grait.pipeline.influence import sketched
from grait.pipeline.lessons import weighted_examples
from grait.pipeline.models import Models
from grait.pipeline.replay import n_replayed
from grait.pipeline.stages import digest
from grait.pipeline.training import ScoredQuestion, scored_questions
from grait.pipeline.work import ANSWER_TOKENS, FORWARD_AND_BACKWARD, Count, SetSize, StagePlan, Work
from grait.records import Label, RoundRecord, Selected, Target
from grait.runtime import processes
from grait.runtime.artifacts import Stage, read_rows, write_rows
from grait.training.trainer import first_step

LARGEST_SHARE = 0.5
"""Most passes of all later rounds, as a share of those of the run that takes influence once."""


def check_rounds(config: Config) -> None:
    """ConfigError, before anything is trained, for settings that dynamic influence does not work with."""
    methods = [name for name in config.training.methods if METHODS[name].is_dynamic]
    reasons = {
        f"training that is sharded ({processes.sharding()})": processes.sharding() != "none",
        "model.compile = true": config.model.compile,
        "model.dtype = float16": config.model.dtype == "float16",
        f"influence.transform = {config.influence.transform}": config.influence.transform != "none",
        f"influence.checkpoints = {config.influence.checkpoints}": config.influence.checkpoints != "last",
    }
    for setting in (name for name, holds in reasons.items() if holds and methods):
        raise ConfigError(f"{methods[0]}: does not work with {setting}; change it, or leave the method out")


@dataclass(frozen=True)
class Reweighing:
    """The rounds of one method's training. ``selected``: what it trains on, with the weights of the first round."""

    data: RunData
    models: Models
    method: str
    evidence: Evidence
    selected: Sequence[Selected]
    own: OwnAnswers

    @property
    def n(self) -> int:
        """How many rounds."""
        return self.data.config.influence.rounds

    @property
    def key(self) -> dict[str, Any]:
        """For the key of the training's stage."""
        return {
            "n": self.n,
            "gradients": self.n_gradients,
            "dimensions": self.data.config.influence.dimensions,
            "scores": digest(list(self.evidence.influence.values())),
            "selection": self.data.config.selection.model_dump(),
        }

    @cached_property
    def static_passes(self) -> float:
        """Passes forward and backward of single examples without later rounds: warm-up, influence and training."""
        config, scored = self.data.config, self.evidence.influence.values()
        n_known = sum(row.label == "ik" for row in scored)
        n_questions = len(weighted_examples(self.data, self.selected, self.own))
        n_trained = n_questions + n_replayed(n_questions, config)
        of_warmup = min(n_known, config.warmup.n_examples) * config.warmup.epochs
        of_influence = len(scored) * (2 if config.influence.mode == "exact" else 1) + n_known
        return of_warmup + of_influence + n_trained * config.training.resolved(n_trained).epochs

    @property
    def n_gradients(self) -> int:
        """Gradients that each later round takes."""
        return sum(map(len, self._drawn(2).values()))

    def _drawn(self, number: int) -> dict[str, list[str]]:
        """The questions whose gradients a round takes, by label: all, or random ones by seed and round."""
        by_label = {
            label: sorted(row.id for row in self.evidence.influence.values() if row.label == label)
            for label in ("idk", "ik")
        }
        most = LARGEST_SHARE * self.static_passes / (self.n - 1)
        share = min(1.0, most / len(self.evidence.influence))
        rng = Random(f"{self.data.config.seed}\0round {number}")
        return {label: sorted(rng.sample(ids, max(1, int(share * len(ids))))) for label, ids in by_label.items()}

    def weights(self, folder: Path, number: int, model: PeftModel | None) -> list[float]:
        """As ``trainer.Rounds`` asks for them: of all rows of questions. Scores of rounds are kept in ``folder``."""
        path = folder / _name(number)
        if model is not None and not processes.from_main(path.exists()):
            scores = self._scores(folder, number, model)
            if processes.is_main():
                write_rows(path, scores)
            processes.wait()
        rows = self._weighted(read_rows(path, ScoredQuestion))
        return [row.sample_weight for row in weighted_examples(self.data, rows, self.own)]

    def _scores(self, folder: Path, number: int, model: PeftModel) -> list[ScoredQuestion]:
        """Of all questions, by id: those that are drawn have the influence of now, the others what they had before."""
        scores = dict(self.evidence.influence)
        if number > 2:
            scores |= {row.id: row for row in read_rows(folder / _name(number - 1), ScoredQuestion)}
        store_folder, ids = folder / "gradients", self._drawn(number)
        if processes.is_main():
            shutil.rmtree(store_folder, ignore_errors=True)  # of a round before, or of a process that was killed
        processes.wait()
        data, questions = self.data, self.data.questions
        refused = [name for own in ids.values() for name in own]
        examples = [data.tokenized(name, "refuse", data.prompts.refusal(questions[name])) for name in refused]
        store = sketched(self.models, model, examples, store_folder, f"gradients of round {number}")
        found = store.influence(ids).scores
        for name, margin in store.left_out_margins(ids["idk"], ids["ik"]).items():
            refusal, over_refusal = found["idk"][name], found["ik"][name]
            scores[name] = replace(
                scores[name],
                refusal_influence=refusal,
                over_refusal_influence=over_refusal,
                stable_influence=refusal - over_refusal,
                left_out_margin=margin,
            )
        select, config = METHODS[self.method].select, self.data.config
        assert select is not None
        chosen = select(replace(self.evidence, influence=scores), config.selection, config.seed)
        return scored_questions([scores[name] for name in sorted(scores)], chosen)

    def _weighted(self, scores: Sequence[ScoredQuestion]) -> list[Selected]:
        """What is trained on, with the weights that its refusals have by these scores."""
        weights = {row.id: row.sample_weight for row in scores}
        return [
            replace(row, sample_weight=weights[row.id]) if row.target == "refusal" else row for row in self.selected
        ]

    def records(self, adapter: Stage) -> list[RoundRecord]:
        """What became of the weights, by the files beside the finished adapter."""
        n_steps = len(json.loads((adapter.folder / "losses.json").read_text(encoding="utf-8")))
        later = [read_rows(adapter.folder / _name(number), ScoredQuestion) for number in range(2, self.n + 1)]
        rounds = [(self.evidence.influence.values(), self.selected), *((rows, self._weighted(rows)) for rows in later)]
        static = _weights(self.selected, "refusal")
        return [
            RoundRecord(
                method=self.method,
                number=number,
                steps_before=first_step(number, self.n, n_steps),
                gradients=self.n_gradients if number > 1 else 0,
                cost=1 + (number - 1) * self.n_gradients / self.static_passes,
                known_answers=float(np.mean(_weights(selected, "answer", "ik"))),
                unknown_answers=float(np.mean(_weights(selected, "answer", "idk") or [0.0])),
                refusals=float(np.mean(now := _weights(selected, "refusal"))),
                spread=float(np.std(now) / np.mean(now)),
                rank_correlation=float(spearmanr(static, now).statistic) if min(map(np.ptp, (static, now))) else None,
                separation=label_separation(scores),
            )
            for number, (scores, selected) in enumerate(rounds, 1)
        ]


def plan_rounds(config: Config, training: SetSize, method: str) -> StagePlan:
    """The most that later rounds cost beside the training: in each a gradient of every question's refusal."""
    n = training.count.or_per * (config.influence.rounds - 1)
    own = n * (training.prompt_tokens + ANSWER_TOKENS - 1)
    work = Work(
        trained_tokens=own + n * training.shots_tokens(config) / 2,
        trained_positions=n * ANSWER_TOKENS,
        passes=FORWARD_AND_BACKWARD * own / config.influence.tokens_per_batch,
    )
    per = training.count.per("training questions")
    does = f"gradients of refusals before each of {config.influence.rounds} rounds of training but the first"
    return StagePlan(f"rounds of {method}", does, Count(None if per else n, False), work, unit="gradients", per=per)


def _name(number: int) -> str:
    return f"round-{number}.parquet"


def _weights(selected: Sequence[Selected], target: Target, label: Label = "idk") -> list[float]:
    return [row.sample_weight for row in selected if (row.target, row.label) == (target, label)]
