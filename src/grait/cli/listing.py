"""grait methods and datasets."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grait.cli.options import show


def methods() -> None:
    """List the methods that training.methods may name, and what they are compared with (evaluation.scorers)."""
    from grait.methods.catalog import METHODS

    Console(highlight=False).print(methods_table(METHODS.values()))


def methods_table(rows: Iterable[Any]) -> Table:
    """One row for each method: what it does, what is computed for it, where it comes from."""
    table = Table(
        caption="needs: what is computed for a method; flow and influence follow the warm-up. Choose with "
        + escape("--set training.methods=[cor-rait,grait]; those that refuse by a score with ")
        + escape("--set evaluation.scorers=[probe,p-true]; the init systems are always evaluated."),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("method", no_wrap=True)
    for name in ("what it does", "needs", "from"):
        table.add_column(name)
    for row in rows:
        table.add_row(*(escape(text) for text in (row.name, row.summary, row.computed, row.paper)))
    return table


def datasets() -> None:
    """List the question sets that go by a short name, such as --set data.path=mmlu."""
    from grait.data.catalog import KNOWN_SETS

    for known in KNOWN_SETS.values():
        show(f"{known.name:18}{known.summary}")
        places = [f"hub {known.hub}"] if known.hub else []
        place = ", or ".join([*places, *([f"folder with {known.files}"] if known.files else [])]) or "in this package"
        for what, text in (
            ("splits", ", ".join(known.splits)),
            ("view", ", ".join(known.views)),
            ("papers", known.papers),
            ("from", place),
            ("licence", f"{known.licence}; {known.source}"),
        ):
            if text:
                show(f"                  {what:9}{text}")
