"""The command line: parses arguments, calls the pipeline, prints results. Nothing is computed here."""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grait.errors import ConfigError, GraitError

app = typer.Typer(
    name="grait",
    help="Teach a language model to say “I don't know”: refusal-aware instruction tuning by gradient influence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one config key, such as --set training.epochs=5; may be repeated."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; finished stages found there are reused.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Run the command line; an error of the user's is one line and exit code 2."""
    # Read before typer does, so that errors from anywhere can be shown either way.
    debug = "--debug" in sys.argv
    if os.environ.get("RANK", "0") != "0":  # of several processes only the first prints results
        sys.stdout = io.StringIO()
    try:
        app()
    except GraitError as error:
        if debug:
            traceback.print_exc()
        message = " ".join(str(error).splitlines())  # what is quoted from an input may have several
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {message}", style="red", markup=False)
        raise SystemExit(2) from None


@app.command()
def run(
    config: Annotated[Path | None, typer.Argument(help="YAML config file; without one, the defaults.")] = None,
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    train: Annotated[
        str | None, typer.Option(help="Training questions: .jsonl, .json, .csv, .parquet or hub id.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="Test questions, in the same formats; may be repeated.")
    ] = None,
    overrides: Set = None,
    out: Out = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the config, say what would be done and what it costs; write nothing."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Tune a model to refuse what it does not know, and measure it.

    A question file has the columns question, answers (or answer), and optionally choices, id and relation. With
    --model, --train and --test no config file is needed. Run the same command again to continue after an
    interruption; a changed config re-runs only what it affects.
    """
    from grait.config import load_config, override, parse_config

    tree: dict[str, Any] = {}
    if model:
        tree["model"] = {"name": model}
    if train:
        tree["data"] = {"path": train}
    if test:
        tree["evaluation"] = {"datasets": [{"path": path} for path in test]}
    elif train:
        raise ConfigError("--train needs --test: name at least one file of test questions")
    if config and tree:
        raise ConfigError("give either a config file or --model/--train/--test; with a file, use --set key=value")
    assignments = [*(overrides or []), *([f"out={out}"] if out else [])]
    settings = load_config(config, assignments) if config else parse_config(override(tree, assignments), "options")
    if dry_run:
        _explain(settings)
    else:
        _run(settings)


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions, in about 6 minutes.")] = False,
    overrides: Set = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Run everything on the embedded default: SmolLM2-135M-Instruct learns what it does not know of WorldFacts."""
    from grait.config import load_config

    name = "demo-quick.yaml" if quick else "demo.yaml"
    assignments = [*(overrides or []), *([f"out={out}"] if out else [])]
    with resources.as_file(resources.files("grait").joinpath("configs", name)) as path:
        settings = load_config(path, assignments)
    _run(settings)


@app.command()
def compare(
    config: Annotated[Path, typer.Argument(help="YAML config file; its compare section has the defaults.")],
    methods: Annotated[
        str | None, typer.Option(help="Methods to train, with commas between; default: all of `grait methods`.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, with commas between, such as 0,1,2; default: the config's seed.")
    ] = None,
    overrides: Set = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Find out which method suits a model and data: train and evaluate several, on several seeds, side by side.

    Everything that the methods can share is computed once for each seed. The folder holds one ordinary run for each
    seed, compare.json and compare.md. Run the same command again to continue after an interruption, or to see the
    table again.
    """
    from grait.config import load_config

    assignments = [
        *(overrides or []),
        *([f"out={out}"] if out else []),
        *([f"compare.methods=[{', '.join(_method_names(methods))}]"] if methods is not None else []),
        *([f"compare.seeds={_seed_numbers(seeds)}"] if seeds is not None else []),
    ]
    _compare(load_config(config, assignments))


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


def _compare(settings: Any) -> None:
    from grait.pipeline import compare as compare_methods
    from grait.report.tables import comparison_tables, verdicts

    with _interruptible():
        result = compare_methods(settings)
    console = Console(soft_wrap=True, highlight=False)
    for table in comparison_tables(result.records, result.differences):
        console.print(table)
        console.print()
    for line in verdicts(result.records, result.differences):
        console.print(line, markup=False)
    print(f"\nEverything is in {result.folder}/: report.html, compare.md, compare.json, and a run folder for each seed")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run or comparison.")], debug: Debug = False
) -> None:
    """Write report.html of a finished run or comparison again, with its figures as SVG and PNG; no model is loaded."""
    from grait.pipeline.report_again import report as write_report

    print(write_report(folder))


Run = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
Method = Annotated[str, typer.Option(help="The method whose adapter is used.")]
Threshold = Annotated[
    float | None,
    typer.Option(help="Refuse above this refusal score, 0 to 1; default: the calibrated threshold, else no dial."),
]


@app.command()
def calibrate(
    run: Run,
    max_over_refusal: Annotated[
        float | None, typer.Option(help="Largest share refused of what the initial model answers right, such as 0.05.")
    ] = None,
    max_wrong: Annotated[float | None, typer.Option(help="Largest share of wrong answers, such as 0.10.")] = None,
    max_ths: Annotated[bool, typer.Option("--max-ths", help="The highest THS; promises nothing.")] = False,
    confidence: Annotated[float, typer.Option(help="With which the share holds on new questions.")] = 0.9,
    method: Method = "grait",
    data: Annotated[
        str | None,
        typer.Option(
            help="Calibration questions: a file, or as in a config, such as '{path: worldfacts, split: val}'; "
            "default: WorldFacts' val where the run is on WorldFacts."
        ),
    ] = None,
    score: Annotated[
        str, typer.Option(help="first-token (also for serving), or text: probability of the whole refusal text.")
    ] = "first-token",
    debug: Debug = False,
) -> None:
    """Set the refusal dial of a finished run: the threshold that keeps a promise, without training again.

    Give one of --max-over-refusal, --max-wrong and --max-ths. The threshold is chosen on questions that the run has not
    seen and stored as refusal_dial.json beside the adapter, for grait chat, grait play and grait.dial.RefusalDial.
    """
    from typing import cast, get_args

    from grait.dial.choice import Target
    from grait.dial.threshold import ScoreName
    from grait.pipeline.calibration import calibrate as calibrate_run

    targets = [
        *([Target("over_refusal", max_over_refusal, confidence)] if max_over_refusal is not None else []),
        *([Target("wrong", max_wrong, confidence)] if max_wrong is not None else []),
        *([Target("ths")] if max_ths else []),
    ]
    if len(targets) != 1:
        raise ConfigError(f"give one of --max-over-refusal, --max-wrong and --max-ths; found {len(targets)}")
    if score not in get_args(ScoreName):
        raise ConfigError(f"--score {score}: expected {' or '.join(get_args(ScoreName))}")
    with _interruptible():
        result = calibrate_run(
            run, targets[0], method, _data_set(data) if data is not None else None, cast(ScoreName, score)
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(metrics_table(result.metrics))
    for line in dial_lines(result.dial):
        console.print(line, markup=False)
    console.print(f"Stored in {result.file}", markup=False)


def _data_set(text: str) -> Any:
    """A path, a known set with its split, or a section of the config in YAML."""
    from grait.config import parse_config

    return parse_config({"data": _data_tree(text)}, f"--data {text}").data


def _data_tree(text: str) -> dict[str, Any]:
    import yaml

    from grait.data.catalog import KNOWN_SETS

    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--data {text}: expected a path, or '{{path: ..., split: ...}}'") from error
    if isinstance(tree, dict):
        return tree
    name, colon, split = text.partition(":")
    return {"path": name, "split": split} if colon and name in KNOWN_SETS else {"path": text}


def dial_lines(dial: Any) -> list[str]:
    """The threshold and what it promises."""
    lines = [
        f"Threshold {dial.threshold:.6g} on the {dial.score} score, chosen on {dial.n} questions ({dial.data.title})."
    ]
    if dial.guarantee is None:
        return [
            *lines,
            "The THS on these questions is that of the best threshold, so expect a little less on new ones.",
        ]
    counted = "questions that the initial model answers right" if dial.target == "over_refusal" else "questions"
    verb = "refused" if dial.target == "over_refusal" else "answered wrong"
    return [
        *lines,
        f"{dial.hits} of {dial.trials} {counted} are {verb}: at most {dial.upper_bound:.1%} by the exact bound.",
        dial.guarantee,
    ]


@app.command()
def chat(run: Run, method: Method = "grait", threshold: Threshold = None, debug: Debug = False) -> None:
    """Ask a run's initial and tuned model side by side, in the terminal; /threshold moves the refusal dial.

    Questions may also be piped in, one a line.
    """
    from grait.dial import chat as terminal
    from grait.pipeline.finished import live

    _silence_libraries()
    console = Console(highlight=False)
    with live(run, method, threshold) as model:
        is_typed = sys.stdin.isatty()
        if is_typed:
            console.print("Ask a question; /threshold X moves the refusal dial, /help says more, Ctrl-D leaves.")
        terminal.chat(
            terminal.typed_lines(console) if is_typed else sys.stdin,
            model.ask,
            console,
            method=method,
            refusal=model.refusal,
            score=model.score,
            threshold=model.threshold,
        )


@app.command()
def play(
    run: Run,
    method: Method = "grait",
    threshold: Threshold = None,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860.")] = None,
    debug: Debug = False,
) -> None:
    """Try a run's initial and tuned model in the browser, with a slider for the refusal dial. Needs grait[play]."""
    from grait.dial.page import check_gradio, page, start
    from grait.pipeline.finished import live

    check_gradio()
    _silence_libraries()
    with live(run, method, threshold) as model:
        blocks = page(
            model.ask,
            method=method,
            refusal=model.refusal,
            score=model.score,
            threshold=model.threshold,
            examples=model.examples(6),
        )
        print(f"Open {start(blocks, host, port)} in a browser; Ctrl-C ends.", flush=True)
        blocks.block_thread()


@app.command("eval")
def evaluate(
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Folder or hub id of an adapter for it, in PEFT's format.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Questions: a file, a hub id, a known set with its split such as mmlu:val, or as in a config, such as "
            "'{path: sciq, split: test, view: oeqa}'; may be repeated. Default: WorldFacts' test sets."
        ),
    ] = None,
    initial_model: Annotated[
        str | None, typer.Option(help="The base of THS; default: the same model without the adapter.")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="How the model is asked: refuse (invited to refuse), or query.")
    ] = "refuse",
    limit: Annotated[int | None, typer.Option(help="Only the first so many questions of each set.")] = None,
    probes: Annotated[
        bool, typer.Option(help="Also ask about 270 unanswerable questions and prompts of chit-chat.")
    ] = False,
    lm_eval_tasks: Annotated[
        str | None,
        typer.Option(help="Tasks of lm-evaluation-harness for both models, with commas between. Needs grait[lm-eval]."),
    ] = None,
    lm_eval_include_path: Annotated[
        Path | None, typer.Option(help="Folder with more tasks for lm-evaluation-harness.")
    ] = None,
    lm_eval_limit: Annotated[int | None, typer.Option(help="Only the first so many documents of each task.")] = None,
    lm_eval_num_fewshot: Annotated[int | None, typer.Option(help="Shots; default: as each task says.")] = None,
    lm_eval_chat_template: Annotated[
        bool, typer.Option("--lm-eval-chat-template", help="Put the tasks into the models' chat template.")
    ] = False,
    lm_eval_batch_size: Annotated[int, typer.Option(help="Documents at once; speed and memory only.")] = 8,
    overrides: Set = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results; default: runs/eval/NAME.")] = None,
    debug: Debug = False,
) -> None:
    """Measure any model, ours or not: right, wrong and refused answers, THS, over-refusal, AUROC and more.

    THS and over-refusal are held against the initial model, which is asked with the BASIC prompt: after solved
    examples where the question set keeps some (MMLU), else without. Run the same command again to continue after an
    interruption, or to see the tables again.
    """
    from typing import cast, get_args

    from grait.config import ModelConfig, override, parse_config
    from grait.evaluation.harness import HarnessTasks
    from grait.pipeline import evaluate_model, label
    from grait.records import Asked

    if prompt not in get_args(Asked):
        raise ConfigError(f"--prompt {prompt}: expected {' or '.join(get_args(Asked))}")
    datasets = [_data_tree(text) for text in data] if data else _default_datasets()
    tree: dict[str, Any] = {
        "out": str(out or Path("runs") / "eval" / label(model or ModelConfig().name, adapter)),
        "evaluation": {
            "probes": probes,
            "datasets": [{**row, **({} if limit is None else {"limit": limit})} for row in datasets],
        },
        **({"model": {"name": model}} if model else {}),
    }
    settings = parse_config(override(tree, overrides or []), "options")
    harness = None
    if lm_eval_tasks is not None:
        harness = HarnessTasks(
            tuple(part.strip() for part in lm_eval_tasks.split(",")),
            str(lm_eval_include_path) if lm_eval_include_path else None,
            lm_eval_limit,
            lm_eval_num_fewshot,
            lm_eval_chat_template,
            lm_eval_batch_size,
        )
    initial = settings.model.model_copy(update={"name": initial_model, "revision": None}) if initial_model else None
    with _interruptible():
        result = evaluate_model(settings, adapter, initial, cast(Asked, prompt), harness)
    _print_evaluation(result)


def _default_datasets() -> list[dict[str, Any]]:
    from grait.config import EvaluationConfig

    return [dataset.model_dump() for dataset in EvaluationConfig().datasets]


def _print_evaluation(result: Any) -> None:
    from grait.report.tables import groups_tables, harness_table, other_metrics_table, percent, probes_table

    console = Console(soft_wrap=True, highlight=False)
    if result.metrics:
        console.print(metrics_table(result.metrics))
        console.print(other_metrics_table(result.metrics))
    for row in result.without_ths:
        shares = ", ".join(
            f"{name} {percent(value)}" for name, value in (("Pc", row.pc), ("Pw", row.pw), ("Pr", row.pr))
        )
        console.print(
            f"{row.dataset}, {row.method}: {shares} ({row.n} questions); no THS, because the initial model gives no "
            "wrong answer there",
            markup=False,
        )
    for dataset, shots in result.about["shots"].items():
        console.print(f"{dataset}: the initial model is asked with {shots}", markup=False)
    for table in groups_tables(result.groups):
        console.print(table)
    if result.probes:
        console.print(probes_table(result.probes))
    if result.harness:
        console.print(harness_table(result.harness))
    console.print(f"\nEverything is in {result.folder}/", markup=False)


@app.command()
def methods(debug: Debug = False) -> None:
    """List the methods that training.methods may name, and the untrained systems they are compared with."""
    from grait.methods.catalog import METHODS

    console = Console(highlight=False)
    console.print(methods_table(METHODS.values()))


def methods_table(rows: Iterable[Any]) -> Table:
    """One row for each method: what it does, what is computed for it, where it comes from."""
    table = Table(
        caption="needs: what is computed for a method after the warm-up. Choose with "
        + escape("--set training.methods=[cor-rait,grait]; the init systems are always evaluated."),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("method", no_wrap=True)
    for name in ("what it does", "needs", "from"):
        table.add_column(name)
    for row in rows:
        needs = [name for name, needed in (("flow", row.needs_flow), ("influence", row.needs_influence)) if needed]
        table.add_row(*(escape(text) for text in (row.name, row.summary, ", ".join(needs), row.paper)))
    return table


@app.command()
def datasets(debug: Debug = False) -> None:
    """List the question sets that go by a short name, such as --set data.path=mmlu."""
    from grait.data.catalog import KNOWN_SETS

    console = Console(soft_wrap=True, highlight=False, markup=False)
    for known in KNOWN_SETS.values():
        console.print(f"{known.name:12}{known.summary}")
        place = "in this package" if known.hub is None else f"hub {known.hub}, or folder with {known.files}"
        for what, text in (
            ("splits", ", ".join(known.splits)),
            ("view", ", ".join(known.views)),
            ("papers", known.papers),
            ("from", place),
            ("licence", f"{known.licence}; {known.source}"),
        ):
            if text:
                console.print(f"            {what:9}{text}")


def _silence_libraries() -> None:
    # Between two libraries (peft 0.21 asks transformers 5.23 for a renamed property); nothing a user can act on.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def _run(settings: Any) -> None:
    from grait.pipeline import run as run_pipeline
    from grait.report.tables import groups_tables, probes_table

    with _interruptible():
        result = run_pipeline(settings)
    console = Console(soft_wrap=True, highlight=False)
    console.print(metrics_table(result.metrics))
    for table in groups_tables(result.groups):
        console.print(table)
    if result.probes:
        console.print(probes_table(result.probes))
    for line in example_lines(result):
        console.print(line, markup=False)
    console.print(f"\nEverything is in {result.folder}/", markup=False)
    for name, what in CONTENTS.items():
        if (result.folder / name).exists():
            console.print(f"  {name:28} {what}", markup=False)


def _explain(settings: Any) -> None:
    from grait.plan import dry_run

    _silence_libraries()
    plan = dry_run(settings)
    console = Console(soft_wrap=True, highlight=False)
    for line in plan_lines(plan):
        console.print(line, markup=False)
    if plan.size:
        console.print()
        console.print(compute_table(plan))
        for line in memory_lines(plan):
            console.print(line, markup=False)


def plan_lines(plan: Any) -> list[str]:
    """Model, data and stages in their order."""
    config, size = plan.config, plan.size
    lines = [f"Dry run: no weights are loaded, nothing is written. The run would write to {config.out}/", ""]
    if size:
        lines.append(
            f"Model: {config.model.name}, {size.parameters:,} parameters; adapter {size.adapter:,} "
            f"({size.adapter / size.parameters:.1%})"
        )
    else:
        lines += [f"Model: {plan.size_unknown}", "Memory and time need the size; counts and tokens do not."]
    for role, questions in zip(["Training", *["Evaluation"] * len(plan.sets)], plan.sets, strict=False):
        lines.append(f"{role}: {questions.title}, {_count(questions.count)} ({questions.source})")
    lines += ["", "Stages"]
    for number, stage in enumerate(plan.stages, 1):
        lines += [f"{number:2} {stage.name}: {stage.does}", "     " + "; ".join(_amounts(stage))]
    return [*lines, *(["", *(f"Note: {note}" for note in plan.notes)] if plan.notes else [])]


def _count(count: Any, unit: str = "questions") -> str:
    if count.n is None:
        return f"number of {unit} unknown until the data is read"
    return f"{'' if count.is_exact else 'at most '}{count.n:,} {unit}"


def _amounts(stage: Any) -> list[str]:
    """Examples, samples, optimizer steps and tokens of a stage."""
    amounts = []
    for count, unit in ((stage.examples, stage.unit), (stage.samples, "answers"), (stage.steps, "optimizer steps")):
        if count is not None and count.n is not None:
            amounts.append(_count(count, unit))
    work = stage.work
    tokens = [
        f"{_short_number(number)} tokens {how}"
        for number, how in (
            (work.prompt_tokens, "forward"),
            (work.decoded_tokens, "generated at most"),
            (work.trained_tokens, "forward and backward"),
        )
        if number
    ]
    return [*amounts, (f"for each {stage.per_n:,} {stage.per}: " if stage.per else "about ") + ", ".join(tokens)]


def compute_table(plan: Any) -> Table:
    """FLOP and time of each stage by device; what is known adds up."""
    from grait.plan import DEVICES, flop, seconds

    model, size = plan.config.model, plan.size
    table = Table(
        title="Compute: an estimate, see docs/configs.md",
        caption="Time at the FLOP/s that is assumed: "
        + "; ".join(f"{d.name} {d.peak * d.utilisation / 1e12:.3g} TFLOP/s" for d in DEVICES),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("stage")
    for name in ("FLOP", *(device.name for device in DEVICES)):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, works: list[Any]) -> None:
        total = sum(flop(work, size, model.gradient_checkpointing) for work in works)
        times = (sum(seconds(work, size, model, device) for work in works) for device in DEVICES)
        table.add_row(escape(name), f"{total:.1e}", *(_duration(value) for value in times))

    for stage in plan.stages:
        add(stage.name + (f", each {stage.per_n:,}" if stage.per else ""), [stage.work])
    known = [stage.work for stage in plan.stages if not stage.per]
    table.add_section()
    add("all" if len(known) == len(plan.stages) else "all whose number is known", known)
    return table


def memory_lines(plan: Any) -> list[str]:
    """GB that each stage holds at once, part by part, and GB on disk."""
    lines = ["Memory in GB (10^9 bytes), without the framework's own"]
    for memory in plan.memory:
        parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in memory.parts.items())
        lines.append(f"  {memory.name:10} {_gigabytes(memory.total):>6}  {parts}")
    parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in plan.disk.items())
    return [*lines, f"Disk in GB: {parts}"]


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f}" if size < 1e10 else f"{size / 1e9:.1f}"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{_short_number(seconds / size)} {unit}"
    return f"{_short_number(seconds)} s"


