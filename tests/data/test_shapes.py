# ruff: noqa: E501 (a shape stays on its line)
"""People's own files: the same questions in whatever shape give the same questions, or one line that asks."""

import bz2
import csv
import datetime
import decimal
import gzip
import io
import json
import lzma
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import datasets
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from grait.commands.show_data import show_data
from grait.config import ColumnsConfig, DataConfig
from grait.data.load import load_questions
from grait.data.wording import wording
from grait.errors import DataError
from grait.languages import Language, instructions
from grait.records import Question

Row = dict[str, Any]
CASES = Path(__file__).parents[3] / "shared" / "cases"
PAGE = Path(__file__).parents[2] / "docs" / "data.md"
N = 500

FREE: list[Row] = [
    {"question": f'Who, "they say", painted number {i}?', "answers": [f"Painter {i}", f"O'Pal {i}", f"Säm, {i}"]}
    for i in range(N)
]
OPTIONS: list[Row] = [
    {"question": f"Which gas has number {i}?", "choices": [f"{kind} {i}" for kind in "wxyz"], "place": i % 4}
    for i in range(N)
]


def plain(questions: list[Question]) -> list[Any]:
    return [(question.question, question.answers, question.choices, question.answerable) for question in questions]


def read(path: Path | str, **options: Any) -> list[Question]:
    return load_questions(DataConfig(path=str(path), **options))


def lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: list[Row], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def parquet(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def saved(folder: Path, rows: list[Row], *, split: str | None = None) -> Path:
    data = datasets.Dataset.from_list(rows)
    (datasets.DatasetDict({split: data}) if split else data).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def zstandard(folder: Path, name: str, content: bytes) -> Path:
    with pa.CompressedOutputStream(str(folder / name), "zstd") as out:
        out.write(content)
    return folder / name


def numpy_text(texts: list[str]) -> str:
    """As pandas writes an array of texts into a CSV cell."""
    return "[" + "\n ".join(repr(text) for text in texts) + "]"


def each(rows: list[Row], change: Callable[[Row], Row]) -> list[Row]:
    return [{"question": row["question"], **change(row)} for row in rows]


FREE_SHAPES: dict[str, Callable[[Path], Path]] = {
    "list": lambda d: file(d, "a.jsonl", lines(FREE)),
    "answer is a list": lambda d: file(d, "a.ndjson", lines(each(FREE, lambda r: {"answer": r["answers"]}))),
    "text of a JSON list": lambda d: file(
        d, "a.jsonl", lines(each(FREE, lambda r: {"answer": json.dumps(r["answers"])}))
    ),
    "text of a Python list": lambda d: file(d, "a.jsonl", lines(each(FREE, lambda r: {"answers": str(r["answers"])}))),
    "text of a numpy array": lambda d: file(d, "a.csv", table(each(FREE, lambda r: {"answer": numpy_text(r["answers"])}))),
    "dict of aliases": lambda d: file(
        d, "a.json", json.dumps(each(FREE, lambda r: {"answer": {"value": r["answers"][0], "aliases": r["answers"]}})).encode()
    ),
    "text of a dict": lambda d: file(
        d, "a.csv", table(each(FREE, lambda r: {"answer": str({"value": r["answers"][0], "aliases": r["answers"]})}))
    ),
    "semicolons": lambda d: file(d, "a.csv", table(each(FREE, lambda r: {"Answers": json.dumps(r["answers"])}), ";")),
    "sep line": lambda d: file(
        d, "a.csv", b"sep=|\n" + table(each(FREE, lambda r: {"answers": json.dumps(r["answers"])}), "|")
    ),
    "tabs": lambda d: file(d, "a.tsv", table(each(FREE, lambda r: {"possible_answers": json.dumps(r["answers"])}), "\t")),
    "gz": lambda d: file(d, "a.jsonl.gz", gzip.compress(lines(FREE))),
    "bz2": lambda d: file(d, "a.csv.bz2", bz2.compress(table(each(FREE, lambda r: {"answers": str(r["answers"])})))),
    "xz": lambda d: file(d, "a.json.xz", lzma.compress(json.dumps(FREE).encode())),
    "zst": lambda d: zstandard(d, "a.jsonl.zst", lines(FREE)),
    "parquet, list of structs": lambda d: parquet(
        d / "a.parquet", each(FREE, lambda r: {"answers": [{"text": text, "answer_start": 3} for text in r["answers"]]})
    ),
    "parquet, struct of lists": lambda d: parquet(
        d / "a.parquet", each(FREE, lambda r: {"answers": {"text": r["answers"], "answer_start": [1, 2, 3]}})
    ),
    "hub layout": lambda d: parquet(d / "hub" / "data" / "test-00000-of-00001.parquet", FREE).parents[1],
    "hub layout, two files": lambda d: (
        parquet(d / "hub" / "train-00000-of-00002.parquet", FREE[:200]),
        parquet(d / "hub" / "train-00001-of-00002.parquet", FREE[200:]),
    )[0].parent,
    "save_to_disk": lambda d: saved(d, FREE),
    "save_to_disk, one split": lambda d: saved(d, FREE, split="train"),
    "wrapped": lambda d: file(d, "a.json", json.dumps({"version": 2, "data": FREE}).encode()),
    "objects by id": lambda d: file(d, "a.json", json.dumps({f"x{i}": row for i, row in enumerate(FREE)}).encode()),
    "pandas columns": lambda d: file(
        d, "a.json", json.dumps({key: {str(i): row[key] for i, row in enumerate(FREE)} for key in FREE[0]}).encode()
    ),
    "SQuAD's nesting": lambda d: file(
        d,
        "a.json",
        json.dumps(
            {"data": [{"title": "t", "paragraphs": [{"qas": each(FREE, lambda r: {
                "answers": [{"text": text, "answer_start": 0} for text in r["answers"]], "is_impossible": False,
            })}]}]}
        ).encode(),
    ),
    "TruthfulQA's columns": lambda d: file(
        d, "a.jsonl", lines(each(FREE, lambda r: {"best_answer": r["answers"][0], "correct_answers": r["answers"]}))
    ),
    "target and aliases": lambda d: file(d, "a.jsonl", lines(each(FREE, lambda r: {"targets": r["answers"]}))),
    "joined tables": lambda d: file(
        d, "a.csv", table(each(FREE[:9], lambda r: {"answers": str(r["answers"])}))
        + table(each(FREE[9:], lambda r: {"answers": str(r["answers"])}))
    ),
    "a long cell": lambda d: file(
        d, "a.csv", table(each(FREE, lambda r: {"answers": str(r["answers"]), "page": "x" * (200_000 if r is FREE[3] else 1)}))
    ),
    "one object after another": lambda d: file(d, "a.json", "\n".join(json.dumps(row, indent=1) for row in FREE).encode()),
}  # fmt: skip


def keyed(row: Row, key: Any, **more: Any) -> Row:
    return {"choices": row["choices"], "answer": key, **more}


OPTION_SHAPES: dict[str, Callable[[Path], Path]] = {
    "text": lambda d: file(d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, r["choices"][r["place"]])))),
    "letter": lambda d: file(d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, "ABCD"[r["place"]])))),
    "letter in brackets": lambda d: file(d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, f"({'abcd'[r['place']]})")))),
    "integer keys": lambda d: parquet(d / "a.parquet", each(OPTIONS, lambda r: keyed(r, r["place"]))),
    "decimal keys": lambda d: file(d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, float(r["place"]))))),
    "index and letter": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, "ABCD"[r["place"]], answer_index=r["place"])))
    ),
    "columns A to D": lambda d: file(
        d, "a.csv", table(each(OPTIONS, lambda r: {**dict(zip("ABCD", r["choices"], strict=True)), "answer": "ABCD"[r["place"]]}))
    ),
    "columns option_a to option_d": lambda d: file(
        d, "a.csv", table(each(OPTIONS, lambda r: {
            **{f"option_{x}": text for x, text in zip("abcd", r["choices"], strict=True)}, "correct_option": "abcd"[r["place"]],
        }))
    ),
    "columns option1 to option4, from 1": lambda d: file(
        d, "a.csv", table(each(OPTIONS, lambda r: {
            **{f"option{i}": text for i, text in enumerate(r["choices"], 1)}, "answer": r["place"] + 1,
        }))
    ),
    "endings": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: {"endings": r["choices"], "label": str(r["place"])}))
    ),
    "ending0 to ending3": lambda d: file(
        d, "a.csv", table(each(OPTIONS, lambda r: {
            **{f"ending{i}": text for i, text in enumerate(r["choices"])}, "label": r["place"],
        }))
    ),
    "labels beside texts": lambda d: parquet(
        d / "a.parquet",
        each(OPTIONS, lambda r: {"choices": {"text": r["choices"], "label": list("ABCD")}, "answerKey": "ABCD"[r["place"]]}),
    ),
    "numbers for labels": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: {
            "choices": {"text": r["choices"], "label": list("1234")}, "answerKey": str(r["place"] + 1),
        }))
    ),
    "objects with labels": lambda d: file(
        d, "a.jsonl", lines([
            {"id": f"i{i}", "question": {"stem": r["question"], "choices": [
                {"label": x, "text": text} for x, text in zip("ABCD", r["choices"], strict=True)]}, "answerKey": "ABCD"[r["place"]]}
            for i, r in enumerate(OPTIONS)
        ])
    ),
    "texts by letter": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: {"options": dict(zip("ABCD", r["choices"], strict=True)), "answer": "ABCD"[r["place"]]}))
    ),
    "text of a list": lambda d: file(
        d, "a.csv", table(each(OPTIONS, lambda r: {"Options": str(r["choices"]), "Answer": "ABCD"[r["place"]]}), ";")
    ),
    "letters before options": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: {
            "options": [f"{x}) {text}" for x, text in zip("ABCD", r["choices"], strict=True)], "answer": "ABCD"[r["place"]],
        }))
    ),
    "letter and text": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: keyed(r, f"{'ABCD'[r['place']]}. {r['choices'][r['place']]}")))
    ),
    "right by a label of 1": lambda d: file(
        d, "a.jsonl", lines(each(OPTIONS, lambda r: {
            "mc1_targets": {"choices": r["choices"], "labels": [int(i == r["place"]) for i in range(4)]}, "answer": "x",
        }))
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", FREE_SHAPES)
def test_the_same_free_text_questions_in_every_shape(tmp_path: Path, shape: str) -> None:
    expected = [(row["question"], tuple(row["answers"]), (), True) for row in FREE]
    assert plain(read(FREE_SHAPES[shape](tmp_path))) == expected


@pytest.mark.parametrize("shape", OPTION_SHAPES)
def test_the_same_questions_with_options_in_every_shape(tmp_path: Path, shape: str) -> None:
    questions = read(OPTION_SHAPES[shape](tmp_path))
    assert plain(questions) == [
        (row["question"], (row["choices"][row["place"]],), tuple(row["choices"]), True) for row in OPTIONS
    ]
    assert [question.answer_index for question in questions] == [row["place"] for row in OPTIONS]


def test_what_was_inferred_is_said(tmp_path: Path) -> None:
    notes = " ".join(show_data(FREE_SHAPES["joined tables"](tmp_path)).notes)
    assert (
        "1 lines are headers, as in joined files" in notes and "500 cells are lists or objects written as text" in notes
    )
    notes = " ".join(show_data(OPTION_SHAPES["columns A to D"](tmp_path)).notes)
    assert "options: `A`, `B`, `C`, `D`" in notes and "500 answers name options by their letters" in notes
    assert show_data(FREE_SHAPES["list"](tmp_path)).notes == []


@pytest.mark.parametrize("language", get_args(Language))
def test_a_refusal_in_any_language_is_no_reference(tmp_path: Path, language: Language) -> None:
    own = instructions(language).refusal
    path = file(
        tmp_path, "a.jsonl", lines([{"question": "q?", "answers": [own]}, {"question": "r?", "answer": "Lima"}])
    )
    refused, answered = read(path)
    assert (refused.answers, refused.answerable, answered.answers) == ((), False, ("Lima",))
    assert "1 of 2 questions have a refusal as their reference" in " ".join(show_data(path).notes)


@pytest.mark.parametrize(
    "title", ["Je Ne Sais Pas Pourquoi", "Niemand", "Nada", "Quizás, Quizás, Quizás", "The Unknown Soldier"]
)
def test_a_title_is_a_reference_in_every_language(tmp_path: Path, title: str) -> None:
    assert read(file(tmp_path, "a.jsonl", lines([{"question": "q?", "answers": [title]}])))[0].answers == (title,)


@pytest.mark.parametrize(
    "text",
    ["a|b", "Lusaka; City of Lusaka", "('a', 1)", json.dumps(json.dumps(["a", "b"])), "[1969, 1970]"],
)  # fmt: skip
def test_one_text_that_looks_like_several_is_said(tmp_path: Path, text: str) -> None:
    path = file(tmp_path, "a.jsonl", lines([{"question": "q?", "answer": text}]))
    assert read(path)[0].answers == (text,)
    assert "1 references look like several" in " ".join(show_data(path).notes)


def test_each_column_of_references_is_looked_at(tmp_path: Path) -> None:
    """The note of one text that looks like several does not depend on what stands in another column."""
    rows = [{"question": "q?", "answer": "Cheap", "aliases": "Low-cost; Inexpensive"}]
    assert "1 references look like several, such as 'Low-cost; Inexpensive'" in " ".join(
        show_data(file(tmp_path, "a.jsonl", lines(rows))).notes
    )


@pytest.mark.parametrize(
    "later",
    ["question,answer\nr?,b\n", "\ufeffquestion,answer\nr?,b\n", ' Question , "ANSWER"\nr?,b\n', "answer,question\nb,r?\n",
     "\ufeffAnswer,Question\nb,r?\n", "question,target\nr?,b\n"],
)  # fmt: skip
def test_rows_of_joined_tables_are_read_by_the_last_header(tmp_path: Path, later: str) -> None:
    path = file(tmp_path, "a.csv", f"question,answer\nq?,a\n{later}".encode())
    assert [(q.question, q.answers) for q in read(path)] == [("q?", ("a",)), ("r?", ("b",))]
    assert "1 lines are headers" in " ".join(show_data(path).notes)


def test_a_row_of_words_that_are_names_of_columns_is_no_header(tmp_path: Path) -> None:
    text = (
        "question,A,B,C,answer\nWhich is a synonym of query?,question,stone,bread,A\nWhich letter is first?,A,B,C,A\n"
    )
    path = file(tmp_path, "a.csv", text.encode())
    assert [q.answers for q in read(path)] == [("question",), ("A",)]
    words = file(tmp_path, "b.csv", b"question,answer\nFrage,question\n")
    assert read(words)[0].answers == ("question",)


def test_a_later_header_without_references_is_one_line(tmp_path: Path) -> None:
    message = error_of(file(tmp_path, "a.csv", b"question,answer\nq?,a\nquestion,reply\nr?,b\n"))
    assert "a.csv, line 3: has no column `answers` or `answer`" in message


def test_the_table_of_truthfulqa_has_semicolons_between_references(tmp_path: Path) -> None:
    rows = [
        {"Question": "q?", "Best Answer": "Nothing", "Correct Answers": "Nothing happens; You digest them;"},
        {"Question": "r?", "Best Answer": "One; two", "Correct Answers": "One; two"},
    ]
    path = file(tmp_path, "a.csv", table(rows))
    assert [q.answers for q in read(path)] == [
        ("Nothing", "Nothing happens", "You digest them"), ("One; two", "One", "two"),
    ]  # fmt: skip
    assert "2 cells have semicolons between references" in " ".join(show_data(path).notes)
    alone = file(tmp_path, "b.csv", table([{key: row[key] for key in list(row)[::2]} for row in rows]))
    assert [len(q.answers) for q in read(alone)] == [1, 1] and "look like several" in " ".join(show_data(alone).notes)


@pytest.mark.parametrize(
    "answers",
    [
        [{"text": "x", "is_correct": False}, {"text": "y", "is_correct": True}],
        [{"answer": "x", "correct": "no"}, {"answer": "y", "correct": "yes"}],
        [{"text": "x", "label": 0}, {"text": "y", "label": 1}],
        [{"value": "x", "aliases": ["z"], "isRight": False}, {"value": "y", "aliases": [], "isRight": True}],
        {"text": ["x", "y"], "is_correct": [False, True]},
        {"text": ["x", "y", "z"], "label": [0, 1, 0]},
    ],
)
def test_references_that_the_file_calls_wrong_are_left_out(tmp_path: Path, answers: Any) -> None:
    path = file(tmp_path, "a.jsonl", lines([{"question": "q?", "answers": answers}]))
    assert read(path)[0].answers == ("y",)
    assert "references are wrong, as the file says" in " ".join(show_data(path).notes)
    cell = file(tmp_path, "a.csv", table([{"question": "q?", "answers": json.dumps(answers)}]))
    assert read(cell)[0].answers == ("y",)


NUMPY_CELLS: dict[str, Any] = {
    "{'text': array(['z', 'y'], dtype=object), 'answer_start': array([5, 6], dtype=int32)}": ("z", "y"),
    "{'aliases': array(['y'], dtype=object), 'value': 'z', 'type': array([], dtype=object)}": ("z", "y"),
    "[{'text': 'z', 'spans': array([1, 2])}, {'text': 'y', 'spans': array([[3, 4]])}]": ("z", "y"),
    "array(['z', 'y'], dtype='<U1')": ("z", "y"),
    "[np.str_('z'), np.str_('y')]": ("z", "y"),
    "('z', 'y')": ("z", "y"),
    "{'text': array([], dtype=object), 'answer_start': array([], dtype=int32)}": (),
}


@pytest.mark.parametrize("cell", NUMPY_CELLS)
def test_a_cell_that_pandas_wrote_is_the_object_that_it_was(tmp_path: Path, cell: str) -> None:
    path = file(tmp_path, "a.csv", table([{"question": "q?", "answers": cell}]))
    (question,) = read(path)
    assert (question.answers, question.answerable) == (NUMPY_CELLS[cell], bool(NUMPY_CELLS[cell]))
    assert "1 cells are lists or objects written as text" in " ".join(show_data(path).notes)


def test_options_in_a_cell_that_pandas_wrote(tmp_path: Path) -> None:
    cell = "{'text': array(['iron', 'helium'], dtype=object), 'label': array(['A', 'B'], dtype=object)}"
    path = file(tmp_path, "a.csv", table([{"question": "q?", "choices": cell, "answerKey": "B"}]))
    assert read(path)[0].choices == ("iron", "helium") and read(path)[0].answers == ("helium",)


def test_a_call_in_a_cell_is_never_made(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", table([{"question": "q?", "answer": "{'a': open('b', 'w')}"}]))
    assert read(path)[0].answers == ("{'a': open('b', 'w')}",) and not Path("b").exists()


@pytest.mark.parametrize("text", ["[]", "array([], dtype=object)", "set()", "{'text': [], 'answer_start': []}"])
def test_an_empty_list_is_no_reference_of_an_unanswerable_question(tmp_path: Path, text: str) -> None:
    path = file(tmp_path, "a.csv", table([{"question": "q?", "answers": text, "answerable": "False"}]))
    assert "references all the same" not in " ".join(show_data(path).notes) and not read(path)[0].answerable


MUSIQUE = {
    "id": "1", "question": "A?", "answer": "x", "answerable": True,
    "paragraphs": [{"idx": 0, "title": "t", "paragraph_text": "p", "is_supporting": True}, {"idx": 1, "paragraph_text": "r"}],
}  # fmt: skip


def test_paragraphs_without_questions_are_texts(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", lines([MUSIQUE, {**MUSIQUE, "id": "2", "question": "B?", "answerable": False}]))
    held, not_held = read(path)
    assert held.context == not_held.context == ("t\np", "r")
    assert (held.answers, held.holds_answer, not_held.answers, not_held.holds_answer) == (("x",), True, (), False)
    (bare,) = read(path, limit=1, columns=ColumnsConfig(context=[]))
    assert (bare.question, bare.context) == ("A?", ())
    german = {"frage": "A?", "antwort": "x", "paragraphs": ["p"]}
    columns = ColumnsConfig(question="frage", answers=["antwort"])
    assert read(file(tmp_path, "b.jsonl", lines([german])), columns=columns)[0].context == ("p",)


@pytest.mark.parametrize("inner", ["paragraphs", "qas"])
def test_a_question_that_holds_questions_is_one_line(tmp_path: Path, inner: str) -> None:
    row = {"question": "A?", "answer": "x", inner: [{"question": "B?", "answer": "y"}]}
    assert "a.jsonl, line 1: has a `question` and others" in error_of(file(tmp_path, "a.jsonl", lines([row])))


@pytest.mark.parametrize("options", [{"A": "iron", "B": "helium"}, ["iron", "helium"]])
def test_a_letter_in_a_column_of_places_is_a_letter(tmp_path: Path, options: Any) -> None:
    row = {"question": "Gas?", "options": options, "answer_idx": "B"}
    for more in ({}, {"answer": "helium"}):
        assert read(file(tmp_path, "a.jsonl", lines([{**row, **more}])))[0].answers == ("helium",)
    assert "name different options" in error_of(file(tmp_path, "a.jsonl", lines([{**row, "answer": "iron"}])))


@pytest.mark.parametrize("key", ["label", "is_correct", "correct"])
def test_options_that_say_themselves_which_is_right(tmp_path: Path, key: str) -> None:
    def options(*flags: Any) -> Row:
        return {"choices": [{"text": text, key: flag} for text, flag in zip(["iron", "helium"], flags, strict=True)]}

    row = {"question": "Gas?", **options(False, True)}
    for more in ({}, {"answer": "B"}, {"answer": "helium"}):
        (question,) = read(file(tmp_path, "a.jsonl", lines([{**row, **more}])))
        assert (question.answers, question.answer_index) == (("helium",), 1)
    assert "is right, and `answer` is 'A'" in error_of(file(tmp_path, "a.jsonl", lines([{**row, "answer": "A"}])))
    for flags, n in (((True, True), 2), ((0, 0), 0)):
        path = file(tmp_path, "a.jsonl", lines([{**row, **options(*flags)}]))
        assert f"{n} options of `choices` are right" in error_of(path)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "base64", "klingon", "undefined", "x\0"])
def test_what_is_no_encoding_of_text_is_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match="should be an encoding of text"):
        DataConfig(path="a.csv", encoding=encoding)
    assert DataConfig(path="a.csv", encoding="utf-16").encoding == "utf-16"


