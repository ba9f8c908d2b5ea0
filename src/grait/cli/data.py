"""grait data show."""

from itertools import islice
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from grait.cli.options import data_set, show

app = typer.Typer(help="Look at questions before a run.", no_args_is_help=True)

N_ROWS = 5
LONGEST = 300
"""Characters of a line that is shown."""


@app.callback()
def questions() -> None:
    """Look at questions before a run."""


@app.command("show")
def show_questions(
    files: Annotated[
        list[str],
        typer.Argument(
            help="A file, a folder, a hub id, a known set with its split such as mmlu:val, or as in a config, such as "
            "'{path: my.csv, columns: {question: frage}}'; several are looked at together."
        ),
    ],
) -> None:
    """Print what is understood of questions: columns, counts, the first rows as they are asked, and what is unclear."""
    from grait.commands.show_data import show_data
    from grait.pipeline.overlap import look_across

    found, near = {}, None
    for source in map(data_set, files):
        near = near or source.near_duplicates
        summary = show_data(source)
        _print(source.path, summary)
        found[source.title] = summary.questions
    if len(found) > 1:
        own = {finding.what for title in found for finding in look_across([], [], {title: found[title]}, near)}
        across = [finding for finding in look_across([], [], found, near) if finding.what not in own]
        lines = [f"  {finding.text}" for finding in across] or ["  nothing stands in two of them"]
        show("\nAcross the sets", *lines)


def _print(source: str, summary: Any) -> None:
    from grait.commands.show_data import asked

    counts = ", ".join(f"{n:,} {what}" for what, n in summary.counts.items())
    show(f"\n{source}: {summary.format}; {counts}")
    if summary.columns:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("role")
        table.add_column("columns")
        for role, columns in summary.columns.items():
            table.add_row(escape(role), escape(columns))
        if summary.unused:
            table.add_row("not read", escape(", ".join(summary.unused)))
        show(table)
    show(*(f"  note: {_short(note)}" for note in summary.notes))
    for question in islice(summary.questions, N_ROWS):
        first, *rest = asked(question)
        show(f"\n  {_short(question.id)}: {_short(first)}", *(f"    {_short(line)}" for line in rest))


def _short(text: str) -> str:
    """On one line, without signs that steer a terminal."""
    flat = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 3] + "..."
