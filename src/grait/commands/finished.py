"""A run that is finished, opened again: its config, what its methods chose from, its adapters, its model to ask."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftModel

from grait.config import parse_config
from grait.dial.answers import Reply
from grait.dial.stored import SavedDial, find_dial
from grait.dial.threshold import ScoreName, check_threshold
from grait.errors import ArtifactError
from grait.methods.catalog import METHODS
from grait.methods.selection import Evidence
from grait.model.answers import ask_both_ways
from grait.model.inference import InferenceEngine
from grait.pipeline.workbench import Workbench
from grait.records import InfluenceScore, KnowledgeFlow, KnowledgeState, Question
from grait.runtime.artifacts import MANIFEST, Stage, read_rows


@dataclass
class LiveRun:
    """The initial model and one method's tuned model, ready to be asked; by transformers, whatever engine the run had.

    ``dial``: the calibrated one, if any. ``threshold``: where to begin, None for no dial. One thread asks at a time.
    """

    bench: Workbench
    method: str
    model: PeftModel
    dial: SavedDial | None
    threshold: float | None
    _alone: Any = field(default_factory=threading.Lock)

    @property
    def refusal(self) -> str:
        return self.bench.config.prompt.refusal

    @property
    def score(self) -> ScoreName:
        """That of the calibrated dial."""
        return self.dial.score if self.dial else "first-token"

    def examples(self, n: int) -> list[str]:
        """The first questions of the run's first test set."""
        return [question.question for question in next(iter(self.bench.test_sets.values()))[:n]]

    def ask(self, text: str) -> Reply:
        """Both models' answers. Raises ModelError when the question is too long."""
        question = Question("", " ".join(text.split()), ("",))
        prompts, n_tokens = self.bench.prompts, self.bench.config.evaluation.max_new_tokens
        query = prompts.query(question)
        with self._alone:
            engine = InferenceEngine(self.model, self.bench.pad_token_id, self.bench.config.tokens_per_batch)
            with self.model.disable_adapter():
                ((initial,),) = engine.generate(
                    [query.token_ids],
                    [""],
                    n=1,
                    temperature=0,
                    max_new_tokens=n_tokens,
                    end_token_ids=prompts.end_token_ids(query.is_chat),
                )
            (tuned,) = ask_both_ways(engine, prompts, [question], max_new_tokens=n_tokens)
        return Reply(question.question, prompts.decode(initial), tuned)


def open_run(folder: Path) -> Workbench:
    """The run in a folder, with the config it was made with. Raises ArtifactError when it holds none."""
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
    return Workbench(parse_config(tree | {"out": str(folder)}, str(path)))


def finished_adapter(bench: Workbench, method: str) -> Stage:
    """The adapter that a method trained in this run. Raises ArtifactError, naming those that there are."""
    adapters = Path(bench.config.out) / "adapters"
    if not (adapters / method).is_dir():
        trained = sorted(path.parent.name for path in adapters.glob(f"[!.]*/{MANIFEST}"))
        known = f"trained were {', '.join(trained)}" if trained else "none was trained yet: run grait run first"
        raise ArtifactError(f"{bench.config.out}: no adapter of the method {method!r}; {known}")
    return Stage.found(adapters / method)


def finished_evidence(bench: Workbench) -> Evidence:
    """What the methods of a run chose from. Raises ArtifactError when it is not there, or its questions are gone."""
    folder = Path(bench.config.out)
    methods = [METHODS[name] for name in bench.config.training.methods]
    states = read_rows(folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    check_known(folder, bench.config.data.path, [state.id for state in states], list(bench.questions))
    flow: list[KnowledgeFlow] = []
    influence: list[InfluenceScore] = []
    if any(method.needs_flow for method in methods):
        flow = read_rows(folder / "flow" / "flow.parquet", KnowledgeFlow)
    if any(method.needs_influence for method in methods):
        influence = read_rows(folder / "influence" / bench.config.influence.mode / "influence.parquet", InfluenceScore)
    return Evidence(states, {row.id: row.flow for row in flow}, {row.id: row for row in influence})


def check_known(folder: Path, path: str, needed: Sequence[str], found: Sequence[str]) -> None:
    """ArtifactError when questions of the run are not there any more where it read them."""
    missing = sorted(set(needed) - set(found))
    if missing:
        raise ArtifactError(
            f"{path}: {len(missing)} questions that {folder} is about are not there any more (such as {missing[0]!r}); "
            "put the file back as it was, or run again"
        )


@contextmanager
def live(folder: Path, method: str = "grait", threshold: float | None = None) -> Iterator[LiveRun]:
    """A finished run to be asked questions; ``threshold``: instead of the calibrated one.

    Loads the model, after everything else that can be wrong was looked at. Raises a GraitError with one line.
    """
    if threshold is not None:
        check_threshold(threshold)
    bench = open_run(folder)
    adapter = finished_adapter(bench, method)
    dial = find_dial(adapter.folder)
    with bench.adapted(adapter) as model:
        yield LiveRun(bench, method, model, dial, dial.threshold if dial and threshold is None else threshold)
