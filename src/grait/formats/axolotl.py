"""axolotl: conversations for the model's chat template, or segments of plain text."""

from collections.abc import Sequence
from typing import Any

import yaml

from grait.formats.examples import Example, Recipe, Share
from grait.formats.readme import rows_and_readme, whole

TOOL, VERSIONS = "axolotl", "0.19"


def files(examples: Sequence[Example], recipe: Recipe, share: Share) -> dict[str, str]:
    """By name: the rows, and what a config says of them."""
    settings = yaml.safe_dump(_settings(recipe), sort_keys=False, allow_unicode=True).rstrip("\n")
    found = rows_and_readme(TOOL, VERSIONS, examples, recipe, share, "axolotl.md", _row, settings=settings)
    return found | {"datasets.yaml": yaml.safe_dump(_datasets(recipe), sort_keys=False, allow_unicode=True)}


def _row(example: Example, recipe: Recipe) -> dict[str, Any]:
    if recipe.is_chat and recipe.has_shots:
        asked = [message | {"train": False} for message in example.messages]
        return {"id": example.id, "messages": [*asked, example.conversation[-1] | {"train": True}]}
    if recipe.is_chat:
        return {"id": example.id, "messages": example.conversation}
    return {
        "id": example.id,
        "segments": [
            {"label": False, "text": example.begin + example.prompt},
            {"label": True, "text": example.completion + example.end},
        ],
    }


def _datasets(recipe: Recipe) -> dict[str, Any]:
    """axolotl trains on an end of turn that is not the end of text only where ``eot_tokens`` names it."""
    entry: dict[str, Any] = {"path": "train.jsonl", "ds_type": "json"}
    if not recipe.is_chat:
        return {"datasets": [entry | {"type": "input_output"}], "train_on_inputs": False}
    chat = {
        "type": "chat_template",
        "field_messages": "messages",
        **({"message_field_training": "train"} if recipe.has_shots else {}),
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    ends = {"eot_tokens": [recipe.end]} if recipe.end != recipe.eos else {}
    given = {"chat_template_kwargs": dict(recipe.template_arguments)} if recipe.template_arguments else {}
    return {"datasets": [entry | chat], "chat_template": "tokenizer_default", **given, **ends, "train_on_inputs": False}


def _settings(recipe: Recipe) -> dict[str, Any]:
    lora, training = recipe.lora, recipe.training
    targets = lora.target_modules
    return {
        "base_model": recipe.model,
        **({"revision_of_model": recipe.revision} if recipe.revision else {}),
        **({"trust_remote_code": True} if recipe.trust_remote_code else {}),
        "adapter": "lora",
        "lora_r": lora.r,
        "lora_alpha": whole(lora.alpha),
        "lora_dropout": lora.dropout,
        **({"lora_target_linear": True} if targets == "all-linear" else {"lora_target_modules": targets}),
        **({"lora_target_parameters": lora.target_parameters} if lora.target_parameters else {}),
        "sequence_len": recipe.n_tokens + 8,
        "micro_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": training.batch_size // training.micro_batch_size,
        "num_epochs": training.epochs,
        "learning_rate": training.learning_rate,
        "lr_scheduler": training.scheduler,
        "warmup_ratio": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optimizer": "adamw_torch",
        "seed": recipe.seed,
        "output_dir": "adapter",
    }
