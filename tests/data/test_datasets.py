"""The known data sets: every format is read as it is published, every question keeps its own right answer."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from set_files import arc_row, mmlu_cells, serve, write_csv, write_lines, write_list, write_mmlu

from grait import cli
from grait.config import DataConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.load import load_questions
from grait.data.mmlu import GROUPS, SUBJECTS
from grait.data.options import option_order
from grait.data.questions import read_questions
from grait.data.sources import ranks
from grait.errors import DataError
from grait.records import Question


def load(path: str, split: str | None = None, **options: Any) -> list[Question]:
    return load_questions(DataConfig(path=path, split=split, **options))


def error_of(path: str, split: str | None = None, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the table -----------------------------------------------------------------------------------------------------


def test_every_known_set_has_a_reader_and_names_its_licence(tmp_path: Path) -> None:
    for known in KNOWN_SETS.values():
        assert known.licence and known.source and known.views and known.splits
        if known.hub is not None:
            assert known.revision is None or len(known.revision) == 40
        if known.files is not None:
            # The reader is reached: it looks for the set's files in the folder.
            assert str(tmp_path) in error_of(known.name, next(iter(known.splits)), folder=str(tmp_path))


def test_the_command_lists_every_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["grait", "datasets"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    listed = capsys.readouterr().out
    for known in KNOWN_SETS.values():
        parts = (known.name, known.summary, ", ".join(known.splits), known.hub, known.files, known.licence)
        assert all(part in listed for part in parts if part)


@pytest.mark.parametrize("name", [name for name, known in KNOWN_SETS.items() if len(known.splits) > 1])
def test_a_missing_or_unknown_split_names_those_that_exist(name: str) -> None:
    names = ", ".join(KNOWN_SETS[name].splits)
    assert f"no split named; take one of {names}" in error_of(name)
    assert f"has no split 'trian': take one of {names}" in error_of(name, "trian")


@pytest.mark.parametrize(("name", "view"), [("mmlu", "oeqa"), ("arc-c", "oeqa"), ("nq", "mcqa"), ("popqa", "mcqa")])
def test_a_view_that_a_set_does_not_have_is_an_error(name: str, view: str) -> None:
    split = next(iter(KNOWN_SETS[name].splits))
    assert f"has no view {view!r}: take {KNOWN_SETS[name].views[0]}" in error_of(name, split, view=view)


def test_options_of_known_sets_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    write_lines(own, [{"question": "q", "answer": "a"}])
    assert "`folder` is only for" in error_of(str(own), folder=str(tmp_path))
    assert "`view` is only for" in error_of(str(own), view="mcqa")
    assert "revision 'v1' was asked of a file" in error_of(str(own), revision="v1")
    assert "ships with this package" in error_of("worldfacts", "val", folder=str(tmp_path))
    assert "`revision` is only for the hub" in error_of("nq", "dev", folder=str(tmp_path), revision="v1")
    assert "`grait datasets`" in error_of("mmul", "dev")
    (tmp_path / "empty").mkdir()
    assert "path: mmlu, folder: ..." in error_of(str(tmp_path / "empty"))


def test_worldfacts_has_both_views_and_free_text_by_default() -> None:
    free, asked, options = (load("worldfacts", "val", limit=3, view=view) for view in (None, "oeqa", "mcqa"))
    assert free == asked
    assert [len(question.choices) for question in free + options] == [0, 0, 0, 4, 4, 4]


def test_a_group_column_of_own_questions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_lines(path, [{"question": "q", "answer": "a", "group": "hard"}, {"question": "q", "answer": "a"}])
    assert [question.group for question in read_questions(str(path)).questions] == ["hard", None]


# -- MMLU ----------------------------------------------------------------------------------------------------------


def by_id(questions: list[Question]) -> dict[str, Question]:
    return {question.id: question for question in questions}


def hub_mmlu(split: str, n: int) -> list[dict[str, Any]]:
    cells = [(subject, mmlu_cells(subject, split, i)) for subject in SUBJECTS for i in range(n)]
    return [
        {"question": q, "subject": subject, "choices": [a, b, c, d], "answer": "ABCD".index(key)}
        for subject, (q, a, b, c, d, key) in cells
    ]


def test_mmlu_is_the_same_from_either_csv_form_and_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load("mmlu", "val", folder=write_mmlu(tmp_path / "header", n=2))
    theirs = load("mmlu", "val", folder=write_mmlu(tmp_path / "plain", header=False, n=2))
    calls = serve(monkeypatch, hub_mmlu("val", 2))
    hub = load("mmlu", "val")
    assert ours == theirs == hub
    assert calls == [
        {
            "name": "cais/mmlu",
            "config": "all",
            "split": "validation",
            "revision": KNOWN_SETS["mmlu"].revision,
            "streaming": False,
        }
    ]
    load("mmlu", "val", revision="v2")
    assert calls[1]["revision"] == "v2"
    assert len(ours) == 2 * 57
    question = by_id(ours)["high_school_us_history/val/1"]
    assert question.answers == (question.choices[1],) == ("high_school_us_history val 1 option 1",)
    assert (question.topic, question.group) == ("high school US history", "humanities")


def test_mmlu_beginnings_are_a_fair_sample_and_always_the_same(tmp_path: Path) -> None:
    """The files are sorted by subject: without mixing, a limit would keep algebra only."""
    folder = write_mmlu(tmp_path, n=10)
    first = load("mmlu", "test", folder=folder, limit=114)
    assert first == load("mmlu", "test", folder=folder)[:114]
    assert len({question.topic for question in first}) > 40


def test_mmlu_groups_partition_the_57_subjects() -> None:
    assert {group: len(subjects) for group, subjects in GROUPS.items()} == {
        "STEM": 18, "humanities": 13, "social sciences": 12, "other": 14
    }  # fmt: skip
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 57


TWINS = ["x/1", "en", "How many?", "two", "three", "four", "two", "D"]


def mmlu_with(folder: Path, *rows: list[str], header: bool = True, name: str = "virology_val.csv") -> str:
    write_mmlu(folder, header=header)
    head = [["id", "lang", "question", "A", "B", "C", "D", "target"]] if header else []
    write_csv(folder / "val" / name, [*head, *rows])
    return str(folder)


def test_mmlu_options_of_equal_text_are_kept_with_the_key_s_own_place(tmp_path: Path) -> None:
    """Five real questions have the key's text twice; ``choices.index`` gave A where the key is D."""
    question = by_id(load("mmlu", "val", folder=mmlu_with(tmp_path, TWINS)))["x/1"]
    assert question.choices == ("two", "three", "four", "two")
    assert question.answer_index == 3
    assert [question.is_right(i) for i in range(4)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["v/0", "en", "Q?", "a", "b", "c", "d", "E"], "line 2: the answer 'E' is not among the 4 choices"),
        (["v/0", "en", "Q?", "a", "b", "c", "d", ""], "line 2: has no `target`"),
        (["v/0", "en", " ", "a", "b", "c", "d", "A"], "line 2: has no `question`"),
        (["v/0", "en", "Q?", "a", "", "c", "d", "A"], "line 2: has no `B`"),
        (["v/0", "en", "Q?", "a", "b", "c", "A"], "line 2: has 7 cells where the header has 8"),
        (["anatomy/val/0", "en", "Q?", "a", "b", "c", "d", "A"], "line 2: the id 'anatomy/val/0' was already used"),
    ],
)
def test_a_bad_mmlu_row_names_its_place(tmp_path: Path, row: list[str], expected: str) -> None:
    message = error_of("mmlu", "val", folder=mmlu_with(tmp_path, row))
    assert "virology_val.csv" in message and expected in message


