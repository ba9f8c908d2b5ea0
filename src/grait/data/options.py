"""The options of a question in whatever people keep them, and which of them a key means."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from grait.data.rows import column_names, is_missing, shown, type_name
from grait.data.shapes import Roles, fold
from grait.data.values import parsed_text, text_of, texts_of
from grait.errors import DataError

_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*(?=\S)")
_KEY = re.compile(r"[\[(]?([A-Za-z]|[0-9]{1,2})(?:\.0|[)\].:])?")
_KEY_AND_TEXT = re.compile(r"\(?([A-Za-z])[).:]\s*(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """``texts`` in their order. ``labels``: what the set calls them, in capitals; letters from A where it does not.

    ``has_labels``: whether the set does. ``right``: the right one, where the options say it themselves.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    has_labels: bool = False
    right: int | None = None


@dataclass(frozen=True)
class Key:
    """What names the right option: values with their columns, and how each is to be read where that is known.

    ``others``: further references, which are no options.
    """

    values: tuple[tuple[str, str, str | None], ...]
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any], roles: Roles, options: Options, where: str, seen: Counter[str]) -> "Key":
        """The key in a row. DataError where there is none."""
        forced = dict(roles.forced)
        values: list[tuple[str, str, str | None]] = []
        others: list[str] = []
        for name in roles.keys:
            value = row.get(name)
            if is_missing(value):
                continue
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise DataError(f"{where}: `{name}` has to be text, found {type_name(value)} ({shown(value)})")
            texts = [str(int(value))] if isinstance(value, int | float) else texts_of(value, name, where, seen)
            is_further = name in roles.answers and any(own in roles.answers for own, _, _ in values)
            values += [] if is_further else [(name, text, forced.get(name)) for text in texts[:1]]
            others += texts if is_further else texts[1:]
        if not values and options.right is None:
            empty = next((name for name in roles.keys if row.get(name) in ([], "[]")), None)
            if empty:
                raise DataError(f"{where}: `{empty}` is an empty list; give the right option")
            raise DataError(
                f"{where}: has options and nothing that says which is right; found {column_names(list(row))}"
            )
        return cls(tuple(values), tuple(others))


def options_of(
    row: Mapping[str, Any], roles: Roles, question_id: str, where: str, seen: Counter[str]
) -> Options | None:
    """The options of a row; None where it has none. DataError for options that cannot be asked."""
    if roles.choices is not None:
        if is_missing(row.get(roles.choices)):
            return None
        found = _of_value(row[roles.choices], roles.choices, where, seen)
    elif roles.options:
        cells = [(label, row.get(name)) for label, name in roles.options]
        while cells and is_missing(cells[-1][1]):
            cells.pop()  # three options in a table that has room for five
        if not cells:
            return None
        texts = []
        for (label, name), (_, cell) in zip(roles.options, cells, strict=False):
            if is_missing(cell):
                raise DataError(f"{where}: `{name}` is blank, and an option after it is not; fill it in")
            texts.append(text_of(cell, f"option {label.upper()}", where))
        labels = tuple(label.upper() for label, _ in cells)
        found = Options(tuple(texts), labels, has_labels=not labels[0].isalpha())
    elif roles.distractors:
        return _with_distractors(row, roles, question_id, where, seen)
    else:
        return None
    if found is None or not found.texts:
        return None
    return _without_letters(_checked(found, where), seen)


def _checked(found: Options, where: str) -> Options:
    if not 2 <= len(found.texts) <= len(ascii_uppercase):
        raise DataError(f"{where}: `choices` has {len(found.texts)} options; expected 2 to {len(ascii_uppercase)}")
    if len(set(found.labels)) < len(found.labels):
        raise DataError(f"{where}: the labels {column_names(found.labels)} are not all different")
    return found


