"""Any model, with or without an adapter, on any question sets: the numbers of a run without a run.

The base of THS is the initial model: the same model without the adapter, or another one that is named. It is asked with
the BASIC prompt, after shots where the question set keeps shots for its own questions (MMLU), else after those of a run
that is named, else without.
"""

import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from grait.commands.finished import open_run
from grait.commands.harness import HarnessTasks, check_tasks, run_tasks
from grait.config import Config, ModelConfig, as_config
from grait.errors import ArtifactError, ConfigError, described
from grait.evaluation.groups import summarize_groups
from grait.evaluation.metrics import with_abstention
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE
from grait.model.adapters import adapter_digests, find_adapter
from grait.pipeline.contexts import known_without_text, quadrants
from grait.pipeline.conversations import conversation_records, conversation_replies
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, measure, on_common, write_records
from grait.pipeline.forms import answers_by_form, form_results
from grait.pipeline.judging import judge_key, judge_summary
from grait.pipeline.models import Models, model_key
from grait.pipeline.results import FORMS, GROUPS, METRICS, QUADRANTS, REFUSED, SideEffects
from grait.pipeline.side_effects import side_effects
from grait.pipeline.stages import Notes, Stages, alone
from grait.pipeline.unanswerable import refused_records
from grait.records import (
    Asked,
    FormRecord,
    GroupRecord,
    HarnessRecord,
    MetricRecord,
    Prediction,
    QuadrantRecord,
    Question,
    RefusedRecord,
    SideEffectAnswer,
)
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_json, write_rows
from grait.runtime.machine import machine, versions

ABOUT, HARNESS, WITHOUT_THS = "about.json", "lm_eval.json", "without_ths.json"
INITIAL = "initial"
"""The initial model in the harness, where none of our prompts is used."""


@dataclass(frozen=True)
class ModelEvaluation:
    """``metrics``: data set by data set, the initial model first. ``without_ths``: shares on the data sets on which the
    initial model gives no wrong answer, so that THS and all that builds on it is undefined.

    ``forms``: in each form and their means, where there are several; empty with one. ``side_effects``, ``harness``:
    empty where they were not asked for. ``about``: models, prompts, shots, versions, machine. ``refused``: of
    questions without a reference.
    """

    folder: Path
    metrics: list[MetricRecord]
    groups: list[GroupRecord]
    without_ths: list[GroupRecord]
    forms: list[FormRecord]
    side_effects: SideEffects
    harness: list[HarnessRecord]
    about: dict[str, Any]
    refused: list[RefusedRecord] = field(default_factory=list)
    quadrants: list[QuadrantRecord] = field(default_factory=list)


