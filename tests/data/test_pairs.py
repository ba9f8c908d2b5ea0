"""Rows of TRL's formats as prompts and completions; what is none is named in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from grait.data.pairs import load_pairs
from grait.errors import DataError

USER, ANSWER = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": " He."}


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_every_format_is_read_and_blanks_are_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.jsonl",
        {"messages": [USER, ANSWER], "group": "g"},
        {"prompt": [USER], "completion": [ANSWER], "id": 7, "extra": [1]},
        {"prompt": "Q: Who?\nA:", "completion": " He."},
        {"text": "One.\n", "chat_template_kwargs": {"a": 1}},
    )
    chat, conversational, plain, text = load_pairs(path)
    assert (chat.prompt, chat.completion, chat.group, chat.id) == ((USER,), " He.", "g", "x-1")
    assert (conversational.prompt, conversational.completion, conversational.id) == ((USER,), " He.", "7")
    assert conversational.row == {"prompt": [USER], "completion": [ANSWER], "id": 7, "extra": [1]}
    assert (plain.prompt, plain.completion, plain.group) == ("Q: Who?\nA:", " He.", "")
    assert (text.prompt, text.completion, text.template_arguments) == (None, "One.\n", {"a": 1})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "x"}, "has no `messages`, `prompt` or `text`; found question"),
        ([1], "expected an object with `messages`"),
        ({"prompt": "x"}, "has a `prompt` and no `completion`; found prompt"),
        ({"prompt": "x", "completion": None}, "found prompt, completion, of which completion empty"),
        ({"text": None}, "found text, of which text empty"),
        ({"prompt": "x", "completion": [ANSWER]}, "both text or both lists"),
        ({"prompt": "x", "completion": " "}, "`completion` is blank"),
        ({"messages": [USER]}, "has to end with a message of the assistant"),
        ({"messages": "x"}, "`messages` has to be a list of messages"),
        ({"messages": [{"role": "robot", "content": "x"}, ANSWER]}, "message 1: the role 'robot' is none of"),
        ({"messages": [{"role": "user"}, ANSWER]}, "message 1: has no `content`; found role"),
        ({"prompt": [USER], "completion": [ANSWER, USER]}, "has to be one message of the assistant, found 2"),
        ({"text": "x", "tools": [{}]}, "`tools` change the prompt"),
        ({"text": "x", "chat_template_kwargs": 3}, "`chat_template_kwargs` has to be an object"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: Any, words: str) -> None:
    path = write(tmp_path / "x.jsonl", {"text": "good"}, row)
    with pytest.raises(DataError) as caught:
        load_pairs(path)
    assert str(caught.value).startswith(f"{path}, line 2") and words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_id_that_stands_twice_and_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: the id 'a' was already used in line 1; give each row its own"):
        load_pairs(write(tmp_path / "x.jsonl", {"id": "a", "text": "x"}, {"id": "a", "text": "y"}))
    (tmp_path / "x.csv").write_text("text\nhello\n")
    with pytest.raises(DataError, match="no CSV"):
        load_pairs(str(tmp_path / "x.csv"))
