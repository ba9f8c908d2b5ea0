"""What becomes of a model that is trained on a set, as it was or rewritten?

``python -m research.rewriting.train SET.jsonl ADAPTER`` tunes an adapter on the answers of a set of ``messages``, each
row with its ``sample_weight`` if it has one. Of the same set before and after, measured with ``grait eval``, that is
the comparison of the page.
"""

import argparse
import json
from pathlib import Path

from grait.config import parse_config
from grait.model.completions import TokenizedExample
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.training.examples import WeightedExample
from grait.training.sft import add_adapter, train


def examples(data: RunData, path: Path) -> list[WeightedExample]:
    """The rows of one question and one answer."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        *before, answer = row["messages"]
        prompt = data.prompts.conversation(before)
        completion = data.prompts.completion(prompt, answer["content"])
        example = TokenizedExample(f"row-{number}", prompt.token_ids, completion.token_ids)
        found.append(WeightedExample(example, row.get("sample_weight", 1.0)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("set", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tree = {
        "model": {"name": given.model},
        "seed": given.seed,
        "out": str(given.adapter.parent),
        "lora": {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
        "training": {"epochs": given.epochs, "learning_rate": given.learning_rate},
    }
    config = parse_config(tree, "options")
    data = RunData(config, has_training=False)
    models = Models(data)
    rows, road = examples(data, given.set), models.roads().training
    model = add_adapter(models.initial, config.lora, config.seed)
    log = train(model, rows, config.training, pad_token_id=models.pad_token_id, seed=config.seed, road=road)
    model.save_pretrained(str(given.adapter))
    print(f"{given.adapter}: {len(rows)} rows, {len(log.losses)} steps, last loss {log.losses[-1]:.3g}")


if __name__ == "__main__":
    main()
