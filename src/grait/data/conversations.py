"""A set for SFT: conversations in the shapes that sets have, and the same rows in TRL's with other answers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from grait.config import DataConfig
from grait.data.files import open_rows
from grait.data.rows import checked_text, column_names, found_in, is_missing, shown, type_name
from grait.errors import DataError
from grait.judging.reasoning import has_reasoning

Left = Literal[
    "several turns",
    "a system turn",
    "tools",
    "an unknown role",
    "images or other parts",
    "reasoning",
    "a given text",
    "no question or no answer",
    "another form of text",
]
"""Why a row is left word for word, whatever it asks for. ``another form of text``: a prompt in plain text that is
neither a question alone nor one between marks such as ``Question:`` and ``Answer:``."""

MESSAGES, PROMPT = ("messages", "conversations"), ("prompt", "completion")
PAIRS = (
    PROMPT,
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
)
"""Columns of what is asked and what is answered."""
SHAPES: tuple[tuple[str, ...], ...] = (*((name,) for name in MESSAGES), *PAIRS)
GIVEN, SYSTEM = ("input", "context"), ("system", "system_prompt")
"""Columns beside what is said: a text that goes with an instruction; a system message."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Of a message, beside its content: what is thought before the answer, and holds it."""
PARTS, TOOLS = ("images", "image", "videos", "video", "audios", "audio"), ("tools", "functions")

