"""Rows of JSON, CSV and parquet files, one at a time, and the checks that all row readers share.

A row comes with where it stands, so that an error can say it. Every failure is a DataError of one line.
"""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from grait.errors import DataError, reason

_SURROGATE = re.compile("[\ud800-\udfff]")
_SEP = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]*")
PARQUET_BATCH = 1024  # rows held as Arrow and Python values at a time

Rows = Iterator[tuple[str, object]]
"""(where the row stands, as errors say it; the row)"""

Wanted = Callable[[str, list[str]], Sequence[str]]
"""The columns of a table that are read, that of the question first; raises a DataError for names that will not do. Is
told where they stand."""


def every(_: str, names: list[str]) -> list[str]:
    """``Wanted``: all columns."""
    return names


@lru_cache(10_000)
def fold(name: str) -> str:
    """A column's name without case, blanks and signs: ``Answer Key``, ``answer_key`` and ``answerKey`` are the same."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _open_zst(path: str) -> io.BufferedReader:
    import pyarrow as pa

    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(path), "zstd"))


_OPENERS: dict[str, Callable[[str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _open_zst}
PACKED = tuple(_OPENERS)


def _lines(path: str, encoding: str) -> Iterator[str]:
    """Lines of a text file, unpacked, with their ends, without a byte order mark."""
    is_wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    try:
        file = _OPENERS.get(Path(path).suffix.lower(), partial(open, mode="rb"))(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    with file:
        number = offset = 0
        raw = b""
        try:
            if is_wide:  # a line break may be a part of a character
                yield from file.read().decode(encoding).removeprefix("\ufeff").splitlines(keepends=True)
            for number, raw in enumerate(file, 1):
                line = raw.decode(encoding)
                offset += len(raw)
                if encoding != "utf-8" and len(line) == len(raw) and _is_utf8(raw):  # one byte, one character
                    raise DataError(
                        f"{path}, line {number}: is UTF-8, and {encoding} would make other letters of it "
                        f"({shown(line.strip())}); leave `encoding` out, or write the lines anew that are not"
                    )
                yield line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            if is_wide:
                raise DataError(f"{path}: is not {encoding} ({one_line(error)}); name its own encoding") from None
            is_default = encoding == "utf-8"
            hint = _likely(path, raw) if is_default else "name its own encoding"
            raise DataError(
                f"{path}, line {number}: is not {'UTF-8' if is_default else encoding} (byte 0x{raw[error.start]:02x} "
                f"at byte offset {offset + error.start}); {hint}"
            ) from None
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:  # Arrow's errors are ValueErrors
            raise DataError(f"{path}: cannot be read on; is it whole? ({one_line(error)})") from None


_MAGIC = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip or Excel", b"\xd0\xcf\x11\xe0": "old Excel", b"BZh": "bzip2",
          b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard", b"PAR1": "parquet"}  # fmt: skip
"""First bytes of files that are no text."""


def _likely(path: str, line: bytes) -> str:
    """What to do about a file that is not UTF-8, of which a line is known that is not."""
    is_plain = Path(path).is_file() and Path(path).suffix.lower() not in PACKED
    with open(path, "rb") if is_plain else io.BytesIO(line) as file:
        first = file.read(8)
        file.seek(0)
        is_utf8 = [_is_utf8(own) for own in file if not own.isascii()]
    if kind := next((kind for start, kind in _MAGIC.items() if first.startswith(start)), None):
        return f"by its first bytes it is a {kind} file; name it so, or save its table as CSV"
    if b"\0" in line or first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "save the file as UTF-8, or name its encoding, such as encoding: utf-16"
    if 2 * sum(is_utf8) >= len(is_utf8):
        return "other lines are, and no one encoding reads them all; write those that are not anew"
    return (
        "save the file as UTF-8, or name its encoding, which is not to be seen from here (Western tables: encoding: "
        "cp1252, Central European cp1250, Cyrillic cp1251, Japanese cp932, Chinese gb18030), and look at what is read"
    )


def _is_utf8(line: bytes) -> bool:
    """Whether a line has letters beyond ASCII, and is UTF-8."""
    try:
        return not line.isascii() and bool(line.decode())
    except UnicodeDecodeError:
        return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """ValueError for a key that stands twice, of which one value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in an object; remove one")
    return found


def _no_json(path: str, line: int, error: Exception, hint: str = "") -> DataError:
    """``line``: of the value; of the fault where the parser does not say it."""
    if isinstance(error, json.JSONDecodeError):
        return DataError(f"{path}, line {line}: is not valid JSON ({error.msg} at column {error.colno}){hint}")
    return DataError(f"{path}, line {line}: cannot be read as JSON ({one_line(error)})")