@pytest.mark.parametrize("text", ["Tom (Jr.)", "[sic]", '"Heroes"', "'Tis", "|x|", "U.S."])
def test_one_plain_text_needs_no_note(tmp_path: Path, text: str) -> None:
    assert show_data(file(tmp_path, "a.jsonl", lines([{"question": "q?", "answers": [text]}]))).notes == []


def test_what_is_not_used_or_stands_for_nothing_is_said(tmp_path: Path) -> None:
    rows = [{"question": "q?", "answers": ["Bob"], "answerable": False}, {"question": "r?", "answers": ["nan"]}]
    notes = " ".join(show_data(file(tmp_path, "a.jsonl", lines(rows))).notes)
    assert "1 of them have references all the same, such as 'Bob', which are not used" in notes
    assert "1 references are words for a missing value, such as 'nan'" in notes


@pytest.mark.parametrize("sign", ["\u200b", "\u00ad", "\ufeff", "\u2060"])
def test_characters_that_are_not_seen_make_no_other_question(sign: str) -> None:
    seen, unseen = (Question("q", text, ("a",)) for text in ("Who wrote it?", f"Who wr{sign}ote it?"))
    assert wording(seen) == wording(unseen)


# -- what is not clear is one line that asks, and the option that it names goes on ----------------------------------


