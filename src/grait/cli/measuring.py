"""grait eval."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grait.cli.options import BaseUrl, ServedModel, Set, data_tree, interruptible, server_address, show
from grait.errors import ConfigError

Data = Annotated[
    list[str] | None,
    typer.Option(
        help="Questions: a file, a hub id, a known set with its split such as mmlu:val, or as in a config, such as "
        "'{path: sciq, split: test, view: oeqa}'; may be repeated. Default: WorldFacts' test sets."
    ),
]
Adapter = Annotated[str | None, typer.Option(help="Folder or hub id of an adapter for it, in PEFT's format.")]
Initial = Annotated[str | None, typer.Option(help="The base of THS; default: the same model without the adapter.")]
Prompt = Annotated[str, typer.Option(help="How the model is asked: refuse (invited to refuse), or query.")]
PromptOf = Annotated[
    Path | None, typer.Option(help="Run folder: ask in the words of that run, and after its solved examples.")
]
Limit = Annotated[int | None, typer.Option(help="Only the first so many questions of each set.")]
Probes = Annotated[bool, typer.Option(help="Also measure side effects: chit-chat, instructions, given texts, drift.")]
Tasks = Annotated[
    str | None,
    typer.Option(help="Tasks of lm-evaluation-harness for both models, with commas between. Needs the extra lm-eval."),
]
TaskFolder = Annotated[Path | None, typer.Option(help="Folder with more tasks for lm-evaluation-harness.")]
TaskLimit = Annotated[int | None, typer.Option(help="Only the first so many documents of each task.")]
TaskShots = Annotated[int | None, typer.Option(help="Shots; default: as each task says.")]
TaskTemplate = Annotated[
    bool, typer.Option("--lm-eval-chat-template", help="Put the tasks into the models' chat template.")
]
TaskBatch = Annotated[int, typer.Option(help="Documents at once; speed and memory only.")]


def evaluate(
    *,
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    adapter: Adapter = None,
    data: Data = None,
    initial_model: Initial = None,
    prompt: Prompt = "refuse",
    prompt_of: PromptOf = None,
    limit: Limit = None,
    base_url: BaseUrl = None,
    served_model: ServedModel = None,
    probes: Probes = False,
    lm_eval_tasks: Tasks = None,
    lm_eval_include_path: TaskFolder = None,
    lm_eval_limit: TaskLimit = None,
    lm_eval_num_fewshot: TaskShots = None,
    lm_eval_chat_template: TaskTemplate = False,
    lm_eval_batch_size: TaskBatch = 8,
    overrides: Set = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results; default: runs/eval/NAME.")] = None,
) -> None:
    """Measure any model, ours or not: right, wrong and refused answers, THS, over-refusal, AUROC and more.

    THS and over-refusal are held against the initial model, which is asked with the BASIC prompt: after solved
    examples where the question set keeps some (MMLU) or --prompt-of has some, else without. Run the same command again
    to continue after an interruption, or to see the tables again. With --base-url the answers are those of a server;
    --model is the initial model.
    """
    from typing import cast

    from grait.commands.evaluate import asked_as, label
    from grait.commands.evaluate import evaluate as evaluate_model
    from grait.commands.harness import HarnessTasks
    from grait.commands.served import evaluate_served
    from grait.config import ModelConfig, override, parse_config
    from grait.records import Asked

    _check(prompt, is_named=any((model, adapter, data, prompt_of, lm_eval_tasks, overrides)))
    of_run, forms, shots = asked_as(prompt_of) if prompt_of else ({}, [], ())
    tree: dict[str, Any] = {
        "out": str(out or Path("runs") / "eval" / label(served_model or model or ModelConfig().name, adapter)),
        **({"model": {"name": model}} if model else {}),
        **of_run,
        "evaluation": {"probes": probes, "datasets": _datasets(data, limit), "forms": forms},
    }
    settings = parse_config(override(tree, overrides or []), "options")
    if address := server_address("--base-url", base_url, served_model):
        _check_served({"--adapter": adapter, "--initial-model": initial_model, "--lm-eval-tasks": lm_eval_tasks})
        with interruptible():
            _print_evaluation(evaluate_served(settings, address, shots=shots))
        return
    initial = settings.model.model_copy(update={"name": initial_model, "revision": None}) if initial_model else None
    harness = None
    if lm_eval_tasks is not None:
        harness = HarnessTasks(
            tasks=tuple(part.strip() for part in lm_eval_tasks.split(",")),
            include_path=str(lm_eval_include_path) if lm_eval_include_path else None,
            limit=lm_eval_limit,
            num_fewshot=lm_eval_num_fewshot,
            apply_chat_template=lm_eval_chat_template,
            batch_size=lm_eval_batch_size,
        )
    with interruptible():
        result = evaluate_model(
            settings, adapter=adapter, initial=initial, asked=cast(Asked, prompt), harness=harness, shots=shots
        )
    _print_evaluation(result)


def _check(prompt: str, *, is_named: bool) -> None:
    from typing import get_args

    from grait.records import Asked

    if prompt not in get_args(Asked):
        raise ConfigError(f"--prompt {prompt}: expected {' or '.join(get_args(Asked))}")
    if not is_named:
        raise ConfigError("name what to measure: --model (or --adapter) and --data; for the demo: grait demo")


def _check_served(others: dict[str, str | None]) -> None:
    """ConfigError for what cannot be asked of a server."""
    for option, value in others.items():
        if value is not None:
            raise ConfigError(f"{option}: cannot go with --base-url, which asks what is served; leave one out")


def _datasets(data: list[str] | None, limit: int | None) -> list[dict[str, Any]]:
    from grait.config import EvaluationConfig

    trees = [data_tree(text) for text in data or []] or [row.model_dump() for row in EvaluationConfig().datasets]
    return [tree | ({} if limit is None else {"limit": limit}) for tree in trees]


def _print_evaluation(result: Any) -> None:
    from grait.display import tables
    from grait.display.words import judge_in_words

    if result.metrics:
        show(tables.metrics_table(result.metrics), tables.other_metrics_table(result.metrics))
    for row in result.without_ths:
        shares = ", ".join(
            f"{name} {tables.percent(value)}" for name, value in (("Pc", row.pc), ("Pw", row.pw), ("Pr", row.pr))
        )
        show(
            f"{row.dataset}, {row.method}: {shares} ({row.n} questions); no THS, because the initial model gives no "
            "wrong answer there"
        )
    for dataset, shots in result.about["shots"].items():
        show(f"{dataset}: the initial model is asked with {shots}")
    show(*judge_in_words(result.about))
    show(*tables.groups_tables(result.groups))
    if result.refused:
        show(tables.refused_table(result.refused))
    if result.quadrants:
        show(tables.quadrants_table(result.quadrants))
    show(*tables.forms_tables(result.forms))
    if result.side_effects.records:
        show(*tables.side_effects_tables(result.side_effects.records, result.side_effects.drift))
        show(*tables.conversations_tables(result.side_effects.conversations))
    if result.harness:
        show(tables.harness_table(result.harness))
    show(f"\nEverything is in {result.folder}/")
