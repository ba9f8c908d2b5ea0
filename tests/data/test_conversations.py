"""Sets for SFT: the shapes that are read, what is left, and rows with another answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from grait.config import DataConfig
from grait.data.conversations import Conversation, read_conversations
from grait.errors import DataError

USER, ANSWER = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}
PAIR = {"prompt": [USER], "completion": [ANSWER]}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "messages": ({"messages": [USER, ANSWER]},) * 2,
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yes."}]},
        {"messages": [USER, ANSWER]},
    ),
    "pair of messages": (PAIR, PAIR),
    "pair of texts": ({"prompt": "Hi?", "completion": " Yes."},) * 2,
    "alpaca": ({"instruction": "Hi?", "input": "", "output": "Yes."}, PAIR),
    "question": ({"question": "Hi?", "answer": "Yes."}, PAIR),
    "response": ({"instruction": "Hi?", "context": "", "response": "Yes."}, PAIR),
}


def read(folder: Path, *rows: Any) -> list[Conversation]:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_conversations(DataConfig(path=str(path)), ("reason",)).rows


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_read_and_its_answer_alone_replaced(tmp_path: Path, shape: str) -> None:
    given, written = SHAPES[shape]
    more = {"id": 7, "tags": ["a", None, {"b": 1.5}]}
    (row,) = read(tmp_path, given | more)
    assert (row.question, row.answer, row.left) == ("Hi?", "Yes.", None)
    assert row.row == written | more
    changed = row.answering("No.")
    assert json.loads(json.dumps(changed).replace("No.", "Yes.")) == row.row and "Yes." not in json.dumps(changed)


@pytest.mark.parametrize("role", ["chatgpt", "bard", "bing", "gpt"])
def test_assistants_have_many_names_in_sharegpt(tmp_path: Path, role: str) -> None:
    (row,) = read(tmp_path, {"conversations": [{"from": "human", "value": "Hi?"}, {"from": role, "value": "Yes."}]})
    assert row.left is None and row.row == {"messages": [USER, ANSWER]}


def test_a_message_keeps_what_else_it_has(tmp_path: Path) -> None:
    messages = [USER | {"name": "Ann"}, ANSWER | {"weight": 1}]
    (row,) = read(tmp_path, {"messages": messages})
    assert row.row["messages"] == messages
    assert row.answering("No.")["messages"][-1] == {"role": "assistant", "content": "No.", "weight": 1}


def test_what_stands_around_a_completion_in_plain_text_stays(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"prompt": "Question: Hi?\nAnswer:", "completion": " Yes.</s>\n"})
    assert (row.question, row.answer, row.text) == ("Hi?", "Yes.", "Question: Hi?\nAnswer:")
    assert row.answering("No.")["completion"] == " No.</s>\n"


LEFT: dict[str, list[dict[str, Any]]] = {
    "several turns": [{"messages": [USER, ANSWER, USER, ANSWER]}],
    "a system turn": [
        {"messages": [{"role": role, "content": "Be brief."}, USER, ANSWER]} for role in ("system", "developer")
    ],
    "an unknown role": [{"messages": [{"role": "narrator", "content": "Once."}, USER, ANSWER]}],
    "tools": [
        {"messages": [USER, ANSWER], "tools": [{"name": "f"}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [{}]}, {"role": "tool", "content": "1"}, ANSWER]},
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "function_call", "value": "f()"}]},
    ],
    "images or other parts": [
        {"messages": [USER, ANSWER], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi?"}]}, ANSWER]},
    ],
    "reasoning": [
        {"messages": [USER, ANSWER | {"reasoning_content": "They greet. Yes."}]},
        {"messages": [USER, ANSWER | {"thinking": "Yes."}]},
        {"messages": [USER, {"role": "assistant", "content": "<think>Yes or no? Yes.</think>Yes."}]},
        {"prompt": "Hi?", "completion": "<think>\nYes.\n</think>\n\nYes."},
        {"instruction": "Hi?", "output": "<thinking>Yes.</thinking> Yes."},
    ],
    "a given text": [{"instruction": "Hi?", "input": "A text.", "output": "Yes."}],
    "no question or no answer": [
        {"messages": [USER]},
        {"messages": [ANSWER]},
        {"instruction": "Hi?", "output": ""},
        {"question": "Hi?", "answer": None},
    ],
    "another form of text": [{"prompt": "A text.\nHi?", "completion": "Yes."}],
}


@pytest.mark.parametrize("why", LEFT)
def test_what_is_no_single_question_is_left_word_for_word(tmp_path: Path, why: str) -> None:
    for given in LEFT[why]:
        (row,) = read(tmp_path, given)
        assert row.left == why
        if "messages" in given:
            assert row.row == given


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "pair of texts"])
def test_a_system_column_is_a_system_turn(tmp_path: Path, shape: str) -> None:
    given, written = SHAPES[shape]
    (row,) = read(tmp_path, given | {"system": "Be brief."})
    assert row.left == "a system turn" and list(row.messages) == [SYSTEM, USER]
    column = next(iter(written))
    if given == written:
        assert row.row == given | {"system": "Be brief."}
    else:
        assert row.row == {**written, column: [SYSTEM, *written[column]]}
    changed = row.answering("No.")
    assert json.loads(json.dumps(changed).replace("No.", "Yes.")) == row.row
    assert read(tmp_path, given | {"system": " "})[0].left is None


def test_a_system_column_beside_plain_texts_or_the_same_turn(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"prompt": "Hi?", "completion": "Yes.", "system": "Be brief."})
    assert row.left == "another form of text" and row.row["system"] == "Be brief."
    (row,) = read(tmp_path, {"messages": [SYSTEM, USER, ANSWER], "system": "Be brief."})
    assert list(row.messages) == [SYSTEM, USER]


@pytest.mark.parametrize("nothing", ["", " ", None, "<noinput>", "<NoInput>", "NA", "N/A", "nan"])
def test_a_given_text_that_says_nothing_is_none(tmp_path: Path, nothing: str | None) -> None:
    (row,) = read(tmp_path, {"instruction": "Hi?", "input": nothing, "output": "Yes."})
    assert row.left is None and row.row == PAIR


def test_a_given_text_goes_into_the_prompt_and_a_system_message_before_it(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"system": "Be brief.", "instruction": "Sum up.", "input": "A text.", "output": "It."})
    assert row.row["prompt"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sum up.\n\nA text."},
    ]
    assert set(row.row) == {"prompt", "completion"}


BAD = {
    "no columns": ([{"text": "a"}], "line 1: has no conversation; expected `messages`"),
    "no object": (["a"], "line 1: expected an object"),
    "no list": ([{"messages": "a"}], "`messages` has to be a list of messages, found text"),
    "null": ([{"messages": None, "id": 1}], "line 1: `messages` has to be a list of messages, found null"),
    "no message": ([{"messages": []}], "`messages` holds no message"),
    "message is text": ([{"messages": ["a"]}], "message 1 of `messages`: expected an object"),
    "no role": ([{"messages": [{"content": "a"}]}], "message 1 of `messages`: has no `role`"),
    "no content": ([{"messages": [USER, {"role": "assistant"}]}], "message 2 of `messages`: has no `content`"),
    "another shape": ([{"messages": [USER, ANSWER]}, {"prompt": "a"}], "line 2: `messages` has to be a list"),
    "no prompt": ([PAIR, {"prompt": None, "completion": [ANSWER]}], "line 2: has no `prompt`"),
    "number": ([{"instruction": "a", "output": 1.5}], "line 1: `output` has to be text"),
    "two shapes": ([{"messages": [USER, ANSWER]} | PAIR], "two conversations, `messages` beside `prompt` and `comple"),
    "two answers": ([{"prompt": "a", "completion": "b", "response": "c"}], "remove the one that is not trained on"),
    "two shapes later": ([PAIR, PAIR | {"conversations": [USER, ANSWER]}], "line 2: holds two conversations"),
    "taken column": ([PAIR | {"reason": "a"}], "has a column 'reason', which is to be written"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_one_clear_line_with_its_place(tmp_path: Path, name: str) -> None:
    rows, message = BAD[name]
    with pytest.raises(DataError) as caught:
        read(tmp_path, *rows)
    text = str(caught.value)
    assert message in text and "\n" not in text and "set.jsonl, line" in text


def test_an_empty_file_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; expected rows"):
        read(tmp_path)


def test_csv_and_parquet_are_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text("instruction,output,more\nHi?,Yes.,1\nHi?,,2\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([{"messages": [USER, ANSWER], "more": b"x"}]), tmp_path / "a.parquet")
    csv, parquet = (read_conversations(DataConfig(path=str(tmp_path / name)), ()) for name in ("a.csv", "a.parquet"))
    assert [row.left for row in csv.rows] == [None, "no question or no answer"] and csv.is_changed
    assert csv.rows[0].row["more"] == "1"
    assert parquet.rows[0].row == {"messages": [USER, ANSWER], "more": b"x"} and not parquet.is_changed
