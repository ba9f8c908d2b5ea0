"""A config from a YAML file, a plain tree and ``--set`` overrides; every fault is one line."""

import copy
import reprlib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from grait.config.schema import Config
from grait.config.section import Section
from grait.errors import ConfigError, described
from grait.runtime.files import as_path

MOST_FAULTS = 8
"""That one message names."""


def parse_config(tree: dict[str, Any], source: str = "config") -> Config:
    """The checked config of a plain tree. ConfigError: one line naming key, value and what is allowed."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        details = [detail for detail in error.errors() if not _is_other_word(detail)]
        faults = [_explain(detail) for detail in details[:MOST_FAULTS]]
        more = len(details) - len(faults)
        raise ConfigError(f"{source}: " + "; ".join([*faults, *([f"and {more} more"] if more else [])])) from error


def as_config(config: Config | dict[str, Any] | str | Path) -> Config:
    """A ``Config``, a plain tree, or a YAML file, as it stands: what is left out has the schema's default.

    ConfigError as of ``parse_config`` and ``check_given``.
    """
    if isinstance(config, str | Path):
        return check_given(parse_file(config), str(config))
    if isinstance(config, dict):
        return check_given(parse_config(config))
    if isinstance(config, Config):
        return check_given(config)
    raise ConfigError(
        f"config: expected keys and values, a Config or the path of a YAML file, found {described(config)}; "
        "give one of these, such as 'my.yaml'"
    )


def check_given(config: Config, source: str = "config") -> Config:
    """The config itself. ConfigError when the user's words leave open what is to be run, and defaults would decide."""
    if config.model_fields_set <= {"out", "seed"}:
        raise ConfigError(
            f"{source}: beside out and seed nothing is set; name a model (model.name), training questions (data.path) "
            "and test questions (evaluation.datasets); for the demo: grait demo"
        )
    if config.data.path != "worldfacts" and "datasets" not in config.evaluation.model_fields_set:
        raise ConfigError(
            f"{source}: data.path = {_shown(config.data.path)} needs evaluation.datasets: name at least one set of "
            "test questions, such as evaluation: {datasets: [{path: my_test.jsonl}]}"
        )
    return config


def _is_other_word(detail: Any) -> bool:
    """Whether it says that a number or section, wrong for another reason, might have been a word such as auto."""
    return any(str(part).startswith("literal[") for part in detail["loc"]) and not isinstance(detail["input"], str)


def _explain(detail: Any) -> str:
    key = _key(detail["loc"])
    if detail["type"] == "extra_forbidden":
        section = _sections(detail["loc"])[-1]
        if hint := section.instead.get(str(detail["loc"][-1])):
            return f"{key}: {hint}"
        return f"{key}: unknown key; allowed: {', '.join(sorted(section.model_fields))}"
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "should be a section of keys and values"
    else:
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):
        return f"{key}: {message}"  # about several keys of a section, which the message names
    if detail["type"] == "string_type" and detail["input"] is None:
        return f"{key}: is empty; should be a text, or be left out"
    return f"{key} = {_shown(detail['input'])}: {message}"


def _shown(value: Any) -> str:
    """The value, cut to 60 characters. Not all of it is read: by aliases a small file can stand for endless lists."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxlong = brief.maxother = 60
    try:
        text = brief.repr(value)
    except ValueError:
        return "a number of thousands of digits"  # which Python does not write
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key(loc: tuple[int | str, ...]) -> str:
    """The key as the user writes it: without the names that pydantic gives to the members of a union."""
    sections = _sections(loc)
    parts = [str(part) for part, section in zip(loc, sections, strict=True) if section or isinstance(part, int)]
    return ".".join(parts) or "config"


def _sections(loc: tuple[int | str, ...]) -> list[Any]:
    """The section that each part of a location is a key or index of; None below a value that is no section."""
    sections: list[Any] = []
    section: Any = Config
    for part in loc:
        if section and (part == section.__name__ or str(part).startswith("literal[")):
            sections.append(None)  # pydantic's name of a member of a union
            continue
        sections.append(section)
        if isinstance(part, str):
            known = section.model_fields.get(part) if section else None
            kinds = [known.annotation, *get_args(known.annotation)] if known else []
            section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)
    return sections


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which no key stands twice: the first one would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> Any:
    """The value of a YAML text. Raises YAMLError, also for what the library itself stumbles on."""
    try:
        return yaml.load(text, _UniqueKeys)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:  # of tags, dates and numbers, such as 2001-99-99
        raise yaml.YAMLError(f"a value that cannot be read ({error})") from error


def parse_file(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The checked config of a YAML file with overrides, as it stands: what is left out has the schema's default."""
    return parse_config(override(read_tree(path), overrides or []), str(path))


def read_tree(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML file, as they stand there. Raises ConfigError."""
    path = as_path(path, "path")
    try:
        tree = _read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such config file; check the path, or write the file (at least model, data and evaluation)"
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: expected a YAML file, found a folder; name the file in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, found a {type(tree).__name__}")
    return tree


def override(tree: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of the tree with each ``section.key=value`` set, the value in YAML; a part that is a number is a place in
    a list, from 0.
    """
    if not isinstance(overrides, list | tuple):
        raise ConfigError(f"overrides: expected a list of texts, found {described(overrides)}; give ['key=value']")
    tree = copy.deepcopy(tree)
    for assignment in overrides:
        if not isinstance(assignment, str):
            raise ConfigError(f"overrides: expected texts, found {described(assignment)}; give 'section.key=value'")
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {assignment}: expected section.key=value")
        try:
            value = _read_yaml(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML") from error
        *sections, last = key.split(".")
        node: Any = tree
        for section in sections:
            place = _place(node, section, assignment)
            if isinstance(node, dict) and not isinstance(node.get(place), dict | list):
                node[place] = {}
            node = node[place]
        node[_place(node, last, assignment)] = value
    return tree


def _place(node: Any, part: str, assignment: str) -> Any:
    if isinstance(node, dict):
        return part
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        return int(part)
    allowed = f"expected a place from 0 to {len(node) - 1}" if isinstance(node, list) else "this is no section"
    raise ConfigError(f"--set {assignment}: {part!r}: {allowed}")
