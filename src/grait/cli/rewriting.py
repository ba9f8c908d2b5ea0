"""grait rewrite."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grait.cli.options import Set, data_tree, interruptible, show


def rewrite(
    sft: Annotated[
        str,
        typer.Argument(
            help="The set: .jsonl, .json, .csv, .parquet, a folder or a hub id, or as in a config, such as "
            "'{path: me/set, split: train}'."
        ),
    ],
    *,
    model: Annotated[str, typer.Option(help="Hub id or folder of the model that is to be trained on it.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="A .jsonl or .parquet file; default: beside the set.")
    ] = None,
    refusal: Annotated[
        str | None, typer.Option(help="What is written in the place of an answer; default: I don't know.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What says that the model knows: its own samples, or the likelihood of the answer.")
    ] = "samples",
    max_share: Annotated[
        float | None, typer.Option(help="Refuse at most this share of all rows, those first that are known least.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Of refusals: margin, by how little the model knows, with mean 1; or equal.")
    ] = "margin",
    with_system: Annotated[
        bool, typer.Option("--with-system", help="Look at rows with a system turn, too; else they are left.")
    ] = False,
    overrides: Set = None,
) -> None:
    """Put refusals into a set for SFT, in the rows that ask for facts that a model does not have.

    All other rows stay word for word. Columns say what became of each row, why, and its weight in training. Run the
    same command again to continue after an interruption; with another refusal text, weights or share nothing is asked
    again.
    """
    from typing import cast

    from grait.commands.rewrite import By
    from grait.commands.rewrite import rewrite as rewrite_set
    from grait.config import DataConfig, override, parse_config
    from grait.methods.rewriting import Weights

    tree: dict[str, Any] = {"model": {"name": model}, **({"prompt": {"refusal": refusal}} if refusal else {})}
    config = parse_config(override(tree, overrides or []), "options")
    data = parse_config({"data": data_tree(sft)}, f"SFT {sft}").data
    assert isinstance(data, DataConfig)
    with interruptible():
        found = rewrite_set(
            data,
            config,
            out=out,
            by=cast(By, by),
            max_share=max_share,
            weights=cast(Weights, weights),
            with_system=with_system,
        )
    width = len(f"{found.n_rows:,}")
    show(
        f"{found.n_rows:,} rows, {found.n_rewritten:,} of them refusals now",
        *(f"  {n:{width},} {what}" for what, n in found.counts.items()),
        *found.notes,
        f"\nThe set is in {found.out}; {found.folder}/ keeps what the model said",
    )