@pytest.mark.parametrize(
    "columns", [{"distractors": ["4", "6"]}, {"resp1": "4", "resp2": "6"}], ids=["list", "columns"]
)
@pytest.mark.parametrize("place", [0, 11])
def test_a_digit_beside_what_looks_like_options_is_a_text_where_the_other_answers_are(
    tmp_path: Path, columns: Row, place: int
) -> None:
    rows = [{"question": f"q{i}", "answers": [f"Town {i}"], **columns} for i in range(12)]
    rows[place]["answers"] = ["8"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(rows))
    assert [question.answers[0] for question in read(path)] == ["8" if i == place else f"Town {i}" for i in range(12)]
    assert "1 answers are a lone letter or digit beside what looks like options, such as '8'" in "\n".join(
        show_data(path).notes
    )


@pytest.mark.parametrize(
    "others",
    [["Town"] * 3, ["B"] * 11, ["Town"] * 10 + ["6"], ["Town"] * 10 + ["iron"]],
    ids=["few", "keys", "lone", "option"],
)
def test_where_the_other_answers_do_not_decide_the_first_such_line_asks(tmp_path: Path, others: list[str]) -> None:
    """Also a row that comes later and has an option's text."""
    rows = [{"question": f"q{i}", "answer": text, "resp": ["iron", "tin"]} for i, text in enumerate(["1", *others])]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(rows))
    with pytest.raises(DataError, match=r"line 1: the answer is '1' and `resp` looks like options"):
        read(path)


