"""The real benchmark files, where they lie beside the repository (``../shared/data``); skipped where they do not."""

import json
from collections import Counter
from pathlib import Path

import pytest

from grait.config import DataConfig
from grait.data.load import load_questions, load_topic_shots
from grait.records import Question

DATA = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {"mmlu": "mmlu", "arc-c": "ARC/ARC-c", "arc-e": "ARC/ARC-e", "triviaqa": "triviaqa", "nq": "nq"}


def load(name: str, split: str) -> list[Question]:
    folder = DATA / FOLDERS[name]
    if not folder.is_dir():
        pytest.skip(f"{folder}: the benchmark's files are not here")
    return load_questions(DataConfig(path=name, split=split, folder=str(folder)))


@pytest.mark.parametrize(
    ("name", "split", "n"),
    [
        ("mmlu", "test", 14042),
        ("mmlu", "val", 1531),
        ("arc-c", "dev", 299),
        ("arc-c", "test", 1172),
        ("arc-e", "dev", 570),
        ("arc-e", "test", 2376),
        ("triviaqa", "dev", 8837),
        ("nq", "dev", 3610),
    ],
)
def test_every_row_is_loaded(name: str, split: str, n: int) -> None:
    questions = load(name, split)
    assert len(questions) == len({question.id for question in questions}) == n
    for question in questions:
        assert question.answers[0].strip() and question.question.strip()
        assert (name in ("triviaqa", "nq")) == (not question.choices)
        if question.choices:
            assert question.choices[question.answer_index] == question.answers[0]


@pytest.mark.parametrize(
    ("name", "split", "numeric", "options"),
    [
        ("arc-c", "dev", 4, {4: 295, 3: 3, 5: 1}),
        ("arc-c", "test", 22, {4: 1165, 3: 4, 5: 3}),
        ("arc-e", "dev", 21, {4: 567, 3: 1, 5: 2}),
        ("arc-e", "test", 97, {4: 2365, 3: 7, 5: 4}),
    ],
)
def test_arc_items_with_numbers_for_labels(name: str, split: str, numeric: int, options: dict[int, int]) -> None:
    questions = {question.id: question for question in load(name, split)}
    (file,) = (DATA / FOLDERS[name]).glob(f"*-{split.capitalize()}.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with_numbers = [row for row in rows if row["answerKey"].isdigit()]
    assert len(with_numbers) == numeric
    for row in with_numbers:
        assert questions[row["id"]].answer_index == int(row["answerKey"]) - 1
    assert Counter(len(question.choices) for question in questions.values()) == options


def test_mmlu_groups_and_shots() -> None:
    questions = load("mmlu", "test")
    assert Counter(question.group for question in questions) == {
        "humanities": 4705, "social sciences": 3077, "STEM": 3018, "other": 3242
    }  # fmt: skip
    shots = load_topic_shots([DataConfig(path="mmlu", folder=str(DATA / "mmlu"))], 5)
    assert set(shots) == {question.topic for question in questions}


@pytest.mark.parametrize(("split", "twins", "key_twice"), [("test", 9, 4), ("val", 3, 1)])
def test_mmlu_questions_with_options_of_equal_text(split: str, twins: int, key_twice: int) -> None:
    questions = load("mmlu", split)
    equal = [question for question in questions if len(set(question.choices)) < 4]
    assert len(equal) == twins
    assert sum(question.choices.count(question.answers[0]) > 1 for question in equal) == key_twice
    later = [question.id for question in equal if question.choices.index(question.answers[0]) != question.answer_index]
    assert later == {"test": ["high_school_macroeconomics/test/183"], "val": []}[split]


def test_reference_answers_of_triviaqa_can_be_read() -> None:
    """38 alias lists begin with a pictogram or another sign."""
    questions = load("triviaqa", "dev")
    assert all(any(map(str.isalnum, question.answers[0])) for question in questions)
    signs = [answer for question in questions for answer in question.answers if not any(map(str.isalnum, answer))]
    assert len(signs) >= 38  # still among the aliases
