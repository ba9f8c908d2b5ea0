"""grait eval."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from grait.cli.options import Debug, Set, data_tree, interruptible
from grait.errors import ConfigError


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
    prompt_of: Annotated[
        Path | None, typer.Option(help="Run folder: ask in the words of that run, and after its solved examples.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many questions of each set.")] = None,
    probes: Annotated[
        bool, typer.Option(help="Also ask about 270 unanswerable questions and prompts of chit-chat.")
    ] = False,
    lm_eval_tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks of lm-evaluation-harness for both models, with commas between. Needs the extra lm-eval."
        ),
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
    examples where the question set keeps some (MMLU) or --prompt-of has some, else without. Run the same command again
    to continue after an interruption, or to see the tables again.
    """
    from typing import cast, get_args

    from grait.commands.evaluate import asked_as, label
    from grait.commands.evaluate import evaluate as evaluate_model
    from grait.commands.harness import HarnessTasks
    from grait.config import ModelConfig, override, parse_config
    from grait.records import Asked

    if prompt not in get_args(Asked):
        raise ConfigError(f"--prompt {prompt}: expected {' or '.join(get_args(Asked))}")
    datasets = [data_tree(text) for text in data] if data else _default_datasets()
    of_run, shots = asked_as(prompt_of) if prompt_of else ({}, ())
    tree: dict[str, Any] = {
        "out": str(out or Path("runs") / "eval" / label(model or ModelConfig().name, adapter)),
        "evaluation": {
            "probes": probes,
            "datasets": [{**row, **({} if limit is None else {"limit": limit})} for row in datasets],
        },
        **({"model": {"name": model}} if model else {}),
        **of_run,
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
    with interruptible():
        result = evaluate_model(settings, adapter, initial, cast(Asked, prompt), harness, shots)
    _print_evaluation(result)


def _default_datasets() -> list[dict[str, Any]]:
    from grait.config import EvaluationConfig

    return [dataset.model_dump() for dataset in EvaluationConfig().datasets]


def _print_evaluation(result: Any) -> None:
    from grait.display.tables import (
        groups_tables,
        harness_table,
        metrics_table,
        other_metrics_table,
        percent,
        probes_table,
    )

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