def _of_value(value: Any, column: str, where: str, seen: Counter[str]) -> Options | None:
    if isinstance(value, str):
        parsed = parsed_text(value, f"{column}s", where)
        if parsed is None:
            raise DataError(
                f'{where}: `{column}` has to be a list of texts, or a JSON list such as ["a", "b"] in a cell, found '
                f"text ({shown(value)})"
            )
        seen["texts of lists"] += 1
        value = parsed
    if isinstance(value, Mapping):
        return _of_object({fold(str(key)): own for key, own in value.items()}, value, column, where)
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: `{column}` has to be a list of texts, found {type_name(value)} ({shown(value)})")
    if value and all(isinstance(item, Mapping) for item in value):
        known = [{fold(str(key)): own for key, own in item.items()} for item in value]
        label = next((key for key in ("label", "key", "letter") if all(key in item for item in known)), None)
        text = next((key for key in ("text", "value", "option") if all(key in item for item in known)), None)
        if text is None or label is None:
            raise DataError(f"{where}: `{column}` holds objects without `label` and `text` ({shown(value)})")
        return _labelled([item[label] for item in known], [item[text] for item in known], where)
    texts = tuple(text_of(item, column, where) for item in value)
    return Options(texts, tuple(ascii_uppercase[: len(texts)]))


def _of_object(known: dict[str, Any], value: Mapping[Any, Any], column: str, where: str) -> Options | None:
    """Two lists side by side (ARC on the hub; TruthfulQA, whose labels are 1 for right), or texts by their labels."""
    texts = next((known[key] for key in ("text", "texts", "choices") if isinstance(known.get(key), list)), None)
    labels = next((known[key] for key in ("label", "labels") if isinstance(known.get(key), list)), None)
    if texts is not None or labels is not None:
        if texts is None or labels is None or len(texts) != len(labels):
            raise DataError(f"{where}: `{column}` has to hold as many labels as texts, found {shown(dict(value))}")
        if set(labels) == {0, 1}:
            if labels.count(1) > 1:
                raise DataError(f"{where}: {labels.count(1)} options of `{column}` are right; only one may be")
            own = tuple(text_of(text, column, where) for text in texts)
            return Options(own, tuple(ascii_uppercase[: len(own)]), right=labels.index(1))
        return _labelled(labels, texts, where)
    if all(len(str(key)) <= 2 and isinstance(text, str | int | float) for key, text in value.items()):
        return _labelled(list(value), list(value.values()), where)
    raise DataError(f"{where}: `{column}` has to be a list of options, found an object ({shown(dict(value))})")


def _labelled(labels: Sequence[Any], texts: Sequence[Any], where: str) -> Options:
    return Options(
        tuple(text_of(text, "text", where) for text in texts),
        tuple(text_of(label, "label", where).upper() for label in labels),
        has_labels=True,
    )


def _without_letters(found: Options, seen: Counter[str]) -> Options:
    """``["A. iron", "B. helium"]``: the letters are the prompt's."""
    matches = [_LETTERED.match(text) for text in found.texts]
    letters = [match[1].upper() if match else "" for match in matches]
    if letters != list(ascii_uppercase[: len(letters)]):
        return found
    seen["lettered options"] += 1
    texts = tuple(text[match.end() :] for text, match in zip(found.texts, matches, strict=True) if match)
    return Options(texts, found.labels, found.has_labels, found.right)


def _with_distractors(
    row: Mapping[str, Any], roles: Roles, question_id: str, where: str, seen: Counter[str]
) -> Options | None:
    """SciQ's shape: a right answer and wrong ones, in an order that depends on the question's id only."""
    wrong = [text for name in roles.distractors for text in texts_of(row.get(name), name, where, seen)]
    right = [text for name in roles.answers[:1] for text in texts_of(row.get(name), name, where, seen)]
    if not wrong:
        return None
    if not right:
        raise DataError(f"{where}: has wrong options and no right answer; found {column_names(list(row))}")
    texts = [right[0], *wrong]
    order = option_order(question_id, len(texts))
    return Options(tuple(texts[i] for i in order), tuple(ascii_uppercase[: len(texts)]), right=order.index(0))


