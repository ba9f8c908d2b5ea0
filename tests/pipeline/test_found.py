"""A run without settings: the temperature and the calibration part that it finds, and how it ends."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_dial import load_dial
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known

import grait
from grait.commands.finished import open_run
from grait.errors import DataError
from grait.pipeline import knowledge, temperature
from grait.pipeline.data import HELD_OUT, RunData
from grait.pipeline.results import RunResult
from grait.records import KnowledgeState
from grait.runtime.artifacts import MANIFEST, read_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def tree_of(folder: Path, files: Files, model: str) -> dict[str, Any]:
    tree = tiny_tree(model, files, folder)
    del tree["knowledge"]["temperature"]
    return tree


def sharpened(folder: str) -> str:
    """Its samples are mostly its greedy answer, as no random model's are."""
    path = Path(folder, "model.safetensors")
    weights = load_file(path)
    weights["lm_head.weight"] *= 30
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], RunResult]:
    folder = tmp_path_factory.mktemp("found")
    model = sharpened(save_tiny(folder / "model"))
    files = write_half_known(model, folder, n_train=260, n_test=20)
    tree = tree_of(folder / "run", files, model)
    return tree, grait.run(tree)


def stages(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob(MANIFEST)}


def copied(run: tuple[dict[str, Any], RunResult], folder: Path) -> dict[str, Any]:
    shutil.copytree(run[1].folder, folder / "run")
    return json.loads(json.dumps(run[0] | {"out": str(folder / "run")}))


def test_what_is_put_aside_is_neither_trained_on_nor_lost(run: tuple[dict[str, Any], RunResult]) -> None:
    data = open_run(run[1].folder)
    states = read_rows(run[1].folder / "knowledge/knowledge.parquet", KnowledgeState)
    aside = {row.id for row in data.held_out}
    assert len(aside) == 60
    assert aside.isdisjoint(state.id for state in states)
    assert len(states) == 200
    for adapter in (run[1].folder / "adapters").iterdir():
        rows = (adapter / "rait.jsonl").read_text(encoding="utf-8").splitlines()
        assert aside.isdisjoint(json.loads(row)["id"] for row in rows)
        dial = load_dial(adapter)
        assert (dial.data.title, dial.n) == (HELD_OUT, 60)


def test_the_number_that_was_found_has_the_keys_of_that_number(
    run: tuple[dict[str, Any], RunResult], tmp_path: Path
) -> None:
    """And the same seed finds the same: nothing runs again."""
    tree = copied(run, tmp_path)
    before = stages(tmp_path / "run")
    grait.run(tree)
    assert stages(tmp_path / "run") == before
    manifest = json.loads((tmp_path / "run/knowledge" / MANIFEST).read_text(encoding="utf-8"))
    tree["knowledge"]["temperature"] = manifest["key"]["knowledge"]["temperature"]
    again = grait.run(tree)
    assert stages(tmp_path / "run") == before
    assert "temperature" not in again.summary["stages"]


def test_a_run_that_was_killed_after_it_does_not_look_for_the_temperature_again(
    run: tuple[dict[str, Any], RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = run[0] | {"out": str(tmp_path / "run")}

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(knowledge, "query", interrupted)
        with pytest.raises(KeyboardInterrupt):
            grait.run(tree)
    before = stages(tmp_path / "run")
    assert set(before) == {f"temperature/{MANIFEST}"}
    monkeypatch.setattr(temperature, "try_temperatures", lambda *_, **__: pytest.fail("asked again"))
    monkeypatch.setattr(knowledge, "query", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grait.run(tree)
    assert stages(tmp_path / "run") == before


def test_the_end_says_first_whether_it_was_worth_it(run: tuple[dict[str, Any], RunResult]) -> None:
    result = run[1]
    rows = {(row.dataset, row.versus): row for row in result.against_initial}
    difference = rows[HELD_OUT, "init-basic + dial"]
    summary = json.loads((result.folder / "summary.json").read_text(encoding="utf-8"))
    assert next(iter(summary)) == "in_words"
    assert next(iter(summary["in_words"])) == "gain"
    assert summary["in_words"]["gain"].startswith("A gain over" if difference.low > 0 else "No gain shown")
    assert "60 questions that were not trained on" in summary["in_words"]["gain"]
    assert any(sentence.startswith("temperature ") for sentence in summary["in_words"]["found"])
    assert {row.dataset for row in result.against_initial} == {HELD_OUT, "own"}


def test_null_turns_it_off(run: tuple[dict[str, Any], RunResult], tmp_path: Path) -> None:
    tree = run[0] | {"out": str(tmp_path)}
    tree["evaluation"] = tree["evaluation"] | {"calibration": None}
    data = RunData(grait.Config.model_validate(tree))
    assert data.held_out == []
    assert data.calibration is None
    assert len(data.questions) == 260


def test_a_test_set_of_this_name_is_refused(run: tuple[dict[str, Any], RunResult], tmp_path: Path) -> None:
    tree = json.loads(json.dumps(run[0] | {"out": str(tmp_path)}))
    tree["evaluation"]["datasets"][0]["name"] = HELD_OUT
    with pytest.raises(DataError, match="a test set is called 'held-out'"):
        grait.run(tree)


def test_a_folder_of_before_goes_on_as_it_was_begun(
    run: tuple[dict[str, Any], RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its config.json has the defaults of then, and the user's config says nothing."""
    tree = run[0] | {"out": str(tmp_path / "run")}
    before = json.loads(json.dumps(tree))
    before["knowledge"]["temperature"], before["evaluation"]["calibration"] = 1.0, None
    grait.run(before | {"training": tree["training"] | {"methods": ["cor-rait"]}, "warmup": tree["warmup"]})
    made = stages(tmp_path / "run")
    result = grait.run(tree | {"training": tree["training"] | {"methods": ["cor-rait"]}})
    assert stages(tmp_path / "run") == made
    assert "temperature" not in result.summary["stages"]
    assert "evaluation.calibration: null, as this folder was begun" in capsys.readouterr().err
