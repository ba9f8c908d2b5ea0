"""A user's question files: every format is read back as written, every bad row is one clear line."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grait.data import files
from grait.data import rows as rows_module
from grait.data.questions import read_questions
from grait.errors import DataError
from grait.records import Question

GOOD = {"question": "Capital of France?", "answers": ["Paris"]}
QUESTIONS = [
    Question("a", "Capital of France?", ("Paris", "Ville de Paris"), relation="country_capital", subject="France"),
    Question("b", "Domain of Germany, \"quoted\"\nand on two lines?", (".de",), match="exact", popularity=0.25),
    Question("c", "Largest planet?", ("Jupiter",), choices=("Mars", "Jupiter"), subject="S\u00e3o, 1"),
]  # fmt: skip


def rows_of(questions: list[Question]) -> list[dict[str, Any]]:
    return [
        {
            "id": question.id,
            "question": question.question,
            "answers": list(question.answers),
            "choices": list(question.choices) or None,
            "match": question.match,
            "relation": question.relation,
            "subject": question.subject,
            "popularity": question.popularity,
        }
        for question in questions
    ]


def write(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"data{suffix}"
    if suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif suffix == ".json":
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    elif suffix in (".csv", ".tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="," if suffix == ".csv" else "\t")
            writer.writeheader()
            for row in rows:
                cells = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for k, v in row.items()}
                writer.writerow(cells)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def error_of(path: str, **options: Any) -> str:
    """The message of the one DataError, which has to be one line and to name the file."""
    with pytest.raises(DataError) as caught:
        read_questions(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert Path(path).name in message
    return message


def jsonl_error(folder: Path, *rows: Any) -> str:
    path = folder / "data.jsonl"
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return error_of(str(path))


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    assert read_questions(write(tmp_path, suffix, rows_of(QUESTIONS))).questions == QUESTIONS


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_limit_reads_the_first_rows_only(tmp_path: Path, suffix: str) -> None:
    rows = [*rows_of(QUESTIONS), {**rows_of(QUESTIONS)[0], "question": " "}]
    path = write(tmp_path, suffix, rows)
    assert read_questions(path, limit=2).questions == QUESTIONS[:2]
    assert read_questions(path, limit=3).questions == QUESTIONS
    assert "`question`" in error_of(path)


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_made_ids_count_rows(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix, [GOOD, GOOD])
    assert [question.id for question in read_questions(path).questions] == ["data-1", "data-2"]


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_equal_questions_with_different_ids_are_kept(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix, [{"id": "x", **GOOD}, {"id": "y", **GOOD}])
    assert [question.id for question in read_questions(path).questions] == ["x", "y"]


@pytest.mark.parametrize(("suffix", "lines"), [(".jsonl", "line 3"), (".csv", "line 4"), (".parquet", "row 3")])
def test_duplicate_ids_name_both_places(tmp_path: Path, suffix: str, lines: str) -> None:
    path = write(tmp_path, suffix, [{"id": id_, **GOOD} for id_ in ("x", "y", "x")])
    message = error_of(path)
    assert lines in message
    first = {".jsonl": "line 1", ".csv": "line 2", ".parquet": "row 1"}[suffix]
    assert f"already used in {first};" in message
    assert "'x'" in message


def test_a_made_id_may_not_meet_a_given_one(tmp_path: Path) -> None:
    assert "'data-2' was already used in line 1" in jsonl_error(tmp_path, {"id": "data-2", **GOOD}, GOOD)


def test_integer_ids_become_text(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".json", ".csv", ".parquet"):
        assert [
            q.id for q in read_questions(write(tmp_path, suffix, [{"id": 7, **GOOD}, {"id": 8, **GOOD}])).questions
        ] == [
            "7",
            "8",
        ]


def test_answer_comes_before_answers(tmp_path: Path) -> None:
    path = write(tmp_path, ".jsonl", [{"question": "q", "answer": "b", "answers": ["a", "b", "c"]}])
    assert read_questions(path).questions[0].answers == ("b", "a", "c")


def test_integer_answers_become_text(tmp_path: Path) -> None:
    path = write(tmp_path, ".jsonl", [{"question": "q", "answer": 1945}, {"question": "q", "answers": [1, "one"]}])
    assert [question.answers for question in read_questions(path).questions] == [("1945",), ("1", "one")]


def test_one_answer_as_text(tmp_path: Path) -> None:
    rows = [{"question": "q", "answers": "Paris, Texas"}]
    for suffix in files.SUFFIXES:
        assert read_questions(write(tmp_path, suffix, rows)).questions[0].answers == ("Paris, Texas",)


def test_csv_lists_are_json(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('question,answers\nq,"[""a"", ""b""]"\n', encoding="utf-8")
    assert read_questions(str(path)).questions[0].answers == ("a", "b")
    path.write_text("question,answers\nq,\"['a', 'b'\n, c']\"\n", encoding="utf-8")
    message = error_of(str(path))
    assert "line 2" in message
    assert "double quotes" in message


def test_csv_line_numbers_count_quoted_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('question,answers\n"two\nlines",a\n\n,b\n', encoding="utf-8")
    assert "data.csv, line 5: has no `question`" in error_of(str(path))


def test_byte_order_mark_and_other_columns_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("question,answer,colour\nq,a,red\n", encoding="utf-8-sig")
    assert read_questions(str(path)).questions[0].answers == ("a",)
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n", encoding="utf-8-sig")
    assert len(read_questions(str(path)).questions) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Jupiter", "Jupiter"), ("B", "Jupiter"), ("b", "Jupiter"),
     ("1", "Jupiter"), (1, "Jupiter"), (0, "Mars"), ("C", "A")],
)  # fmt: skip
def test_answer_of_a_multiple_choice_row(tmp_path: Path, answer: object, expected: str) -> None:
    path = write(tmp_path, ".jsonl", [{"question": "q", "answer": answer, "choices": ["Mars", "Jupiter", "A"]}])
    question = read_questions(path).questions[0]
    assert question.answers == (expected,)
    assert question.choices[question.answer_index] == expected


AMBIGUOUS = [
    {"question": "q", "answer": "A", "choices": ["O", "A", "B"]},
    {"question": "q", "answer": 1, "choices": [3, 2, 1]},
    {"question": "q", "answer": "2", "choices": ["2", "4", "6"]},
]


@pytest.mark.parametrize("row", AMBIGUOUS)
def test_a_key_that_can_be_meant_in_two_ways_is_asked_about(tmp_path: Path, row: dict[str, Any]) -> None:
    message = jsonl_error(tmp_path, row)
    assert "line 1: " in message and "say which: columns: {answer_letter: answer}" in message


@pytest.mark.parametrize(
    ("others", "places"),
    [
        ([("Mars", ["Mars", "Venus"])], [1, 2, 0]),  # texts elsewhere: texts here
        ([("B", ["Mars", "Venus"]), (0, ["Mars", "Venus"])], [0, 1, 2]),  # letters and places
    ],
)
def test_the_other_rows_say_how_a_key_is_meant(tmp_path: Path, others: list[Any], places: list[int]) -> None:
    rows = [*AMBIGUOUS, *({"question": "q", "answer": key, "choices": choices} for key, choices in others)]
    questions = read_questions(write(tmp_path, ".jsonl", rows)).questions
    assert [question.answer_index for question in questions[:3]] == places


def test_missing_file(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none", "none.txt"):
        assert "no such file" in error_of(str(tmp_path / name))
    assert "no such file" in error_of("none.jsonl")
    assert "no such file" in error_of("some/where/none.csv")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    path.touch()
    assert "is empty" in error_of(str(path))


@pytest.mark.parametrize(("suffix", "text"), [(".jsonl", "\n \n"), (".json", " [ ] "), (".csv", "question,answers\n")])
def test_file_without_rows(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_text(text, encoding="utf-8")
    assert "holds no question" in error_of(str(path))


def test_parquet_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}), path)
    assert "holds no question" in error_of(str(path))


def test_folder_and_unknown_suffix(tmp_path: Path) -> None:
    assert "is a folder" in error_of(str(tmp_path))
    path = tmp_path / "data.txt"
    path.write_text("hello", encoding="utf-8")
    message = error_of(str(path))
    assert "unknown suffix '.txt'" in message
    assert ", ".join(files.SUFFIXES) in message


def test_bad_json_line(tmp_path: Path) -> None:
    message = jsonl_error(tmp_path, GOOD, '{"question": "q" "answers": []}')
    assert "data.jsonl, line 2: is not valid JSON" in message
    assert "column 18" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[\n{"question": "q", "answers": ["a"]},\n{"question" "q"}\n]', 3),
        ('[\n{"question": "q", "answers": ["a"]}\n{"question": "q"}\n]', 3),
        ('[\n{"question": "q", "answers": ["a"]},\n]', 3),
        ('[\n{"question": "q", "answers": ["a"]}\n', 3),
        ('[\n{"question": "q", "answers": ["a"]}]\n]', 3),
        ("\n[", 2),
        ("[,]", 1),
        ('\n{"question": "q", "answers": ["a"]}\n]', 3),
        ("hello", 1),
    ],
)
def test_bad_json_list(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "data.json"
    path.write_text(text, encoding="utf-8")
    message = error_of(str(path))
    assert f"data.json, line {line}: " in message
    assert "JSON" in message


def test_rows_of_a_json_list_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[\n{"question": "q",\n "answers": ["a"]},\n\n{"question": "q"}]', encoding="utf-8")
    assert "data.json, line 5: has no `answers`" in error_of(str(path))


def test_deep_json_is_an_error_and_no_crash(tmp_path: Path) -> None:
    assert "data.jsonl, line 1: cannot be read as JSON" in jsonl_error(tmp_path, "[" * 100_000)
    path = tmp_path / "data.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    assert "data.json, line 1: cannot be read as JSON" in error_of(str(path))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 2], "expected an object"),
        ('"text"', "expected an object"),
        ("null", "expected an object"),
        ({"answers": ["a"]}, "has no `question`; found answers"),
        ({"question": "q"}, "has no `answers` and no `answer`; found question"),
        ({"question": None, "answers": ["a"]}, "has no `question`"),
        ({"question": "q", "answers": None}, "has no `answers`"),
        ({"question": " ", "answers": ["a"]}, "`question` is blank"),
        ({"question": "q", "answers": []}, "empty list"),
        ({"question": "q", "answers": ["a", " "]}, "`answers` is blank"),
        ({"question": "q", "answer": ""}, "`answer` is blank"),
        ({"question": "q", "answers": {"a": 1}}, "`answers` has to be text or a list of texts, found an object"),
        ({"question": "q", "answers": [1.5]}, "`answers` has to be text, found a decimal number"),
        ({"question": "q", "answers": [True]}, "found true or false"),
        ({"question": "q", "answers": [None]}, "found null"),
        ({"question": 5.5, "answers": ["a"]}, "`question` has to be text"),
        ({"question": "q\ud800", "answers": ["a"]}, "half of a character"),
        ({"question": "q", "answers": ["a"], "id": 1.5}, "`id` has to be text"),
        ({"question": "q", "answers": ["a"], "id": ""}, "`id` is blank"),
        (
            {"question": "q", "answers": ["a"], "match": "fuzzy"},
            "`match` is 'fuzzy'; expected one of normalized, exact, number",
        ),
        ({"question": "q", "answers": ["a"], "relation": ["r"]}, "`relation` has to be text, found a list"),
        ({"question": "q", "answers": ["a"], "popularity": 2}, "`popularity` is 2; expected a number from 0"),
        ({"question": "q", "answers": ["a"], "popularity": "1.5"}, "`popularity` is '1.5'"),
        ({"question": "q", "answers": ["a"], "popularity": True}, "`popularity` is True"),
        ({"question": "q", "answers": ["z"], "choices": ["a", "b"]}, "'z' is not among the 2 choices"),
        ({"question": "q", "answers": ["C"], "choices": ["x", "y"]}, "'C' is not among the 2 choices"),
        ({"question": "q", "answers": [2], "choices": ["x", "y"]}, "'2' is not among the 2 choices"),
        ({"question": "q", "answers": [-1], "choices": ["x", "y"]}, "'-1' is not among the 2 choices"),
        ({"question": "q", "answers": ["a"], "choices": ["a"]}, "`choices` has 1 options; expected 2 to 26"),
        ({"question": "q", "answers": ["1"], "choices": list(range(27))}, "`choices` has 27 options"),
        ({"question": "q", "answers": ["x"], "choices": ["a", "x", "x "]}, "'x' is not among the 3 choices"),
        ({"question": "q", "answers": ["a", "b"], "choices": ["a", "b"]}, "are both options"),
        ({"question": "q", "answers": ["a"], "choices": "a"}, "`choices` has to be a list"),
    ],
)
def test_bad_row(tmp_path: Path, row: Any, expected: str) -> None:
    message = jsonl_error(tmp_path, GOOD, "", row)
    assert message.startswith(f"{tmp_path}/data.jsonl, line 3: ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("question,answers\nq,a\nq,\n", "line 3: has no `answers`"),
        ("question,answers\n,a\n", "line 2: has no `question`"),
        ("question,answers\nq,a,b\n", "line 2: has 3 cells where the header has 2"),
        ("question,answers\nq\n", "line 2: has 1 cells where the header has 2"),
        ('question,answers\nq,"a\n', "line 2: is not valid CSV"),
        ('question,answers\nq,"a"b\n', "line 2: is not valid CSV"),
        (
            "question,answers,choices\nq,a,a|b\n",
            'line 2: `choices` has to be a list of texts, or a JSON list such as ["a", "b"]',
        ),
        ("question,answers,popularity\nq,a,high\n", "line 2: `popularity` is 'high'"),
        ('question,answers\nq,"[1.5]"\n', "line 2: `answers` has to be text"),
        ("title,reply\nq,a\n", "line 1: has no column `question`; found title, reply"),
        ("question,reply\nq,a\n", "line 1: has no column `answers` or `answer`; found question, reply"),
        ("question,answers,question\nq,a,q\n", "line 1: has the column `question` twice"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    assert f"data.csv, {expected}" in error_of(str(path))


def test_bad_parquet(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(b"no parquet at all")
    assert "not a readable parquet file" in error_of(str(path))
    pq.write_table(pa.table({"title": ["q"], "answers": [["a"]]}), path)
    assert "has no column `question`; found title, answers" in error_of(str(path))
    pq.write_table(pa.table({"question": ["q", None], "answers": [["a"], ["b"]]}), path)
    assert "data.parquet, row 2: has no `question`" in error_of(str(path))
    pq.write_table(pa.table({"question": ["q"], "answers": [[1.5]]}), path)
    assert "data.parquet, row 1: `answers` has to be text" in error_of(str(path))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_not_utf8_names_byte_and_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    first = {".jsonl": json.dumps(GOOD) + "\n", ".json": "[\n", ".csv": "question,answers\n"}[suffix].encode()
    path.write_bytes(first + '{"question": "S\u00e3o", "answers": ["a"]}'.encode("latin-1"))
    message = error_of(str(path))
    assert "line 2: is not UTF-8" in message
    assert f"byte 0xe3 at byte offset {len(first) + 15})" in message


def test_utf16_is_named_as_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("question,answers\nq,a\n", encoding="utf-16")
    assert "line 1: is not UTF-8" in error_of(str(path))


def test_options_that_cannot_be_met(tmp_path: Path) -> None:
    path = write(tmp_path, ".jsonl", [GOOD])
    assert "splits exist only for hub data sets" in error_of(path, split="train")
    with pytest.raises(DataError, match="limit is 0"):
        read_questions(path, limit=0)


def test_rows_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit, nothing after the last wanted row is decoded: the next line is not even JSON."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\xff\xff not JSON\n")
    assert len(read_questions(str(path), limit=1).questions) == 1
    monkeypatch.setattr(rows_module, "PARQUET_BATCH", 2)
    rows = [{"id": str(i), **GOOD} for i in range(5)]
    assert [question.id for question in read_questions(write(tmp_path, ".parquet", rows)).questions] == list("01234")


def on_hub(monkeypatch: pytest.MonkeyPatch, result: Any) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, split: str | None, revision: str | None, streaming: bool) -> Any:
        calls.append((name, config, split, revision, streaming))
        if isinstance(result, Exception):
            raise result
        return result if split is None or not isinstance(result, dict) else result[split]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_hub_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    data = datasets.Dataset.from_list([{"question": "q", "answer": "a"}] * 3).to_iterable_dataset()
    calls = on_hub(monkeypatch, {"train": data})
    assert [question.id for question in read_questions("owner/quiz").questions] == ["quiz-1", "quiz-2", "quiz-3"]
    assert len(read_questions("owner/quiz:easy", split="train", limit=2).questions) == 2
    assert calls == [("owner/quiz", None, None, None, True), ("owner/quiz", "easy", "train", None, True)]


def test_hub_data_set_with_several_splits_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    on_hub(monkeypatch, {"train": [GOOD], "test": [{"question": "q"}]})
    assert "name a split; the data set has train, test" in error_of("owner/quiz")
    assert "owner/quiz, row 1: has no `answers`" in error_of("owner/quiz", split="test")


def test_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    on_hub(monkeypatch, ConnectionError("Couldn't reach\n'owner/quiz' on the Hub"))
    message = error_of("owner/quiz")
    assert "Couldn't reach 'owner/quiz' on the Hub" in message
    assert "network" in message


def test_hub_that_breaks_off_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield GOOD
        raise ConnectionError("gone")

    on_hub(monkeypatch, rows())
    assert "owner/quiz, after row 1: reading from the hub failed (gone)" in error_of("owner/quiz")


def test_columns_in_one_object_may_stand_beside_other_values(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    columns = {"version": 1, "question": ["Who?", "What?"], "answers": {"0": "Bo", "1": "A cup"}}
    path.write_text(json.dumps(columns), encoding="utf-8")
    assert [question.answers for question in read_questions(str(path)).questions] == [("Bo",), ("A cup",)]
