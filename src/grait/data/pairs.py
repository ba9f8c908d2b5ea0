"""Training examples of anybody's: rows in TRL's formats, each a prompt and what is to be learned after it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grait.data.messages import checked_messages, rows_with_ids
from grait.data.rows import checked_text, found_in, type_name
from grait.errors import DataError

Messages = tuple[dict[str, str], ...]

GROUP = "group"
"""The column that tells groups of targets apart, unless another one is named."""


@dataclass(frozen=True)
class Pair:
    """``prompt``: text that ``completion`` follows as it stands, or the turns before it; None for text without one.

    ``group``: what targets are told apart by. ``template_arguments``: of the chat template. ``row``: as it was read, in
    JSON's types; ``where``: file and row, for errors.
    """

    id: str
    prompt: str | Messages | None
    completion: str
    group: str
    template_arguments: dict[str, Any]
    row: dict[str, Any]
    where: str


def load_pairs(path: str, group_column: str = GROUP) -> list[Pair]:
    """All rows of a file (``.jsonl``, ``.json``, ``.parquet``, packed or not), a folder, or a hub data set.

    Columns: ``messages``, whose last turn has to be the assistant's, which is what counts; or ``prompt`` and
    ``completion``, each text or a list of messages; or ``text``, all of which counts. Beside them ``id`` (made where it
    is absent, else unique), ``chat_template_kwargs`` and ``group_column``. Raises DataError, one line.
    """
    rows = rows_with_ids(path, "training examples", "`messages`, `prompt` or `text`")
    return [_pair(row, where, name, group_column) for where, row, name in rows]


def _pair(row: Mapping[str, Any], where: str, name: str, group_column: str) -> Pair:
    if row.get("tools"):
        raise DataError(f"{where}: `tools` change the prompt and are not read; take the rows that have some out")
    arguments = row.get("chat_template_kwargs") or {}
    if not isinstance(arguments, Mapping):
        raise DataError(f"{where}: `chat_template_kwargs` has to be an object, found {type_name(arguments)}")
    prompt, completion = _parts(row, where)
    return Pair(
        id=name,
        prompt=prompt,
        completion=completion,
        group="" if row.get(group_column) is None else checked_text(row[group_column], group_column, where),
        template_arguments=dict(arguments),
        row=json.loads(json.dumps(dict(row), default=str)),
        where=where,
    )


def _parts(row: Mapping[str, Any], where: str) -> tuple[str | Messages | None, str]:
    """Prompt and completion of a row."""
    if row.get("messages") is not None:
        return _turns(checked_messages(row["messages"], "messages", where), "messages", where)
    if row.get("prompt") is not None:
        if row.get("completion") is None:
            raise DataError(f"{where}: has a `prompt` and no `completion`; {found_in(row)}")
        prompt, completion = row["prompt"], row["completion"]
        if isinstance(prompt, str) != isinstance(completion, str):
            raise DataError(f"{where}: `prompt` and `completion` have to be both text or both lists of messages")
        if isinstance(prompt, str):
            return _text(prompt, "prompt", where), _text(completion, "completion", where)
        turns = [*checked_messages(prompt, "prompt", where), *checked_messages(completion, "completion", where)]
        if len(turns) != len(prompt) + 1:
            raise DataError(f"{where}: `completion` has to be one message of the assistant, found {len(completion)}")
        return _turns(turns, "completion", where)
    if row.get("text") is not None:
        return None, _text(row["text"], "text", where)
    raise DataError(f"{where}: has no `messages`, `prompt` or `text`; {found_in(row)}")


def _turns(messages: list[dict[str, str]], column: str, where: str) -> tuple[Messages, str]:
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError(f"{where}: `{column}` has to end with a message of the assistant after one of the user")
    return tuple(messages[:-1]), messages[-1]["content"]


def _text(value: Any, column: str, where: str) -> str:
    """As it stands, blanks and all."""
    checked_text(value, column, where)
    return str(value)
