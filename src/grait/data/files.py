"""A user's own questions, from JSON Lines, JSON, CSV, parquet or the Hugging Face hub.

Each row is checked as it is read; the first bad one stops the reading with a message that says where it is and what to
do. Rows are never repaired in silence and never left out.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any, BinaryIO, Literal, cast

from grait.errors import DataError
from grait.records import Question

COLUMNS = ("id", "question", "answer", "answers", "choices", "match", "relation", "subject", "popularity")
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")

_HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<config>[\w.-]+))?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARQUET_BATCH = 4096  # rows held as Arrow and Python values at a time

# (line or row number of a row, the row)
_Rows = Iterator[tuple[int, object]]


def read_questions(path: str, split: str | None = None, limit: int | None = None) -> list[Question]:
    """The questions of a file (``.jsonl``, ``.json``, ``.csv``, ``.parquet``, in UTF-8) or a hub data set.

    ``path``: a file, or a hub id ``owner/name``, ``owner/name:config`` where the data set has configurations; a path
    that exists on disk is never looked for on the hub. ``split``: only for the hub; needed where the data set has more
    than one. ``limit``: read and check only the first rows; at least 1.

    Columns, all others are ignored:

    - ``question``: text, needed.
    - ``answer`` (one) or ``answers`` (a list, or one text), at least one of the two; with both, ``answer`` comes first
      and repeated ones count once. In CSV a cell that begins with ``[`` and ends with ``]`` is a JSON list.
    - ``choices``: a list of 2 to 26 different option texts (in CSV a JSON list). The first answer must be one of them,
      literally. Only if it is not, a letter (``B``, ``b``) or a 0-based index (``1``) is taken to name an option; so
      with the options 1, 2, 3 the answer ``1`` is the option text. No second answer may be another option.
    - ``id``: text or integer, unique; ``{stem}-{row}`` with rows counted from 1 where it is absent.
    - ``match``: ``normalized`` (default) or ``exact``; ``relation``, ``subject``: text; ``popularity``: 0 to 1.

    Integers among texts become text; an empty CSV cell and a JSON null are absent; surrounding blanks are dropped.
    Equal questions under different ids are kept. Files are read row by row (JSON text is held once, parquet in
    batches). Raises DataError, one line, for anything else.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; expected at least 1, or none to read all rows")
    unit, stem, rows, is_csv = _open(path, split)
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for row_number, (position, row) in enumerate(rows, 1):
        where = f"{path}, {unit} {position}"
        question = _question(row, where, f"{stem}-{row_number}", is_csv)
        if question.id in seen:
            raise DataError(
                f"{where}: the id {_show(question.id)} was already used in {unit} {seen[question.id]}; "
                "give each question its own id, or leave the id out"
            )
        seen[question.id] = position
        questions.append(question)
        if limit is not None and len(questions) == limit:
            break
    if not questions:
        raise DataError(f"{path}: holds no question; expected at least one row with `question` and `answers`")
    return questions


def _open(path: str, split: str | None) -> tuple[Literal["line", "row"], str, _Rows, bool]:
    """(what positions count, stem for made ids, rows, whether cells are CSV text) of a file or hub data set."""
    file = Path(path)
    suffix = file.suffix.lower()
    known = ", ".join(SUFFIXES)
    try:
        exists, is_dir = file.exists(), file.is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"{_show(path)}: is no usable path ({_one_line(error)})") from None
    if is_dir:
        raise DataError(f"{path}: is a folder; name one file in it ({known})")
    if not exists:
        hub = _HUB_ID.fullmatch(path)
        if hub is None or suffix in SUFFIXES or file.parent.exists():
            raise DataError(f"{path}: no such file; check the path (a hub data set is named owner/name)")
        rows = _hub_rows(path, hub["name"], hub["config"], split)
        return "row", hub["name"].split("/")[1], rows, False
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: unknown suffix {_show(suffix)}; expected one of {known}")
    if split is not None:
        raise DataError(f"{path}: split {_show(split)} was asked of a file; splits exist only for hub data sets")
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{path}: is empty; expected questions")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_one_line(error)})") from None
    if suffix == ".jsonl":
        return "line", file.stem, _jsonl_rows(path), False
    if suffix == ".json":
        return "line", file.stem, _json_rows(path), False
    if suffix == ".csv":
        return "line", file.stem, _csv_rows(path), True
    return "row", file.stem, _parquet_rows(path), False


def _open_bytes(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_one_line(error)})") from None


