"""What the stages of one run share: its folder, its questions and prompts, and the model."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate.utils.memory import clear_device_cache
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel

from grait.config import Config
from grait.data.load import load_questions, load_shots, load_topic_shots
from grait.errors import ArtifactError, ConfigError, DataError
from grait.judging.sureness import with_sureness
from grait.model.adapters import load_adapter
from grait.model.completions import TokenizedExample
from grait.model.engine import Engine
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer, resolve_dtype
from grait.model.prompts import Family, PromptFormat
from grait.model.vllm_engine import VllmModel, adapter_rank, check_vllm
from grait.records import Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, write_json
from grait.runtime.lock import locked
from grait.runtime.machine import peak_memory_mb

Notes = dict[str, Any]
"""What a stage has to tell besides its result: ``skipped`` and ``non_finite`` ids."""


@dataclass
class Workbench:
    """One run: its folder, data and model, each loaded when first needed, and what has been noticed on the way."""

    config: Config
    notes: dict[str, Notes] = field(default_factory=dict)
    """What each stage noted, by its folder: seconds, skipped and non_finite ids."""
    has_training: bool = True
    """False: ``config.data`` is not read; ``given_shots`` are shown, or those that a test set keeps for its own
    questions."""
    given_shots: tuple[Question, ...] = ()
    _vllm: VllmModel | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        processes.start(self.config.model.device)

    @property
    def folder(self) -> Path:
        return Path(self.config.out)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the run folder, with the config in it, and keeps other runs out.

        Before, data that is bad, a model that is unknown, and an engine that is missing, are found.
        """
        if self.config.inference.engine == "vllm":
            check_vllm(processes.count())
        if self.config.model.compile and processes.sharding() != "none":
            raise ConfigError("model.compile = true: was not tried with sharded training (FSDP, ZeRO); set it to false")
        _ = self.test_sets, self.training_set if self.has_training else None, self.prompts
        with locked(self.folder):
            if processes.is_main() and self.has_training:
                try:
                    write_json(self.folder / "config.json", self.config.model_dump())
                except OSError as error:
                    raise ArtifactError(f"{self.folder}: cannot write the run folder: {error.strerror}") from error
            with self.releasing_vllm():
                yield

    # -- questions and prompts ---------------------------------------------------------------------------------

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
        if not self.has_training:
            return self.given_shots
        return tuple((load_shots(self.config.data) or self.training_set)[: self.config.prompt.n_shots])

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Training questions by id, without the shots."""
        shots = {shot.id for shot in self.shots}
        return {question.id: question for question in self.training_set if question.id not in shots}

    @cached_property
    def test_sets(self) -> dict[str, list[Question]]:
        return {dataset.title: load_questions(dataset) for dataset in self.config.evaluation.datasets}

    @cached_property
    def prompts(self) -> PromptFormat:
        letters = self.config.knowledge.scoring in ("auto", "letter")
        return PromptFormat(
            # The shots first: bad data is found before the model is looked for.
            shots=self.shots,
            topic_shots=load_topic_shots(
                [*([self.config.data] if self.has_training else []), *self.config.evaluation.all_sets],
                self.config.prompt.n_shots,
            ),
            tokenizer=load_tokenizer(self.config.model),
            config=self.config.prompt,
            answer_form="letter" if letters else "text",
        )

    @property
    def pad_token_id(self) -> int:
        return int(self.prompts.tokenizer.pad_token_id)

    def tokenized(self, question_id: str, family: Family, answer: str) -> TokenizedExample:
        prompt = self.prompts.prompt(self.questions[question_id], family)
        completion = self.prompts.completion(prompt, answer)
        return TokenizedExample(question_id, prompt.token_ids, completion.token_ids)

    def fitting(
        self, questions: Sequence[Question], max_new_tokens: int, where: str, is_trained_on: bool = False
    ) -> tuple[list[Question], list[str]]:
        """The questions whose prompts and answers the model can attend to, and the ids of the others.

        Answers have ``max_new_tokens``; the refusal has to fit, and the given answers of questions that are trained on.
        """
        refusal = self.config.prompt.refusal
        with self.engine(None) as engine:
            longest = engine.longest
        kept, skipped = [], []
        for question in questions:
            asked, prompt = self.prompts.query(question), self.prompts.prompt(question, "refuse")
            unsure = with_sureness(self.prompts.reference(question), False)  # the longest that any method teaches
            given = [refusal, *([unsure, *question.choices] if is_trained_on else [])]
            answers = [
                self.prompts.completion(asked, refusal),
                *(self.prompts.completion(prompt, text) for text in given),
            ]
            n_answer = max(max_new_tokens, *(len(answer.token_ids) for answer in answers))
            if max(len(asked.token_ids), len(prompt.token_ids)) + n_answer <= longest:
                kept.append(question)
            else:
                skipped.append(question.id)
        if skipped:
            progress.note(f"{where}: {len(skipped)} questions longer than {longest} tokens skipped: {_named(skipped)}")
        if not kept:
            raise DataError(f"{where}: every question is longer than the {longest} tokens that the model attends to")
        return kept, skipped

    # -- the model ---------------------------------------------------------------------------------------------

    @cached_property
    def model(self) -> PreTrainedModel:
        self._close_vllm()
        clear_device_cache(garbage_collection=True)  # cycles hold what is left of a sharded model
        progress.note(f"loading {self.config.model.name} ({_dtype(self.config)})")
        return load_model(self.config.model)

    @contextmanager
    def engine(self, adapter: Stage | None) -> Iterator[Engine]:
        """The config's engine, for the model with a finished adapter on or, without one, the initial model.

        vLLM and the model that is trained are never in memory together: either is loaded again when it is asked for.
        In a run vLLM is ready for the adapters that the run trains from the beginning on.
        """
        if self.config.inference.engine == "transformers":
            with self.adapted(adapter) as model:
                yield InferenceEngine(model, self.pad_token_id, self.config.tokens_per_batch)
            return
        folder = adapter.folder if adapter else None
        rank = max(adapter_rank(folder) if folder else 0, self.config.lora.r if self.has_training else 0)
        if self._vllm is None or self._vllm.max_rank < rank:
            self.drop_model()
            progress.note(f"loading {self.config.model.name} ({_dtype(self.config)}) into vLLM")
            self._vllm = VllmModel(self.config.model, self.config.inference, rank)
        yield self._vllm.engine(folder)

    @contextmanager
    def adapted(self, adapter: Stage | None, is_trainable: bool = False) -> Iterator[PreTrainedModel | PeftModel]:
        """The model with a finished adapter on, which is taken off again; without one, the initial model."""
        if adapter is None:
            yield self.model
            return
        model = load_adapter(self.model, adapter.folder, is_trainable)
        try:
            yield model
        finally:
            self.drop_adapter(model)

    def drop_model(self) -> None:
        """Forget the loaded model, to make room for another one."""
        self.__dict__.pop("model", None)
        self._close_vllm()
        clear_device_cache(garbage_collection=True)

    @contextmanager
    def releasing_vllm(self) -> Iterator[None]:
        """At the end of this context vLLM holds no GPU for this run."""
        try:
            yield
        finally:
            self._close_vllm()

    def _close_vllm(self) -> None:
        if self._vllm is not None:
            self._vllm.close()
            self._vllm = None

    def drop_adapter(self, model: Any) -> None:
        self.model = model.unload()
        self.model.requires_grad_(False)

    # -- stages ------------------------------------------------------------------------------------------------

    def once(self, title: str, stage: Stage, compute: Callable[[Path], Notes]) -> None:
        """Run a stage unless it is finished; say which, and why. Keeps what it notes.

        Of several processes all compute, and the main one's folder is kept.
        """
        reasons = processes.from_main(stage.changes() if processes.is_main() else None)
        progress.heading(title)
        if reasons is None:
            progress.note("finished before, reused")
            if processes.is_main():
                stage.sweep()
        else:
            _run(stage, reasons, compute)
        processes.wait()
        self.notes[str(stage.folder.relative_to(self.folder))] = stage.notes()


def _run(stage: Stage, reasons: Sequence[str], compute: Callable[[Path], Notes]) -> None:
    if stage.folder.exists():
        progress.note("running again: " + "; ".join(reasons))
    start = time.monotonic()
    try:
        with stage.writing() if processes.is_main() else _thrown_away() as (folder, notes):
            notes.update(compute(folder))
            notes["seconds"] = round(time.monotonic() - start, 1)
            notes["peak_memory_mb"] = peak_memory_mb()
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{stage.folder}: cannot write: {reason}") from error


@contextmanager
def _thrown_away() -> Iterator[tuple[Path, Notes]]:
    """Where the other processes write what the main one keeps."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), {}


def left_out(where: str, ids: Sequence[str]) -> Notes:
    """The note about examples without a finite loss or gradient; says so on stderr when there are any."""
    if ids:
        progress.note(f"{where}: {len(ids)} examples without a finite loss and gradient left out: {_named(ids)}")
    return {"non_finite": list(ids)}


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


def model_key(config: Config) -> dict[str, Any]:
    """Names the model in stage keys; a folder by its files, too, so that other weights in it are another model."""
    key = config.model.model_dump(include={"name", "revision", "quantization"})
    key["dtype"] = _dtype(config)
    folder = Path(config.model.name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        key["files"] = fingerprint([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    return key


def _dtype(config: Config) -> str:
    return str(resolve_dtype(config.model)).removeprefix("torch.")


def engine_key(config: Config) -> dict[str, Any]:
    """For the keys of stages that ask the model: engines differ in rounding. Nothing for the default one."""
    engine = config.inference.engine
    return {} if engine == "transformers" else {"engine": engine}


def digest(rows: Sequence[Any]) -> str:
    """Fingerprint of dataclass rows, for stage keys."""
    return fingerprint([asdict(row) for row in rows])