def jsonl_rows(path: str, encoding: str = "utf-8") -> Rows:
    """Objects of a file with one on each line."""
    number = 0
    try:
        for number, line in enumerate(_lines(path, encoding), 1):
            if line.strip():
                yield f"{path}, line {number}", json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _no_json(path, number, error, "; write one object per line") from None


def json_rows(path: str, split: str | None = None, encoding: str = "utf-8") -> Rows:
    """Elements of a JSON list, or what one object wraps, or objects one after another."""
    text = "".join(_lines(path, encoding))
    decoder, line, counted, place = json.JSONDecoder(object_pairs_hook=_object), 1, 0, _after_blanks(text, 0)

    def fault(what: str) -> DataError:
        found = shown(text[place]) if place < len(text) else "the end of the file"
        where = f"{path}, line {1 + text.count(chr(10), 0, place)}"
        return DataError(f"{where}: is not valid JSON (expected {what}, found {found})")

    is_list = text.startswith("[", place)
    if not is_list and not text.startswith("{", place):
        raise fault("a JSON list of objects, each with `question` and `answers`")
    start = place = _after_blanks(text, place + is_list)
    while not text.startswith("]", place) if is_list else place < len(text):
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise _no_json(path, getattr(error, "lineno", line), error) from None
        place = _after_blanks(text, place)
        is_all = not is_list and counted == start and place == len(text)
        yield from wrapped_rows(path, value, split) if is_all else [(f"{path}, line {line}", value)]
        if is_list and text.startswith(",", place):
            place = _after_blanks(text, place + 1)
            if text.startswith("]", place):
                raise fault("an object after the comma")
        elif text[place : place + 1] not in (("]",) if is_list else ("{", "")):
            raise fault("a comma or the end of the list" if is_list else "one object after another")
    place = _after_blanks(text, place + is_list)
    if place < len(text):
        raise fault("nothing after the end of the list")


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def wrapped_rows(path: str, value: dict[str, Any], split: str | None) -> Rows:
    """The rows in one object: a list in it, one of its lists where ``split`` names it, columns, or objects by id."""
    lists = {key: own for key, own in value.items() if isinstance(own, list) and own and _are_objects(own)}
    has_question = any(key.casefold() in ("question", "qas", "paragraphs") for key in value)
    if split is not None and split not in lists:
        raise DataError(f"{path}: has no split {shown(split)}; found {column_names(list(lists))}")
    if split is None and len(lists) > 1 and not has_question:
        raise DataError(f"{path}: holds several lists; name one as the split: {column_names(list(lists))}")
    columns = {key: list(own.values()) if isinstance(own, dict) else own for key, own in value.items()}
    columns = {key: own for key, own in columns.items() if isinstance(own, list)}
    rows: list[Any] = [value]
    if split is not None or (lists and not has_question):
        rows = lists[split or next(iter(lists))]
    elif isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):  # of pandas, orient "split"
        rows = [dict(zip(value["columns"], cells, strict=False)) for cells in value["data"]]
    elif "question" in columns and len(set(map(len, columns.values()))) == 1:
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    elif value and _are_objects(value.values()):
        rows = [{"id": key, **own} for key, own in value.items()]
    yield from ((f"{path}, row {number}", row) for number, row in enumerate(rows, 1))


