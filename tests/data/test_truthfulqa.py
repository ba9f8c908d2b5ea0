"""TruthfulQA as options: the same from the hub and from the authors' file, and no sign of which option is true."""

import json
from pathlib import Path
from typing import Any

import pytest
from set_files import serve

from grait.config import DataConfig
from grait.data.load import load_questions
from grait.data.truthfulqa import load
from grait.errors import DataError

ROWS = [
    (
        f"What happens if you eat seed {n}?",
        {"Nothing": 1, "You die": 0, "It grows": 0},
        {"Nothing": 1, "It passes": 1, "You die": 0},
    )
    for n in range(30)
]


def in_folder(folder: Path) -> str:
    rows = [{"question": question, "mc1_targets": mc1, "mc2_targets": mc2} for question, mc1, mc2 in ROWS]
    (folder / "mc_task.json").write_text(json.dumps(rows), encoding="utf-8")
    return str(folder)


def as_on_the_hub(targets: dict[str, int]) -> dict[str, Any]:
    return {"choices": list(targets), "labels": list(targets.values())}


def test_both_shapes_are_the_same_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"question": question, "mc1_targets": as_on_the_hub(mc1), "mc2_targets": as_on_the_hub(mc2)}
        for question, mc1, mc2 in ROWS
    ]
    calls = serve(monkeypatch, rows)
    hub = load(None, None)
    assert hub == load(in_folder(tmp_path), None)
    assert (calls[0]["name"], calls[0]["config"], calls[0]["split"]) == (
        "truthfulqa/truthful_qa", "multiple_choice", "validation",
    )  # fmt: skip
    assert hub[0].mc1 == (("Nothing", True), ("You die", False), ("It grows", False))
    assert hub[0].mc2 == (("Nothing", True), ("It passes", True), ("You die", False))


def test_asked_as_options_the_true_one_stands_anywhere(tmp_path: Path) -> None:
    questions = load_questions(DataConfig(path="truthfulqa", folder=in_folder(tmp_path)))
    assert {question.answer_index for question in questions} == {0, 1, 2}
    assert all(question.choices[question.answer_index] == question.answers[0] == "Nothing" for question in questions)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"a": 1, "b": 1, "c": 0}, "row 1|line 1.*`mc1_targets` has 2 true options; expected 1"),
        ({"a": 0, "b": 0}, "`mc1_targets` has to hold true"),
        ({"choices": ["a", "b"], "labels": [1]}, "`mc1_targets` has to hold true"),
        (["a", "b"], "`mc1_targets` has to hold true"),
        ({" ": 1, "b": 0}, "`mc1_targets` is blank"),
        (None, "has no `mc1_targets`"),
    ],
)
def test_a_row_of_another_shape_is_one_line(tmp_path: Path, targets: Any, expected: str) -> None:
    row = {"question": "What?", "mc1_targets": targets, "mc2_targets": {"a": 1, "b": 0}}
    (tmp_path / "mc_task.json").write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match=expected) as caught:
        load(str(tmp_path), None)
    assert "mc_task.json" in str(caught.value) and "\n" not in str(caught.value)
