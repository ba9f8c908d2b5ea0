"""A run that is finished, opened again: its config, what its methods chose from, its adapters, its model to ask."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from grait.config import parse_config
from grait.dial.answers import Reply
from grait.dial.stored import SavedDial, SavedDials, find_dials
from grait.dial.threshold import ScoreName, check_threshold
from grait.errors import ArtifactError, ConfigError, described
from grait.knowledge.own_words import known_in_any_form
from grait.methods.catalog import main_method, needing_flow, needing_influence
from grait.methods.policy import labelled
from grait.methods.selection import Evidence
from grait.model.answers import BothAnswers, Shown, ask_both_ways, both_answers, greedy_answers
from grait.model.engine import Road
from grait.model.inference import InferenceEngine
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.own_words import stored_own_words
from grait.records import InfluenceScore, KnowledgeFlow, KnowledgeState, Question
from grait.runtime.artifacts import MANIFEST, Stage, read_rows
from grait.runtime.files import as_path


@dataclass
class DialledRun:
    """A finished run as it is asked with the dial, without a model. ``dials``: the calibrated ones, if any."""

    data: RunData
    method: str
    dials: SavedDials | None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.data.prompts.tokenizer

    @property
    def has_chat(self) -> bool:
        """Whether the model has a chat template."""
        return self.data.prompts.has_template

    @property
    def chat_ends(self) -> list[int]:
        """The tokens that end an answer in the chat template."""
        return sorted(self.data.prompts.end_token_ids(is_chat=True))

    @property
    def refusal(self) -> str:
        return self.data.config.prompt.first_refusal

    def chat_dial(self, system: str | None) -> tuple[str, SavedDial] | None:
        """Form and dial of a bare question in the chat template: with this system message, else with another one."""
        dials = self.dials.forms if self.dials else {}
        bare = [form for form in self.data.prompts.forms if form.is_chat and form.template == "{question}"]
        default = self.data.config.prompt.system
        bare.sort(key=lambda form: (default if form.system is None else form.system) != (system or default))
        return next(((form.name, dials[form.name]) for form in bare if form.name in dials), None)


@dataclass
class LiveRun(DialledRun):
    """The initial model and one method's tuned model, ready to be asked; by transformers, whatever engine the run had.

    ``threshold``: of the dial of the main form, where to begin; None for no dial. ``alone``: held by the thread that
    asks.
    """

    model: PeftModel
    pad_token_id: int
    road: Road
    threshold: float | None
    alone: Any = field(default_factory=threading.Lock)

    @property
    def dial(self) -> SavedDial | None:
        """That of the main form, in which ``ask`` asks."""
        return self.dials.forms.get(self.data.prompts.forms[0].name) if self.dials else None

    @property
    def score(self) -> ScoreName:
        """That of the calibrated dial."""
        return self.dial.score if self.dial else "first-token"

    @property
    def gate(self) -> float | None:
        """The same."""
        return self.dial.setting.gate if self.dial else None

    def decided(self, token_ids: Sequence[int], message: str, dial: SavedDial, n_tokens: int) -> BothAnswers:
        """The tuned model's answers to a prompt of these tokens, free and without the refusal. ``message``: what was
        said last, which some dials ask again by itself. Raises ModelError when it is too long."""
        prompts = [(tuple(token_ids), dial.refusal_token_ids, dial.end_token_ids)]
        if dial.terse:
            again = self.data.prompts.tokens(dial.terse.before + message + dial.terse.after, dial.terse.is_chat)
            prompts.append((again, dial.terse.refusal_token_ids, dial.terse.end_token_ids))
        with self.alone:
            engine = self.engine()
            found = [
                engine.answers_both_ways([asked], [refusal], max_new_tokens=n_tokens, end_token_ids=frozenset(ends))[0]
                for asked, refusal, ends in prompts
            ]
        first, *others = (both_answers(self.data.prompts, both) for both in found)
        return replace(first, terse_logprob=others[0].suppressed_logprob) if others else first

    def examples(self, n: int) -> list[str]:
        """The first questions of the run's first test set."""
        return [question.question for question in next(iter(self.data.test_sets.values()))[:n]]

    def ask(self, text: str) -> Reply:
        """Both models' answers to a question in the trained form. Raises ModelError when it is too long."""
        question = Question("", " ".join(text.split()), ("",))
        prompts, n_tokens = self.data.prompts, self.data.config.evaluation.max_new_tokens
        query = prompts.query(question)
        with self.alone:
            engine = self.engine()
            with self.model.disable_adapter():
                (initial,) = greedy_answers(engine, prompts, [Shown("", "", query)], n_tokens).values()
            terse = self.data.terse_form(prompts.forms[0])
            (tuned,) = ask_both_ways(engine, prompts, [question], terse=terse, max_new_tokens=n_tokens)
        return Reply(question.question, prompts.decode(initial), tuned)

    def engine(self) -> InferenceEngine:
        """Of the tuned model; whoever asks it holds ``alone``."""
        tokens_per_batch = self.data.config.tokens_per_batch
        return InferenceEngine(self.model, self.pad_token_id, tokens_per_batch, road=self.road)