_NOTHING = ("", "<noinput>", "na", "n/a", "nan")
"""A given text that says there is none, in sets after Alpaca's."""
_ASSISTANTS = ("gpt", "chatgpt", "bard", "bing", "claude", "model", "bot")
_ROLES = {"human": "user", "developer": "system", **dict.fromkeys(_ASSISTANTS, "assistant")}
_TOOL_ROLES = ("tool", "tools", "function", "function_call", "tool_call", "tool_response", "observation", "ipython")
_KNOWN = ("system", "user", "assistant")
_ENDS = re.compile(r"\A(\s*)(.*?)((?:\s*<[^<>\s]+>)*\s*)\Z", re.DOTALL)
"""Blanks before a completion; and after it blanks and end tokens."""
_FRAMED = re.compile(
    r"\A(?:### )?(?:question|q|user|human|instruction):?\s+(.*?)\s*\n\s*(?:### )?(?:answer|a|assistant|response):\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
"""A question between marks, as a text that a model goes on with."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of the set. ``row``: its columns, in TRL's format; ``where``: file and row, for errors.

    Of a row with one question and one answer: ``messages``: what is said before the answer, ``answer``, and
    ``text``: the prompt where it is plain text that a model goes on with. ``left``: why the row is left as it is.
    """

    where: str
    row: Mapping[str, Any]
    messages: tuple[dict[str, str], ...]
    answer: str
    text: str | None
    left: Left | None

    @property
    def question(self) -> str:
        """What the user says."""
        return self.messages[-1]["content"]

    def answering(self, text: str) -> dict[str, Any]:
        """The row with another answer; blanks and end tokens around a completion in plain text stay."""
        column = "messages" if "messages" in self.row else "completion"
        value = self.row[column]
        if isinstance(value, str):
            return {**self.row, column: _ENDS.sub(lambda found: found[1] + text + found[3], value)}
        return {**self.row, column: [*value[:-1], {**value[-1], "content": text}]}


@dataclass(frozen=True, slots=True)
class ConversationSet:
    """``columns``: those that hold what is said, as they came; ``is_changed``: whether TRL's have other names."""

    rows: list[Conversation]
    columns: tuple[str, ...]
    is_changed: bool


def read_conversations(source: DataConfig, reserved: Sequence[str]) -> ConversationSet:
    """All rows of a file, a folder or a hub data set, in their order. ``reserved``: columns that it may not have.

    ``messages`` (role, content), ShareGPT's ``conversations`` (from, value), ``prompt`` and ``completion`` as text or
    messages, Alpaca's ``instruction``, ``input``, ``output``, ``question`` and ``answer``. The first two that are
    TRL's, ``messages`` with roles and ``prompt`` with ``completion``, stay as they are; others become these two, as
    messages. All rows have the columns of the first one. Raises DataError, one line, for a row that is none, and for
    one that holds two: an answer that is replaced in one of them would stay in the other.
    """
    opened = open_rows(source.path, source.split, source.revision, source.encoding)
    rows: list[Conversation] = []
    columns: tuple[str, ...] = ()
    is_changed = False
    for where, row in opened.rows:
        if source.limit is not None and len(rows) == source.limit:
            break
        if not isinstance(row, Mapping):
            raise DataError(
                f"{where}: expected an object with `messages`, or a prompt and an answer, found {shown(row)}"
            )
        columns = columns or _columns(row, where)
        if len(shapes := _shapes(row)) > 1:
            both = " beside ".join(" and ".join(f"`{name}`" for name in shape) for shape in shapes[:2])
            raise DataError(f"{where}: holds two conversations, {both}; remove the one that is not trained on")
        is_list = columns[0] in MESSAGES
        found = _of_messages(row, columns[0], where) if is_list else _of_pair(row, columns, where)
        if taken := [name for name in reserved if name in found.row]:
            raise DataError(f"{where}: has a column {shown(taken[0])}, which is to be written; rename or remove it")
        is_changed = is_changed or found.row.keys() != row.keys()
        rows.append(found)
    if not rows:
        raise DataError(f"{source.path}: holds no row; expected conversations")
    return ConversationSet(rows, columns, is_changed)


def _shapes(row: Mapping[Any, Any]) -> list[tuple[str, ...]]:
    """All columns that hold a conversation, whichever is read."""
    return [shape for shape in SHAPES if not any(is_missing(row.get(name)) for name in shape)]


def _columns(row: Mapping[Any, Any], where: str) -> tuple[str, ...]:
    """Those of the first row that hold what is said: of several shapes the first one that is filled in."""
    shapes = [shape for shape in SHAPES if all(name in row for name in shape)]
    if not shapes:
        pairs = ", ".join(" and ".join(f"`{name}`" for name in pair) for pair in PAIRS)
        raise DataError(
            f"{where}: has no conversation; expected `messages`, `conversations`, or one of {pairs}; found "
            f"{column_names(list(row))}"
        )
    shape = min(shapes, key=lambda shape: row[shape[0]] is None)
    beside = () if shape == PROMPT else SYSTEM if len(shape) == 1 else (*GIVEN, *SYSTEM)
    return (*shape, *(name for name in beside if name in row))


def _of_messages(row: Mapping[Any, Any], column: str, where: str) -> Conversation:
    messages = _messages(row.get(column), column, where)
    if column == "messages" and all("role" in message for message in row[column]):
        return _conversation(where, row, messages)
    messages = [*_systems(row, messages), *messages]
    own = {name: value for name, value in row.items() if name not in (column, *SYSTEM)}
    return _conversation(where, own | {"messages": messages}, messages)


def _of_pair(row: Mapping[Any, Any], columns: tuple[str, ...], where: str) -> Conversation:
    asked, answered = columns[:2]
    if row.get(asked) is None:
        raise DataError(f"{where}: has no `{asked}`, as the first row has; {found_in(row)}")
    if columns == PROMPT and not isinstance(row[asked], str):
        return _conversation(
            where, row, [*_messages(row[asked], asked, where), *_messages(row[answered], answered, where)]
        )
    question, answer = _text(row[asked], asked, where), _text(row.get(answered), answered, where)
    if columns == PROMPT:
        return _of_text(where, row, question, answer)
    more = {name: _text(row.get(name), name, where) for name in columns[2:]}
    given = [more[name] for name in GIVEN if more.get(name, "").strip().lower() not in _NOTHING]
    prompt = [*_systems(more, ()), {"role": "user", "content": "\n\n".join([question, *given])}]
    completion = [{"role": "assistant", "content": answer}]
    own = {name: value for name, value in row.items() if name not in columns}
    found = _conversation(where, own | {"prompt": prompt, "completion": completion}, prompt + completion)
    return replace(found, left=found.left or "a given text") if given else found


def _of_text(where: str, row: Mapping[Any, Any], prompt: str, completion: str) -> Conversation:
    """A prompt and a completion in plain text: a question alone is asked as one, one between marks as it stands."""
    framed = _FRAMED.match(prompt)
    asked = {"role": "user", "content": framed[1] if framed else prompt.strip()}
    found = _conversation(where, row, [asked, {"role": "assistant", "content": _ENDS.sub(r"\2", completion)}])
    if (not framed and "\n" in asked["content"] and found.left is None) or found.left == "a system turn":
        return replace(found, left="another form of text")
    return replace(found, text=prompt.rstrip() if framed else None)


def _conversation(where: str, row: Mapping[Any, Any], messages: list[dict[str, Any]]) -> Conversation:
    """``messages``: with the answer, which is the last one."""
    turns = [*_systems(row, messages), *messages]
    left = _why_left(row, turns)
    if left not in (None, "a system turn"):
        return Conversation(where, row, (), "", None, left)
    *before, answer = turns
    return Conversation(where, row, tuple(before), answer["content"], None, left)


def _systems(row: Mapping[Any, Any], messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """System turns that stand in columns of their own, and not in the messages too."""
    said = [turn["content"] for turn in messages if turn["role"] == "system"]
    own = [text for name in SYSTEM if isinstance(text := row.get(name), str) and text.strip() and text not in said]
    return [{"role": "system", "content": text} for text in own]


def _why_left(row: Mapping[Any, Any], turns: Sequence[Mapping[str, Any]]) -> Left | None:
    roles = [turn["role"] for turn in turns]
    if any(row.get(name) for name in TOOLS) or any(
        turn["role"] in _TOOL_ROLES or turn.get("tool_calls") or turn.get("function_call") for turn in turns
    ):
        return "tools"
    if any(turn["role"] not in _KNOWN for turn in turns):
        return "an unknown role"
    if any(row.get(name) for name in PARTS) or any(not isinstance(turn["content"], str) for turn in turns):
        return "images or other parts"
    if any(turn.get(name) for turn in turns for name in THOUGHTS) or has_reasoning(turns[-1]["content"]):
        return "reasoning"
    if "user" not in roles or roles[-1] != "assistant" or not turns[-1]["content"].strip():
        return "no question or no answer"
    if roles.count("user") != 1 or roles.count("assistant") != 1 or roles[-2] != "user":
        return "several turns"
    return "a system turn" if "system" in roles else None


def _messages(value: Any, column: str, where: str) -> list[dict[str, Any]]:
    """With ``role`` and ``content``, whatever they are called; content as it is."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise DataError(f"{where}: `{column}` has to be a list of messages, found {type_name(value)} ({shown(value)})")
    if not value:
        raise DataError(f"{where}: `{column}` holds no message; fill it in or remove the row")
    found = []
    for number, message in enumerate(value, 1):
        place = f"{where}, message {number} of `{column}`"
        if not isinstance(message, Mapping):
            raise DataError(f"{place}: expected an object with `role` and `content`, found {shown(message)}")
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        if not isinstance(role, str):
            raise DataError(f"{place}: has no `role` (or `from`); {found_in(message)}")
        if content is None and not (message.get("tool_calls") or message.get("function_call")):
            raise DataError(f"{place}: has no `content` (or `value`); {found_in(message)}")
        more = {name: own for name, own in message.items() if name not in ("role", "from", "content", "value")}
        found.append({"role": _ROLES.get(role, role), "content": content, **more})
    return found


def _text(value: Any, column: str, where: str) -> str:
    """As it stands; numbers as text, and nothing for what is missing."""
    return value if isinstance(value, str) else "" if is_missing(value) else checked_text(value, column, where)
