"""grait run, demo, compare and report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grait.cli.options import Out, Set, assignments, interruptible, show
from grait.errors import ConfigError


def run(
    config: Annotated[
        Path | None, typer.Argument(help="YAML config file; or give --model, --train and --test.")
    ] = None,
    *,
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    train: Annotated[
        str | None, typer.Option(help="Training questions: .jsonl, .json, .csv, .parquet or hub id.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="Test questions, in the same formats; may be repeated.")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="Questions to set the refusal dial on, neither trained on nor tested, in the same formats."),
    ] = None,
    overrides: Set = None,
    out: Out = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Run although some test questions are training questions, too.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the config, say what would be done and what it costs; write nothing."),
    ] = False,
) -> None:
    """Tune a model to refuse what it does not know, and measure it.

    A question file has the columns question, answers (or answer), and optionally choices, id and relation. With
    --model, --train and --test no config file is needed. Run the same command again to continue after an
    interruption; a changed config re-runs only what it affects.
    """
    from grait.commands.recipe import load_config, with_recipe
    from grait.config import override

    tree: dict[str, Any] = {}
    if model:
        tree["model"] = {"name": model}
    if train:
        tree["data"] = {"path": train}
    if test:
        tree["evaluation"] = {"datasets": [{"path": path} for path in test]}
    elif train:
        raise ConfigError("--train needs --test: name at least one file of test questions")
    if calibration:
        tree.setdefault("evaluation", {})["calibration"] = {"path": calibration}
    if config and tree:
        raise ConfigError(
            "give either a config file or --model/--train/--test/--calibration; with a file, use --set key=value"
        )
    changes = [*assignments(overrides, out), *(["data.allow_overlap=true"] if allow_overlap else [])]
    settings = load_config(config, changes) if config else with_recipe(override(tree, changes), "options")
    (_explain if dry_run else _run)(settings)


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions and steps, two forms.")] = False,
    overrides: Set = None,
    out: Out = None,
) -> None:
    """Run everything on the embedded default: SmolLM2-135M-Instruct learns what it does not know of WorldFacts."""
    from grait.commands.recipe import demo_config

    _run(demo_config("demo-quick.yaml" if quick else "demo.yaml", assignments(overrides, out)))


def compare(
    config: Annotated[Path, typer.Argument(help="YAML config file; its compare section has the defaults.")],
    methods: Annotated[
        str | None, typer.Option(help="Methods to train, with commas between; default: all of `grait methods`.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Seeds, with commas between, such as 0,1,2; default: compare.seeds of the config, else its seed."
        ),
    ] = None,
    overrides: Set = None,
    out: Out = None,
) -> None:
    """Find out which method suits a model and data: train and evaluate several, on several seeds, side by side.

    Everything that the methods can share is computed once for each seed. The folder holds one ordinary run for each
    seed, compare.json and compare.md. Run the same command again to continue after an interruption, or to see the
    table again.
    """
    from grait.commands.recipe import load_config

    changes = [
        *assignments(overrides, out),
        *([f"compare.methods=[{', '.join(_method_names(methods))}]"] if methods is not None else []),
        *([f"compare.seeds={_seed_numbers(seeds)}"] if seeds is not None else []),
    ]
    _compare(load_config(config, changes))


def _method_names(text: str) -> list[str]:
    from grait.methods.catalog import METHODS

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in METHODS:
            raise ConfigError(f"--methods {text}: {name!r} is no method; allowed: {', '.join(METHODS)}")
    return names


def _seed_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdecimal()):
            raise ConfigError(f"--seeds {text}: {part!r} is no seed; expected whole numbers from 0, such as 0,1,2")
    return [int(part) for part in parts]


def report(folder: Annotated[Path, typer.Argument(help="Folder of a finished run or comparison.")]) -> None:
    """Write report.html of a finished run or comparison again, with its figures as SVG and PNG; no model is loaded."""
    from grait.commands.report import report as write_report

    print(write_report(folder))


def _run(settings: Any) -> None:
    from grait.dial.stored import with_dial
    from grait.display import tables, words
    from grait.methods.catalog import main_method
    from grait.pipeline.order import run as run_pipeline

    with interruptible():
        result = run_pipeline(settings)
    main = main_method(row.method for row in result.metrics)
    show(*words.lines(result.summary["in_words"]), "")
    show(tables.metrics_table(result.metrics))
    show(*tables.differences_tables(result.differences, main), *tables.groups_tables(result.groups))
    if result.dialled_metrics:
        show(tables.dialled_table(result.dialled_metrics))
        show(*tables.differences_tables(result.dialled_differences, with_dial(main)))
    show(*tables.forms_tables(result.forms), *tables.dialled_forms_tables(result.forms, result.dialled_forms))
    show(*tables.differences_tables(result.form_differences, main, " over all trained forms"))
    show(*tables.trials_tables(result.trials))
    if result.refused:
        show(tables.refused_table(result.refused))
    if result.quadrants:
        show(tables.quadrants_table(result.quadrants))
    if result.side_effects.records:
        show(*tables.side_effects_tables(result.side_effects.records, result.side_effects.drift))
        show(*tables.conversations_tables(result.side_effects.conversations))
    show(*example_lines(result, main), f"\nEverything is in {result.folder}/")
    show(*(f"  {name:28} {what}" for name, what in contents(main).items() if (result.folder / name).exists()))


def _explain(settings: Any) -> None:
    from grait.cli.plan_text import compute_table, memory_lines, plan_lines
    from grait.plan.dry_run import dry_run

    plan = dry_run(settings)
    show(*plan_lines(plan))
    if plan.size:
        show("", compute_table(plan), *memory_lines(plan))


def _compare(settings: Any) -> None:
    from grait.commands.compare import compare as compare_methods
    from grait.dial.stored import with_dial
    from grait.display import tables
    from grait.methods.catalog import main_method

    with interruptible():
        result = compare_methods(settings)
    main = main_method(row.method for row in result.records)
    for table in tables.comparison_tables(result.records, result.differences, main):
        show(table, "")
    show(*tables.verdicts(result.records, result.differences))
    if result.dialled:
        show("\nWith the refusal dial of every method, set on the calibration questions:\n")
        for table in tables.comparison_tables(result.dialled, result.dialled_differences, with_dial(main)):
            show(table, "")
        show(*tables.verdicts(result.dialled, result.dialled_differences))
    if result.refused:
        show(tables.refused_table(result.refused))
    print(f"\nEverything is in {result.folder}/: report.html, compare.md, compare.json, and a run folder for each seed")


def contents(main: str) -> dict[str, str]:
    """What a run folder holds, by path; ``main``: the method that the run is about."""
    return {
        "report.html": "what changed, as one page; its pictures are in figures/",
        f"adapters/{main}": "the tuned adapter, in PEFT's format, with refusal_dial.json where a dial is set",
        "rait.jsonl": "its training examples: prompt, completion, sample_weight",
        "influence/scores.parquet": "influence, selection and weight of every question",
        "knowledge/knowledge.parquet": "correctness and certainty of every training question",
        "evaluation": "every answer of every system, judged",
        "metrics.json": "the table above, as fractions",
        "groups.json": "results by group of questions, as fractions",
        "differences.json": f"THS of {main} less that of each other trained method, paired, as fractions",
        "dialled_metrics.json": "the table with the refusal dial, as fractions",
        "dialled_forms.json": "the same in each form of a question, with the dial of the form",
        "against_initial.json": f"THS of {main} with its dial less that of a threshold on the initial model",
        "dialled_differences.json": f"THS of {main} with its dial less that of each other method with its own, paired",
        "side_effects.json": "what each system refuses of chit-chat, instructions, given texts, as fractions",
        "drift.json": "KL to the initial model and perplexity on its own answers",
        "conversations.json": "results on questions after other turns of a chat, as fractions",
        "tuning.json": "trials of learning rate and passes",
        "rounds.json": "weights in each round of a training whose refusals are weighed anew between rounds",
        "forms.json": "results in each form of a question, as fractions",
        "unanswerable.json": "what each system refuses of the questions without an answer, as fractions",
        "quadrants.json": "results on questions with a text, by what the model knows and the text holds, as fractions",
        "form_differences.json": f"THS of {main} over all trained forms less that of each other method, paired",
        "summary.json": "times, peak memory, versions, what was left out",
    }


def example_lines(result: Any, method: str) -> list[str]:
    """Up to three test questions before and after ``method``: newly refused, still answered, over-refused."""
    from grait.methods.catalog import INIT_BASIC

    kinds = {
        ("wrong", "refused"): "newly refused",
        ("correct", "correct"): "still answered",
        ("correct", "refused"): "over-refused",
    }
    dataset, systems = next(iter(result.predictions.items()))
    questions = {question.id: question for question in result.questions[dataset]}
    before = {row.id: row for row in systems[INIT_BASIC]}
    lines = [f"\nExamples from {dataset}, {method} against the initial model:"]
    for (was, now), kind in kinds.items():
        for after in systems[method]:
            if (before[after.id].outcome, after.outcome) == (was, now):
                question = questions[after.id]
                answer = question.answers[0] if question.answers else "not in the text"
                lines.append(f"  {kind}: {question.question}  (answer: {answer})")
                lines.append(f"    before: {_short(before[after.id].output)}")
                lines.append(f"    after:  {_short(after.output)}")
                break
        else:
            lines.append(f"  {kind}: none")
    return lines


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:97] + "..."