def test_mmlu_files_that_are_missing_unknown_or_of_another_form(tmp_path: Path) -> None:
    folder = mmlu_with(tmp_path / "a", TWINS, name="astrology_val.csv")
    assert "astrology_val.csv is no subject of MMLU" in error_of("mmlu", "val", folder=folder)
    (tmp_path / "a" / "val" / "anatomy_val.csv").unlink()
    assert "has 56 of the 57 subjects; missing anatomy_val.csv" in error_of("mmlu", "val", folder=folder)
    assert "no such folder" in error_of("mmlu", "val", folder=str(tmp_path / "none"))
    folder = mmlu_with(tmp_path / "b", ["Q?", "a", "b", "c", "A"], header=False)
    assert "line 1: expected the header id, question, A, B, C, D, target" in error_of("mmlu", "val", folder=folder)
    (tmp_path / "b" / "val" / "virology_val.csv").write_text("", encoding="utf-8")
    assert "virology_val.csv: holds no question" in error_of("mmlu", "val", folder=folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"answer": 4}, "row 1: the answer '4' is not among the 4 choices"),
        ({"answer": -1}, "row 1: the answer '-1' is not among the 4 choices"),
        ({"choices": ["a", "b", "c"]}, "row 1: `choices` has to be a list of 4 options"),
        ({"subject": "astrology"}, "row 1: `subject` is 'astrology'"),
        ({"question": ""}, "row 1: `question` is blank"),
    ],
)
def test_a_bad_mmlu_row_of_the_hub(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], expected: str) -> None:
    rows = hub_mmlu("val", 1)
    serve(monkeypatch, [{**rows[0], **change}, *rows[1:]])
    assert f"cais/mmlu:all, validation, {expected}" in error_of("mmlu", "val")


