"""What a run takes where its config leaves it out, whether that comes from options, a file or Python."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_folder import Files

import grait
from grait.commands.recipe import load_config, run_config, with_recipe
from grait.config import Config, parse_config
from grait.errors import ConfigError


@pytest.fixture
def tree(tiny: tuple[str, Files], tmp_path: Path) -> dict[str, Any]:
    """No more than a model and data."""
    model, files = tiny
    return {
        "out": str(tmp_path / "run"),
        "model": {"name": model},
        "data": {"path": files.train},
        "evaluation": {"datasets": [{"path": files.test}]},
    }


def forms(config: Config) -> list[str]:
    return [form.name for form in config.prompt.forms]


ALL = ["question", "examples", "instruction", "plain"]


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"training": {"epochs": 3}},
        {"training": {"methods": ["cor-rait", "grait"]}, "selection": {"n_idk": 40}},
        {"lora": {"r": 8}, "knowledge": {"n_samples": 4}, "warmup": {"epochs": 1}, "influence": {"mode": "exact"}},
        {"prompt": {"refusal": "I do not know."}, "replay": {"n": 90}},
        {"compare": {"seeds": [0, 1]}},
    ],
    ids=str,
)
def test_a_config_that_names_one_setting_keeps_the_others(
    tree: dict[str, Any], tmp_path: Path, named: dict[str, Any]
) -> None:
    """It had one form and no replay as soon as any section of the method was named."""
    tree |= named
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree))
    config = load_config(path)
    assert config == run_config(tree) == run_config(path) == run_config(config) == grait.load_config(path)
    assert forms(config) == ALL
    assert config.replay.path == "builtin"
    assert config.lora.target_modules == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert config.training.learning_rate == 1e-3
    assert config.training.epochs == named.get("training", {}).get("epochs", 1)
    assert config.tune.budget == 0.2
    for section, keys in named.items():
        for key, value in keys.items():
            assert config.model_dump()[section][key] == value


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"prompt": {"forms": []}}, []),
        ({"prompt": {"forms": ["short"]}}, ["short"]),
        ({"prompt": {"shots_in": "all"}}, []),
        ({"prompt": {"n_shots": 0}}, ["question", "instruction", "plain"]),
        ({"evaluation": {"forms": ["plain", "short"]}}, ["question", "examples", "instruction"]),
    ],
    ids=str,
)
def test_forms_follow_what_is_said_of_them(tree: dict[str, Any], named: dict[str, Any], expected: list[str]) -> None:
    for section, keys in named.items():
        tree[section] = tree.get(section, {}) | keys
    assert forms(run_config(tree)) == expected


def test_what_is_named_stays(tree: dict[str, Any]) -> None:
    tree |= {"replay": {"path": None}, "tune": {"budget": 0}, "lora": {"target_modules": "all-linear"}}
    config = run_config(tree)
    assert (config.replay.path, config.tune.budget, config.lora.target_modules) == (None, 0, "all-linear")


def test_a_config_object_is_taken_as_it_stands(tree: dict[str, Any]) -> None:
    assert run_config(parse_config(tree)) == parse_config(tree)


def test_the_recipe_is_the_model_s_that_an_override_names(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree | {"model": {"name": str(tmp_path / "missing")}}))
    assert load_config(path).training.learning_rate != 1e-3
    assert load_config(path, [f"model.name={tree['model']['name']}"]).training.learning_rate == 1e-3


def test_a_fault_is_named_with_its_file(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree | {"replay": 3}))
    with pytest.raises(ConfigError, match=r"^\S+my\.yaml: replay"):
        load_config(path)
    with pytest.raises(ConfigError, match="nothing is set"):
        with_recipe({}, "options")
