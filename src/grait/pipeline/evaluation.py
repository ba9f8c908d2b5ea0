"""Stage 4: every system's answers to every data set, and what they amount to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from grait.config import Config
from grait.dial.stored import with_dial
from grait.evaluation.compare import compare, gather
from grait.evaluation.groups import summarize_groups
from grait.evaluation.metrics import summarize, with_abstention
from grait.judging.judges import Announced, BySureness
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS, main_method
from grait.model.forms import Form, form_key, forms_of, has_sentences, terse_form
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key, judge_summary
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.predict import predict, with_verdict
from grait.pipeline.results import SUMMARY, Answered, FormResults, RunResult, SideEffects
from grait.pipeline.stages import Notes, Stages, digest
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import (
    Asked,
    DifferenceRecord,
    GroupRecord,
    MetricRecord,
    Prediction,
    QuadrantRecord,
    Question,
    RefusedRecord,
)
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, required_columns, write_json, write_rows
from grait.runtime.machine import machine, peak_memory_mb, versions

HEADINGS = {
    "evaluation": "4/4 Evaluation",
    "calibration": "Calibration",
    "forms": "4/4 Evaluation by form",
    "unanswerable": "4/4 Questions without an answer",
    "closed-book": "4/4 Evaluation without the texts",
    "tuning": "3/4 Training: trials",
    "answers": "Benchmark",
}
"""What questions are asked for, which is also the folder of the answers."""


@dataclass(frozen=True)
class System:
    """A model to be asked. ``adapter``: None for the initial model. ``asked``: how. ``form``: of ``refuse``; None for
    the main one. ``states_sureness``: as of ``catalog.Method``."""

    name: str
    adapter: Stage | None
    asked: Asked
    form: Form | None = None
    states_sureness: bool = False

    @classmethod
    def of_method(cls, name: str, adapter: Stage | None) -> "System":
        """A system of the catalog."""
        return cls(name, adapter, METHODS[name].asked, states_sureness=METHODS[name].states_sureness)


@dataclass(frozen=True)
class QuestionSet:
    """Questions to ask, and what they are called together."""

    title: str
    questions: Sequence[Question]


def answer_questions(
    data: RunData,
    models: Models,
    stages: Stages,
    system: System,
    asked: QuestionSet,
    purpose: Literal[
        "evaluation", "calibration", "forms", "unanswerable", "closed-book", "tuning", "answers"
    ] = "evaluation",
) -> list[Prediction]:
    """The judged answers of a system to these questions, without those that are too long."""
    form = system.form or data.prompts.forms[0]
    has_gate = system.asked == "refuse" and has_sentences(data.config.prompt, form)
    is_again = system.adapter and system.asked == "refuse" and purpose != "tuning"  # trials set no dial
    terse = data.terse_form(form) if is_again else None
    columns = [column.name for column in fields(Prediction)][:-1] if has_gate else required_columns(Prediction)
    key = answers_key(data, system, asked.questions) | {"columns": columns} | ({"terse": terse.name} if terse else {})
    within = stages.folder / purpose if system.form is None else stages.folder / purpose / system.form.name
    stage = Stage(within / asked.title / system.name, key)
    judge = BySureness(data.judge) if system.states_sureness else data.judge
    judge = Announced(judge) if announces(system) else judge

    def compute(partial: Path) -> Notes:
        new_tokens = max(data.config.evaluation.max_new_tokens, _longest_option(data, system, asked.questions))
        kept, skipped = data.fitting(asked.questions, models.longest, new_tokens, asked.title, form=system.form)
        if terse:
            kept, too_long = data.fitting(kept, models.longest, new_tokens, asked.title, form=terse)
            skipped += too_long
        with models.engine(system.adapter) as engine:
            predictions = stage_rows(
                stage,
                Prediction,
                kept,
                lambda part, advance: predict(
                    engine,
                    data.prompts,
                    part,
                    system.asked,
                    judge,
                    form=system.form,
                    terse=terse,
                    max_new_tokens=data.config.evaluation.max_new_tokens,
                    advance=advance,
                    by_likelihood=chooses(data.config, system),
                ),
                bar=f"{system.name}, {asked.title}",
                groups=data.prompts.asked_together(kept, system.asked, system.form),
            )
        kept_rows, without = with_verdict(predictions, asked.title)
        write_rows(partial / "predictions.parquet", kept_rows)
        return {"skipped": skipped, **without}

    how = "" if system.form is None else f" in the form {system.form.name}"
    heading = HEADINGS[purpose]
    if system.name == INIT_BASIC:  # asked before anything is trained
        heading = heading.removeprefix("4/4 ")
    stages.once(f"{heading}: {system.name} on {asked.title}{how}", stage, compute)
    found = read_rows(stage.folder / "predictions.parquet", Prediction)
    stages.note_reasoning(stage, [row.output for row in found], "evaluation.max_new_tokens")
    return found


def chooses(config: Config, system: System) -> bool:
    """Whether a system's answers to questions with options are chosen by likelihood, not written. Not where refusals
    have other words than the refusal text, which no likelihood of options tells."""
    return config.knowledge.scoring == "likelihood" and not system.states_sureness and not announces(system)


def _longest_option(data: RunData, system: System, questions: Sequence[Question]) -> int:
    """In tokens, of those that are chosen by likelihood."""
    if not chooses(data.config, system):
        return 0
    texts = {choice for question in questions for choice in question.choices}
    return max((len(data.prompts.tokens(text, is_chat=False)) + 1 for text in texts), default=0)


def announces(system: System) -> bool:
    """Whether a word stands before its answers (refusal tokens)."""
    return system.name in METHODS and METHODS[system.name].by_first_token


def on_common(title: str, systems: Mapping[str, list[Prediction]]) -> dict[str, list[Prediction]]:
    """The answers to those questions that all systems were asked, with a verdict; says how many others there are."""
    answered = [{row.id for row in rows} for rows in systems.values()]
    ids, n = set[str]().union(*answered).intersection(*answered), len(set[str]().union(*answered))
    if len(ids) < n:
        progress.note(f"{title}: all systems are compared on the same {len(ids)} of {n} questions")
    return {name: [row for row in rows if row.id in ids] for name, rows in systems.items()}


def plan_answers(
    config: Config,
    asked: SetSize,
    systems: Sequence[str],
    name: str = "evaluation",
    does: str = "greedy answers",
    form: Form | None = None,
) -> StagePlan:
    """The cost of ``answer_questions`` by all of these systems. ``form``: None for the main one."""
    forms = forms_of(config.prompt)
    is_asked_again = not asked.has_options and terse_form(forms, form or forms[0]) is not None
    n, new_tokens, work = asked.count.or_per, config.evaluation.max_new_tokens, Work()
    for system in systems:
        prompt = asked.query_tokens if METHODS[system].asked == "query" else asked.prompt_tokens
        work += Work.generating(n, prompt, new_tokens, config.tokens_per_batch)
        if is_asked_again and METHODS[system].select:
            work += Work.generating(n, asked.query_tokens, new_tokens, config.tokens_per_batch)
    does = f"{does} of {len(systems)} systems: {', '.join(systems)}"
    samples, per = asked.count.times(len(systems)), asked.count.per("questions")
    return StagePlan(f"{name} {asked.title}", does, asked.count, work, samples=samples, per=per)


def answers_key(data: RunData, system: System, questions: Sequence[Question]) -> dict[str, Any]:
    """All that decides what a system answers."""
    config, prompts = data.config, data.prompts
    form = system.form or prompts.forms[0]
    return {
        "model": model_key(config),
        **engine_key(config),
        **judge_key(config),
        "adapter": system.adapter.fingerprint if system.adapter else None,
        "asked": system.asked,
        **prompts.key,
        **(form_key(form) if system.asked == "refuse" else {}),
        "shots": digest(prompts.shots_of(questions)) if prompts.shows_shots(system.asked, form) else None,
        "answer_form": prompts.answer_form,
        "questions": digest(questions),
        "max_new_tokens": config.evaluation.max_new_tokens,
        **({"options": "likelihood"} if chooses(config, system) and any(own.choices for own in questions) else {}),
    }


def measure(
    config: Config, test_sets: Mapping[str, Sequence[Question]], predictions: Answered
) -> tuple[list[MetricRecord], list[GroupRecord]]:
    """Metrics of all systems on all data sets, against Init-Basic on the same questions; and those of groups."""
    records, groups = [], []
    n, seed = config.evaluation.n_bootstrap, config.seed
    for dataset, systems in predictions.items():
        questions = test_sets[dataset]
        outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in systems.items()}
        initial = outcomes[INIT_BASIC]
        for system, rows in systems.items():
            refusal_log_odds = {row.id: row.refusal_log_odds for row in rows}
            has_log_odds = not any(map(math.isnan, refusal_log_odds.values()))  # what is served may tell none
            records.append(
                summarize(
                    system,
                    dataset,
                    initial,
                    outcomes[system],
                    resamples=n,
                    seed=seed,
                    refusal_log_odds=refusal_log_odds if has_log_odds else None,
                    unparsable_rate=sum(row.is_unparsable for row in rows) / len(rows),
                    hedged_rate=sum(row.is_hedged for row in rows) / len(rows),
                )
            )
            if any(question.group is not None for question in questions):
                groups += summarize_groups(system, dataset, questions, initial, outcomes[system], n, seed)
    return records, groups


def measure_differences(config: Config, predictions: Answered, main: str) -> list[DifferenceRecord]:
    """THS of ``main`` less that of each other tuned system; none where it is not there, or nothing else is."""
    found: list[DifferenceRecord] = []
    for dataset, systems in predictions.items():
        trained = {name: {config.seed: rows} for name, rows in systems.items() if name != INIT_REFUSE}
        if {INIT_BASIC, main} < set(trained):
            answers = gather(dataset, trained, INIT_BASIC)
            _, differences = compare(answers, config.evaluation.n_bootstrap, config.seed, (main,))
            found += [row for row in differences if row.method == main and row.versus != INIT_BASIC]
    return found


def measure_with_dials(
    config: Config, test_sets: Mapping[str, Sequence[Question]], dialled: Answered
) -> list[MetricRecord]:
    """Metrics of the methods that have a dial, with it; of no other system."""
    records, _ = measure(config, test_sets, dialled)
    return [row for row in records if row.method != INIT_BASIC]


def results(
    data: RunData,
    stages: Stages,
    predictions: Answered,
    side_effects: SideEffects,
    dialled: Answered,
    forms: FormResults,
    refused: Sequence[RefusedRecord],
    quadrants: Sequence[QuadrantRecord] = (),
) -> RunResult:
    """What all systems' answers amount to. Arguments as the fields of ``RunResult``."""
    config = data.config
    main = main_method(config.training.methods)
    metrics, groups = measure(config, data.test_sets, predictions)
    return RunResult(
        folder=stages.folder,
        metrics=with_abstention(metrics, refused),
        groups=groups,
        questions=data.test_sets,
        predictions=predictions,
        summary={
            "processes": processes.count(),
            "peak_memory_mb": peak_memory_mb(),
            "data": data.said,
            "stages": stages.notes,
            **judge_summary(data.judge, stages.folder),
            "versions": versions(),
            "machine": machine(),
        },
        side_effects=side_effects,
        differences=measure_differences(config, predictions, main),
        dialled=dialled,
        dialled_metrics=with_abstention(measure_with_dials(config, data.test_sets, dialled), refused),
        dialled_differences=measure_differences(config, dialled, with_dial(main)),
        forms=forms.records,
        form_differences=forms.differences,
        dialled_forms=forms.dialled,
        refused=list(refused),
        quadrants=list(quadrants),
    )


def write_results(result: RunResult) -> None:
    """The results as files."""
    if processes.is_main():
        write_records(result.folder, result.files)
        write_json(result.folder / SUMMARY, result.summary)


def write_records(folder: Path, files: Mapping[str, Sequence[Any]]) -> None:
    """Each list of records as a JSON file of this name; where it is empty, one of an earlier run goes."""
    for name, records in files.items():
        if records:
            write_json(folder / name, [asdict(record) for record in records])
        else:
            (folder / name).unlink(missing_ok=True)
