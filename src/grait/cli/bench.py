"""grait bench."""

from pathlib import Path
from typing import Annotated

import typer

from grait.cli.options import BaseUrl, ServedModel, Set, interruptible, server_address, show


def bench(
    model: Annotated[
        str | None, typer.Argument(help="Hub id or folder of a model, or folder of a finished run.", show_default=False)
    ] = None,
    *,
    adapter: Annotated[
        str | None, typer.Option(help="Folder or hub id of an adapter for the model, in PEFT's format.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Names of sets, with commas between; default: all of --list.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="So many questions of each set, in a fixed mixed order.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Has the sets' own files, such as selfaware/SelfAware.json; the hub is not asked then."),
    ] = None,
    base_url: BaseUrl = None,
    served_model: ServedModel = None,
    is_list: Annotated[bool, typer.Option("--list", help="List the sets, and which of them need a judge.")] = False,
    overrides: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; default: RUN/bench, or runs/bench/NAME.")
    ] = None,
) -> None:
    """Measure what people report: SelfAware, CoCoNot, FalseQA, XSTest, TruthfulQA, SimpleQA, PopQA, invented names.

    Each set has its own published score, and right, wrong and refused with intervals; the initial model stands beside
    the tuned one, given an adapter or a run. A set that cannot be had is left out, said in one line, and makes the
    exit code 1. Run the same command again to continue after an interruption. With --base-url the answers are those of
    a server, beside the model's where one is named.
    """
    if is_list:
        _list()
        return
    from grait.commands.bench import bench as bench_model
    from grait.display.tables import bench_table, published_table

    names = None if only is None else [name.strip() for name in only.split(",")]
    with interruptible():
        result = bench_model(
            model,
            adapter=adapter,
            only=names,
            limit=limit,
            folder=folder,
            out=out,
            address=server_address("--base-url", base_url, served_model),
            overrides=overrides,
        )
    show(published_table(result.scores), bench_table(result.records))
    for why in result.left_out.values():
        show(f"left out: {why}")
    show(f"\nEverything is in {result.folder}/")
    if result.about["run"]:
        show(f"To see it in the run's page: grait report {result.about['run']}")
    if result.left_out:
        raise typer.Exit(1)


def _list() -> None:
    from grait.commands.bench import own_files
    from grait.data.catalog import KNOWN_SETS
    from grait.evaluation.bench import BENCHES, SCORES

    for row in BENCHES.values():
        known = KNOWN_SETS[row.name]
        places = [f"hub {known.hub}"] if known.hub else []
        places += [f"--folder with {' or '.join(own_files(known, row.split))}"] if known.names else []
        judged = "better with a judge" if row.needs_judge else "no judge needed"
        show(f"{row.name:18}{known.summary}")
        for what, text in (
            ("score", "; ".join(f"{SCORES[name][0]} ({SCORES[name][1]} is better)" for name in row.published)),
            ("judge", f"{judged}; published by {row.judge}"),
            ("from", ", or ".join(places) or "in this package"),
            ("licence", known.licence),
        ):
            show(f"                  {what:9}{text}")
