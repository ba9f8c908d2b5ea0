"""OpenAI's fine-tuning of chat models: one conversation a line, nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import readme
from grait.formats.resampling import shuffled

TOOL, VERSIONS = "OpenAI fine-tuning", "(chat format)"


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, as messages also where the run's own model has no chat template."""
    rows = [{"messages": _messages(examples[i])} for i in shuffled(share.rows, recipe.seed)]
    return {
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "README.md": readme(TOOL, VERSIONS, examples, recipe, share, "openai.md"),
    }


def _messages(example: Example) -> list[dict[str, Any]]:
    """Answers of solved examples are not trained on."""
    asked = [message | ({"weight": 0} if message["role"] == "assistant" else {}) for message in example.messages]
    return [*asked, example.conversation[-1]]