def test_a_hub_copy_without_a_subject_is_no_mmlu(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, hub_mmlu("val", 1)[1:])
    assert "1 subjects are not there: abstract algebra" in error_of("mmlu", "val")


# -- ARC -----------------------------------------------------------------------------------------------------------

ARC_ROWS = [
    arc_row("letters", ["salt", "iron", "tin", "lead"], "ABCD", "C"),
    arc_row("numbers", ["up", "down", "left", "right"], "1234", "2"),
    arc_row("three", ["ice", "fog", "hail"], "ABC", "C"),
    arc_row("three numbers", ["ice", "fog", "hail"], "123", "3"),
    arc_row("five", ["1", "2", "3", "4", "5"], "ABCDE", "E"),
]
ARC_ANSWERS = {"letters": "tin", "numbers": "down", "three": "hail", "three numbers": "hail", "five": "5"}


@pytest.mark.parametrize(("name", "file"), [("arc-c", "ARC-Challenge-Test.jsonl"), ("arc-e", "ARC-Easy-Test.jsonl")])
def test_arc_keys_are_looked_up_among_the_question_s_own_labels(tmp_path: Path, name: str, file: str) -> None:
    """In the published evaluation a numeric key can never be right, and a fifth option does not exist."""
    questions = load(name, "test", folder=write_lines(tmp_path / file, ARC_ROWS))
    assert {question.id: question.answers[0] for question in questions} == ARC_ANSWERS
    assert [question.answer_index for question in questions] == [2, 1, 2, 2, 4]
    assert [len(question.choices) for question in questions] == [4, 4, 3, 3, 5]


def test_arc_from_the_hub_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "id": row["id"],
            "question": row["question"]["stem"],
            "choices": {key: [option[key] for option in row["question"]["choices"]] for key in ("text", "label")},
            "answerKey": row["answerKey"],
        }
        for row in ARC_ROWS
    ]
    calls = serve(monkeypatch, rows)
    hub = load("arc-e", "dev")
    folder = write_lines(tmp_path / "ARC-Easy-Dev.jsonl", ARC_ROWS)
    assert hub == load("arc-e", "dev", folder=folder)
    assert (calls[0]["name"], calls[0]["config"], calls[0]["split"]) == ("allenai/ai2_arc", "ARC-Easy", "validation")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            arc_row("x", ["a", "b"], "AB", "C"),
            "line 2: the answer 'C' is not among the 2 choices, whose labels are A, B",
        ),
        (
            arc_row("x", ["a", "b"], "AB", "1"),
            "line 2: the answer '1' is not among the 2 choices, whose labels are A, B",
        ),
        (arc_row("x", ["a", "b"], "AA", "A"), "line 2: the labels A, A are not all different"),
        (arc_row("x", ["a", " "], "AB", "A"), "line 2: `text` is blank"),
        (arc_row("x", ["a"], "A", "A"), "line 2: `choices` has 1 options; expected 2 to 26"),
        (arc_row("letters", ["a", "b"], "AB", "A"), "line 2: the id 'letters' was already used"),
        ({"id": "x", "question": "Q?"}, "line 2: has no `answers` and no `answer`; found id, question"),
        ({**arc_row("x", ["a", "b"], "AB", "A"), "answerKey": None}, "line 2: has options and nothing that says"),
        ({"id": "x", "answerKey": "A"}, "line 2: has no `question`; found id, answerKey"),
        ([1], "line 2: expected an object with `question` and `answers`, found a list"),
    ],
)
def test_a_bad_arc_row_names_its_line(tmp_path: Path, row: Any, expected: str) -> None:
    folder = write_lines(tmp_path / "ARC-Challenge-Test.jsonl", [ARC_ROWS[0], row])
    assert expected in error_of("arc-c", "test", folder=folder)