def evaluate(
    config: Config | dict[str, Any] | str | Path,
    *,
    adapter: str | Path | None = None,
    initial: ModelConfig | None = None,
    asked: Asked = "refuse",
    harness: HarnessTasks | None = None,
    shots: Sequence[Question] = (),
) -> ModelEvaluation:
    """Ask, or go on asking, the model of ``config`` its ``evaluation.datasets``, and hold it against the initial one.

    ``config``: a ``Config``, a plain tree or a YAML file, as it stands: without ``prompt.forms`` one form is asked.
    Model, prompt, evaluation, seed, out and tokens_per_batch count; nothing is trained, ``data`` is not read.
    ``adapter``: folder or hub id in PEFT's format. ``initial``: the base of THS; default: the same model without
    the adapter. ``asked``: how the model is asked; without adapter and initial model, ``query`` is the initial
    model itself. ``shots``: shown where the question set keeps none of its own (``asked_as`` has those of a run).
    Stages that are finished in ``config.out`` are reused. Raises a GraitError with one line.
    """
    config = as_config(config)
    _check_arguments(adapter, initial, asked, harness)
    if (Path(config.out) / "config.json").exists():
        raise ArtifactError(f"{config.out}: holds a run of its own; name another folder (out)")
    data = RunData(config, has_training=False, given_shots=tuple(shots))
    models = Models(data)
    base = data if initial is None else replace(data, config=config.model_copy(update={"model": initial}))
    base_models = models if base is data else Models(base)
    name = None if adapter is None else str(adapter)
    put_on = adapter_stage(name)
    is_initial = base is data and put_on is None
    ours = System(INIT_REFUSE if is_initial else label(config.model.name, name), put_on, asked)
    theirs = System.of_method(INIT_BASIC, None)
    is_asked = not (is_initial and asked == "query")
    index = check_tasks(harness) if harness else None
    _note_shots(data, name, put_on)
    with alone(data, models) as stages, base_models.releasing_vllm():
        # The tuned model first: an adapter that does not fit is found before the initial model is asked.
        answers = {ours.name: _answers(data, models, stages, ours)} if is_asked else {}
        refused = refused_records(data, models, stages, [ours] if is_asked else [], {})
        systems = ({INIT_REFUSE: None} if base is data else {}) | {ours.name: put_on}
        more = _More.of(data, models, stages, systems, answers if asked == "refuse" else {}, has_drift=base is data)
        tasks = _harness(models, stages, ours.name, put_on, harness, index) if harness and not is_initial else []
        if base is not data:
            models.drop()
        predictions = common(initial_answers(base, base_models, stages), answers)
        refused = [*refused_records(base, base_models, stages, [theirs], {}), *refused]
        if base is not data:
            more = _More.of(base, base_models, stages, {INIT_REFUSE: None}, {}, has_drift=False).joined(more)
        if harness:
            tasks = [*_harness(base_models, stages, INITIAL, None, harness, index), *tasks]
        about = {"adapter": None if put_on is None else {"name": name, **put_on.key}} | about_models(data, base, stages)
        about["asked"] = {system.name: system.asked for system in (theirs, *([ours] if is_asked else []))}
        by_quadrant = quadrants(data, predictions, {}, known_without_text(base, base_models, stages))
        results = more.results(data, ours.name)
        return finish(data, stages.folder, predictions, results, tasks, about, refused, by_quadrant)


@dataclass(frozen=True)
class _More:
    """What is asked beside the test questions in the main form: of one model, or of the initial one and another.
    ``by_form``: form -> data set -> system -> answers. ``said``: replies within conversations, by system."""

    by_form: dict[str, dict[str, dict[str, list[Prediction]]]]
    effects: SideEffects
    said: dict[str, list[SideEffectAnswer]]

    @classmethod
    def of(
        cls,
        data: RunData,
        models: Models,
        stages: Stages,
        systems: Mapping[str, Stage | None],
        answers: Mapping[str, Mapping[str, list[Prediction]]],
        has_drift: bool,
    ) -> "_More":
        """``answers``: in the main form, as far as it was asked: system -> data set -> rows."""
        known = {title: {name: own[title] for name, own in answers.items()} for title in data.test_sets}
        by_form = answers_by_form(data, models, stages, systems, known)
        if not data.config.evaluation.probes:
            return cls(by_form, SideEffects(), {})
        effects = side_effects(data, models, stages, systems, has_drift)
        return cls(by_form, effects, conversation_replies(data, models, stages, systems))

    def joined(self, other: "_More") -> "_More":
        """Both models', the other's after this one's."""
        by_form = {
            form: {title: own | other.by_form[form][title] for title, own in datasets.items()}
            for form, datasets in self.by_form.items()
        }
        effects = SideEffects([*self.effects.records, *other.effects.records])
        return _More(by_form, effects, self.said | other.said if self.said and other.said else {})

    def results(self, data: RunData, main: str) -> tuple[SideEffects, list[FormRecord]]:
        effects = replace(self.effects, conversations=conversation_records(data, self.said))
        return effects, form_results(data, self.by_form, main).records