def open_run(run: str | Path) -> RunData:
    """What a finished run read, by the config it was made with. Raises ArtifactError when the folder holds no run."""
    folder = as_path(run, "run")
    tree = run_tree(folder)
    config = parse_config(tree | {"out": str(folder)}, str(folder / "config.json"))
    return RunData(config, measures_texts=config.context.too_long == "cut")  # else they fitted when the run was made


def run_tree(folder: Path) -> dict[str, Any]:
    """The config of a run as it was written. Raises ArtifactError when the folder holds no run."""
    path = folder / "config.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(
            f"{folder}: no run folder (no config.json); name the folder that grait run wrote"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not a readable config; run grait run again") from error
    if not isinstance(tree, dict):
        raise ArtifactError(f"{path}: expected keys and values, found a {type(tree).__name__}")
    if "model_type" in tree or "architectures" in tree:
        raise ArtifactError(f"{folder}: holds a model and no run; name the folder that grait run wrote")
    return tree


def trained_method(data: RunData, method: str | None) -> str:
    """The method itself; the main one of the run where it is None."""
    if method is None:
        return main_method(data.config.training.methods)
    if not isinstance(method, str):
        raise ConfigError(f"method: expected a name, found {described(method)}; `grait methods` lists them")
    return method


def finished_adapter(data: RunData, method: str) -> Stage:
    """The adapter that a method trained in this run. Raises ArtifactError, naming those that there are."""
    adapters = data.folder / "adapters"
    if not method or not (adapters / method).is_dir():
        trained = sorted(path.parent.name for path in adapters.glob(f"[!.]*/{MANIFEST}"))
        known = f"trained were {', '.join(trained)}" if trained else "none was trained yet: run grait run first"
        raise ArtifactError(f"{data.folder}: no adapter of the method {method!r}; {known}")
    return Stage.found(adapters / method)


def finished_evidence(data: RunData) -> Evidence:
    """What the methods of a run chose from. Raises ArtifactError when it is not there, or its questions are gone."""
    folder, methods = data.folder, data.config.training.methods
    states = read_rows(folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    check_known(folder, data.config.data.path, [state.id for state in states], list(data.questions))
    threshold = data.config.knowledge.correctness_threshold
    states = known_in_any_form(states, stored_own_words(data), threshold, data.with_text)
    states = labelled(states, data.questions, data.config.context.policy)
    flow: list[KnowledgeFlow] = []
    influence: list[InfluenceScore] = []
    if needing_flow(methods):
        flow = read_rows(folder / "flow" / "flow.parquet", KnowledgeFlow)
    if needing_influence(methods):
        influence = read_rows(folder / "influence" / data.config.influence.mode / "influence.parquet", InfluenceScore)
    return Evidence(states, {row.id: row.flow for row in flow}, {row.id: row for row in influence}, data.answerless)


def check_known(folder: Path, path: str, needed: Sequence[str], found: Sequence[str]) -> None:
    """ArtifactError when questions of the run are not there any more where it read them."""
    missing = sorted(set(needed) - set(found))
    if missing:
        raise ArtifactError(
            f"{path}: {len(missing)} questions that {folder} is about are not there any more (such as {missing[0]!r}); "
            "put the file back as it was, or run again"
        )


def dialled(folder: Path, method: str | None = None) -> DialledRun:
    """A finished run without its model; ``method``: None for its main one. Raises a GraitError with one line."""
    data = open_run(folder)
    method = trained_method(data, method)
    adapter = finished_adapter(data, method)
    return DialledRun(data, method, find_dials(adapter.folder, data.prompts.forms[0].name))


@contextmanager
def live(folder: Path, method: str | None = None, threshold: float | None = None) -> Iterator[LiveRun]:
    """A finished run to be asked questions; ``method``: None for its main one; ``threshold``: not the calibrated one.
    Loads the model, after everything else that can be wrong was looked at. Raises a GraitError with one line."""
    if threshold is not None:
        check_threshold(threshold)
    opened = dialled(folder, method)
    data, method, dials = opened.data, opened.method, opened.dials
    adapter, models = finished_adapter(data, method), Models(data)
    road = models.inference_road
    with models.adapted(adapter) as model:
        running = LiveRun(data, method, dials, model, models.pad_token_id, road, threshold)
        if threshold is None and running.dial:
            running.threshold = running.dial.threshold
        yield running
