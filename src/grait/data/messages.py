"""Examples that are no questions: rows with ids, and conversations as rows have them, with a role and a content."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from grait.data.files import open_rows
from grait.data.rows import Wanted, checked_text, every, found_in, shown, type_name
from grait.errors import DataError

ROLES = ("system", "user", "assistant")


def rows_with_ids(
    path: str, what: str, columns: str, wanted: Wanted = every
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """(where it stands, the row, its id) of all rows of a file, a folder or a hub data set; absent ids are made.

    ``what``, ``columns``: what the rows are and have, for errors; ``wanted``: as in ``open_rows``. Raises DataError,
    one line, for tables, rows that are no objects, an id that stands twice, and where there is no row.
    """
    source = open_rows(path, wanted=wanted)
    if source.is_table:
        raise DataError(f"{path}: {what} are no CSV; expected .jsonl, .json or .parquet")
    seen: dict[str, str] = {}
    for number, (where, row) in enumerate(source.rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"{where}: expected an object with {columns}, found {type_name(row)}")
        name = f"{source.stem}-{number}" if row.get("id") is None else checked_text(row["id"], "id", where)
        if name in seen:
            place = seen[name].removeprefix(f"{path}, ")
            raise DataError(
                f"{where}: the id {shown(name)} was already used in {place}; give each row its own, or none an id"
            )
        seen[name] = where
        yield where, row, name
    if not seen:
        raise DataError(f"{path}: holds no row; expected at least one with {columns}")


def checked_messages(value: Any, column: str, where: str) -> list[dict[str, str]]:
    """``role`` and ``content`` of each message, contents as they are. DataError, one line, for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        wanted = "a list of messages" if column == "messages" else "text or a list of messages"
        raise DataError(f"{where}: `{column}` has to be {wanted}, found {type_name(value)} ({shown(value)})")
    messages = []
    for number, message in enumerate(value, 1):
        place = f"{where}, message {number}"
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise DataError(f"{place}: expected an object with `role` and `content`, found {shown(message)}")
        if message["role"] not in ROLES:
            raise DataError(f"{place}: the role {shown(message['role'])} is none of {', '.join(ROLES)}")
        if message.get("content") is None:
            raise DataError(f"{place}: has no `content`; {found_in(message)}")
        checked_text(message["content"], "content", place)
        messages.append({"role": message["role"], "content": str(message["content"])})
    return messages
