"""The run folder: what is written is read back; what is not finished, damaged or foreign is never taken for done."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grait.errors import ArtifactError
from grait.records import InfluenceScore, KnowledgeState, Prediction, RaitExample
from grait.runtime.artifacts import MANIFEST, Stage, fingerprint, read_rows, write_json, write_jsonl, write_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
LABEL = st.sampled_from(["ik", "idk", "dropped"])

STATES = st.lists(st.builds(KnowledgeState, TEXT, LABEL, NUMBER, st.none() | NUMBER, st.none() | NUMBER, TEXT))
SCORES = st.lists(st.builds(InfluenceScore, TEXT, LABEL, *[NUMBER] * 6))
EXAMPLES = st.lists(st.builds(RaitExample, TEXT, LABEL, TEXT, TEXT, NUMBER))

KEY = {"model": {"name": "m", "revision": None}, "seed": 0, "learning_rate": 0.1, "questions": "0" * 64}


def finished(folder: Path, key: dict[str, Any] | None = None, content: str = "done") -> Stage:
    stage = Stage(folder / "stage", KEY if key is None else key)
    with stage.writing() as (partial, notes):
        (partial / "data.txt").write_text(content)
        (partial / "deep").mkdir()
        (partial / "deep" / "more.txt").write_text("more")
        notes["seconds"] = 1.5
    return stage


def error_of(stage: Stage) -> str:
    """The message of the one ArtifactError: one line that names the folder and says what to do."""
    with pytest.raises(ArtifactError) as caught:
        stage.changes()
    message = str(caught.value)
    assert "\n" not in message
    assert str(stage.folder) in message
    assert "delete" in message
    return message


# -- rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KnowledgeState, InfluenceScore, RaitExample])
def test_rows_are_read_back_as_written(kind: type) -> None:
    @given({KnowledgeState: STATES, InfluenceScore: SCORES, RaitExample: EXAMPLES}[kind])
    def check(rows: list[Any]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            write_rows(path, rows)
            assert read_rows(path, kind) == rows
            assert [file.name for file in Path(folder).iterdir()] == ["rows.parquet"]

    check()


@given(EXAMPLES)
def test_json_lines_hold_one_row_each(rows: list[RaitExample]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_jsonl(path, rows)
        lines = path.read_bytes().decode("utf-8").split("\n")[:-1]
        assert [RaitExample(**json.loads(line)) for line in lines] == rows


def test_json_is_read_back_as_written(tmp_path: Path) -> None:
    value = {"a": [1, 0.1, None, "é\n"], "b": {"c": True}}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_foreign_columns_are_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Other:
        id: str
        output: str

    path = tmp_path / "predictions.parquet"
    write_rows(path, [Other("a", "b")])
    with pytest.raises(ArtifactError) as caught:
        read_rows(path, Prediction)
    columns = str([field.name for field in fields(Prediction)])
    assert str(caught.value).startswith(f"{path}: expected the columns {columns}, found ")


def test_columns_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    pq.write_table(pa.table({"id": ["a"], "outcome": ["wrong"], "output": ["b"]}), path)
    with pytest.raises(ArtifactError, match="expected the columns"):
        read_rows(path, Prediction)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_rows(path, [Prediction("a", "b", "wrong", "b", "wrong", -1.5, -0.5, -1.0, False, False)])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match="delete its folder to run this stage again") as caught:
        read_rows(path, Prediction)
    assert str(path) in str(caught.value)


def test_a_missing_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no\.parquet"):
        read_rows(tmp_path / "no.parquet", Prediction)


# -- stages --------------------------------------------------------------------------------------------------------


def test_a_finished_stage_is_recognised_with_its_notes(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    assert stage.changes() is None
    assert stage.notes() == {"seconds": 1.5}
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]
    again = Stage(stage.folder, json.loads(json.dumps(KEY)))
    assert again.changes() is None
    assert again.fingerprint == stage.fingerprint


def test_a_stage_that_was_not_run_says_so(tmp_path: Path) -> None:
    assert Stage(tmp_path / "stage", KEY).changes() == ["not run yet"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_stage_is_not_finished(tmp_path: Path, interruption: type[BaseException]) -> None:
    stage = Stage(tmp_path / "stage", KEY)
    with pytest.raises(interruption), stage.writing() as (partial, _):
        (partial / "data.txt").write_text("half")
        raise interruption
    assert not stage.folder.exists()
    assert stage.changes() == ["not run yet"]


def test_an_interrupted_stage_leaves_the_old_one_intact(tmp_path: Path) -> None:
    old = finished(tmp_path, content="old")
    new = Stage(old.folder, {**KEY, "seed": 1})
    with pytest.raises(KeyboardInterrupt), new.writing() as (partial, _):
        (partial / "data.txt").write_text("half")
        raise KeyboardInterrupt
    assert old.changes() is None
    assert (old.folder / "data.txt").read_text() == "old"


def test_what_an_interrupted_stage_left_is_not_mixed_into_the_next(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", KEY)
    with pytest.raises(RuntimeError), stage.writing() as (partial, _):
        (partial / "leftover.txt").write_text("half")
        raise RuntimeError
    finished(tmp_path)
    assert not (stage.folder / "leftover.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_a_stage_killed_while_it_cleaned_up_is_swept(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    for name in (stage.unfinished().name, ".stage.partial", ".stage.replaced", ".stage2.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text("kept")
    assert stage.changes() is None
    stage.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".stage2.partial", "stage"]


def test_a_rerun_replaces_the_whole_folder(tmp_path: Path) -> None:
    old = finished(tmp_path)
    (old.folder / "extra.txt").write_text("from before")
    new = finished(tmp_path, {**KEY, "seed": 1}, content="new")
    assert new.changes() is None
    assert old.changes() == ["seed: 1 -> 0"]
    assert not (new.folder / "extra.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"learning_rate": 0.2}, "learning_rate: 0.1 -> 0.2"),
        ({"model": {"name": "other", "revision": None}}, "model.name: 'm' -> 'other'"),
        ({"model": {"name": "m", "revision": "v2"}}, "model.revision: None -> 'v2'"),
        ({"questions": "1" * 64}, "questions changed"),
        ({"model": {"name": "m", "revision": None, "dtype": None}}, "model.dtype is new"),
        ({"model": {"name": "m"}}, "model.revision is gone"),
    ],
)
def test_a_changed_key_is_named_with_both_values(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    stage = finished(tmp_path)
    assert Stage(stage.folder, {**KEY, **change}).changes() == [reason]


def test_all_changes_are_named(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    changed = Stage(stage.folder, {**KEY, "seed": 1, "learning_rate": 0.5})
    assert changed.changes() == ["learning_rate: 0.1 -> 0.5", "seed: 0 -> 1"]


def test_an_unknown_schema_version_is_refused(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    path = stage.folder / MANIFEST
    write_json(path, json.loads(path.read_text()) | {"schema_version": 999})
    assert f"{path}: schema version 999, expected 1" in error_of(stage)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    (stage.folder / MANIFEST).unlink()
    assert "not a finished stage" in error_of(stage)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "null", '{"schema_version": 1}', '{"schema_version": 1, "key": 3}', "\x00"]
)
def test_an_unreadable_manifest_is_refused(tmp_path: Path, content: str) -> None:
    stage = finished(tmp_path)
    (stage.folder / MANIFEST).write_text(content)
    assert f"{stage.folder / MANIFEST}: not a readable manifest" in error_of(stage)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stage").write_text("not a folder")
    error_of(Stage(tmp_path / "stage", KEY))


@pytest.mark.parametrize("name", ["data.txt", "deep/more.txt"])
def test_a_truncated_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    stage = finished(tmp_path)
    path = stage.folder / name
    path.write_text("x")
    assert f"{path}: expected 4 bytes, found 1" in error_of(stage)
    path.unlink()
    assert f"{path}: expected 4 bytes, found no file" in error_of(stage)


def test_the_fingerprint_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    values: list[Any] = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {}, {"b": 1}, [1, 2], [2, 1], [[1], 2]]
    assert len({fingerprint(value) for value in values}) == len(values)
