"""The options of a question in whatever people keep them, and which of them a key means."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from grait.data.rows import column_names, shown, type_name
from grait.data.values import RIGHT, Row, folded, parsed_text, text_of
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
    def of(cls, row: Row, options: Options) -> "Key":
        """The key in a row. DataError where there is none."""
        answers, forced = row.roles.answers, dict(row.roles.forced)
        values: list[tuple[str, str, str | None]] = []
        others: list[str] = []
        labels = {column: label.upper() for label, column in row.roles.options if column not in options.texts}
        for name in filter(row.has, row.roles.keys):
            texts = [labels.get(text, text) for text in row.texts(name)]
            if name in answers and any(own in answers for own, _, _ in values):
                others += texts
            else:
                values += [(name, text, forced.get(name)) for text in texts[:1]]
                others += texts[1:]
        if not values and options.right is None:
            empty = next((name for name in row.roles.keys if row.cells.get(name) in ([], "[]")), None)
            if empty:
                raise row.fault(f"`{empty}` is an empty list; give the right option")
            raise row.fault(f"has options and nothing that says which is right; found {row.names}")
        return cls(tuple(values), tuple(others))


def options_of(row: Row, question_id: str) -> Options | None:
    """The options of a row; None where it has none. DataError for options that cannot be asked."""
    roles, where = row.roles, row.where
    if roles.choices is not None:
        found = _of_value(row, roles.choices) if row.has(roles.choices) else None
    elif roles.options:
        found = _of_columns(row)
    else:
        found = _with_distractors(row, question_id)
    if found is None or not found.texts:
        return None
    if not 2 <= len(found.texts) <= len(ascii_uppercase):
        expected = f"expected 2 to {len(ascii_uppercase)}; change them or leave out the question"
        raise DataError(f"{where}: `choices` has {len(found.texts)} options; {expected}")
    if len(set(found.labels)) < len(found.labels):
        raise DataError(f"{where}: the labels {column_names(found.labels)} are not all different")
    return _without_letters(found, row.seen) if roles.choices or roles.options else found


def _of_columns(row: Row) -> Options:
    """A column for each option; the last ones may be blank: three options in a table that has room for five."""
    cells = [(label.upper(), name) for label, name in row.roles.options]
    while cells and not row.has(cells[-1][1]):
        cells.pop()
    if gap := next((name for _, name in cells if not row.has(name)), None):
        raise row.fault(f"`{gap}` is blank, and an option after it is not; fill it in")
    texts = tuple(text_of(row.cells[name], f"option {label}", row.where) for label, name in cells)
    return Options(texts, tuple(label for label, _ in cells), has_labels=bool(cells) and not cells[0][0].isalpha())


def _of_value(row: Row, column: str) -> Options:
    value, where = row.cells[column], row.where
    if isinstance(value, str):
        parsed = parsed_text(value, f"{column}s", where)
        if parsed is None:
            raise DataError(
                f'{where}: `{column}` has to be a list of texts, or a JSON list such as ["a", "b"] in a cell, found '
                f"text ({shown(value)})"
            )
        row.seen["texts of lists"] += 1
        value = parsed
    if isinstance(value, Mapping):
        return _of_object(value, column, where)
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: `{column}` has to be a list of texts, found {type_name(value)} ({shown(value)})")
    if value and all(isinstance(item, Mapping) for item in value):
        items = list(map(folded, value))
        label = next((key for key in ("label", "key", "letter") if all(key in item for item in items)), None)
        text = next((key for key in ("text", "value", "option") if all(key in item for item in items)), None)
        flag = next((key for key in RIGHT if all(item.get(key) in (True, False) for item in items)), None)
        if text is not None and flag is not None:
            return _marked([item[text] for item in items], [item[flag] for item in items], column, where)
        if text is None or label is None:
            raise DataError(f"{where}: `{column}` holds objects without `label` and `text` ({shown(value)})")
        return _labelled([item[label] for item in items], [item[text] for item in items], where)
    return _unlabelled(value, column, where)


def _of_object(value: Mapping[Any, Any], column: str, where: str) -> Options:
    """Two lists side by side (ARC on the hub; TruthfulQA, whose labels are 1 for right), or texts by their labels."""
    known = folded(value)
    lists = {key: own for key, own in known.items() if isinstance(own, list)}
    texts = next((lists[key] for key in ("text", "texts", "choices", "options") if key in lists), None)
    labels = next((lists[key] for key in ("label", "labels") if key in lists), None)
    if texts is not None or labels is not None:
        if texts is not None and labels is None:
            return _unlabelled(texts, column, where)
        if texts is None or labels is None or len(texts) != len(labels):
            raise DataError(f"{where}: `{column}` has to hold as many labels as texts, found {shown(dict(value))}")
        if set(labels) != {0, 1}:
            return _labelled(labels, texts, where)
        return _marked(texts, labels, column, where)
    if all(len(str(key)) <= 2 and isinstance(text, str | int | float) for key, text in value.items()):
        return _labelled(list(value), list(value.values()), where)
    raise DataError(f"{where}: `{column}` has to be a list of options, found an object ({shown(dict(value))})")


def _labelled(labels: Sequence[Any], texts: Sequence[Any], where: str) -> Options:
    named = tuple(text_of(label, "label", where).upper() for label in labels)
    return Options(tuple(text_of(text, "text", where) for text in texts), named, has_labels=True)


def _marked(texts: Sequence[Any], labels: list[Any], column: str, where: str) -> Options:
    """Texts of which one has the label 1, or true."""
    if labels.count(1) != 1:
        raise DataError(f"{where}: {labels.count(1)} options of `{column}` are right; exactly one has to be")
    return replace(_unlabelled(texts, column, where), right=labels.index(1))


def _unlabelled(texts: Sequence[Any], column: str, where: str) -> Options:
    return Options(tuple(text_of(text, column, where) for text in texts), tuple(ascii_uppercase[: len(texts)]))


def _without_letters(found: Options, seen: Counter[str]) -> Options:
    """``["A. iron", "B. helium"]``: the letters are the prompt's."""
    matches = [match for match in map(_LETTERED.match, found.texts) if match]
    if [match[1].upper() for match in matches] != list(ascii_uppercase[: len(found.texts)]):
        return found
    seen["lettered options"] += 1
    return replace(found, texts=tuple(match.string[match.end() :] for match in matches))