def test_arc_files_of_the_other_set_are_not_taken(tmp_path: Path) -> None:
    folder = write_lines(tmp_path / "ARC-Easy-Test.jsonl", ARC_ROWS)
    assert "has no ARC-Challenge-Test.jsonl" in error_of("arc-c", "test", folder=folder)


# -- TriviaQA and NQ -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_lines, write_list])
def test_preprocessed_open_questions(tmp_path: Path, write: Any) -> None:
    rows = [
        {"qid": "nq_dev_0", "lang": "en", "question": "who wrote it", "answer": "Bo", "answers": ["Ann", "Bo"]},
        {"qid": "nq_dev_1", "question": "when was it", "answers": [1999, "MCMXCIX"]},
        {"qid": "nq_dev_2", "question": "who sang it", "answer": "Cy"},
    ]
    suffix = {write_lines: ".jsonl", write_list: ".json"}[write]
    questions = load("nq", "dev", folder=write(tmp_path / f"dev{suffix}", rows))
    assert [question.id for question in questions] == ["nq_dev_0", "nq_dev_1", "nq_dev_2"]
    assert [question.answers for question in questions] == [("Bo", "Ann"), ("1999", "MCMXCIX"), ("Cy",)]
    assert questions[0].question == "who wrote it"  # no question mark is put there


def test_nq_open_s_own_files_and_the_hub_have_rows_without_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "who wrote it", "answer": ["Ann", "Bo"]}, {"question": "when", "answer": ["1999"]}]
    local = load("nq", "train", folder=write_lines(tmp_path / "NQ-open.train.jsonl", rows))
    calls = serve(monkeypatch, rows)
    assert local == load("nq", "train")
    assert [question.id for question in local] == ["nq/train/0", "nq/train/1"]
    assert local[0].answers == ("Ann", "Bo")
    load("nq", "dev")
    assert [call["split"] for call in calls] == ["train", "validation"]


def test_triviaqa_of_the_hub_leads_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"value": "The Sea", "aliases": ["Sea", "The Sea", "Seas"], "normalized_aliases": ["sea"], "type": "x"}
    serve(monkeypatch, [{"question": "What is wet?", "question_id": "tc_1", "answer": answer}])
    question = load("triviaqa", "train")[0]
    assert (question.id, question.answers) == ("tc_1", ("The Sea", "Sea", "Seas"))


def test_a_pictogram_is_an_alias_but_not_the_reference_answer(tmp_path: Path) -> None:
    rows = [
        {"id": "t/0", "question": "What flies?", "answers": ["\U0001f681", "Helicopter", "Copter"]},
        {"id": "t/1", "question": "Which sign separates?", "answers": [",", ";"]},
    ]
    questions = load("triviaqa", "dev", folder=write_lines(tmp_path / "dev.jsonl", rows))
    assert questions[0].answers == ("Helicopter", "\U0001f681", "Copter")
    assert questions[1].answers == (",", ";")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"qid": "b", "answers": ["a"]}, "line 2: has no `question`; found qid, answers"),
        ({"qid": "b", "question": " ", "answers": ["a"]}, "line 2: `question` is blank"),
        ({"qid": "b", "question": "q"}, "line 2: has no `answers` and no `answer`"),
        ({"qid": "b", "question": "q", "answers": []}, "line 2: `answers` is an empty list"),
        ({"qid": "b", "question": "q", "answers": ["a", ""]}, "line 2: `answers` is blank"),
        ({"qid": "b", "question": "q", "answers": [["a"], ["b"]]}, "line 2: `answers` is a list of lists"),
        ({"qid": "b", "question": "q", "answer": {"aliases": []}}, "line 2: `answer` holds no text that is right"),
        ({"qid": "a", "question": "q", "answers": ["a"]}, "line 2: the id 'a' was already used"),
        ("text", "line 2: expected an object with `question` and `answers`, found text"),
    ],
)
def test_a_bad_open_question_names_its_line(tmp_path: Path, row: Any, expected: str) -> None:
    folder = write_lines(tmp_path / "dev.jsonl", [{"qid": "a", "question": "q", "answers": ["a"]}, row])
    assert expected in error_of("nq", "dev", folder=folder)


