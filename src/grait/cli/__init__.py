"""The command line: parses arguments, calls the pipeline, prints results. Nothing is computed here."""

import io
import os
import sys
import traceback
import warnings
from typing import Annotated

import typer
from rich.console import Console

from grait.cli import bench, checking, data, dialling, influence, listing, measuring, rewriting, running, serving, share
from grait.errors import GraitError
from grait.runtime.printable import printable

app = typer.Typer(
    name="grait",
    help="Teach a language model to say “I don't know”: refusal-aware instruction tuning by gradient influence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; also after the command.")
    ] = False,
) -> None:
    """What holds for every command; ``main`` reads it, so that errors from anywhere can be shown either way."""


for command in (
    running.run,
    running.demo,
    checking.check,
    running.compare,
    running.report,
    dialling.calibrate,
    dialling.chat,
    dialling.play,
    serving.serve,
    rewriting.rewrite,
    share.export,
    share.merge,
    share.push,
):
    app.command()(command)
app.command("eval")(measuring.evaluate)
app.command()(bench.bench)
app.command()(listing.methods)
app.command()(listing.datasets)
app.add_typer(data.app, name="data")
app.add_typer(influence.app, name="influence")


def main() -> None:
    """Run the command line; an error of the user's is one line and exit code 2."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # Between two libraries (peft 0.21 asks transformers 5.23 for a renamed property); nothing a user can act on.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot show ends no command
    # Of several processes only the first prints results. A scheduler may set RANK alone.
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0":
        sys.stdout = io.StringIO()
    try:
        app([*(["--debug"] if debug else []), *(argument for argument in arguments if argument != "--debug")])
    except GraitError as error:
        if debug:
            traceback.print_exc()
        message = printable(" ".join(str(error).splitlines()))  # what is quoted from an input may have several
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {message}", style="red", markup=False)
        raise SystemExit(2) from None
