"""Long stages of questions go on after the last finished part, with the same rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, tiny_tree

import grait
from grait.pipeline import evaluation as evaluating
from grait.pipeline import knowledge, parts
from grait.pipeline.parts import in_parts
from grait.records import GroupRecord, KnowledgeFlow, Prediction, Question
from grait.runtime.artifacts import read_rows, write_rows

QUESTIONS = [Question(f"q{number}", "?", ("yes",)) for number in range(11)]
GROUPS = [QUESTIONS[::2], QUESTIONS[1::2]]


class Killed(BaseException):
    """Not an error that anything could want to handle."""


def flow(question: Question) -> KnowledgeFlow:
    return KnowledgeFlow(question.id, "ik", 0.5, float(question.id[1:]), 0.1)


def killed_in_call(number: int, calls: list[list[str]]) -> Callable[[list[Question]], list[KnowledgeFlow]]:
    def compute(part: list[Question]) -> list[KnowledgeFlow]:
        calls.append([question.id for question in part])
        if len(calls) == number:
            raise Killed
        return [flow(question) for question in part]

    return compute


@pytest.fixture(autouse=True)
def _parts_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "QUESTIONS", 3)


def test_finished_parts_are_not_computed_again(tmp_path: Path) -> None:
    whole: list[list[str]] = []
    expected = in_parts(tmp_path / "none", KnowledgeFlow, GROUPS, killed_in_call(0, whole), lambda _: None)
    assert list(expected) == [question.id for group in GROUPS for question in group]
    assert [len(part) for part in whole] == [3, 3, 3, 2]
    for number in (1, 2, 3, 4):
        folder, first, second, told = tmp_path / str(number), list[list[str]](), list[list[str]](), list[int]()
        with pytest.raises(Killed):
            in_parts(folder, KnowledgeFlow, GROUPS, killed_in_call(number, first), lambda _: None)
        found = in_parts(folder, KnowledgeFlow, GROUPS, killed_in_call(0, second), told.append)
        assert found == expected
        assert first[: number - 1] + second == whole
        assert told == [3] * (number - 1)


def test_few_questions_leave_no_file(tmp_path: Path) -> None:
    in_parts(tmp_path / "kept", KnowledgeFlow, [QUESTIONS[:3]], killed_in_call(0, []), lambda _: None)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "other questions", "other columns"])
def test_a_damaged_part_is_asked_again_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with pytest.raises(Killed):
        in_parts(tmp_path, KnowledgeFlow, GROUPS, killed_in_call(4, []), lambda _: None)
    path = tmp_path / "part-00001.parquet"
    if damage == "other questions":
        shutil.copy(tmp_path / "part-00000.parquet", path)
    elif damage == "other columns":
        write_rows(path, [GroupRecord("m", "d", 1, 1, 0, 1, 0, 0, 0, None, None, None, None)])
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-9], "empty": b"", "garbage": b"PAR1" * 50}[damage])
    calls: list[list[str]] = []
    found = in_parts(tmp_path, KnowledgeFlow, GROUPS, killed_in_call(0, calls), lambda _: None)
    assert found == {question.id: flow(question) for question in QUESTIONS}
    assert [part[0] for part in calls] == ["q6", "q7"]
    assert "part-00001.parquet: damaged, or of other questions" in capsys.readouterr().err


def test_a_run_killed_within_questions_goes_on_there(
    tmp_path: Path, tiny: tuple[str, Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Knowledge, flow and evaluation: 16 questions in 6 parts, and 8 in 3."""
    tree = tiny_tree(*tiny, tmp_path / "run")
    tree["training"]["methods"] = ["craft"]
    monkeypatch.setattr(parts, "QUESTIONS", 1000)
    whole = grait.run(tree | {"out": str(tmp_path / "whole")})
    monkeypatch.setattr(parts, "QUESTIONS", 3)
    asked: dict[str, list[int]] = {}

    def killed_in_part(name: str, original: Callable[..., Any], number: int, place: int) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            asked.setdefault(name, []).append(len(arguments[place]))
            if len(asked[name]) == number:
                raise KeyboardInterrupt
            return original(*arguments, **settings)

        return call

    monkeypatch.setattr(knowledge, "query", killed_in_part("query", knowledge.query, 4, 2))
    monkeypatch.setattr(evaluating, "predict", killed_in_part("predict", evaluating.predict, 2, 2))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            grait.run(tree)
    assert list((tmp_path / "run" / "evaluation" / "own").glob(".init-basic.*.unfinished/part-00000.parquet"))
    found = grait.run(tree)
    assert asked["query"] == [3] * 4 + [3, 3, 1] + [3] * 5 + [1]
    assert asked["predict"] == [3, 3] + [3, 2] + [3, 3, 2] * 2
    assert not list((tmp_path / "run").rglob(".*.unfinished"))
    for name, kind in (("evaluation/own/craft/predictions", Prediction), ("flow/flow", KnowledgeFlow)):
        rows, expected = (read_rows(result.folder / f"{name}.parquet", kind) for result in (found, whole))
        assert [row.id for row in rows] == [row.id for row in expected]
    assert [row.ths for row in found.metrics] == pytest.approx([row.ths for row in whole.metrics])