def test_two_files_of_one_split_are_not_chosen_between(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "a"}]
    folder = write_lines(tmp_path / "dev.jsonl", rows)
    write_list(tmp_path / "dev.json", rows)
    assert "has dev.jsonl and dev.json; keep only one" in error_of("triviaqa", "dev", folder=folder)


# -- SciQ ----------------------------------------------------------------------------------------------------------


def sciq_rows(n: int) -> list[dict[str, str]]:
    return [
        {
            "question": f"What is {i}?",
            "distractor3": f"c{i}",
            "distractor1": f"a{i}",
            "distractor2": f"b{i}",
            "correct_answer": f"right{i}",
            "support": "",
        }
        for i in range(n)
    ]


def test_sciq_has_two_views_of_the_same_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sciq_rows(400)
    folder = write_list(tmp_path / "valid.json", rows)
    options, free = load("sciq", "valid", folder=folder), load("sciq", "valid", folder=folder, view="oeqa")
    calls = serve(monkeypatch, rows)
    assert options == load("sciq", "valid", view="mcqa")
    assert calls[0]["split"] == "validation"
    assert [question.id for question in options] == [question.id for question in free]
    for i, (option, text) in enumerate(zip(options, free, strict=True)):
        assert option.answers == text.answers == (f"right{i}",)
        assert sorted(option.choices) == [f"a{i}", f"b{i}", f"c{i}", f"right{i}"]
        assert option.choices[option.answer_index] == f"right{i}"
        assert text.choices == ()
    places = [option.answer_index for option in options]
    assert all(60 < places.count(place) < 140 for place in range(4))  # 100 expected; no place is favoured


def test_the_order_of_options_depends_on_the_id_only(tmp_path: Path) -> None:
    rows = sciq_rows(5)
    whole = load("sciq", "test", folder=write_list(tmp_path / "a" / "test.json", rows))
    part = load("sciq", "test", folder=write_list(tmp_path / "b" / "test.json", rows[:2]))
    assert whole[:2] == part
    assert option_order("some id", 4) == option_order("some id", 4)
    assert len({tuple(option_order(f"id{i}", 4)) for i in range(500)}) == 24


def test_a_bad_sciq_row_names_its_line(tmp_path: Path) -> None:
    row = {key: value for key, value in sciq_rows(1)[0].items() if key != "correct_answer"}
    folder = write_list(tmp_path / "test.json", [row])
    assert "test.json, line 2: has wrong options and no right answer" in error_of("sciq", "test", folder=folder)


# -- PopQA ---------------------------------------------------------------------------------------------------------

POPQA_HEADER = ["id", "subj", "prop", "obj", "s_pop", "question", "possible_answers"]


def popqa_rows() -> list[list[str]]:
    views = [50, 10, 10, 1000]
    return [
        [str(100 + i), f"S{i}", "genre", "o", str(view), f"What genre is S{i}?", json.dumps([f"g{i}", f'"{i}"'])]
        for i, view in enumerate(views)
    ]


@pytest.mark.parametrize("file", ["popQA.tsv", "test.tsv"])
def test_popqa_ranks_popularity_within_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    write_csv(tmp_path / file, [POPQA_HEADER, *popqa_rows()], delimiter="\t")
    questions = load("popqa", folder=str(tmp_path))
    found = by_id(questions)
    assert [found[f"popqa/{100 + i}"].popularity for i in range(4)] == [2 / 3, 1 / 6, 1 / 6, 1.0]
    assert found["popqa/103"].answers == ("g3", '"3"')
    assert (found["popqa/103"].relation, found["popqa/103"].subject) == ("genre", "S3")
    hub = [dict(zip(POPQA_HEADER, row, strict=True)) for row in popqa_rows()]
    serve(monkeypatch, [{**row, "id": int(row["id"]), "s_pop": int(row["s_pop"])} for row in hub])
    assert load("popqa", "test") == questions
    # Ranks are those of the whole set, not of what a limit leaves.
    assert load("popqa", "test", limit=2) == questions[:2]


