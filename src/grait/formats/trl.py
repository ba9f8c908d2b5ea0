"""TRL: prompt and completion, with the weight in a column of its own."""

from collections.abc import Sequence
from functools import partial
from importlib import resources
from typing import Any

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import rows_and_readme

TOOL, VERSIONS = "TRL", "1.16"
SCRIPT = "train_trl.py"


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, how to train on them, and the script where rows have weights."""
    is_weighted = share.weights_are == "carried"
    row = partial(_row, is_weighted=is_weighted)
    found = rows_and_readme(TOOL, VERSIONS, examples, recipe, share, "trl.md", row)
    script = {SCRIPT: resources.files("grait.formats").joinpath(SCRIPT).read_text("utf-8")} if is_weighted else {}
    return found | script


def _row(example: Example, recipe: Recipe, *, is_weighted: bool) -> dict[str, Any]:
    """In text the end token is there; what the tokenizer begins a text with is not."""
    answer = {"role": "assistant", "content": example.answer}
    return {
        "id": example.id,
        "prompt": list(example.messages) if recipe.is_chat else example.prompt,
        "completion": [answer] if recipe.is_chat else example.completion + example.end,
        **({"chat_template_kwargs": dict(recipe.template_arguments)} if recipe.template_arguments else {}),
        **({"sample_weight": example.sample_weight} if is_weighted else {}),
    }
