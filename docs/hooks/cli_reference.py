"""The reference of the command line: every command with its arguments and options, from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from grait.cli import app


def markdown() -> str:
    """One heading for each command: how it is called, what it does, each argument and option as ``--help`` has it."""
    return "\n\n".join(part for name, command in commands().items() for part in _command(name, command))


def commands() -> dict[str, Any]:
    """The commands by name, in the order of ``grait --help``."""
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {own}": part for own, part in inner.items()} if inner else {name: command}
    return found


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    usage = " ".join(["grait", name, *command.collect_usage_pieces(context)])
    yield f"## `grait {name}` {{ #{name.replace(' ', '-')} }}"
    yield f"```\n{usage}\n```"
    yield _escaped(inspect.cleandoc(command.help))
    for parameter in command.params:
        called, meaning = parameter.get_help_record(context)
        yield f"`{called}`\n:   {_escaped(' '.join(meaning.split()))}"


def _escaped(text: str) -> str:
    """Help texts are plain: what looks like a tag is none."""
    return text.replace("<", "&lt;")
