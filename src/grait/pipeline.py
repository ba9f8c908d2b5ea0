"""The whole run, in order. Only this module knows what comes after what.

knowledge -> warm-up -> influence -> selection -> training -> evaluation

Every stage is a plain function in a folder of its own; here their results are kept as artifacts, and a stage whose
artifact is already there with the same key is not run again.
"""

import importlib.metadata
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from grait import progress
from grait.artifacts import Stage, fingerprint, read_rows, write_json, write_jsonl, write_rows
from grait.config import Config, DataConfig, OptimizerSection
from grait.data.load import load_questions, load_shots, load_topic_shots
from grait.errors import ArtifactError, DataError
from grait.evaluation.metrics import summarize
from grait.evaluation.predict import predict
from grait.influence import AdamTransform, Influence, influence, read_moments, sketch
from grait.influence.gradients import trainable_linears
from grait.judging.sureness import with_sureness
from grait.knowledge.flow import knowledge_flow
from grait.knowledge.query import check_both_sides, query
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS
from grait.methods.selection import Evidence, most_correct, sample_ids, with_label
from grait.model.completions import TokenizedExample
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer, resolve_device
from grait.model.prompts import PromptFormat
from grait.model.sentences import Embed, load_embedder
from grait.records import (
    InfluenceScore,
    KnowledgeFlow,
    KnowledgeState,
    MetricRecord,
    Prediction,
    Question,
    RaitExample,
    Selected,
)
from grait.training.sft import WeightedExample, add_adapter, n_steps, train

Notes = dict[str, Any]
"""What a stage has to tell besides its result: ``skipped`` and ``non_finite`` ids."""

MOMENTS = "optimizer_moments.safetensors"


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """A row of ``influence/scores.parquet``: influence, and what GRAIT made of it."""

    id: str
    label: str
    refusal_influence: float
    over_refusal_influence: float
    stable_influence: float
    retention_influence: float
    gradient_norm: float
    selected: bool
    sample_weight: float


@dataclass(frozen=True)
class RunResult:
    """``predictions``: data set -> system -> predictions in the data set's order."""

    folder: Path
    metrics: list[MetricRecord]
    questions: dict[str, list[Question]]
    predictions: dict[str, dict[str, list[Prediction]]]
    summary: dict[str, Any]


def run(config: Config) -> RunResult:
    """Run, or continue, everything that ``config`` asks for. Raises a GraitError for what the user has to mend."""
    this = _Run(config)
    states = this.knowledge()
    check_both_sides(states, config.knowledge.correctness_threshold)
    evidence = this.evidence(states)
    selected: dict[str, list[Selected]] = {
        name: select(evidence, config.selection, config.seed)
        for name in config.training.methods
        if (select := METHODS[name].select)
    }
    this.write_selection(evidence, selected)
    adapters = {method: this.training(method, chosen) for method, chosen in selected.items()}
    systems: dict[str, Stage | None] = {INIT_BASIC: None, INIT_REFUSE: None, **adapters}
    predictions = {
        dataset.title: {system: this.evaluation(system, adapter, dataset) for system, adapter in systems.items()}
        for dataset in config.evaluation.datasets
    }
    return this.result(predictions)