def _check_arguments(adapter: Any, initial: Any, asked: Any, harness: Any) -> None:
    """ConfigError for a value of a wrong type."""
    if adapter is not None and not isinstance(adapter, str | Path):
        raise ConfigError(f"adapter: expected a folder or hub id, found {described(adapter)}; give it as text or path")
    if initial is not None and not isinstance(initial, ModelConfig):
        raise ConfigError(f"initial: expected a ModelConfig, found {described(initial)}; give ModelConfig(name=...)")
    if asked not in get_args(Asked):
        raise ConfigError(f"asked: expected {' or '.join(get_args(Asked))}, found {described(asked)}")
    if harness is not None and not isinstance(harness, HarnessTasks):
        raise ConfigError(f"harness: expected HarnessTasks, found {described(harness)}; give HarnessTasks(tasks=...)")


def _note_shots(data: RunData, adapter: str | None, put_on: Stage | None) -> None:
    """Say what is odd about the shots; bad data is found, too, before a model is loaded."""
    run = None if put_on is None else _run_that_shows_shots(put_on.folder)
    if run and not data.given_shots:
        progress.note(
            f"{adapter}: trained with solved examples in its prompts (prompt.shots_in: all), which are not shown here; "
            f"to ask as its run did, add --prompt-of {run}"
        )


def about_models(data: RunData, base: RunData, stages: Stages) -> dict[str, Any]:
    """What was asked after what, with what, and when."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "model": model_key(data.config),
        "initial": model_key(base.config),
        "shots": shots_of(base),
        "config": data.config.model_dump(
            include={"model", "prompt", "inference", "evaluation", "seed", "tokens_per_batch", *judge_key(data.config)}
        ),
        "data": data.said,
        "stages": stages.notes,
        **judge_summary(data.judge, stages.folder),
        "versions": versions(),
        "machine": machine(),
    }


def label(model: str, adapter: str | None) -> str:
    """What tables and folders call a model: the last part of its adapter's, else of its own name."""
    name = Path(adapter or model).resolve().name or "model"
    return f"{name}-model" if name in (INIT_BASIC, INIT_REFUSE, INITIAL) else name


def asked_as(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]], tuple[Question, ...]]:
    """What decides how a run asks its questions: config keys with their values, those of ``evaluation.forms``, and its
    solved examples."""
    data = open_run(run)
    config = data.config
    keys = {"prompt": config.prompt.model_dump(), "knowledge": {"scoring": config.knowledge.scoring}}
    if config.judge.by != "matching":
        keys["judge"] = config.judge.model_dump()
    return keys, [form.model_dump() for form in config.evaluation.forms], data.shots


def shots_of(data: RunData) -> dict[str, str]:
    """What stands before the questions of each data set in a BASIC prompt, in words."""
    shots = {}
    for title, questions in data.test_sets.items():
        shown = {data.prompts.shots_for(question) for question in questions}
        if shown == {()}:
            shots[title] = "no shots"
        elif shown == {data.given_shots}:
            shots[title] = f"{len(data.given_shots)} shots that were given"
        else:
            shots[title] = f"{max(map(len, shown))} shots of the same topic, which the set keeps for this"
    return shots


def adapter_stage(adapter: str | None) -> Stage | None:
    """An adapter from anywhere, as the stages of a run know theirs: a folder, and what its content is."""
    if adapter is None:
        return None
    folder = find_adapter(adapter)
    return Stage(folder, adapter_digests(folder))


def _run_that_shows_shots(adapter: Path) -> Path | None:
    """The run in whose folder the adapter lies, if it was trained with shots."""
    try:
        run = adapter.resolve().parents[1]
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        prompt = config["prompt"]
        forms = [form["name"] for form in prompt.get("forms", [])]
        shows_examples = forms[0] == "examples" if forms else prompt["shots_in"] == "all"
        return run if shows_examples and prompt["n_shots"] else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _answers(data: RunData, models: Models, stages: Stages, system: System) -> dict[str, list[Prediction]]:
    """By data set."""
    return {
        title: answer_questions(data, models, stages, system, QuestionSet(title, questions))
        for title, questions in data.test_sets.items()
    }


def initial_answers(data: RunData, models: Models, stages: Stages) -> dict[str, list[Prediction]]:
    """Of the base of THS, by data set."""
    return _answers(data, models, stages, System.of_method(INIT_BASIC, None))


