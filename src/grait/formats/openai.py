"""OpenAI's fine-tuning of chat models: one conversation a line, nothing else."""

from collections.abc import Sequence
from typing import Any

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import rows_and_readme

TOOL, VERSIONS = "OpenAI fine-tuning", "(chat format)"


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, as messages also where the run's own model has no chat template."""
    return rows_and_readme(TOOL, VERSIONS, examples, recipe, share, "openai.md", _row)


def _row(example: Example, _: Recipe) -> dict[str, Any]:
    """Answers of solved examples are not trained on."""
    asked = [message | ({"weight": 0} if message["role"] == "assistant" else {}) for message in example.messages]
    return {"messages": [*asked, example.conversation[-1]]}