def _short_number(number: float) -> str:
    """To two digits: 0.031, 4.2, 130, 1,900, 2.1e+09."""
    if number >= 1e7:
        return f"{number:.1e}"
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Around long work: how to go on after Ctrl-C, and no warning that a user cannot act on."""
    # Between two libraries (peft 0.21 asks transformers 5.23 for a renamed property).
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    try:
        yield
    except KeyboardInterrupt:  # here, because typer would end without a word
        print("interrupted; the same command continues where it was", file=sys.stderr)
        raise SystemExit(130) from None


CONTENTS = {
    "report.html": "what changed, as one page; its pictures are in figures/",
    "adapters/grait": "the tuned adapter, in PEFT's format",
    "rait.jsonl": "its training examples: prompt, completion, sample_weight",
    "influence/scores.parquet": "influence, selection and weight of every question",
    "knowledge/knowledge.parquet": "correctness and certainty of every training question",
    "evaluation": "every answer of every system, judged",
    "metrics.json": "the table above, as fractions",
    "groups.json": "results by group of questions, as fractions",
    "probes.json": "refusals of unanswerable questions and of chit-chat, as fractions",
    "summary.json": "times, peak memory, versions, what was left out",
}


def metrics_table(records: list[Any]) -> Table:
    """One row for each method and data set, in percent; fits into 80 columns."""
    table = Table(
        title="Results in percent, and THS with its 95% bootstrap interval",
        caption="n: questions. Pc, Pw, Pr: answered right, answered wrong, refused. Over-refusal: refused, of what "
        "the initial model answers right. THS: 0 is the initial model, higher is better.",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("data set", "method"):  # long names are folded, so that no number is cut
        table.add_column(name, overflow="fold")
    for name in ("n", "Pc", "Pw", "Pr", "over-\nrefusal", "THS", "95% interval"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for record in records:
        if previous not in (None, record.dataset):
            table.add_section()
        table.add_row(
            escape(record.dataset) if record.dataset != previous else "",
            record.method,
            str(record.n),
            *(_percent(value) for value in (record.pc, record.pw, record.pr, record.over_refusal_rate, record.ths)),
            f"{_percent(record.ths_low)} to {_percent(record.ths_high)}",
        )
        previous = record.dataset
    return table


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # + 0.0: no "-0.0"


def example_lines(result: Any) -> list[str]:
    """Up to three test questions before and after: newly refused, still answered, over-refused."""
    kinds = {
        ("wrong", "refused"): "newly refused",
        ("correct", "correct"): "still answered",
        ("correct", "refused"): "over-refused",
    }
    dataset, systems = next(iter(result.predictions.items()))
    method = list(systems)[-1]
    questions = {question.id: question for question in result.questions[dataset]}
    before = {row.id: row for row in systems["init-basic"]}
    lines = [f"\nExamples from {dataset}, {method} against the initial model:"]
    for (was, now), kind in kinds.items():
        for after in systems[method]:
            if (before[after.id].outcome, after.outcome) == (was, now):
                question = questions[after.id]
                lines.append(f"  {kind}: {question.question}  (answer: {question.answers[0]})")
                lines.append(f"    before: {_short(before[after.id].output)}")
                lines.append(f"    after:  {_short(after.output)}")
                break
        else:
            lines.append(f"  {kind}: none")
    return lines


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:97] + "..."
