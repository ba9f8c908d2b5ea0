"""grait influence rank, query and validate."""

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from grait.cli.options import Set, interruptible, show

app = typer.Typer(help="Which training examples help a set of targets, and which harm it.", no_args_is_help=True)

N_ROWS = 10
LONGEST = 80
"""Characters of an example that is shown."""

Targets = Annotated[str, typer.Option(help="What influence is asked on: rows as of --examples.")]
Top = Annotated[str | None, typer.Option(help="Write so many of the highest only: a number, or a share such as 5%.")]
Group = Annotated[
    str | None, typer.Option(help="Column of the targets by which groups of them are told apart; default: group.")
]


@app.callback()
def influence() -> None:
    """Which training examples help a set of targets, and which harm it."""


@app.command()
def rank(
    *,
    examples: Annotated[
        str,
        typer.Option(
            help="Training examples in TRL's formats: a .jsonl, .json or .parquet file, a folder, or a hub id, with "
            "messages, prompt and completion, or text."
        ),
    ],
    targets: Targets,
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Folder or hub id of a trained LoRA adapter for it; default: a warm-up.")
    ] = None,
    warmup: Annotated[
        str | None,
        typer.Option(
            help="Without --adapter: how many examples one is trained on first, a number, or a share, of which at "
            "least 100; default: 5%."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the rows; what the work takes lies beside it.")] = Path(
        "ranked.jsonl"
    ),
    top: Top = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="exact: two passes. sketch: one pass, projected gradients. Default: exact with --adapter or --tokens, "
            "else a sketch of Adam's steps, as LESS."
        ),
    ] = None,
    datastore: Annotated[
        Path | None, typer.Option(help="Folder to keep the sketch in, for grait influence query.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Of so many of the highest: the share of each token.")] = 0,
    group_column: Group = None,
    overrides: Set = None,
) -> None:
    """Rank training examples by what learning each does to the loss on targets, the most helpful first.

    The file has the rows as they are, with rank and score, so it can be trained on. Run the same command again to
    continue after an interruption.
    """
    from grait.commands.rank import rank as rank_examples

    with interruptible():
        found = rank_examples(
            model,
            examples=examples,
            targets=targets,
            adapter=adapter,
            out=out,
            top=top,
            mode=cast(Literal["exact", "sketch"] | None, mode),
            datastore=datastore,
            warmup=warmup,
            tokens=tokens,
            group_column=group_column,
            overrides=overrides or [],
        )
    _print(found)


@app.command()
def query(
    datastore: Annotated[Path, typer.Argument(help="Folder of a datastore, as grait influence rank keeps it.")],
    *,
    targets: Targets,
    examples: Annotated[str | None, typer.Option(help="The rows that the datastore was made of.")] = None,
    model: Annotated[str | None, typer.Option(help="Its model, where the datastore does not say.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Its adapter, where the datastore does not hold it.")] = None,
    out: Annotated[Path, typer.Option(help="File for the rows.")] = Path("queried.jsonl"),
    top: Top = None,
    group_column: Group = None,
    overrides: Set = None,
) -> None:
    """Ask a stored sketch about other targets; only the targets' gradients are taken.

    Model and adapter have to be those that the datastore was made with.
    """
    from grait.commands.rank import query as query_datastore

    with interruptible():
        found = query_datastore(
            datastore,
            targets=targets,
            examples=examples,
            model=model,
            adapter=adapter,
            out=out,
            top=top,
            group_column=group_column,
            overrides=overrides or [],
        )
    _print(found)


@app.command()
def validate(
    run: Annotated[Path, typer.Argument(help="Folder of a run, whose knowledge and warm-up are taken, or a config.")],
    *,
    subsets: Annotated[int, typer.Option(help="Trainings, each on a random part of the candidates.")] = 50,
    share: Annotated[float, typer.Option(help="Part of the candidates in each, between 0 and 1.")] = 0.5,
    candidates: Annotated[int, typer.Option(help="Unknown questions to draw from, at most.")] = 500,
    targets: Annotated[int, typer.Option(help="Questions of each label to measure on, at most.")] = 100,
    overrides: Set = None,
) -> None:
    """Whether influence predicts what training does: the linear datamodeling score, beside controls.

    Trains on random subsets of the unknown questions and measures each on other questions. Run the same command again
    to continue after an interruption, or with more subsets to add some.
    """
    from grait.commands.validate import validate as validate_influence

    with interruptible():
        found = validate_influence(
            run, subsets=subsets, share=share, candidates=candidates, targets=targets, overrides=overrides
        )
    _print_validation(found)


def _print_validation(found: Any) -> None:
    outcomes = list(found.outcomes)
    table = Table(
        title=f"Rank correlation over {len(found.subsets)} trainings, with 95% intervals",
        caption="of what a score's sum over the subset predicts with what was measured; 1: the same order, 0: nothing",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("score", no_wrap=True)
    for name in outcomes:
        table.add_column(name, justify="right")
    rows: dict[str, list[str]] = {}
    for row in found.predictions:
        rows.setdefault(row.score, []).append(f"{row.lds:+.2f} [{row.low:+.2f}, {row.high:+.2f}]")
    for name, cells in rows.items():
        table.add_row(escape(name), *map(escape, cells))
    show(table, f"Everything is in {found.folder}/")


def _print(found: Any) -> None:
    table = Table(
        title=f"{min(N_ROWS, len(found.rows))} of {found.n} examples", box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name in ("rank", "score", "id", "example"):
        table.add_column(name, justify="right" if name in ("rank", "score") else "left")
    for row in found.rows[:N_ROWS]:
        table.add_row(str(row.rank), f"{row.score:+.4f}", escape(row.id), escape(_text(row.row)))
    show(table)
    for row in found.rows[:N_ROWS]:
        if row.tokens is not None:
            show(Text(f"{row.rank}: " + " ".join(f"{text!r} {share:+.4f}" for text, share in row.tokens)))
    show(f"{'1 row is' if len(found.rows) == 1 else f'{len(found.rows)} rows are'} in {found.out}")


def _text(row: dict[str, Any]) -> str:
    """The beginning of what is said, and of what is learned."""
    said = row.get("messages") or row.get("text") or [row.get("prompt") or "", row.get("completion") or ""]
    parts = [said] if isinstance(said, str) else [_said(part) for part in said[-2:]]
    text = " → ".join(" ".join(part.split()) for part in parts if part)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _said(part: Any) -> str:
    if isinstance(part, list):
        return _said(part[-1]) if part else ""
    return str(part.get("content", "")) if isinstance(part, dict) else str(part)
