"""Conversations as rows have them: lists of messages with a role and a content."""

from collections.abc import Mapping, Sequence
from typing import Any

from grait.data.rows import checked_text, column_names, shown, type_name
from grait.errors import DataError

ROLES = ("system", "user", "assistant")


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
            raise DataError(f"{place}: has no `content`; found {column_names(list(message))}")
        checked_text(message["content"], "content", place)
        messages.append({"role": message["role"], "content": str(message["content"])})
    return messages