def _with_distractors(row: Row, question_id: str) -> Options | None:
    """SciQ's shape: a right answer and wrong ones, in an order that depends on the question's id only."""
    wrong = [text for name in row.roles.distractors for text in row.texts(name)]
    if not wrong:
        return None
    right = [text for name in row.roles.answers[:1] for text in row.texts(name)]
    if not right:
        raise row.fault(f"has wrong options and no right answer; found {row.names}")
    texts = [right[0], *wrong]
    order = option_order(question_id, len(texts))
    return Options(tuple(texts[i] for i in order), tuple(ascii_uppercase[: len(texts)]), right=order.index(0))


def option_order(question_id: str, n: int) -> list[int]:
    """The numbers below n in an order that depends on the id only, uniformly over ids."""
    return sorted(range(n), key=lambda i: hashlib.sha256(f"{question_id}|{i}".encode()).digest())


def resolved(key: Key, options: Options, where: str, evidence: Counter[str] | None = None) -> tuple[int | None, str]:
    """(place of the right option, how the key was read).

    None where it can be read in ways that mean different options: once all rows are read, ``evidence`` has how often
    each reading was the only one, and decides. DataError where that does not, and for keys that name no option.
    """
    if options.right is not None:
        for name, value, how in key.values:
            if (meant := _readings(value, options, how)) and options.right not in meant.values():
                right = shown(options.texts[options.right])
                raise DataError(f"{where}: by the options {right} is right, and `{name}` is {shown(value)}; mend one")
        return options.right, ""
    places: dict[int, str] = {}
    unclear = "", ""
    for name, value, how in key.values:
        meant = _readings(value, options, how)
        if not meant:
            raise DataError(
                f"{where}: the answer {shown(value)} is not among the {len(options.texts)} choices"
                + (f", whose labels are {column_names(options.labels)}" if options.has_labels else "")
                + "; give the option's text, its letter (from A) or its index (from 0)"
                + (f"; if counted from 1: columns: {{answer_number: {name}}}" if value.isdecimal() else "")
            )
        if evidence is not None and len(set(meant.values())) > 1:
            meant = {how: place for how, place in meant.items() if evidence[how]}
        if len(set(meant.values())) == 1:
            places.setdefault(next(iter(meant.values())), next(iter(meant)) if len(meant) == 1 else "")
        else:
            unclear = name, value
    if len(places) > 1:
        named = " and ".join(f"`{name}` {shown(value)}" for name, value, _ in key.values)
        say = f"say which one counts, such as columns: {{answer_letter: {key.values[0][0]}}}"
        raise DataError(f"{where}: {named} name different options; {say}")
    if places:
        [(place, reading)] = places.items()
        for other in key.others:
            if (meant := _readings(other, options)) and place not in meant.values():
                both = f"{shown(options.texts[place])} and {shown(other)}"
                raise DataError(f"{where}: the answers {both} are both options; only one may be right")
        return place, reading
    if evidence is None:
        return None, ""
    name, value = unclear
    raise DataError(
        f"{where}: the answer {shown(value)} may be an option's text, or its letter or place; say which: "
        f"columns: {{answer_letter: {name}}}, {{answer_index: {name}}} (from 0) or {{answer_number: {name}}} (from 1), "
        "or give the option's text everywhere"
    )


def _readings(text: str, options: Options, how: str | None = None) -> dict[str, int]:
    """Each way to read a key that names an option, with the place of that option."""
    found: dict[str, int] = {}
    short = _KEY.fullmatch(text)
    plain = short[1].upper() if short else text
    number, n = int(plain) if plain.isdecimal() else -1, len(options.texts)
    has_numbers = options.has_labels and options.labels[0].isdecimal()
    if (how in (None, "letter") or not plain.isdecimal()) and plain in options.labels:
        found["letter"] = options.labels.index(plain)
    if (how == "index" or (how is None and not has_numbers)) and 0 <= number < n:
        found["index"] = number
    if how == "number" and 0 < number <= n:
        found["number"] = number - 1
    return found | _by_text(text, options) if how is None or (how == "letter" and not found) else found


def _by_text(text: str, options: Options) -> dict[str, int]:
    """By the option's own text, also with its letter before it."""
    for fold_text in (str, str.casefold):
        same = [i for i, option in enumerate(options.texts) if fold_text(option) == fold_text(text)]
        if len(same) == 1:
            return {"text": same[0]}
    both = _KEY_AND_TEXT.fullmatch(text)
    if both and both[1].upper() in options.labels:
        place = options.labels.index(both[1].upper())
        if options.texts[place].casefold() == both[2].strip().casefold():
            return {"text": place}
    return {}
