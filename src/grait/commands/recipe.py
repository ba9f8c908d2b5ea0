"""What a run takes where no config file is given: the settings that a person who tries their own questions wants."""

from importlib import resources
from typing import Any

from grait.config import Config, ModelConfig, override, parse_config, read_tree
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
"""Sections of a config that say how a model is tuned."""

BUDGET = 0.2
"""``tune.budget``: of the run's work."""


def run_config(tree: dict[str, Any]) -> Config:
    """The config of a plain tree: with the recipe where it names a model and data, and says nothing of how to tune."""
    return parse_config(tree if METHOD & set(tree) else with_recipe(tree))


def demo_config(name: str, overrides: list[str]) -> Config:
    """The recipe on the embedded model and questions, in the sizes of a file in ``configs``."""
    with resources.as_file(resources.files("grait").joinpath("configs", name)) as path:
        return parse_config(override(with_recipe(read_tree(path)), overrides), name)


def with_recipe(tree: dict[str, Any]) -> dict[str, Any]:
    """A config tree with the recipe, but for the keys that it sets itself."""
    return tree | {name: keys | tree.get(name, {}) for name, keys in recipe(parse_config(tree).model).items()}


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
