"""What a run takes where no config file is given: the settings that a person who tries their own questions wants."""

from typing import Any

from grait.config import ModelConfig, parse_config
from grait.errors import ModelError
from grait.model.load import read_config, read_tokenizer

CHAT_FORMS = ("question", "examples", "instruction", "plain")
"""As people ask in a chat; then after solved examples, with an instruction, and as plain text."""
PLAIN_FORMS = ("examples", "plain")

SMALL = 1024
"""Hidden size up to which a model is tuned at the learning rate that was measured on models of width 576 and 640."""
SMALL_LEARNING_RATE = 1e-3


METHOD = frozenset(
    ("prompt", "knowledge", "lora", "warmup", "influence", "selection", "training", "tune", "replay", "compare")
)
"""Sections of a config that say how a model is tuned; a tree that has none of them has the recipe."""

BUDGET = 0.2
"""``tune.budget``: of the run's work."""


def with_recipe(tree: dict[str, Any]) -> dict[str, Any]:
    """A config tree that names a model and data, with the recipe; the tree itself where it says how to tune."""
    if METHOD & set(tree):
        return tree
    return tree | recipe(parse_config(tree).model)


def recipe(model: ModelConfig) -> dict[str, Any]:
    """Sections of a config tree: the forms that this model can be asked in, replay, one pass over all forms, trials.

    Small models have the learning rate of the demo, others the default one. Of a model that cannot be read a chat
    model of any size is assumed; the run says what is wrong with it.
    """
    try:
        is_chat = bool(read_tokenizer(model).chat_template)
        is_small = read_config(model).get_text_config(decoder=True).hidden_size <= SMALL
    except (ModelError, AttributeError):
        is_chat, is_small = True, False
    return {
        "prompt": {"forms": list(CHAT_FORMS if is_chat else PLAIN_FORMS)},
        "replay": {"path": "builtin"},
        "training": {"epochs": 1} | ({"learning_rate": SMALL_LEARNING_RATE} if is_small else {}),
        "tune": {"budget": BUDGET},
    }
