"""OpenAI's fine-tuning of chat models: one conversation a line, nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import readme
from grait.formats.resampling import shuffled

TOOL, VERSIONS = "OpenAI fine-tuning", "(chat format)"

USE = """\
```
curl https://api.openai.com/v1/files -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -F purpose=fine-tune -F file=@train.jsonl
```

then start a job with the file's id. A file needs at least 10 lines. The `weight` of an assistant message is 0
or 1 there: trained on or not.

**What the model knows was measured on the model of this run.** Another model knows other things: teaching it to refuse
these questions teaches it to refuse some that it can answer."""


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, as messages also where the run's own model has no chat template."""
    rows = [{"messages": _messages(examples[i])} for i in shuffled(share.rows, recipe.seed)]
    return {
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "README.md": readme(TOOL, VERSIONS, examples, recipe, share, USE),
    }


def _messages(example: Example) -> list[dict[str, Any]]:
    """Answers of solved examples are not trained on."""
    asked = [message | ({"weight": 0} if message["role"] == "assistant" else {}) for message in example.messages]
    return [*asked, example.conversation[-1]]
