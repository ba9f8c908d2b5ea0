"""grait check."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from grait.cli.options import Set, assignments, show

STYLES = {"prompt": ("dim", "dim underline"), "answer": ("green", "green underline"), "end": ("bold red", "bold red")}
"""Of the tokens of each part, in turn."""


def check(
    config: Annotated[Path | None, typer.Argument(help="YAML config file; or give --model.")] = None,
    *,
    model: Annotated[str | None, typer.Option(help="Hub id or folder of a causal language model.")] = None,
    overrides: Set = None,
) -> None:
    """Say in a minute whether a model works, and show what a run would ask and teach it; needs no questions.

    Which class loads it, its end tokens, each form's prompt with its answer as tokens, the layers of the adapter, an
    estimate of memory, and two examples through inference, gradients and training. A run looks at its prompts in the
    same way before it begins. The exit code is 1 where something does not work.
    """
    from grait.commands.check import check as check_model
    from grait.commands.recipe import load_config, with_recipe
    from grait.config import override
    from grait.errors import ConfigError

    if (config is None) == (model is None):
        raise ConfigError("grait check: give a config file, or --model")
    changes = assignments(overrides, None)
    options = override({"model": {"name": model}}, changes)
    found = check_model(load_config(config, changes) if config else with_recipe(options, "options"))
    show(*_about(found))
    for form, tokens in found.forms.items():
        show(f"\nThe form {form}, with the refusal as its answer:", token_line(tokens))
    show("", *_trials(found))
    if not found.works:
        raise typer.Exit(1)


def _about(found: Any) -> list[str]:
    from grait.cli.plan_text import memory_rows, targets_line

    return [
        f"Model: {found.model}, loaded as {found.loaded_as}, {found.parameters:,} parameters in {found.dtype} on "
        f"{found.device}",
        f"An answer ends at {', '.join(found.ends)}",
        *(f"Note: {note}" for note in found.notes),
        targets_line(found.targets),
        "Memory in GB (10^9 bytes) for short questions, without the framework's own",
        *memory_rows(found.memory),
    ]


def token_line(tokens: list[Any]) -> Text:
    """The tokens with a bar between them, the end in brackets of its own: it can be read without colours, too."""
    line = Text()
    for place, token in enumerate(tokens):
        text = token.text.replace("\n", "↵\n" if token.part == "prompt" else "↵")
        line.append("|" if place and token.part != "end" else "")
        line.append(f"⟦{text}⟧" if token.part == "end" else text, style=STYLES[token.part][place % 2])
    return line


def _trials(found: Any) -> list[str]:
    return [
        f"{trial.part.capitalize()}{'' if trial.worked else ' DOES NOT WORK'} ({trial.seconds:.1f} s): {trial.found}"
        for trial in found.trials
    ]
