"""The benchmarks that people report, on any model, adapter, finished run or served model.

Every system is asked in one form: the bare question in the chat template, or ``Q: ... A:`` where there is none; a run's
in its own bare question, or its main form. So a model before and after tuning differs in nothing but the tuning.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grait.commands.evaluate import adapter_stage, label
from grait.commands.finished import finished_adapter, open_run, trained_method
from grait.config import Config, DataConfig, FormConfig, override, parse_config
from grait.data import truthfulqa
from grait.data.catalog import KNOWN_SETS, KnownSet
from grait.data.load import load_questions
from grait.data.sources import shuffled
from grait.data.truthfulqa import Truth
from grait.data.wording import shared, wording
from grait.dial.stored import SavedDial, with_dial
from grait.errors import ArtifactError, ConfigError, DataError, ServerError, described
from grait.evaluation.bench import (
    BENCHES,
    OPTIONS,
    Bench,
    scores_of_options,
    scores_of_replies,
    summarize_options,
    summarize_replies,
)
from grait.evaluation.scores import truthfulqa_mc1, truthfulqa_mc2
from grait.judging.judges import Judge
from grait.methods.catalog import METHODS
from grait.model.forms import Form
from grait.model.load import read_tokenizer
from grait.model.prompt_check import check_prompts
from grait.model.server import Address, Server
from grait.model.vllm_engine import check_vllm
from grait.pipeline.bench import Reply, judged_replies, option_logprobs, served_replies
from grait.pipeline.data import RunData
from grait.pipeline.dials import dialled, stored_dials
from grait.pipeline.evaluation import QuestionSet, System, answer_questions
from grait.pipeline.judging import judge_of
from grait.pipeline.models import Models, model_key
from grait.pipeline.results import BENCH
from grait.pipeline.stages import Stages, keep_moment
from grait.records import BenchRecord, BenchScore, OptionLogprobs, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import fingerprint, write_json
from grait.runtime.files import as_path
from grait.runtime.journal import Journal
from grait.runtime.lock import locked
from grait.runtime.machine import machine, versions

INITIAL = "initial"
"""The model without adapter, in the tables."""


@dataclass(frozen=True)
class BenchResult:
    """What was measured; all of it is in ``folder``, too. ``left_out``: sets that could not be had or asked, and why.
    ``about``: model, form, judge, sets, versions, machine."""

    folder: Path
    records: list[BenchRecord]
    scores: list[BenchScore]
    left_out: dict[str, str]
    about: dict[str, Any]


@dataclass(frozen=True)
class _Subject:
    """What is asked. ``data``: None where a served model is asked alone. ``form``: None for the main one. ``systems``:
    of this process, the initial one first. ``dial``: of the last of them."""

    config: Config
    out: Path
    data: RunData | None
    form: Form | None
    systems: tuple[System, ...]
    dial: SavedDial | None = None
    is_run: bool = False


def bench(
    model: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    only: Sequence[str] | None = None,
    limit: int | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
    address: Address | None = None,
    judge: Judge | None = None,
    overrides: list[str] | None = None,
) -> BenchResult:
    """Ask, or go on asking, the sets of ``evaluation.bench.BENCHES``, and give each its published score and ours.

    ``model``: hub id or folder of a model, or folder of a finished run, whose tuned model is asked, too, with and
    without its dial. ``adapter``: folder or hub id in PEFT's format, beside the model without. ``address``: a served
    model in the place of a tuned one; alone where no model is named. ``only``: names of sets; default: all. ``limit``:
    so many questions of each, the same ones in a fixed mixed order. ``folder``: has the sets' own files, each in a
    folder of the set's name or beside each other; then nothing is looked for on the hub. ``judge``: default: the
    config's. ``overrides``: as of ``load_config``. A set that cannot be had is in ``left_out``, the others go on;
    DataError where none can. What is answered is kept in ``out``. Raises a GraitError with one line.
    """
    wanted = _wanted(only)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ConfigError(f"limit: expected a whole number from 1, found {limit!r}")
    subject = _subject(model, adapter, address, out, overrides or [])
    judge = judge or judge_of(subject.config, subject.out)
    place = None if folder is None else as_path(folder, "folder")
    sets, left_out = _read_sets(wanted, place, limit, is_served_alone=subject.data is None)
    if not sets:
        raise DataError(f"no set can be had: {'; '.join(left_out.values())}")
    replies: dict[str, dict[str, list[Reply]]] = {name: {} for name in sets}
    options: dict[str, dict[str, list[OptionLogprobs]]] = {name: {} for name in sets}
    systems = {system.name: system for system in subject.systems}
    with _opened(subject) as (models, stages):
        for system in subject.systems:
            for name, asked in sets.items():
                with _or_left_out(left_out, name):
                    assert subject.data is not None and models is not None
                    if isinstance(asked, list):
                        options[name][system.name] = option_logprobs(subject.data, models, stages, system, name, asked)
                    else:
                        replies[name] |= _replies(subject, models, stages, system, asked)
        if address is not None:
            served = System(label(address.model, None), None, "refuse", subject.form)
            systems[served.name] = served
            _ask_served(subject, stages, address, served.name, sets, replies, left_out)
        about = _about(subject, stages, adapter, address, judge, sets, place)
    if subject.dial:
        systems[with_dial(subject.systems[-1].name)] = subject.systems[-1]
    records, scores = _measure(sets, replies, options, systems, judge)
    result = BenchResult(subject.out, records, scores, left_out, about)
    if processes.is_main():
        found = {"about": about, "left_out": left_out}
        rows = {"records": list(map(asdict, records)), "scores": list(map(asdict, scores))}
        write_json(subject.out / BENCH, found | rows)
    return result


# -- what is asked -------------------------------------------------------------------------------------------------


def _wanted(only: Sequence[str] | None) -> list[Bench]:
    if only is None:
        return list(BENCHES.values())
    if isinstance(only, str) or not isinstance(only, Sequence) or not only:
        raise ConfigError(f"only: expected a list of sets, found {described(only)}; there are {', '.join(BENCHES)}")
    for name in only:
        if name not in BENCHES:
            raise ConfigError(f"only: {name!r} is no set of grait bench; there are {', '.join(BENCHES)}")
    return [BENCHES[name] for name in dict.fromkeys(only)]


def _subject(
    model: str | Path | None,
    adapter: str | Path | None,
    address: Address | None,
    out: str | Path | None,
    overrides: list[str],
) -> _Subject:
    if model is None and address is None:
        raise ConfigError("name what to measure: a model or a run folder, or a server that is asked (--base-url)")
    if adapter is not None and (model is None or address is not None):
        raise ConfigError("adapter: goes with a model, and not with a server that is asked; leave one out")
    own_out = None if out is None else as_path(out, "out")
    if model is not None and _is_run(as_path(model, "model")):
        if adapter is not None:
            raise ConfigError(f"{model}: is a run, which has adapters of its own; leave out the adapter")
        return _of_run(Path(model), own_out, address is not None, overrides)
    name = label(address.model if address else str(model), None if adapter is None else str(adapter))
    tree: dict[str, Any] = {
        "out": str(own_out or Path("runs") / "bench" / name),
        **({"model": {"name": str(model)}} if model is not None else {}),
    }
    config = parse_config(override(tree, overrides), "options")
    if model is None:
        return _Subject(config, Path(config.out), None, None, ())
    if not config.prompt.forms:
        main = FormConfig(name="question" if read_tokenizer(config.model).chat_template else "plain")
        config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"forms": [main]})})
    put_on = adapter_stage(None if adapter is None else str(adapter))
    systems = [System(INITIAL, None, "refuse")]
    if put_on is not None:
        systems.append(System(label(str(model), str(adapter)), put_on, "refuse"))
    return _Subject(config, Path(config.out), RunData(config, has_training=False), None, tuple(systems))


def _is_run(folder: Path) -> bool:
    """Whether it holds a run's config; a model's folder has a file of the same name."""
    try:
        tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(tree, dict) and {"training", "evaluation"} <= tree.keys()


def _of_run(run: Path, out: Path | None, is_served: bool, overrides: list[str]) -> _Subject:
    data = open_run(run)
    if overrides:
        tree = override(data.config.model_dump(mode="json"), overrides) | {"out": str(run)}
        data = RunData(parse_config(tree, str(run)))
    method = trained_method(data, None)
    forms = data.prompts.forms
    form = next((form for form in forms if form.is_bare_chat), forms[0])
    own_form = None if form == forms[0] else form
    systems = [System(INITIAL, None, "refuse", own_form)]
    dial = None
    if not is_served:
        tuned = finished_adapter(data, method)
        systems.append(System(method, tuned, "refuse", own_form, METHODS[method].states_sureness))
        dial = stored_dials(data, {method: method}, form).get(method)
    return _Subject(data.config, out or run / "bench", data, own_form, tuple(systems), dial, is_run=True)


@contextmanager
def _opened(subject: _Subject) -> Iterator[tuple[Models | None, Stages]]:
    """Looks at the prompts before a model is loaded, and keeps others out of the folder."""
    data = subject.data
    if data is None:
        with locked(subject.out):
            yield None, Stages(subject.out)
        return
    if data.config.inference.engine == "vllm":
        check_vllm(processes.count())
    if (subject.out / "config.json").exists():
        raise ArtifactError(f"{subject.out}: holds a run of its own; name another folder (out)")
    models = Models(data)
    for note in check_prompts(data.prompts):
        progress.note(note)
    with locked(subject.out), models.releasing_vllm():
        if not subject.is_run:
            keep_moment(data)
        yield models, Stages(subject.out)


# -- the sets ------------------------------------------------------------------------------------------------------


def _read_sets(
    wanted: Sequence[Bench], folder: Path | None, limit: int | None, *, is_served_alone: bool
) -> tuple[dict[str, QuestionSet | list[Truth]], dict[str, str]]:
    """Those that can be had, and why the others cannot."""
    sets: dict[str, QuestionSet | list[Truth]] = {}
    left_out: dict[str, str] = {}
    for own in wanted:
        known = KNOWN_SETS[own.name]
        with _or_left_out(left_out, own.name):
            if own.name == OPTIONS and is_served_alone:
                raise DataError(f"{own.name}: takes likelihoods, which a server is not asked for")
            where = None if folder is None or not known.files else str(_folder_of(known, own.split, folder))
            if own.name == OPTIONS:
                sets[own.name] = shuffled(truthfulqa.load(where, None))[:limit]
            else:
                questions = load_questions(DataConfig(path=own.name, split=own.split, folder=where))
                sets[own.name] = QuestionSet(own.name, shuffled(questions)[:limit])
    return sets, left_out


@contextmanager
def _or_left_out(left_out: dict[str, str], name: str) -> Iterator[None]:
    """What cannot be had, or is not answered, is said in one line and kept; the others go on."""
    try:
        yield
    except (DataError, ServerError) as error:
        left_out[name] = f"{name}: {str(error).removeprefix(f'{name}: ')}"
        progress.note(f"left out: {left_out[name]}")


def _folder_of(known: KnownSet, split: str, folder: Path) -> Path:
    """Where the set's file is: in a folder of the set's name, or in ``folder`` itself where its name is its own."""
    places = own_files(known, split)
    found = next((folder / place for place in places if (folder / place).is_file()), None)
    if found is None:
        raise DataError(f"{known.name}: {folder} has no {' or '.join(places)}")
    return found.parent


def own_files(known: KnownSet, split: str) -> list[str]:
    """Where a set's own file may be in ``folder``, the first place first."""
    names = [name.format(split=split, Split=split.capitalize()) for name in known.names]
    inner = [f"{place}/{name}" for place in (known.name, known.name.partition("-")[0]) for name in names]
    return list(dict.fromkeys([*inner, *(name for name in names if not name.startswith(f"{split}."))]))


