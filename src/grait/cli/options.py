"""What several commands share: their options, how they print, and what Ctrl-C does."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grait.errors import ConfigError
from grait.runtime.printable import printable

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one config key, such as --set training.epochs=5; may be repeated."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; finished stages found there are reused.")]
Run = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
Method = Annotated[
    str | None,
    typer.Option(help="Method of the run whose adapter is used; default: grait, or the main one of those it trained."),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Refuse above this refusal score, 0 to 1; default: the calibrated threshold, else no dial."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="Server of OpenAI's API that is asked, such as http://127.0.0.1:8000/v1; its key: GRAIT_UPSTREAM_KEY in "
        "the environment."
    ),
]
ServedModel = Annotated[str | None, typer.Option(help="What that server calls the model.")]


def server_address(option: str, url: str | None, model: str | None) -> Any:
    """Where a server is, None for none. ConfigError for half of it."""
    import os

    from grait.errors import ConfigError
    from grait.model.server import Address

    if (url is None) != (model is None):
        raise ConfigError(f"{option} and --served-model go together: where the server is, and its model's name")
    return None if url is None else Address(url, str(model), os.environ.get("GRAIT_UPSTREAM_KEY") or None)


def data_set(text: str) -> Any:
    """A path, a known set with its split, or a section of the config in YAML."""
    from grait.config import parse_config

    return parse_config({"data": data_tree(text)}, f"--data {text}").data


def data_tree(text: str) -> dict[str, Any]:
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Around long work: how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:  # here, because typer would end without a word
        print("interrupted; the same command continues where it was", file=sys.stderr)
        raise SystemExit(130) from None


def show(*parts: str | Text | Table) -> None:
    """Print tables, and texts as they are, one below the other. Titles and captions are wrapped, texts are not."""
    console = Console(highlight=False)
    for part in parts:
        shown = printable(part) if isinstance(part, str) else part
        is_table = isinstance(part, Table)
        console.print(shown, markup=not isinstance(part, str), soft_wrap=not is_table, crop=False)


def assignments(overrides: list[str] | None, out: Path | None) -> list[str]:
    """What ``--set`` and ``--out`` change in a config."""
    return [*(overrides or []), *([f"out={out}"] if out else [])]
