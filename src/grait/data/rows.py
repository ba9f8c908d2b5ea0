"""Rows of JSON, CSV and parquet files and of hub data sets, one at a time, and the checks that all row readers share.

A row comes with its line (text files) or its number (parquet, hub), so that an error can say where it is. Every
failure is a DataError of one line.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from grait.errors import DataError, reason

_SURROGATE = re.compile("[\ud800-\udfff]")
PARQUET_BATCH = 4096  # rows held as Arrow and Python values at a time

Rows = Iterator[tuple[int, object]]
"""(line or row number, row)"""

CheckColumns = Callable[[str, list[str]], None]
"""Raises a DataError for column names that will not do; is told where they stand."""


def _open_bytes(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None


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


def jsonl_rows(path: str) -> Rows:
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
                raise DataError(f"{path}, line {number}: cannot be read as JSON ({one_line(error)})") from None


def json_rows(path: str) -> Rows:
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
        hint = "; name it .jsonl if it holds one object per line" if text[position : position + 1] == "{" else ""
        raise DataError(f"{path}, line {line_at(position)}: expected a JSON list of objects{hint}")
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
            raise DataError(f"{path}, line {line_at(start)}: cannot be read as JSON ({one_line(error)})") from None
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
            found = shown(following) if following else "the end of the file"
            raise DataError(
                f"{path}, line {line_at(position)}: is not valid JSON (expected a comma or the end of the "
                f"list, found {found})"
            )
    position = skip(position + 1)
    if position < len(text):
        raise DataError(f"{path}, line {line_at(position)}: is not valid JSON (more text after the end of the list)")


def csv_cells(path: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Cells of each row that is not blank, with the line on which it begins; a header is a row like any other."""
    with _open_bytes(path) as file:
        reader = csv.reader(_decoded_lines(path, file), delimiter=delimiter, strict=True)
        number = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield number, cells
                number = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {number}: is not valid CSV ({one_line(error)})") from None


def csv_rows(path: str, check_columns: CheckColumns, delimiter: str = ",") -> Rows:
    """Rows by the column names of the first row, which ``check_columns`` may refuse; empty cells are None."""
    header: list[str] | None = None
    for number, cells in csv_cells(path, delimiter):
        if header is None:
            header = [cell.strip() for cell in cells]
            check_columns(f"{path}, line {number}", header)
        else:
            yield number, named_cells(f"{path}, line {number}", header, cells)


def named_cells(where: str, header: Sequence[str], cells: Sequence[str]) -> dict[str, str | None]:
    """One row by column name; empty cells are None."""
    if len(cells) != len(header):
        raise DataError(
            f"{where}: has {len(cells)} cells where the header has {len(header)}; "
            'quote cells that hold commas or quotes ("a, b")'
        )
    return {name: cell if cell.strip() else None for name, cell in zip(header, cells, strict=True)}


def parquet_rows(path: str, columns: Sequence[str], check_columns: CheckColumns) -> Rows:
    """Rows with those of ``columns`` that the file has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable parquet file ({one_line(error)})") from None
    with file:
        names = list(file.schema_arrow.names)
        check_columns(path, names)
        number = 0
        try:
            batches = file.iter_batches(PARQUET_BATCH, columns=[name for name in names if name in columns])
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield number, row
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # UTF-8, and dates out of range
            raise DataError(f"{path}, after row {number}: cannot be read on ({one_line(error)})") from None


def hub_rows(
    path: str, name: str, config: str | None, split: str | None, revision: str | None, *, streaming: bool
) -> Rows:
    """Rows of a hub data set; ``path`` is what the user calls it. No code of the data set is ever run.

    ``streaming`` fetches only what is read; without it the whole data set is fetched once and kept in the hub's cache.
    Every failure of the hub library or the network becomes one DataError.
    """
    import datasets

    try:
        data = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming)
    except Exception as error:  # network, unknown name, configuration, split or commit: classes of several packages
        raise DataError(
            f"{path}: no such file, and the hub data set cannot be loaded ({one_line(error)}); "
            "check the name, the split and the network"
        ) from None
    if isinstance(data, dict):
        if len(data) != 1:
            raise DataError(f"{path}: name a split; the data set has {', '.join(map(str, data))}")
        data = next(iter(data.values()))
    number = 0
    try:
        for number, row in enumerate(data, 1):
            yield number, row
    except Exception as error:
        raise DataError(f"{path}, after row {number}: reading from the hub failed ({one_line(error)})") from None


def needed(row: object, column: str, where: str) -> Any:
    """The value of a column that a row has to have."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object with `{column}`, found {type_name(row)}")
    if row.get(column) is None:
        raise DataError(f"{where}: has no `{column}`; found {column_names(list(row))}")
    return row[column]


def checked_text(value: Any, column: str, where: str) -> str:
    """A text without surrounding blanks, not empty; integers become text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(
            f"{where}: `{column}` has to be text, found {type_name(value)} ({shown(value)}); put it in quotes"
        )
    text = value.strip()
    if not text:
        raise DataError(f"{where}: `{column}` is blank; fill it in or remove the row")
    if _SURROGATE.search(text):
        raise DataError(f"{where}: `{column}` holds half of a character ({shown(text)}); write it out in UTF-8")
    return text


def type_name(value: object) -> str:
    """The type of a value in the words of JSON."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", float: "a decimal number"}
    if value is None:
        return "null"
    return names.get(type(value), "an integer" if isinstance(value, int) else type(value).__name__)


def column_names(names: list[Any]) -> str:
    """Column names on one line, cut to 200 characters."""
    text = " ".join(", ".join(map(str, names)).split()) or "none"
    return text if len(text) <= 200 else f"{text[:197]}..."


def shown(value: object) -> str:
    """A value on one line, cut to 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def one_line(error: BaseException) -> str:
    """The message of an exception, on one line; of the system's errors without the path, which the caller names."""
    return error.strerror if isinstance(error, OSError) and error.strerror else reason(error)