# -- asking --------------------------------------------------------------------------------------------------------


def _replies(
    subject: _Subject, models: Models, stages: Stages, system: System, asked: QuestionSet
) -> dict[str, list[Reply]]:
    """Of the system, and of the tuned one with its dial."""
    assert subject.data is not None
    rows = answer_questions(subject.data, models, stages, system, asked, "answers")
    by_id = {question.id: question for question in asked.questions}
    found = {system.name: rows}
    if subject.dial and system.adapter:
        refusing, dial = subject.config.prompt.refusing, subject.dial
        found[with_dial(system.name)] = [dialled(dial, row, by_id[row.id], refusing) for row in rows]
    return {name: [(by_id[row.id], row.output) for row in own] for name, own in found.items()}


def _ask_served(
    subject: _Subject,
    stages: Stages,
    address: Address,
    name: str,
    sets: Mapping[str, QuestionSet | list[Truth]],
    replies: dict[str, dict[str, list[Reply]]],
    left_out: dict[str, str],
) -> None:
    server = Server(address)
    journal = Journal(stages.folder / "served" / f"{fingerprint([address.url, address.model])[:12]}.jsonl")
    try:
        for title, asked in sets.items():
            if isinstance(asked, QuestionSet):
                with _or_left_out(left_out, title):
                    found = served_replies(subject.config, subject.data, subject.form, server, asked, journal)
                    replies[title][name] = found
    finally:
        server.close()