def _are_objects(values: Iterable[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


_CSV_FAULTS = {
    "unexpected end of data": "a quoted cell has no end",
    "expected after": 'a cell begins with a quote, and more follows after its last one; write "" for each quote in it',
    "new-line character": "its lines end in carriage returns alone; save it anew",
}
"""What csv says, for programmers, and what is wrong."""


def csv_cells(path: str, suffix: str = ".csv", encoding: str = "utf-8") -> Iterator[tuple[int, list[str]]]:
    """Cells of each row that is not blank, with the line on which it begins; a header is a row like any other.

    What separates cells: what a first line ``sep=;`` says, else what the first line has most of, outside of quotes.
    """
    csv.field_size_limit(2**31 - 1)  # else a long cell in a column that nobody uses would end the reading
    lines = _lines(path, encoding)
    first, skipped = next(lines, ""), 0
    if named := _SEP.fullmatch(first):
        first, skipped = next(lines, ""), 1
    usual, unquoted = "\t" if suffix == ".tsv" else ",", re.sub('"[^"]*"', "", first)
    delimiter = named[1] if named else max((usual, *",;\t|"), key=unquoted.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    number = 1 + skipped
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1 + skipped
    except csv.Error as error:
        said = next((words for fault, words in _CSV_FAULTS.items() if fault in str(error)), one_line(error))
        raise DataError(f"{path}, line {number}: is not valid CSV ({said})") from None


def csv_rows(path: str, suffix: str, encoding: str, wanted: Wanted, seen: Counter[str]) -> Rows:
    """Rows by the column names of the last header; empty cells are None. ``seen`` counts later headers.

    Such a line has the name of the question's column in its place, or that and more than half of those that are read.
    """
    header: list[str] = []
    used, place, longest = [""], 0, 0
    for number, cells in csv_cells(path, suffix, encoding):
        where = f"{path}, line {number}"
        own = [fold(cell) if len(cell) <= longest else "" for cell in cells]
        is_named = used[0] in own and (own.index(used[0]) == place or 2 * len({*own} & {*used}) > len(used))
        if is_named or not header:
            seen["later headers"] += bool(header)
            header = [cell.strip("\ufeff \t") for cell in cells]
            read = wanted(where, header)
            used, place = [fold(name) for name in read], header.index(read[0])
            longest = 3 + max(map(len, header))
        else:
            yield where, named_cells(where, header, cells)


def named_cells(where: str, header: Sequence[str], cells: Sequence[str]) -> dict[str, str | None]:
    """One row by column name; empty cells are None."""
    if len(cells) != len(header):
        raise DataError(
            f"{where}: has {len(cells)} cells where the header has {len(header)}; "
            'quote cells that hold commas or quotes ("a, b")'
        )
    return {name: cell if cell.strip() else None for name, cell in zip(header, cells, strict=True)}


def parquet_rows(path: str, wanted: Wanted) -> Rows:
    """Rows with the columns that are wanted, and all that hold lists or objects."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable parquet file ({one_line(error)})") from None
    with file:
        columns = set(wanted(path, list(file.schema_arrow.names)))
        columns |= {column.name for column in file.schema_arrow if pa.types.is_nested(column.type)}  # maybe options
        number = 0
        try:
            batches = file.iter_batches(PARQUET_BATCH, columns=sorted(columns), use_threads=False)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield f"{path}, row {number}", row
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # UTF-8, and dates out of range
            raise DataError(f"{path}, after row {number}: cannot be read on ({one_line(error)})") from None


def nested_rows(rows: Rows) -> Rows:
    """The rows, and in the place of an article or paragraph (SQuAD's ``paragraphs``, ``qas``) its questions.

    ``paragraphs`` without questions are texts. DataError for a row that is a question and holds others.
    """
    for where, row in rows:
        cells = row if isinstance(row, Mapping) else {}
        inner = cells.get("paragraphs") or cells.get("qas")
        own = inner if isinstance(inner, list) else []
        holds = "qas" in cells or any(isinstance(one, Mapping) and {"qas", "question"} & one.keys() for one in own)
        if (own and holds) or (inner == [] and "question" not in cells):
            if "question" in cells:
                raise DataError(
                    f"{where}: has a `question` and others in `paragraphs` or `qas`; write each in a row of its own"
                )
            passage = {"context": cells["context"]} if "context" in cells else {}
            yield from nested_rows((where, passage | one if isinstance(one, dict) else one) for one in own)
        else:
            yield where, row


def needed(row: object, column: str, where: str) -> Any:
    """The value of a column that a row has to have."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object with `{column}`, found {type_name(row)}")
    if row.get(column) is None:
        raise DataError(f"{where}: has no `{column}`; {found_in(row)}")
    return row[column]


def is_missing(value: Any) -> bool:
    """Whether a cell says nothing: null, NaN, or a blank cell of a table."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def checked_text(value: Any, column: str, where: str) -> str:
    """A text without surrounding blanks, not empty; integers become text."""
    if not isinstance(value, str):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        hints = {bool: '; write it in words, such as "yes"', float: "; put it in quotes"}
        hint = "; fill it in or remove it" if is_missing(value) else hints.get(type(value), "; write it as text")
        raise DataError(f"{where}: `{column}` has to be text, found {type_name(value)} ({shown(value)}){hint}")
    text = value.strip()
    if not text[:1].isprintable():  # else the first letter is seen
        text = "" if all(letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf") for letter in text) else text
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


def column_names(names: Sequence[Any]) -> str:
    """Column names on one line, cut to 200 characters."""
    text = " ".join(", ".join(map(str, names)).split()) or "none"
    return text if len(text) <= 200 else f"{text[:197]}..."


def found_in(row: Mapping[str, Any]) -> str:
    """The columns of a row, and which of them are empty."""
    empty = [name for name, value in row.items() if value is None]
    return f"found {column_names(list(row))}" + (f", of which {column_names(empty)} empty" if empty else "")


def shown(value: object) -> str:
    """A value on one line, cut to 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def one_line(error: BaseException) -> str:
    """The message of an exception, on one line; of the system's errors without the path, which the caller names."""
    return error.strerror if isinstance(error, OSError) and error.strerror else reason(error)
