"""Run folders from before the pipeline was split into data, model and stages are continued without a stage run again.

``finished_before.zip`` holds what commit c07c444 wrote: a run of four methods with calibration questions,
``compare.json`` of a comparison, and an evaluation of the run's own adapter; beside them the questions, ``tree.json``
(the run's config) and the model's folder without its weights, which nothing here reads. The config is taken as it
stands: that code had one form and no replay where none is named.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import grait
from grait.pipeline import models
from grait.runtime.artifacts import MANIFEST

ARCHIVE = Path(__file__).with_name("finished_before.zip")
WEIGHTS = 55_664
"""Bytes of the model's weights."""

WRITTEN_AT = 1_700_000_000_000_000_000
"""When the files of the model's folder were written, in ns: stage keys name it."""


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The config of the run. All its paths are relative: this is done within the folder."""
    shutil.unpack_archive(ARCHIVE, tmp_path)
    monkeypatch.chdir(tmp_path)
    with open("model/model.safetensors", "wb") as file:
        file.truncate(WEIGHTS)
    for path in Path("model").iterdir():
        os.utime(path, ns=(WRITTEN_AT, WRITTEN_AT))
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("a model was loaded"))
    tree = dict(json.loads(Path("tree.json").read_text(encoding="utf-8")))
    tree["evaluation"]["probes"] = False  # side effects are measured in another way now
    return tree


def stages(folder: str) -> dict[str, int]:
    """When each stage was written, but for what that code asked of side effects."""
    found = {str(path.parent): path.stat().st_mtime_ns for path in sorted(Path(folder).rglob(MANIFEST))}
    return {path: time for path, time in found.items() if "probes" not in Path(path).parts}


def test_a_run_is_continued(before: dict[str, Any]) -> None:
    found, metrics = stages("run"), json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    result = grait.run(grait.Config.model_validate(before))
    assert stages("run") == found
    assert set(result.summary["stages"]) == {path.removeprefix("run/") for path in found}
    again = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert [row | old for row, old in zip(again, metrics, strict=True)] == again
    assert all(row["truthrl_score"] == row["penalised_50"] for row in again)  # which that code did not write


def test_it_gets_the_examples_of_every_adapter(before: dict[str, Any]) -> None:
    """Which that code wrote for one method alone."""
    grait.run(grait.Config.model_validate(before))
    for method in before["training"]["methods"]:
        assert Path("run", "adapters", method, "rait.jsonl").stat().st_size > 0
    assert Path("run/rait.jsonl").read_bytes() == Path("run/adapters/grait/rait.jsonl").read_bytes()
    assert Path("run/influence/scores.parquet").exists()


def test_a_comparison_is_read(before: dict[str, Any]) -> None:
    compared = {"out": "compare", "compare": {"methods": ["cor-rait", "grait"], "seeds": [0]}}
    found = grait.compare(grait.Config.model_validate(before | compared))
    assert {row.method for row in found.records} == {"init-basic", "init-refuse", "cor-rait", "grait"}


def test_an_evaluation_is_continued(before: dict[str, Any]) -> None:
    found = stages("eval")
    tree = {key: before[key] for key in ("model", "prompt", "evaluation")} | {"out": "eval"}
    tree["evaluation"] |= {"probes": False, "calibration": None}
    result = grait.evaluate(tree, adapter=Path("run/adapters/grait"))
    assert stages("eval") == found
    assert [row.method for row in result.metrics] == ["init-basic", "grait"]