def common(
    initial: Mapping[str, list[Prediction]], others: Mapping[str, Mapping[str, list[Prediction]]]
) -> dict[str, dict[str, list[Prediction]]]:
    """Data set -> system -> predictions of the questions that all of them have."""
    return {
        title: on_common(title, {INIT_BASIC: rows, **{name: of_set[title] for name, of_set in others.items()}})
        for title, rows in initial.items()
    }


def _harness(
    models: Models, stages: Stages, name: str, adapter: Stage | None, wanted: HarnessTasks, index: Any
) -> list[HarnessRecord]:
    """One model's results on the tasks of lm-evaluation-harness."""
    settings, given = asdict(wanted), models.config.prompt.template_arguments
    del settings["batch_size"]
    key = {
        "model": model_key(models.config),
        "adapter": adapter.fingerprint if adapter else None,
        "lm_eval": importlib.metadata.version("lm_eval"),
        **settings,
        **({"template_arguments": given} if wanted.apply_chat_template and given else {}),
        "tasks": list(wanted.tasks),
        "task_files": _task_files(wanted.include_path),
    }
    stage = Stage(stages.folder / "lm-eval" / name, key)

    def compute(folder: Path) -> Notes:
        with models.adapted(adapter) as model:
            records = run_tasks(name, model, models.chat_tokenizer, wanted, index)
        write_rows(folder / "results.parquet", records)
        return {}

    stages.once(f"lm-evaluation-harness: {name} on {', '.join(wanted.tasks)}", stage, compute)
    return read_rows(stage.folder / "results.parquet", HarnessRecord)


def _task_files(include_path: str | None) -> str | None:
    """Names the content of the user's task folder, so that changed tasks run again."""
    if include_path is None:
        return None
    root = Path(include_path)
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    stats = [(str(path.relative_to(root)), path.stat()) for path in files]
    return fingerprint([[name, found.st_size, found.st_mtime_ns] for name, found in stats])


def finish(
    data: RunData,
    folder: Path,
    predictions: dict[str, dict[str, list[Prediction]]],
    more: tuple[SideEffects, list[FormRecord]],
    tasks: list[HarnessRecord],
    about: dict[str, Any],
    refused: list[RefusedRecord],
    by_quadrant: Sequence[QuadrantRecord] = (),
) -> ModelEvaluation:
    """Metrics of all that was answered; also as files."""
    effects, forms = more
    has_ths = {title: any(row.outcome == "wrong" for row in rows[INIT_BASIC]) for title, rows in predictions.items()}
    measurable = {title: rows for title, rows in predictions.items() if has_ths[title]}
    metrics, groups = measure(data.config, data.test_sets, measurable)
    metrics = with_abstention(metrics, refused)
    without_ths = [
        record
        for title, systems in predictions.items()
        if not has_ths[title]
        for record in _shares(title, data.test_sets[title], systems)
    ]
    if processes.is_main():
        files: dict[str, Sequence[Any]] = {METRICS: metrics, GROUPS: groups, WITHOUT_THS: without_ths, HARNESS: tasks}
        write_records(folder, files | {FORMS: forms, REFUSED: refused, QUADRANTS: by_quadrant} | effects.files)
        write_json(folder / ABOUT, about)
    return ModelEvaluation(
        folder, metrics, groups, without_ths, forms, effects, tasks, about, refused, list(by_quadrant)
    )


def _shares(title: str, questions: Sequence[Question], systems: Mapping[str, list[Prediction]]) -> list[GroupRecord]:
    """Pc, Pw, Pr and over-refusal of each system where THS is undefined."""
    outcomes = {name: {row.id: row.outcome for row in rows} for name, rows in systems.items()}
    ungrouped = [replace(question, group=None) for question in questions]
    return [
        record
        for name, own in outcomes.items()
        for record in summarize_groups(name, title, ungrouped, outcomes[INIT_BASIC], own)
    ]