@pytest.mark.parametrize("empty", [{"choices": None}, {"choices": []}, {}], ids=["null", "empty", "absent"])
@pytest.mark.parametrize("key", ["B", 2, "(a)"])
def test_a_lone_letter_without_options_is_asked_about_where_other_rows_have_options(
    tmp_path: Path, empty: Row, key: object
) -> None:
    rows = [{"question": "q?", "answer": "B", "choices": ["iron", "tin"]}, {"question": "r?", "answer": key, **empty}]
    for first, where in ((0, "line 2"), (1, "line 1")):
        path = file(tmp_path, "a.jsonl", lines([rows[first], rows[1 - first]]))
        assert f"{where}: the answer is" in error_of(path) and "the row has no options" in error_of(path)
    texts = [{"question": f"q{i}", "answer": f"Town {i}"} for i in range(9)]
    path = file(tmp_path, "a.jsonl", lines([*rows, *texts]))
    assert read(path)[1].answers == (str(key),)
    assert "1 answers are a lone letter or digit in rows without options" in " ".join(show_data(path).notes)


def test_a_lone_letter_without_options_in_a_table(tmp_path: Path) -> None:
    for text in ("question,A,B,answer\nq,,,B\nr,x,y,B\n", 'question,choices,answer\nq,,B\nr,"[""x"", ""y""]",B\n'):
        assert "a.csv, line 2: the answer is 'B'" in error_of(file(tmp_path, "a.csv", text.encode()))
    rows = [{"question": f"q{i}", "answer": letter} for i, letter in enumerate("ABC")]
    found = show_data(file(tmp_path, "a.jsonl", lines(rows)))
    assert [q.answers[0] for q in found.questions] == ["A", "B", "C"] and found.notes == []


BESIDE = {"question": "q", "answer": "B", "resp_list": ["iron", "helium"]}