def _decoded_lines(path: str, file: BinaryIO) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends, without a byte order mark."""
    offset = 0
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: is not UTF-8 (byte 0x{raw[error.start]:02x} at byte offset "
                f"{offset + error.start}); save the file as UTF-8"
            ) from None
        offset += len(raw)
        yield line.removeprefix("\ufeff") if number == 1 else line


def _jsonl_rows(path: str) -> _Rows:
    with _open_bytes(path) as file:
        for number, line in enumerate(_decoded_lines(path, file), 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: is not valid JSON ({error.msg} at column {error.colno}); "
                    "write one object per line"
                ) from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: cannot be read as JSON ({_one_line(error)})") from None


def _json_rows(path: str) -> _Rows:
    """Elements of one JSON list, decoded one at a time, each with the line on which it begins."""
    with _open_bytes(path) as file:
        text = "".join(_decoded_lines(path, file))
    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\r\n]*")
    line, counted = 1, 0

    def skip(position: int) -> int:
        found = space.match(text, position)
        return found.end() if found else position

    def line_at(position: int) -> int:
        nonlocal line, counted
        line += text.count("\n", counted, position)
        counted = position
        return line

    position = skip(0)
    if text[position : position + 1] != "[":
        hint = "name it .jsonl if it holds one object per line" if text[position : position + 1] == "{" else ""
        raise DataError(
            f"{path}, line {line_at(position)}: expected a JSON list of objects" + (f"; {hint}" if hint else "")
        )
    position = skip(position + 1)
    while text[position : position + 1] != "]":
        start = position
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {error.lineno}: is not valid JSON ({error.msg} at column {error.colno})"
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {line_at(start)}: cannot be read as JSON ({_one_line(error)})") from None
        yield line_at(start), row
        position = skip(position)
        following = text[position : position + 1]
        if following == ",":
            position = skip(position + 1)
            following = text[position : position + 1]
            if following != "]":
                continue
            raise DataError(f"{path}, line {line_at(position)}: is not valid JSON (a comma after the last object)")
        if following != "]":
            found = _show(following) if following else "the end of the file"
            raise DataError(
                f"{path}, line {line_at(position)}: is not valid JSON (expected a comma or the end of the "
                f"list, found {found})"
            )
    position = skip(position + 1)
    if position < len(text):
        raise DataError(f"{path}, line {line_at(position)}: is not valid JSON (more text after the end of the list)")


def _csv_rows(path: str) -> _Rows:
    """Rows by column name, each with the line on which it begins; empty cells are None."""
    with _open_bytes(path) as file:
        reader = csv.reader(_decoded_lines(path, file), strict=True)
        header: list[str] | None = None
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{path}, line {number}: is not valid CSV ({_one_line(error)})") from None
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_columns(f"{path}, line {number}", header)
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}, line {number}: has {len(cells)} cells where the header has {len(header)}; "
                    'quote cells that hold commas or quotes ("a, b")'
                )
            yield number, {name: cell if cell.strip() else None for name, cell in zip(header, cells, strict=True)}


def _parquet_rows(path: str) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable parquet file ({_one_line(error)})") from None
    with file:
        names = list(file.schema_arrow.names)
        _check_columns(path, names)
        number = 0
        try:
            for batch in file.iter_batches(_PARQUET_BATCH, columns=[name for name in names if name in COLUMNS]):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, after row {number}: cannot be read on ({_one_line(error)})") from None


def _hub_rows(path: str, name: str, config: str | None, split: str | None) -> _Rows:
    """Rows of a hub data set, streamed. Every failure of the hub library or the network becomes one DataError."""
    import datasets

    try:
        data = datasets.load_dataset(name, config, split=split, streaming=True)
    except (
        Exception
    ) as error:  # network, unknown name, unknown configuration or split: many classes of several packages
        raise DataError(
            f"{path}: no such file, and the hub data set cannot be loaded ({_one_line(error)}); "
            "check the name, the split and the network"
        ) from None
    if isinstance(data, dict):
        if len(data) != 1:
            raise DataError(f"{path}: name a split; the data set has {', '.join(map(str, data))}")
        data = next(iter(data.values()))
    rows = iter(data)
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"{path}, after row {number}: reading from the hub failed ({_one_line(error)})") from None
        number += 1
        yield number, row


def _check_columns(where: str, names: list[str]) -> None:
    found = _names(names)
    if "question" not in names:
        raise DataError(f"{where}: has no column `question`; found {found}")
    if "answer" not in names and "answers" not in names:
        raise DataError(f"{where}: has no column `answers` or `answer`; found {found}")
    twice = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: has the column `{twice[0]}` twice; found {found}")


def _question(row: object, where: str, made_id: str, is_csv: bool) -> Question:
    if not isinstance(row, Mapping):
        hint = "; a file that holds one list is named .json" if isinstance(row, list) else ""
        raise DataError(f"{where}: expected an object with `question` and `answers`, found {_kind(row)}{hint}")
    keys = _names(list(row))
    if row.get("question") is None:
        raise DataError(f"{where}: has no `question`; found {keys}")
    if row.get("answer") is None and row.get("answers") is None:
        raise DataError(f"{where}: has no `answers` and no `answer`; found {keys}")
    text = _text(row["question"], "question", where)
    answers = []
    if row.get("answer") is not None:
        answers.append(_text(row["answer"], "answer", where))
    if row.get("answers") is not None:
        answers += _texts(row["answers"], "answers", where, is_csv, single=True)
    if not answers:
        raise DataError(f"{where}: `answers` is an empty list; give at least one answer")
    choices: list[str] = []
    if row.get("choices") is not None:
        choices = _texts(row["choices"], "choices", where, is_csv, single=False)
    if choices:
        answers[0] = _chosen(answers[0], choices, where)
        other = next((answer for answer in answers[1:] if answer != answers[0] and answer in choices), None)
        if other is not None:
            raise DataError(
                f"{where}: the answers {_show(answers[0])} and {_show(other)} are both options; only one may be right"
            )
    match = row.get("match")
    if match is not None and match not in ("normalized", "exact"):
        raise DataError(f"{where}: `match` is {_show(match)}; expected normalized or exact")
    return Question(
        id=made_id if row.get("id") is None else _text(row["id"], "id", where),
        question=text,
        answers=tuple(dict.fromkeys(answers)),
        choices=tuple(choices),
        match=cast(Literal["normalized", "exact"], match or "normalized"),
        relation=_optional_text(row, "relation", where),
        subject=_optional_text(row, "subject", where),
        popularity=_popularity(row.get("popularity"), where, is_csv),
    )


def _text(value: Any, column: str, where: str) -> str:
    """A text without surrounding blanks; integers become text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{where}: `{column}` has to be text, found {_kind(value)} ({_show(value)}); put it in quotes")
    text = value.strip()
    if not text:
        raise DataError(f"{where}: `{column}` is blank; fill it in or remove the row")
    if _SURROGATE.search(text):
        raise DataError(f"{where}: `{column}` holds half of a character ({_show(text)}); write it out in UTF-8")
    return text