# -- results -------------------------------------------------------------------------------------------------------


def _measure(
    sets: Mapping[str, QuestionSet | list[Truth]],
    replies: Mapping[str, Mapping[str, list[Reply]]],
    options: Mapping[str, Mapping[str, list[OptionLogprobs]]],
    systems: Mapping[str, System],
    judge: Judge,
) -> tuple[list[BenchRecord], list[BenchScore]]:
    """Set by set and part by part, on the questions that all systems were asked."""
    records: list[BenchRecord] = []
    scores: list[BenchScore] = []
    for name, asked in sets.items():
        own = BENCHES[name]
        of_set: list[BenchRecord] = []
        ids = [{question.id for question, _ in rows} for rows in replies[name].values()]
        for method, rows in replies[name].items():
            common = [row for row in rows if all(row[0].id in known for known in ids)]
            judged = judged_replies(own, common, systems[method], judge)
            of_set += summarize_replies(own, method, judged)
            scores += scores_of_replies(own, method, judged)
        if isinstance(asked, list):
            true = {row.id: [[holds for _, holds in targets] for targets in (row.mc1, row.mc2)] for row in asked}
            for method, logprobs in options[name].items():
                mc1 = [truthfulqa_mc1(row.mc1, true[row.id][0]) for row in logprobs]
                mc2 = [truthfulqa_mc2(row.mc2, true[row.id][1]) for row in logprobs]
                of_set.append(summarize_options(own, method, mc1))
                scores += scores_of_options(own, method, mc1, mc2)
        records += sorted(of_set, key=lambda row: row.part)
    return records, scores


