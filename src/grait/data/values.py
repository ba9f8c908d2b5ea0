"""What a row and the values of its cells mean: the texts in them, in whatever people put lists of texts into."""

import ast
import io
import itertools
import json
import re
import tokenize
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grait.data.rows import checked_text, column_names, fold, is_missing, shown, type_name
from grait.data.shapes import Roles
from grait.errors import DataError

FIRST = ("value", "text", "answer", "name", "label")
MORE = ("aliases", "answers", "alias")
"""Keys of an object that stands for an answer: its canonical text, and other texts that count as right."""

RIGHT = ("iscorrect", "correct", "isright", "right", "label")
"""Keys that say whether it is right; a label only where it is true, false, 1 or 0."""

_ENCLOSED = re.compile(r"\[.*\]|\{.*\}|array\(.*\)|\(\s*[rbu]*['\"].*\)|set\(\)", re.DOTALL)
_LISTED = re.compile(r"^\s*(?:array\()?\s*\[\s*[rbu]*['\"]")
_TRUE, _FALSE = ("true", "yes", "1", "1.0", "t", "y", "unsafe"), ("false", "no", "0", "0.0", "f", "n", "safe")


@dataclass(frozen=True, slots=True)
class Row:
    """``cells`` by column, what the columns mean, and where the row stands. ``seen`` counts what was read otherwise
    than it stands there."""

    cells: Mapping[str, Any]
    roles: Roles
    where: str
    seen: Counter[str]

    @property
    def names(self) -> str:
        """Its columns, for errors."""
        return column_names(list(self.cells))

    def has(self, column: str) -> bool:
        return not is_missing(self.cells.get(column))

    def texts(self, column: str) -> list[str]:
        """As ``texts_of``; errors call the usual columns by their usual names."""
        name = fold(column) if fold(column) in ("answer", "answers") else column
        return texts_of(self.cells.get(column), name, self.where, self.seen)

    def fault(self, message: str) -> DataError:
        return DataError(f"{self.where}: {message}")


def folded(value: Mapping[Any, Any]) -> dict[str, Any]:
    """An object by the folded names of its keys."""
    return {fold(str(key)): own for key, own in value.items()}


def text_of(value: Any, column: str, where: str) -> str:
    """One text; a whole number that became a decimal one (``1969.0``, in pandas) is whole again."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return checked_text(value, column, where)


def texts_of(value: Any, column: str, where: str, seen: Counter[str]) -> list[str]:
    """All texts of an answer, the canonical one first; none where it is missing or an empty list.

    A text, a number, a list of these, an object with a text and its aliases, or a text that is such a list or object
    in JSON, Python or numpy. ``seen`` counts what was read otherwise than it stands there. DataError for all else.
    """
    if is_missing(value):
        return []
    if isinstance(value, str):
        parsed = parsed_text(value, column, where)
        if parsed is not None:
            seen["texts of lists"] += 1
            return texts_of(parsed, column, where, seen)
        return [checked_text(value, column, where)]
    if isinstance(value, Mapping):
        return _of_object(value, column, where, seen)
    if isinstance(value, list | tuple):
        if len(value) == 1 and isinstance(value[0], list):
            return texts_of(value[0], column, where, seen)
        if any(isinstance(item, list) for item in value):
            raise DataError(
                f"{where}: `{column}` is a list of lists ({shown(value)}); if all of them count as right, write one "
                "list; if each is a part of the answer, that cannot be asked"
            )
        items = (
            _of_object(item, column, where, seen) if isinstance(item, Mapping) else [text_of(item, column, where)]
            for item in value
        )
        return [text for item in items for text in item]
    return [text_of(value, column, where)]


def _of_object(value: Mapping[Any, Any], column: str, where: str, seen: Counter[str]) -> list[str]:
    """The texts of an object: its canonical one, then its aliases, or the normalised ones where it has no others."""
    known = folded(value)
    first = next((known[key] for key in FIRST if not is_missing(known.get(key))), None)
    more = next((known[key] for key in (*MORE, "normalizedaliases") if not is_missing(known.get(key))), None)
    if not any(key in known for key in (*FIRST, *MORE)):
        raise DataError(
            f"{where}: `{column}` has to be text or a list of texts, found an object ({shown(dict(value))}); of "
            f"objects `{FIRST[0]}` or `{FIRST[1]}` and `{MORE[0]}` are read"
        )
    said = {key: _each(known[key]) for key in RIGHT if key in known}
    key = next((key for key, own in said.items() if key != "label" or all(one in (True, False) for one in own)), None)
    if key is not None:
        texts, flags = _each(first), said[key]
        says = [flag_of(flag, key, where) for flag in flags]
        if len(says) != len(texts) or None in says:
            raise DataError(f"{where}: `{key}` of `{column}` has to say of each text whether it is right ({flags})")
        seen["wrong references"] += says.count(False)
        first, more = list(itertools.compress(texts, says)), more if any(says) else None
    return texts_of(first, column, where, seen) + texts_of(more, column, where, seen)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def parsed_text(text: str, column: str, where: str) -> Any:
    """The list of texts, or the object, that a text is in JSON, Python or numpy; None where it is neither.

    A list of numbers alone may be an interval or a vector: it is one where its column's name speaks of several.
    DataError where it begins as a list of texts and cannot be read; some programs cut long cells.
    """
    inner = text.strip()
    is_listed = _LISTED.match(inner)
    if not is_listed and not _ENCLOSED.fullmatch(inner):
        return None
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError):
        value = _python(inner)
    if isinstance(value, Mapping):
        return value if value and all(isinstance(key, str) for key in value) else None
    if isinstance(value, list):
        if not value or any(isinstance(item, str | Mapping | list) for item in value):
            return value
        return value if fold(column).endswith("s") else None
    names_several = inner[0] == "[" and (fold(column).endswith("s") or re.search(r",.*[^\W\d_]|[^\W\d_].*,", inner))
    if is_listed or (names_several and value is None):
        raise DataError(
            f"{where}: `{column}` looks like a list and is none ({shown(inner)}); write a list of texts, in a cell "
            'as ["a", "b"] with double quotes, or as ["[a, b]"] where it is one text'
        )
    return None


def _python(text: str) -> Any:
    """A list or object in Python's words, or a list of texts as numpy prints it, without commas; else None."""
    try:
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.string.strip()]
        kinds = [token.type for token in tokens]
        if text[0] == "[" and set(kinds[1:-1]) == {tokenize.STRING}:  # else Python would make one text of them
            return [ast.literal_eval(token.string) for token in tokens[1:-1]]
        if any(one == two == tokenize.STRING for one, two in itertools.pairwise(kinds)):
            return None
        value = ast.literal_eval(_Plain().visit(ast.parse(text, mode="eval")))
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        return None
    return sorted(value) if isinstance(value, set) else list(value) if isinstance(value, tuple) else value


class _Plain(ast.NodeTransformer):
    """Leaves out what numpy writes around lists and single values: ``array([...], dtype=object)``, ``np.str_('a')``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = ast.unparse(node.func)
        return self.visit(node.args[0]) if node.args and (name == "array" or name.startswith("np.")) else node


def flag_of(value: Any, column: str, where: str) -> bool | None:
    """Yes or no; None where the cell is missing."""
    if is_missing(value) or value == "":
        return None
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise DataError(f"{where}: `{column}` is {type_name(value)} {shown(value)}; expected true or false")