def _optional_text(row: Mapping[str, Any], column: str, where: str) -> str | None:
    return None if row.get(column) is None else _text(row[column], column, where)


def _texts(value: Any, column: str, where: str, is_csv: bool, single: bool) -> list[str]:
    """A list of texts. ``single``: one text alone is a list of one. In CSV a cell in brackets is a JSON list."""
    if is_csv and isinstance(value, str):
        cell = value.strip()
        if cell.startswith("[") and cell.endswith("]"):
            try:
                value = json.loads(cell)
            except (ValueError, RecursionError):
                raise DataError(
                    f'{where}: `{column}` is no valid JSON list ({_show(cell)}); write ["a", "b"] with double quotes'
                ) from None
    if single and isinstance(value, str | int) and not isinstance(value, bool):
        return [_text(value, column, where)]
    if not isinstance(value, list):
        wanted = 'a JSON list such as ["a", "b"]' if is_csv else "a list of texts"
        raise DataError(f"{where}: `{column}` has to be {wanted}, found {_kind(value)} ({_show(value)})")
    return [_text(item, column, where) for item in value]


def _chosen(answer: str, choices: list[str], where: str) -> str:
    """The option that an answer means: its text, else its letter or 0-based index (see ``read_questions``)."""
    if not 2 <= len(choices) <= len(ascii_uppercase):
        raise DataError(f"{where}: `choices` has {len(choices)} options; expected 2 to {len(ascii_uppercase)}")
    twice = next((choice for choice in choices if choices.count(choice) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: the option {_show(twice)} stands in `choices` twice; options have to differ")
    if answer in choices:
        return answer
    index = -1
    if len(answer) == 1 and answer.upper() in ascii_uppercase:
        index = ascii_uppercase.index(answer.upper())
    elif re.fullmatch("[0-9]{1,2}", answer):
        index = int(answer)
    if not 0 <= index < len(choices):
        raise DataError(
            f"{where}: the answer {_show(answer)} is not among the {len(choices)} choices; give the option's text, its "
            "letter (from A) or its index (from 0)"
        )
    return choices[index]


def _popularity(value: Any, where: str, is_csv: bool) -> float | None:
    if value is None:
        return None
    number = value
    if is_csv:
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        raise DataError(f"{where}: `popularity` is {_show(value)}; expected a number from 0 (rarest) to 1 (best known)")
    return float(number)


def _kind(value: object) -> str:
    """The type of a value in the words of JSON."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", float: "a decimal number"}
    if value is None:
        return "null"
    return names.get(type(value), "an integer" if isinstance(value, int) else type(value).__name__)


def _names(names: list[Any]) -> str:
    """Column names on one line, cut to 200 characters."""
    text = " ".join(", ".join(map(str, names)).split()) or "none"
    return text if len(text) <= 200 else f"{text[:197]}..."


def _show(value: object) -> str:
    """A value on one line, cut to 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _one_line(error: BaseException) -> str:
    """An exception's message on one line, cut to 200 characters."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
