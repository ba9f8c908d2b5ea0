"""LLaMA-Factory: conversations, and their entry in dataset_info.json."""

import json
import math
from collections.abc import Sequence
from typing import Any

import yaml

from grait.errors import ConfigError
from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import rows_and_readme, whole

TOOL, VERSIONS = "LLaMA-Factory", "0.9.5"
NAME = __name__.partition(".")[0]
"""The name of the data set: this package's."""

DATASET_INFO = {
    NAME: {
        "file_name": "train.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
}


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, their description, and a config with the run's settings."""
    return rows_and_readme(TOOL, VERSIONS, examples, recipe, share, "llama_factory.md", _row) | {
        "dataset_info.json": json.dumps(DATASET_INFO, indent=2) + "\n",
        "train.yaml": yaml.safe_dump(_config(recipe, share.n_rows), sort_keys=False, allow_unicode=True),
    }


def _row(example: Example, recipe: Recipe) -> dict[str, Any]:
    as_text = [
        {"role": "user", "content": example.begin + example.prompt},
        {"role": "assistant", "content": example.completion + example.end},
    ]
    return {"id": example.id, "messages": example.conversation if recipe.is_chat else as_text}


def _config(recipe: Recipe, n_rows: int) -> dict[str, Any]:
    """Warm-up in whole steps: the name of its share differs between the versions of transformers that are allowed."""
    lora, training = recipe.lora, recipe.training
    n_steps = math.ceil(n_rows / training.batch_size) * training.epochs
    if lora.target_parameters:
        raise ConfigError(f"lora.target_parameters: {TOOL} {VERSIONS} has no option for weights of experts")
    targets = lora.target_modules if isinstance(lora.target_modules, str) else ",".join(lora.target_modules)
    return {
        "model_name_or_path": recipe.model,
        **({"model_revision": recipe.revision} if recipe.revision else {}),
        **({"trust_remote_code": True} if recipe.trust_remote_code else {}),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": lora.r,
        "lora_alpha": whole(lora.alpha),
        "lora_dropout": lora.dropout,
        "lora_target": "all" if targets == "all-linear" else targets,
        "dataset_dir": ".",
        "dataset": NAME,
        **({} if recipe.is_chat else {"template": "empty"}),
        **{name: value for name, value in recipe.template_arguments.items() if name == "enable_thinking"},
        **({"mask_history": True} if recipe.is_chat and recipe.has_shots else {}),  # no loss on solved examples
        "cutoff_len": recipe.n_tokens + 8,
        "per_device_train_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": training.batch_size // training.micro_batch_size,
        "learning_rate": training.learning_rate,
        "num_train_epochs": training.epochs,
        "lr_scheduler_type": training.scheduler,
        "warmup_steps": math.ceil(n_steps * training.warmup_ratio),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "seed": recipe.seed,
        "output_dir": "adapter",
    }