def option_order(question_id: str, n: int) -> list[int]:
    """The numbers below n in an order that depends on the id only, uniformly over ids."""
    return sorted(range(n), key=lambda i: hashlib.sha256(f"{question_id}|{i}".encode()).digest())


def resolved(key: Key, options: Options, where: str, evidence: Counter[str] | None) -> tuple[int | None, str]:
    """(place of the right option, how the key was read).

    None where it can be read in ways that mean different options: once all rows are read, ``evidence`` has how often
    each reading was the only one, and decides. DataError where that does not, and for keys that name no option.
    """
    if options.right is not None:
        return options.right, ""
    places: dict[int, str] = {}
    unclear = None
    for name, value, how in key.values:
        meant = _readings(value, options, how)
        if not meant:
            raise DataError(
                f"{where}: the answer {shown(value)} is not among the {len(options.texts)} choices"
                + (f", whose labels are {column_names(options.labels)}" if options.has_labels else "")
                + "; give the option's text, its letter (from A) or its index (from 0); where places are counted from "
                f"1: columns: {{answer_number: {name}}}"
            )
        if evidence is not None and len(set(meant.values())) > 1:
            meant = {how: place for how, place in meant.items() if evidence[how]}
        if len(set(meant.values())) != 1:
            unclear = name, value
            continue
        places.setdefault(next(iter(meant.values())), next(iter(meant)) if len(meant) == 1 else "")
    if len(places) > 1:
        named = " and ".join(f"`{name}` {shown(value)}" for name, value, _ in key.values)
        raise DataError(f"{where}: {named} name different options; say which one counts: columns")
    if places:
        place = next(iter(places))
        _check_others(key, options, place, where)
        return place, places[place]
    assert unclear is not None
    if evidence is None:
        return None, ""
    name, value = unclear
    raise DataError(
        f"{where}: the answer {shown(value)} may be an option's text, or its letter or place; say which: "
        f"columns: {{answer_letter: {name}}}, {{answer_index: {name}}} (from 0) or {{answer_number: {name}}} (from 1), "
        "or give the option's text everywhere"
    )


def _check_others(key: Key, options: Options, place: int, where: str) -> None:
    right = options.texts[place]
    for other in key.others:
        meant = _readings(other, options, None)
        if meant and place not in meant.values():
            raise DataError(
                f"{where}: the answers {shown(right)} and {shown(other)} are both options; only one may be right"
            )


def _readings(text: str, options: Options, how: str | None) -> dict[str, int]:
    """Each way to read a key that names an option, with the place of that option."""
    found: dict[str, int] = {}
    short = _KEY.fullmatch(text)
    plain = short[1].upper() if short else text
    if how in (None, "letter") and plain in options.labels:
        found["letter"] = options.labels.index(plain)
    if (
        how in (None, "index")
        and plain.isdecimal()
        and int(plain) < len(options.texts)
        and not (how is None and options.has_labels and options.labels[0].isdecimal())
    ):
        found["index"] = int(plain)
    if how == "number" and plain.isdecimal() and 0 < int(plain) <= len(options.texts):
        found["number"] = int(plain) - 1
    if how in (None, "letter") and not (how and found):
        found |= _by_text(text, options)
    return found


def _by_text(text: str, options: Options) -> dict[str, int]:
    """By the option's own text, also with its letter before it."""
    for fold_text in (str, str.casefold):
        same = [i for i, option in enumerate(options.texts) if fold_text(option) == fold_text(text)]
        if len(same) == 1:
            return {"text": same[0]}
    if both := _KEY_AND_TEXT.fullmatch(text):
        place = options.labels.index(both[1].upper()) if both[1].upper() in options.labels else None
        if place is not None and options.texts[place].casefold() == both[2].strip().casefold():
            return {"text": place}
    return {}
