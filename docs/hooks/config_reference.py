"""The config reference: every key of ``grait.config.Config``, from the fields themselves."""

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from grait.config import Config, Section

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", typing.Any: "value"}


def markdown() -> str:
    """One heading for each section and each key: what it may be, its default, what it means."""
    return "\n\n".join(["## A whole run", *_keys(Config, "")])


def _keys(section: type[Section], prefix: str) -> Iterator[str]:
    """The section's own keys, then its sections."""
    sections: list[tuple[str, FieldInfo, type[Section]]] = []
    for name, field in section.model_fields.items():
        if inner := section_of(field.annotation):
            sections.append((name, field, inner))
        else:
            yield _key(f"{prefix}{name}", field)
    for name, field, inner in sections:
        is_list = typing.get_origin(field.annotation) is list
        path = f"{prefix}{name}" + ("[]" if is_list else "")
        yield f"## `{path}` {{ #{anchor(path)} }}"
        yield _meaning(inner, field)
        if is_list or _default(field) != plain(inner()):
            yield f"Default of the whole {'list' if is_list else 'section'}: {code(_default(field))}"
        yield from _keys(inner, f"{path}.")


def _key(path: str, field: FieldInfo) -> str:
    facts = f"{kind(field.annotation, field.metadata)} · default {code(_default(field))}"
    return f"### `{path}` {{ #{anchor(path)} .key }}\n\n{facts}\n{{ .facts }}\n\n{field.description}"


def _meaning(section: type[Section], field: FieldInfo) -> str:
    parts = [inspect.cleandoc(section.__doc__ or "").replace("``", "`"), field.description]
    return " ".join(part for part in parts if part)


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, itself, in a list, or if it is set at all."""
    if typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def anchor(path: str) -> str:
    """What a link to the key ends with: evaluation.datasets.path for evaluation.datasets[].path."""
    return path.replace("[]", "")


def kind(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    """The type in words, with its limits."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(args[0], limits_of(args[1:]))
    if origin is typing.Literal:
        words = f"one of {', '.join(code(value) for value in args)}"
    elif origin in (typing.Union, types.UnionType):
        words = " or ".join(kind(member) for member in args if member is not types.NoneType)
    elif origin is list:
        words = f"list, each {kind(args[0])}"
    elif origin is dict:
        words = f"names, each with a {kind(args[1])}"
    else:
        words = WORDS[annotation]
    words = " ".join([words, *(limit(part) for part in metadata)])
    return f"{words}; or `null`" if types.NoneType in args else words


def limits_of(metadata: typing.Iterable[Any]) -> list[Any]:
    """The limits in what stands beside a type, also those that pydantic's Field holds."""
    return [part for entry in metadata for part in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]


def limit(part: Any) -> str:
    """One limit in words. ValueError for one that has none here."""
    match part:
        case annotated_types.Ge(ge=number):
            return f"from {number}"
        case annotated_types.Gt(gt=number):
            return f"above {number}"
        case annotated_types.Le(le=number):
            return f"to {number}"
        case annotated_types.Lt(lt=number):
            return f"below {number}"
        case annotated_types.MinLen(min_length=1):
            return "(not empty)"
    raise ValueError(f"no words for the limit {part!r}")


def _default(field: FieldInfo) -> Any:
    return plain(field.get_default(call_default_factory=True))


def plain(value: Any) -> Any:
    """A default as it stands in a config file; of sections, what is set."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True)
    return [plain(member) for member in value] if isinstance(value, list) else value


def code(value: Any) -> str:
    """A value in YAML, as code."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"