@dataclass
class _Run:
    """One run: its folder, the model (loaded when first needed), and what has been noticed on the way."""

    config: Config
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each stage noted, by its folder: seconds, skipped and non_finite ids."""

    @cached_property
    def folder(self) -> Path:
        folder = Path(self.config.out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "config.json", self.config.model_dump())
        except OSError as error:
            raise ArtifactError(f"{folder}: cannot write the run folder: {error.strerror}") from error
        return folder

    @cached_property
    def model(self) -> PreTrainedModel:
        progress.note(f"loading {self.config.model.name} ({self.config.model.dtype})")
        return load_model(self.config.model)

    @cached_property
    def prompts(self) -> PromptFormat:
        letters = self.config.knowledge.scoring in ("auto", "letter")
        return PromptFormat(
            # The shots first: bad data is found before the model is looked for.
            shots=self.shots,
            topic_shots=load_topic_shots(
                [self.config.data, *self.config.evaluation.datasets], self.config.prompt.n_shots
            ),
            tokenizer=load_tokenizer(self.config.model),
            config=self.config.prompt,
            answer_form="letter" if letters else "text",
        )

    @property
    def pad_token_id(self) -> int:
        return int(self.prompts.tokenizer.pad_token_id)

    @cached_property
    def training_set(self) -> list[Question]:
        """All training questions; the shots come first where the set has none of its own."""
        questions = load_questions(self.config.data)
        if len(questions) <= self.config.prompt.n_shots:
            raise DataError(
                f"{self.config.data.path}: expected more than prompt.n_shots = {self.config.prompt.n_shots} "
                f"training questions, found {len(questions)}"
            )
        return questions

    @cached_property
    def shots(self) -> tuple[Question, ...]:
        """Solved examples: those that the training set keeps apart, else its first questions."""
        return tuple((load_shots(self.config.data) or self.training_set)[: self.config.prompt.n_shots])

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Training questions by id, without the shots."""
        shots = {shot.id for shot in self.shots}
        return {question.id: question for question in self.training_set if question.id not in shots}

    @cached_property
    def test_sets(self) -> dict[str, list[Question]]:
        return {dataset.title: load_questions(dataset) for dataset in self.config.evaluation.datasets}

    # -- stages ------------------------------------------------------------------------------------------------

    @cached_property
    def knowledge_key(self) -> dict[str, Any]:
        return {
            "model": _model_key(self.config),
            "prompt": self.config.prompt.model_dump(),
            "knowledge": self.config.knowledge.model_dump(),
            "seed": self.config.seed,
            "questions": _digest(self.training_set),
            "shots": _digest(self.prompts.shots_of(list(self.questions.values()))),
        }

    def knowledge(self) -> list[KnowledgeState]:
        """Stage 1."""
        # Bad data is found before the model is looked for, and an unknown model before anything is computed.
        _ = self.test_sets, self.training_set, self.prompts
        config = self.config
        stage = Stage(self.folder / "knowledge", self.knowledge_key)

        def compute(folder: Path) -> Notes:
            embed = self.embedder()
            kept, skipped = self.fitting(
                list(self.questions.values()), config.knowledge.max_new_tokens, "training", is_trained_on=True
            )
            with progress.bar("knowledge query", len(kept), "questions") as advance:
                states = query(
                    self.engine(self.model),
                    self.prompts,
                    kept,
                    config.knowledge,
                    seed=config.seed,
                    advance=advance,
                    embed=embed,
                )
            write_rows(folder / "knowledge.parquet", states)
            return {"skipped": skipped}

        self.once("1/4 Knowledge: what does the model know?", stage, compute)
        states = read_rows(stage.folder / "knowledge.parquet", KnowledgeState)
        n_ik, n_idk = len(with_label(states, "ik")), len(with_label(states, "idk"))
        dropped = len(states) - n_ik - n_idk
        progress.note(f"{len(states)} questions: {n_ik} known (ik), {n_idk} unknown (idk), {dropped} on the threshold")
        return states

    def evidence(self, states: Sequence[KnowledgeState]) -> Evidence:
        """Stage 2, up to the selection: what the chosen methods need to know, and no more."""
        methods = [METHODS[name] for name in self.config.training.methods]
        needs_flow = any(method.needs_flow for method in methods)
        needs_influence = any(method.needs_influence for method in methods)
        if not needs_flow and not needs_influence:
            return Evidence(states, {}, {})
        warmup = self.warmup(states)
        flow = self.flow(states, warmup) if needs_flow else []
        scores = self.influence(states, warmup) if needs_influence else []
        return Evidence(states, {row.id: row.flow for row in flow}, {row.id: row for row in scores})

    def warmup(self, states: Sequence[KnowledgeState]) -> Stage:
        """Stage 2, first half: the adapter of M~."""
        config = self.config
        best = most_correct(with_label(states, "ik"), config.warmup.n_examples)
        examples = [
            WeightedExample(self.tokenized(state.id, "basic", self.prompts.reference(self.questions[state.id])), 1.0)
            for state in best
        ]
        key = {
            "model": _model_key(config),
            "examples": _digest(examples),
            "lora": config.lora.model_dump(),
            "warmup": config.warmup.model_dump(exclude={"micro_batch_size"}),
            "seed": config.seed,
        }
        stage = Stage(self.folder / "warmup", key)
        self.once(
            f"2/4 Influence: warm-up on {len(examples)} known questions",
            stage,
            lambda folder: self.train("warm-up", examples, config.warmup, folder),
        )
        return stage

    def flow(self, states: Sequence[KnowledgeState], warmup: Stage) -> list[KnowledgeFlow]:
        """Stage 2, for CRaFT: the knowledge query again, with the warm-up adapter.

        The same questions, shots and seed: samples of the two models share their random numbers.
        """
        config = self.config
        stage = Stage(self.folder / "flow", {"warmup": warmup.fingerprint, **self.knowledge_key})

        def compute(folder: Path) -> Notes:
            model = self.with_adapter(warmup)
            try:
                with progress.bar("knowledge query", len(states), "questions") as advance:
                    warmed_up = query(
                        self.engine(model),
                        self.prompts,
                        [self.questions[state.id] for state in states],
                        config.knowledge,
                        seed=config.seed,
                        advance=advance,
                        embed=self.embedder(),
                    )
            finally:
                self.drop_adapter(model)
            write_rows(folder / "flow.parquet", knowledge_flow(states, warmed_up))
            return {}

        self.once("2/4 Knowledge flow: what does the model know after the warm-up?", stage, compute)
        return read_rows(stage.folder / "flow.parquet", KnowledgeFlow)

    def influence(self, states: Sequence[KnowledgeState], warmup: Stage) -> list[InfluenceScore]:
        """Stage 2, second half: R, O, S and K of the labelled questions."""
        config = self.config
        labels = {state.id: state.label for state in states}
        members = {
            "idk": sample_ids(with_label(states, "idk"), config.influence.max_idk, config.seed),
            "ik": [state.id for state in with_label(states, "ik")],
        }
        sets = {
            name: [self.tokenized(question_id, "refuse", config.prompt.refusal) for question_id in ids]
            for name, ids in members.items()
        }
        examples = [*sets["idk"], *sets["ik"]]
        answers = [
            self.tokenized(question_id, "refuse", self.prompts.reference(self.questions[question_id]))
            for question_id in members["ik"]
        ]
        sets["ik answers"] = [replace(answer, id=f"{answer.id}/answer") for answer in answers]
        sketched = {"dimensions": config.influence.dimensions, "projection_seed": config.seed}
        stage = Stage(
            self.folder / "influence" / config.influence.mode,
            {
                "warmup": warmup.fingerprint,
                "transform": config.influence.transform,
                **{name: _digest(rows) for name, rows in sets.items()},
                **(sketched if config.influence.mode == "sketch" else {}),
            },
        )

        def compute(folder: Path) -> Notes:
            model = self.with_adapter(warmup, is_trainable=True)
            try:
                passes = self.exact_influence if config.influence.mode == "exact" else self.sketched_influence
                found = passes(model, examples, sets, self.gradient_transform(warmup, model), stage.unfinished())
            finally:
                self.drop_adapter(model)
            if config.influence.mode == "sketch":
                stage.unfinished().rename(folder / "datastore")
            rows = [
                InfluenceScore(
                    id=example_id,
                    label=labels[example_id],
                    refusal_influence=found.scores["idk"][example_id],
                    over_refusal_influence=found.scores["ik"][example_id],
                    stable_influence=found.scores["idk"][example_id] - found.scores["ik"][example_id],
                    retention_influence=found.scores["ik answers"][example_id],
                    gradient_norm=norm,
                )
                for example_id, norm in found.gradient_norms.items()
            ]
            write_rows(folder / "influence.parquet", sorted(rows, key=lambda row: row.id))
            return self.left_out("influence", found.non_finite)

        self.once(f"2/4 Influence: {config.influence.mode}, from per-example gradients", stage, compute)
        return read_rows(stage.folder / "influence.parquet", InfluenceScore)

    def exact_influence(
        self,
        model: PeftModel,
        examples: Sequence[TokenizedExample],
        sets: Mapping[str, Sequence[TokenizedExample]],
        transform: AdamTransform | None,
        passes: Path,
    ) -> Influence:
        n = sum(map(len, sets.values())) + len(examples)
        with progress.bar("gradients, two passes", n, "examples") as advance:
            return influence(
                model,
                examples,
                sets,
                pad_token_id=self.pad_token_id,
                tokens_per_batch=self.config.influence.tokens_per_batch,
                transform=transform,
                advance=advance,
                resume=passes,
            )

    def sketched_influence(
        self,
        model: PeftModel,
        examples: Sequence[TokenizedExample],
        sets: Mapping[str, Sequence[TokenizedExample]],
        transform: AdamTransform | None,
        passes: Path,
    ) -> Influence:
        everything = {row.id: row for rows in (examples, *sets.values()) for row in rows}
        with progress.bar("gradients, one pass", len(everything), "examples") as advance:
            store = sketch(
                model,
                list(everything.values()),
                passes,
                pad_token_id=self.pad_token_id,
                dimensions=self.config.influence.dimensions,
                seed=self.config.seed,
                tokens_per_batch=self.config.influence.tokens_per_batch,
                transform=transform,
                advance=advance,
            )
        ids = {name: [row.id for row in rows] for name, rows in sets.items()}
        return store.influence(ids, examples=[row.id for row in examples])

    def write_selection(self, evidence: Evidence, selected: Mapping[str, Sequence[Selected]]) -> None:
        """Results for people: scores with what GRAIT made of them, and its training examples as text."""
        if "grait" not in selected:
            return
        weights = {row.id: row.sample_weight for row in selected["grait"]}
        write_rows(
            self.folder / "influence" / "scores.parquet",
            [
                ScoredQuestion(**asdict(score), selected=score.id in weights, sample_weight=weights.get(score.id, 0.0))
                for score in evidence.influence.values()
            ],
        )
        write_jsonl(self.folder / "rait.jsonl", self.rait_examples(selected["grait"]))

    def training(self, method: str, selected: Sequence[Selected]) -> Stage:
        """Stage 3: one method's adapter, in PEFT's format."""
        config = self.config
        examples = [
            WeightedExample(self.tokenized(row.id, "refuse", self.answer(row)), row.sample_weight) for row in selected
        ]
        key = {
            "model": _model_key(config),
            "examples": _digest(examples),
            "lora": config.lora.model_dump(),
            "training": config.training.model_dump(exclude={"micro_batch_size", "methods"}),
            "seed": config.seed,
        }
        stage = Stage(self.folder / "adapters" / method, key)
        n_refusals = sum(row.target == "refusal" for row in selected)
        self.once(
            f"3/4 Training: {method} on {len(selected) - n_refusals} answers and {n_refusals} refusals",
            stage,
            lambda folder: self.train(method, examples, config.training, folder),
        )
        return stage

    def evaluation(self, system: str, adapter: Stage | None, dataset: DataConfig) -> list[Prediction]:
        """Stage 4: one system's answers to one data set."""
        config = self.config
        asked = METHODS[system].asked
        questions = self.test_sets[dataset.title]
        key = {
            "model": _model_key(config),
            "adapter": adapter.fingerprint if adapter else None,
            "asked": asked,
            "prompt": config.prompt.model_dump(),
            "shots": _digest(self.prompts.shots_of(questions)) if asked == "query" else None,
            "answer_form": self.prompts.answer_form,
            "questions": _digest(questions),
            "max_new_tokens": config.evaluation.max_new_tokens,
        }
        stage = Stage(self.folder / "evaluation" / dataset.title / system, key)

        def compute(folder: Path) -> Notes:
            kept, skipped = self.fitting(questions, config.evaluation.max_new_tokens, dataset.title)
            model: PreTrainedModel | PeftModel = self.with_adapter(adapter) if adapter else self.model
            try:
                with progress.bar(f"{system}, {dataset.title}", len(kept), "questions") as advance:
                    predictions = predict(
                        self.engine(model),
                        self.prompts,
                        kept,
                        asked,
                        METHODS[system].judge,
                        max_new_tokens=config.evaluation.max_new_tokens,
                        advance=advance,
                    )
            finally:
                if adapter:
                    self.drop_adapter(model)
            write_rows(folder / "predictions.parquet", predictions)
            return {"skipped": skipped}

        self.once(f"4/4 Evaluation: {system} on {dataset.title}", stage, compute)
        return read_rows(stage.folder / "predictions.parquet", Prediction)

    def result(self, predictions: dict[str, dict[str, list[Prediction]]]) -> RunResult:
        """Metrics of all systems on all data sets, against Init-Basic on the same questions."""
        records = []
        for dataset, systems in predictions.items():
            outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in systems.items()}
            for system in systems:
                records.append(
                    summarize(
                        system,
                        dataset,
                        outcomes[INIT_BASIC],
                        outcomes[system],
                        resamples=self.config.evaluation.n_bootstrap,
                        seed=self.config.seed,
                    )
                )
        summary = {
            "peak_memory_mb": peak_memory_mb(),
            "stages": self.notes,
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "accelerate")},
            },
        }
        write_json(self.folder / "metrics.json", [asdict(record) for record in records])
        write_json(self.folder / "summary.json", summary)
        return RunResult(self.folder, records, self.test_sets, predictions, summary)

    # -- what the stages share ---------------------------------------------------------------------------------

    def once(self, title: str, stage: Stage, compute: Callable[[Path], Notes]) -> None:
        """Run a stage unless it is finished; say which, and why. Keeps what it notes."""
        reasons = stage.changes()
        progress.heading(title)
        if reasons is None:
            progress.note("finished before, reused")
        else:
            self.compute(stage, reasons, compute)
        self.notes[str(stage.folder.relative_to(self.folder))] = stage.notes()

    def compute(self, stage: Stage, reasons: Sequence[str], compute: Callable[[Path], Notes]) -> None:
        if stage.folder.exists():
            progress.note("running again: " + "; ".join(reasons))
        start = time.monotonic()
        try:
            with stage.writing() as (folder, notes):
                notes.update(compute(folder) or {})
                notes["seconds"] = round(time.monotonic() - start, 1)
                notes["peak_memory_mb"] = peak_memory_mb()
        except OSError as error:
            raise ArtifactError(f"{stage.folder}: cannot write: {error.strerror or error}") from error

    def engine(self, model: PreTrainedModel | PeftModel) -> InferenceEngine:
        return InferenceEngine(model, self.pad_token_id, self.config.tokens_per_batch)

    def embedder(self) -> Embed | None:
        """Sentence embeddings, where the certainty of free text is measured by them."""
        if self.config.knowledge.certainty == "agreement":
            return None
        return load_embedder(resolve_device(self.config.model.device))

    def train(self, title: str, examples: Sequence[WeightedExample], config: OptimizerSection, folder: Path) -> Notes:
        """Train a fresh adapter; write it, the optimizer's moments and the losses into ``folder``."""
        model = add_adapter(self.model, self.config.lora, self.config.seed)
        try:
            with progress.bar(title, n_steps(len(examples), config), "steps") as advance:
                log = train(
                    model, examples, config, pad_token_id=self.pad_token_id, seed=self.config.seed, advance=advance
                )
            model.save_pretrained(folder)
        finally:
            self.drop_adapter(model)
        save_file(log.moments, folder / MOMENTS)
        write_json(folder / "losses.json", log.losses)
        return self.left_out(title, log.non_finite)

    def with_adapter(self, stage: Stage, is_trainable: bool = False) -> PeftModel:
        return PeftModel.from_pretrained(self.model, str(stage.folder), is_trainable=is_trainable).eval()

    def gradient_transform(self, warmup: Stage, model: PeftModel) -> AdamTransform | None:
        if self.config.influence.transform == "none":
            return None
        path = warmup.folder / MOMENTS
        shapes = {name: layer.weight.shape for name, layer in trainable_linears(model).items()}
        moments = read_moments(load_file(path, device=str(model.device)), shapes, str(path))
        return AdamTransform(moments, form="torch" if self.config.influence.transform == "adam" else "less")

    def drop_adapter(self, model: Any) -> None:
        self.model = model.unload()
        self.model.requires_grad_(False)

    def tokenized(self, question_id: str, family: Any, answer: str) -> TokenizedExample:
        prompt = self.prompts.prompt(self.questions[question_id], family)
        completion = self.prompts.completion(prompt, answer)
        return TokenizedExample(question_id, prompt.token_ids, completion.token_ids)

    def answer(self, row: Selected) -> str:
        """What the selected question teaches, as text."""
        if row.target == "refusal":
            return self.config.prompt.refusal
        reference = self.prompts.reference(self.questions[row.id])
        return reference if row.target == "answer" else with_sureness(reference, row.target == "answer-sure")

    def rait_examples(self, selected: Sequence[Selected]) -> list[RaitExample]:
        examples = []
        for row in selected:
            prompt = self.prompts.prompt(self.questions[row.id], "refuse")
            completion = self.prompts.completion(prompt, self.answer(row))
            examples.append(RaitExample(row.id, row.label, prompt.text, completion.text, row.sample_weight))
        return examples

    def fitting(
        self, questions: Sequence[Question], max_new_tokens: int, where: str, is_trained_on: bool = False
    ) -> tuple[list[Question], list[str]]:
        """The questions whose prompts and answers the model can attend to, and the ids of the others.

        Answers have ``max_new_tokens``; of questions that are trained on, the given answers have to fit, too.
        """
        longest = self.engine(self.model).longest
        kept, skipped = [], []
        for question in questions:
            asked, prompt = self.prompts.query(question), self.prompts.prompt(question, "refuse")
            unsure = with_sureness(self.prompts.reference(question), False)  # the longest that any method teaches
            given = [self.config.prompt.refusal, unsure, *question.choices]
            answers = [self.prompts.completion(prompt, text) for text in given] if is_trained_on else []
            n_answer = max([max_new_tokens, *(len(answer.token_ids) for answer in answers)])
            if max(len(asked.token_ids), len(prompt.token_ids)) + n_answer <= longest:
                kept.append(question)
            else:
                skipped.append(question.id)
        if skipped:
            progress.note(f"{where}: {len(skipped)} questions longer than {longest} tokens skipped: {_named(skipped)}")
        if not kept:
            raise DataError(f"{where}: every question is longer than the {longest} tokens that the model attends to")
        return kept, skipped

    def left_out(self, where: str, ids: Sequence[str]) -> Notes:
        if ids:
            progress.note(f"{where}: {len(ids)} examples without a finite loss and gradient left out: {_named(ids)}")
        return {"non_finite": list(ids)}


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


def _model_key(config: Config) -> dict[str, Any]:
    """Names the model in stage keys; a folder by its files, too, so that other weights in it are another model."""
    key = config.model.model_dump(include={"name", "revision", "dtype", "quantization"})
    folder = Path(config.model.name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        key["files"] = fingerprint([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    return key


def _digest(rows: Sequence[Any]) -> str:
    return fingerprint([asdict(row) for row in rows])


def peak_memory_mb() -> int:
    """Highest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