def _about(
    subject: _Subject,
    stages: Stages,
    adapter: str | Path | None,
    address: Address | None,
    judge: Judge,
    sets: Mapping[str, QuestionSet | list[Truth]],
    folder: Path | None,
) -> dict[str, Any]:
    data = subject.data
    form = None if data is None else subject.form or data.prompts.forms[0]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "model": None if data is None else model_key(subject.config),
        "run": str(data.folder) if data is not None and subject.is_run else None,
        "adapter": None if adapter is None else str(adapter),
        "served": None if address is None else {"url": address.url, "model": address.model},
        "form": "question" if form is None else form.name,
        "max_new_tokens": subject.config.evaluation.max_new_tokens,
        "judge": judge.name,
        "dial": None if subject.dial is None else subject.dial.threshold,
        "folder": None if folder is None else str(folder),
        "questions": {name: len(own.questions if isinstance(own, QuestionSet) else own) for name, own in sets.items()},
        "warnings": _trained_on(subject, sets),
        "stages": stages.notes,
        "versions": versions(),
        "machine": machine(),
    }


def _trained_on(subject: _Subject, sets: Mapping[str, QuestionSet | list[Truth]]) -> list[str]:
    """Sets some of whose questions the run was trained on: what is measured there is no news."""
    if subject.data is None or not subject.is_run:
        return []
    data = subject.data
    seen = {wording(question) for question in (*data.training_set, *data.taught.values())}
    found = []
    for name, own in sets.items():
        asked = own.questions if isinstance(own, QuestionSet) else [Question(row.id, row.question, ()) for row in own]
        if both := shared(asked, seen):
            found.append(f"{name}: {len(both)} of {len(asked)} questions are training questions of the run")
            progress.note(f"warning: {found[-1]}")
    return found
