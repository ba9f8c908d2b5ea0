"""What a run takes where its config leaves it out: the settings that a person who tries their own questions wants.

They depend on the model, so they are no defaults of the schema. A config that names a key has its own value, one that
wants the papers' single form without replay says so: ``prompt: {forms: []}``, ``replay: {path: null}``.
"""

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from grait.config import Config, ModelConfig, as_config, check_given, override, parse_config, read_tree
from grait.errors import ModelError
from grait.model.load import model_class, read_config, read_tokenizer

CHAT_FORMS = ("question", "examples", "instruction", "plain")
"""As people ask in a chat; then after solved examples, with an instruction, and as plain text."""
PLAIN_FORMS = ("examples", "plain")

SMALL = 1024
"""Hidden size up to which a model is tuned at the learning rate that was measured on models of width 576 and 640."""
SMALL_LEARNING_RATE = 1e-3


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The linear layers that are adapted, where every layer of a model has them: on all linear layers the same training
learns which kinds of questions to refuse, and does worse on other kinds (research/LOG.md)."""

BUDGET = 0.2
"""``tune.budget``: of the run's work."""


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The config that ``grait run`` makes of a YAML file and ``section.key=value`` overrides, whose values are YAML,
    too: with the recipe for what they leave out. ConfigError: one line.
    """
    return with_recipe(override(read_tree(path), overrides or []), str(path))


def run_config(config: Config | dict[str, Any] | str | Path) -> Config:
    """The config of a run or a comparison: a plain tree or a YAML file with the recipe, a ``Config`` as it stands."""
    if isinstance(config, dict):
        return with_recipe(config)
    return load_config(config) if isinstance(config, str | Path) else as_config(config)


def demo_config(name: str, overrides: list[str]) -> Config:
    """The recipe on the embedded model and questions, in the sizes of a file in ``configs``."""
    with resources.as_file(resources.files("grait").joinpath("configs", name)) as path:
        return with_recipe(override(read_tree(path), overrides), name)


def with_recipe(tree: dict[str, Any], source: str = "config") -> Config:
    """The checked config of a plain tree, with the recipe but for the keys that it sets itself.

    Forms are also left as they are where ``prompt.shots_in`` says how the single form is put. ConfigError as of
    ``parse_config`` and ``check_given``.
    """
    config = check_given(parse_config(tree, source), source)
    added = recipe(config.model)
    if "shots_in" in config.prompt.model_fields_set:
        del added["prompt"]
    else:
        out = {form.name for form in config.evaluation.forms} | (set() if config.prompt.n_shots else {"examples"})
        added["prompt"]["forms"] = [form for form in added["prompt"]["forms"] if form not in out]
    return parse_config(tree | {name: keys | tree.get(name, {}) for name, keys in added.items()}, source)


def recipe(model: ModelConfig) -> dict[str, Any]:
    """Sections of a config tree: the forms that this model can be asked in, replay, one pass over all forms, trials.

    Small models have the learning rate of the demo, others the default one. Of a model that cannot be read a chat
    model of any size is assumed; the run says what is wrong with it.
    """
    try:
        is_chat = bool(read_tokenizer(model).chat_template)
        config = read_config(model)
        is_small = config.get_text_config(decoder=True).hidden_size <= SMALL
        has_attention = _has_attention(config, model)
    except (ModelError, AttributeError):
        is_chat, is_small, has_attention = True, False, False
    return ({"lora": {"target_modules": list(ATTENTION)}} if has_attention else {}) | {
        "prompt": {"forms": list(CHAT_FORMS if is_chat else PLAIN_FORMS)},
        "replay": {"path": "builtin"},
        "training": {"epochs": 1} | ({"learning_rate": SMALL_LEARNING_RATE} if is_small else {}),
        "tune": {"budget": BUDGET},
    }


def _has_attention(config: PretrainedConfig, model: ModelConfig) -> bool:
    """Whether each layer has the linear layers ``ATTENTION`` once, and nothing else has: no part for images, say."""
    try:
        with torch.device("meta"):
            built = model_class(config).from_config(config, trust_remote_code=model.trust_remote_code)
    except Exception:  # the run says what is wrong with it
        return False
    names = [name.rpartition(".")[2] for name, module in built.named_modules() if isinstance(module, nn.Linear)]
    n_layers = config.get_text_config(decoder=True).num_hidden_layers
    return all(names.count(name) == n_layers for name in ATTENTION)
