"""TRL: prompt and completion, with the weight in a column of its own."""

import json
from collections.abc import Sequence
from importlib import resources

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import readme
from grait.formats.resampling import shuffled

TOOL, VERSIONS = "TRL", "1.16"
SCRIPT = "train_trl.py"

WITH_WEIGHTS = """\
```
pip install trl peft
python train_trl.py
```

`sample_weight` is a column of `train.jsonl`. `SFTTrainer` drops it before the first batch, without a word:
`train_trl.py` keeps it (`remove_unused_columns=False` and a collator) and has the weighted loss. It begins from the
model, with the run's settings, and writes `adapter/`. Packing and padding-free batches have no place for weights."""

WITHOUT_WEIGHTS = """\
```
pip install trl peft
trl sft --model_name_or_path MODEL --dataset_name "$PWD" --use_peft --output_dir adapter --max_length {n_tokens}
```

in this folder. The settings that the run used are in `export.json`. Rows are shuffled."""

CHAT = """

Prompts and completions are messages: TRL puts them into the model's own chat template. It trains on everything that the
template writes after the question's turn; the run ended at the end token."""


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, how to train on them, and the script where rows have weights."""
    is_weighted = share.weights_are == "carried"
    rows = [_row(examples[i], recipe.is_chat, is_weighted) for i in shuffled(share.rows, recipe.seed)]
    use = WITH_WEIGHTS if is_weighted else WITHOUT_WEIGHTS.format(n_tokens=recipe.n_tokens + 8)
    return {
        "train.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "README.md": readme(TOOL, VERSIONS, examples, recipe, share, use + (CHAT if recipe.is_chat else "")),
        **({SCRIPT: resources.files("grait.formats").joinpath(SCRIPT).read_text("utf-8")} if is_weighted else {}),
    }


def _row(example: Example, is_chat: bool, is_weighted: bool) -> dict[str, object]:
    """In plain text TRL adds the end token itself, and tokenises prompt and completion together, as the run does."""
    answer = {"role": "assistant", "content": example.answer}
    return {
        "id": example.id,
        "prompt": list(example.messages) if is_chat else example.prompt,
        "completion": [answer] if is_chat else example.completion,
        **({"sample_weight": example.sample_weight} if is_weighted else {}),
    }