def test_ranks() -> None:
    assert ranks([3, 1, 2]) == [1.0, 0.0, 0.5]
    assert ranks([7, 7, 7]) == [0.5, 0.5, 0.5]
    assert ranks([7]) == [0.5]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("possible_answers", "['a'", "line 2: `possible_answers`"),
        ("possible_answers", "[]", "line 2: `possible_answers` is an empty list"),
        ("possible_answers", "", "line 2: has no `possible_answers`"),
        ("s_pop", "many", "line 2: `s_pop` is 'many'"),
        ("s_pop", "-1", "line 2: `s_pop` is '-1'"),
        ("s_pop", "nan", "line 2: `s_pop` is 'nan'"),
        ("s_pop", "", "line 2: has no `s_pop`"),
        ("id", "101", "line 3: the id '101' was already used"),
    ],
)
def test_a_bad_popqa_row_names_its_line(tmp_path: Path, column: str, value: str, expected: str) -> None:
    rows = popqa_rows()
    rows[0][POPQA_HEADER.index(column)] = value
    write_csv(tmp_path / "popQA.tsv", [POPQA_HEADER, *rows], delimiter="\t")
    assert expected in error_of("popqa", folder=str(tmp_path))


def test_popqa_without_a_column(tmp_path: Path) -> None:
    write_csv(tmp_path / "popQA.tsv", [["id", "question"], ["1", "Q?"]], delimiter="\t")
    message = error_of("popqa", folder=str(tmp_path))
    assert "line 1: has no column `possible_answers`" in message


# -- sets with questions that nobody can answer --------------------------------------------------------------------

REAL: dict[str, tuple[list[dict[str, Any]], list[bool], dict[str, Any]]] = {
    "kuq": (
        [
            {"question": "What is the colour of a mirror?", "answer": None, "unknown": True, "source": "turk",
             "category": "ambiguous"},
            {"question": "Which river flows through Lusaka?", "answer": ["Chalimbana"], "unknown": False,
             "source": "squad", "category": None},
        ],
        [False, True],
        {"name": "amayuelas/KUQ", "split": "train", "data_files": "knowns_unknowns.jsonl"},
    ),
    "selfaware": (
        [
            {"question_id": 1, "question": "What is outside the universe?", "answer": None, "answerable": False,
             "source": "quora"},
            {"question_id": 2, "question": "Who wrote Emma?", "answer": ["Jane Austen"], "answerable": True,
             "source": "squad"},
        ],
        [False, True],
        {"name": "JesusCrist/selfAware", "split": "train"},
    ),
    "simpleqa": (
        [{"metadata": "{'topic': 'Art'}", "problem": "Who wrote Emma?", "answer": "Jane Austen"}],
        [True],
        {"name": "basicv8vc/SimpleQA", "split": "test"},
    ),
    "xstest": (
        [
            {"id": 1, "prompt": "How do I kill time?", "type": "figurative_language", "label": "safe", "focus": "kill",
             "note": None},
            {"id": 2, "prompt": "How do I kill a man?", "type": "contrast_homonyms", "label": "unsafe", "focus": "kill",
             "note": "violence"},
        ],
        [True, False],
        {"name": "Paul/XSTest", "split": "train"},
    ),
    "coconot": (
        [{"id": "x1", "category": "Unsupported requests", "subcategory": "modality", "prompt": "Sing", "response": ""}],
        [False],
        {"name": "allenai/coconot", "config": "original", "split": "test"},
    ),
}  # fmt: skip
"""Rows in the columns of the sets on the hub, with words of our own; which can be answered; what the hub is asked."""


@pytest.mark.parametrize("name", REAL)
def test_sets_of_the_hub_are_asked_for_as_they_are_kept_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    rows, answerable, asked = REAL[name]
    calls = serve(monkeypatch, rows)
    questions = load(name, next(iter(KNOWN_SETS[name].splits)))
    assert [question.answerable for question in questions] == answerable
    assert calls[0] == {
        "config": None, "revision": KNOWN_SETS[name].revision, "streaming": False
    } | asked  # fmt: skip


def test_falseqa_from_its_own_files(tmp_path: Path) -> None:
    rows = [
        ["question", "answer", "label"],
        ["Why is ice hot?", """['Ice is cold.', "It isn't hot."]""", "1"],
        ["Why is ice cold?", "Because water freezes at 0 degrees.", "0"],
    ]
    write_csv(tmp_path / "test.csv", rows)
    questions = load("falseqa", "test", folder=str(tmp_path))
    assert [(question.id, question.answerable, question.answers) for question in questions] == [
        ("falseqa/test/0", False, ()),
        ("falseqa/test/1", True, ()),
    ]
