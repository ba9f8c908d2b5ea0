"""TRL: prompt and completion, with the weight in a column of its own."""

import json
from collections.abc import Sequence
from importlib import resources

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import readme
from grait.formats.resampling import shuffled

TOOL, VERSIONS = "TRL", "1.16"
SCRIPT = "train_trl.py"


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, how to train on them, and the script where rows have weights."""
    is_weighted = share.weights_are == "carried"
    rows = [_row(examples[i], recipe, is_weighted) for i in shuffled(share.rows, recipe.seed)]
    return {
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "README.md": readme(TOOL, VERSIONS, examples, recipe, share, "trl.md"),
        **({SCRIPT: resources.files("grait.formats").joinpath(SCRIPT).read_text("utf-8")} if is_weighted else {}),
    }


def _row(example: Example, recipe: Recipe, is_weighted: bool) -> dict[str, object]:
    """In text the end token is there; what the tokenizer begins a text with is not."""
    answer = {"role": "assistant", "content": example.answer}
    return {
        "id": example.id,
        "prompt": list(example.messages) if recipe.is_chat else example.prompt,
        "completion": [answer] if recipe.is_chat else example.completion + example.end,
        **({"chat_template_kwargs": dict(recipe.template_arguments)} if recipe.template_arguments else {}),
        **({"sample_weight": example.sample_weight} if is_weighted else {}),
    }