@pytest.mark.parametrize(
    ("row", "asks", "columns", "answer", "choices"),
    [
        (BESIDE, "`resp_list` looks like options", {"choices": "resp_list"}, "helium", 2),
        (BESIDE, "columns: {answers: answer}", {"answers": "answer"}, "B", 0),
        ({**BESIDE, "resp_list": "['iron', 'helium']"}, "looks like options", {"choices": "resp_list"}, "helium", 2),
        ({"question": "q", "answer": 1, "resp1": "iron", "resp2": "helium"}, "`resp1, resp2` looks like options",
         {"choices": ["resp1", "resp2"], "answer_index": "answer"}, "helium", 2),
        ({"question": "q", "answer": "(a)", "cands": {"a": "iron", "b": "tin"}}, "`cands` looks like",
         {"choices": "cands"}, "iron", 2),
        ({"question": "q", "first": "iron", "second": "tin", "third": "zinc", "answer": 2}, "`first, second, third` looks like",
         {"choices": ["first", "second", "third"], "answer_number": "answer"}, "tin", 3),
        ({"question": "q", "i": "iron", "ii": "tin", "answer": "ii"}, "`i, ii` looks like", {"choices": ["i", "ii"]}, "tin", 2),
        ({"question": "q", "option_one": "iron", "option_two": "tin", "answer": "option_two"}, "`option_one, option_two` looks",
         {"choices": ["option_one", "option_two"]}, "tin", 2),
        ({"question": "q", "mc": {"options": ["iron", "helium"]}, "answer": "B"}, "`mc` looks like", {"choices": "mc"}, "helium", 2),
        ({"question": "q", "mc": {"to": {"text": ["iron", "helium"]}}, "answer": "B"}, "`mc` looks like", {"answers": "answer"}, "B", 0),
        ({"question": "Which?\nA) iron\nB) helium", "answer": "B"}, "the question holds options",
         {"answers": "answer"}, "B", 0),
        ({"question": "q", "answer": "Paris", "target": "Lyon"}, "`answer` is 'Paris' and `target` is 'Lyon'",
         {"answers": "target"}, "Lyon", 0),
        ({"question": "q", "gold": "Paris", "reference": ["Lyon"]}, "`gold` is 'Paris' and `reference` is 'Lyon'",
         {"answers": ["gold"]}, "Paris", 0),
        ({"question": "q", "answer": "Paris", "answers": ["Lyon", "Lille"]}, "`answer` is 'Paris' and `answers` is 'Lyon'",
         {"answers": "answers"}, "Lyon", 0),
        ({"question": "q", "options": ["2", "4", "6"], "answer": "2"}, "may be an option's text, or its letter or place",
         {"answer_index": "answer"}, "6", 3),
        ({"question": "q", "options": [2, 4, 6], "answer": 2}, "may be an option's text", {"answer_number": "answer"}, "4", 3),
        ({"question": "q", "options": ["B", "A"], "answer": "A"}, "may be an option's text", {"answer_letter": "answer"}, "B", 2),
        ({"question": "q", "options": ["x", "y"], "answer": 2}, "counted from 1: columns: {answer_number: answer}",
         {"answer_number": "answer"}, "y", 2),
        ({"frage": "q", "antwort": "a"}, "has no `question`; found frage, antwort",
         {"question": "frage", "answers": "antwort"}, "a", 0),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_asked_and_can_be_said(
    tmp_path: Path, row: Row, asks: str, columns: Row, answer: str, choices: int
) -> None:
    path = file(tmp_path, "own.jsonl", lines([row]))
    message = error_of(path)
    assert "own.jsonl, line 1: " in message and asks in message
    (question,) = read(path, columns=ColumnsConfig(**columns))
    assert (question.answers[0], len(question.choices)) == (answer, choices)


def error_of(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "question,answers\nq,\"['a', 'b'\"\n", "looks like a list and is none"),
        ("a.csv", "question,answers\nq,[Paris]\n", "looks like a list and is none"),
        ("a.jsonl", json.dumps({"question": "q", "answer": "[Paris, Paname]"}), "looks like a list and is none"),
        ("a.jsonl", json.dumps({"question": "q", "answers": [["a"], ["b"]]}), "is a list of lists"),
        ("a.jsonl", json.dumps({"question": "q", "answer": {"words": 1}}), "has to be text or a list of texts"),
        ("a.jsonl", json.dumps({"question": "q", "answer": True}), "found true or false"),
        ("a.jsonl", json.dumps({"question": "q", "answers": []}), "answerable: false"),
        ("a.jsonl", json.dumps({"question": "q", "answers": [{"text": "x", "correct": False}]}), "holds no text that is right"),
        ("a.jsonl", json.dumps({"question": "q", "answers": [{"text": "x", "correct": None}]}), "has to say of each text"),
        ("a.jsonl", json.dumps({"question": "q", "answers": {"text": ["x", "y"], "correct": [True]}}), "has to say of each"),
        ("a.jsonl", json.dumps({"question": "q", "answers": [{"text": "x", "correct": "perhaps"}]}), "expected true or false"),
        ("a.jsonl", json.dumps({"question": "q", "choices": ["a", "b"]}), "nothing that says which is right"),
        ("a.jsonl", json.dumps({"question": "q", "answer": "B", "answer_index": 0, "options": ["a", "b"]}), "different options"),
        ("a.jsonl", json.dumps({"question": "q", "answer": ["A", "B"], "options": ["a", "b"]}), "are both options"),
        ("a.jsonl", json.dumps({"question": "q", "answer": "a", "answerable": "maybe"}), "expected true or false"),
        ("a.jsonl", json.dumps({"question": "q", "answerable": True, "is_impossible": True}), "contradict each other"),
        ("a.jsonl", json.dumps({"question": "q", "answer": "unknown", "answerable": True}), "its reference is a refusal"),
        ("a.json", json.dumps({"train": [{"a": 1}], "test": [{"a": 1}]}), "name one as the split: train, test"),
        ("a.csv", "Question,question,answer\nq,q,a\n", "has the column `question` twice"),
        ("a.jsonl.gz", "no gzip", "cannot be read on"),
        ("a.jsonl.zst", "no zstd", "cannot be read"),
        ("a.xlsx", "x", "unknown suffix '.xlsx'"),
        ("a.csv", "question,A,B,C,answer\nq,x,,z,A\n", "`B` is blank, and an option after it is not"),
        ("a.jsonl", json.dumps({"question": "q", "options": ["a", None], "answer": "A"}), "fill it in or remove it"),
        ("a.jsonl", json.dumps({"question": "q", "answer": True}), "write it in words"),
        ("a.jsonl", json.dumps({"question": "q", "answer": float("nan")}), "has no `answer` (its cell is empty)"),
        ("a.jsonl", json.dumps({"question": None, "answer": "a"}), "has no `question` (its cell is empty)"),
        ("a.jsonl", json.dumps({"frage": "q", "answer": "a"}), "if another one is meant: columns"),
        *(("a.jsonl", json.dumps({"question": "q", "answers": ["a", unseen]}), "`answers` is blank")
          for unseen in ("\u200b", "\u2060\u00ad", "\u0002", "\u202a \u202c")),
        ("a.csv", "question,answer\rq,a\r", "carriage returns alone"),
        ("a.csv", 'question,answer\n"q,a\n', "a quoted cell has no end"),
        ("a.csv", 'question,answer\n"Who said \\"hi\\"?",x\n', 'write "" for each quote in it'),
        ("a.tsv", 'question\tanswer\n"Hi" who said?\tx\n', 'write "" for each quote in it'),
        ("a.csv", "question,answer,answer\nq,a,b\n", "rename one or leave it out"),
        ("a.jsonl", json.dumps({"frage": "q", "answer": "a"}), "columns: {question: NAME}"),
        ("a.jsonl", json.dumps({"question": "q", "antwort": "a"}), "columns: {answers: NAME}"),
        ("a.csv", "question,antwort\nq,a\n", "columns: {answers: NAME}"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: str, expected: str) -> None:
    assert expected in error_of(file(tmp_path, name, content.encode()))


def test_other_encodings_are_named_and_read(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", "question;answer\nWer war Präsident?;Müller\n".encode("cp1252"))
    assert "is not UTF-8 (byte 0xe4" in error_of(path) and "encoding: cp1252" in error_of(path)
    assert read(path, encoding="cp1252")[0].answers == ("Müller",)
    path = file(tmp_path, "b.csv", "question,answer\nWer?,Müller\n".encode("utf-16"))
    assert read(path, encoding="utf-16")[0].answers == ("Müller",)
    assert "encoding: utf-16" in error_of(path)  # the one that is named is the one that reads it


def test_a_whole_number_stays_whole(tmp_path: Path) -> None:
    assert read(file(tmp_path, "a.jsonl", lines([{"question": "q", "answer": 1969.0}])))[0].answers == ("1969",)
    assert read(file(tmp_path, "a.csv", b"question,answer\nq,1969.0\n"))[0].answers == ("1969", "1969.0")
    (question,) = read(file(tmp_path, "b.jsonl", lines([{"question": "interval?", "answer": "[0, 1]"}])))
    assert question.answers == ("[0, 1]",)  # numbers alone are no list of aliases


def test_a_file_in_two_encodings_is_read_in_neither(tmp_path: Path) -> None:
    """A line of an older table in a file of UTF-8: its encoding would make other letters of all other lines."""
    utf8, older = "Hauptstadt von Österreich?,Wien\n".encode(), "Straße?,Weiß\n".encode("cp1252")
    for name, body in (("a.csv", utf8 + older), ("b.csv", older + utf8 + utf8)):
        path = file(tmp_path, name, b"question,answer\n" + body)
        assert "other lines are, and no one encoding" in error_of(path) and "cp1252" not in error_of(path)
        assert "is UTF-8, and cp1252 would make other letters" in error_of(path, encoding="cp1252")
    assert read(file(tmp_path, "c.csv", b"question,answer\n" + older), encoding="cp1252")[0].question == "Straße?"


@pytest.mark.parametrize("encoding", ["iso8859-2", "cp1250", "cp1251", "koi8-r", "shift_jis", "gb18030"])
def test_an_encoding_that_is_not_known_is_not_guessed(tmp_path: Path, encoding: str) -> None:
    question, answer = {
        "i": ("Stolica Łodzi?", "Łódź"),
        "s": ("日本の首都は？", "東京"),
        "g": ("中国首都？", "北京"),
    }.get(encoding[0], ("Stolica Łodzi?", "Łódź") if encoding == "cp1250" else ("Столица России?", "Москва"))
    path = file(tmp_path, "a.csv", f"question,answer\n{question},{answer}\n".encode(encoding))
    assert "line 2: is not UTF-8 (byte 0x" in error_of(path) and "not to be seen from here" in error_of(path)
    assert plain(read(path, encoding=encoding)) == [(question, (answer,), (), True)]


@pytest.mark.parametrize(("start", "kind"), [(b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04\x84", "zip or Excel")])
def test_a_file_that_is_no_text_is_called_what_it_is(tmp_path: Path, start: bytes, kind: str) -> None:
    assert f"it is a {kind} file" in error_of(file(tmp_path, "a.csv", start + b"\0\xff"))


def test_a_packed_file_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    packed = gzip.compress("question,answer\nStraße?,Weiß\n".encode("cp1252"))
    assert "not to be seen from here" in error_of(file(tmp_path, "a.csv.gz", packed))


def test_a_word_for_true_is_said(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", b"question,answer\nIs it?,TRUE\nWho?,Bob\n")
    assert "1 references are the word true or false, such as 'TRUE'" in " ".join(show_data(path).notes)


@pytest.mark.parametrize("content", [datetime.date(2020, 1, 2), decimal.Decimal("1.5"), b"x"])
def test_a_cell_that_is_no_text_says_what_to_do(tmp_path: Path, content: Any) -> None:
    assert "write it as text" in error_of(parquet(tmp_path / "a.parquet", [{"question": "q?", "answer": content}]))


def test_a_folder_without_all_its_files_is_one_line(tmp_path: Path) -> None:
    folder = file(tmp_path, "d/data/train-00001-of-00003.jsonl", lines(FREE[:1])).parents[1]
    for split in ("train", None):
        assert "has 1 of 3 files of train, without train-00000-of-00003" in error_of(folder, split=split)
    file(folder, "data/train-00000-of-00003.jsonl", lines(FREE[1:2]))
    assert "has 2 of 3 files of train, without train-00002-of-00003" in error_of(folder)
    file(folder, "data/train-00002-of-00003-a09b74b3.jsonl", lines(FREE[2:3]))
    assert len(read(folder)) == 3


def test_files_of_the_system_and_the_hub_are_no_splits(tmp_path: Path) -> None:
    folder = file(tmp_path, "d/test.jsonl", lines(FREE[:1])).parent
    for name in ("dataset_infos.json", "._test.jsonl", ".old.jsonl"):
        file(folder, name, b"{}")
    assert len(read(folder)) == 1


def test_a_folder_of_folders_names_them(tmp_path: Path) -> None:
    folder = file(tmp_path, "d/train/a.jsonl", lines(FREE[:1])).parents[1]
    assert "there are some in train, which can be named" in error_of(folder)


def test_splits_of_folders(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", [{"question": split, "answer": "a"}])
    assert "name one of its splits, or one file: train, validation" in error_of(tmp_path)
    assert read(tmp_path, split="dev")[0].question == "validation"
    assert "has no split 'test'" in error_of(tmp_path, split="test")


def test_the_command_prints_what_a_run_reads(tmp_path: Path, command: Any) -> None:
    rows = [{"Question": f"\x1b [red]Which {i}?", "A": "iron", "B": "helium", "answer": "B"} for i in range(7)]
    path = file(tmp_path, "own.csv", table(rows, ";"))
    code, out, err = command("data", "show", path)
    assert code == 0, err
    assert "7 questions, 7 with options" in out and "`A`, `B`" in out and "own-5: \ufffd [red]Which 4?" in out
    assert "right: B. helium" in out and "own-6" not in out and "\x1b" not in out
    other = file(
        tmp_path, "other.jsonl", lines([{"question": "\x1b [red]which 3", "options": ["iron", "helium"], "answer": 0}])
    )
    code, out, _ = command("data", "show", path, other)
    assert "1 of 1 questions of other stand in own, too" in out
    assert command("data", "show", tmp_path / "none.csv")[0] == 2
    assert show_data(str(path)).questions == read(path)


# -- a table of shapes, each with a row -----------------------------------------------------------------------------


def documented() -> Iterator[tuple[str, str, str]]:
    """(row, what is right, by the page) of the page's tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\| [^|]* \| `(\{.*\})` \| (.*) \|", line):
            yield found[1], found[2], line


@pytest.mark.parametrize(("row", "right"), [(row, right) for row, right, _ in documented()])
def test_every_row_of_the_page_is_read_as_it_says(tmp_path: Path, row: str, right: str) -> None:
    (question,) = read(file(tmp_path, "a.jsonl", row.replace("\\|", "|").encode()))
    found = ", ".join(question.answers) if question.answers else "a refusal"
    assert found == right


def test_the_page_has_a_table() -> None:
    assert len(list(documented())) >= 20


# -- a fuzzer over shapes -------------------------------------------------------------------------------------------

TEXTS = st.text("abcXYZ äé'\"[],{}|;0123456789.()", min_size=1, max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.floats(0, 9) | TEXTS | st.sampled_from("ABCD"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["value", "aliases", "text", "label", "A", "B", "answer_start"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["answer", "answers", "Answer", "aliases", "possible_answers", "target", "options", "choices", "A", "B", "C",
     "option_a", "option_b", "label", "answer_index", "answerable", "is_impossible", "tags", "id", "context"]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=4))
def test_whatever_loads_is_whole_and_whatever_does_not_is_one_line(tmp_path: Path, rows: list[Row]) -> None:
    path = file(tmp_path, "fuzz.jsonl", lines([{"question": "q", **row} for row in rows]))
    try:
        questions = read(path)
    except DataError as error:
        assert "fuzz.jsonl" in str(error) and "\n" not in str(error)
        return
    assert len(questions) == len(rows)
    for question in questions:
        assert question.answerable == bool(question.answers)
        assert all(answer.strip() for answer in question.answers)
        if question.choices and question.answers:
            assert question.choices[question.answer_index] == question.answers[0]
    assert show_data(path).questions == questions
    packed = file(tmp_path, "fuzz.json", json.dumps({"data": [{"question": "q", **row} for row in rows]}).encode())
    assert plain(read(packed)) == plain(questions)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(TEXTS.map(str.strip).filter(bool), min_size=2, max_size=4, unique=True), min_size=1, max_size=3)
)
def test_lists_and_their_texts_are_the_same(tmp_path: Path, aliases: list[list[str]]) -> None:
    as_lists = file(tmp_path, "l.jsonl", lines([{"question": "q", "answers": own} for own in aliases]))
    as_texts = file(tmp_path, "t.csv", table([{"question": "q", "answers": str(own)} for own in aliases]))
    try:
        expected = plain(read(as_lists))
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert plain(read(as_texts)) == expected


# -- the inputs that were handed over -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["hint-leads-to-the-silent-fault", "stringified-answer-lists", "letter-key-without-choices",
     "unanswerable-questions", "refusal-as-reference-answer", "train-test-leak"],
)  # fmt: skip
def test_every_case_is_read(name: str) -> None:
    if not (CASES / name).is_dir():
        pytest.skip(f"{CASES / name}: is not here")
    paths = [path for path in (CASES / name).iterdir() if path.suffix in (".jsonl", ".csv", ".json")]
    found = [plain(read(path)) for path in paths]
    assert paths and all(found)
    if name == "stringified-answer-lists":
        assert all(own == found[0] for own in found)
    if name == "letter-key-without-choices":
        assert all(choices for own in found for _, _, choices, _ in own)
    if name == "refusal-as-reference-answer":
        assert all(sum(not answerable for *_, answerable in own) == 6 for own in found)
