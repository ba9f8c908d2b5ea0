"""Several processes do what one does: the same knowledge, influence, selection, training and answers (gloo, CPU)."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known

from grait import processes
from grait.artifacts import read_rows
from grait.records import InfluenceScore, KnowledgeState, Prediction


def launch(n: int, tree: dict[str, Any], *, config: Path) -> "subprocess.Popen[str]":
    """``grait run`` in ``n`` processes; 0: without a launcher."""
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    start = [] if n == 0 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    return subprocess.Popen(
        [sys.executable, *start, "-m", "grait", "run", str(config)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Run:
    folder: Path
    out: str
    err: str

    def rows(self, path: str, kind: type) -> list[Any]:
        return read_rows(self.folder / path, kind)


def finished(n: int, tree: dict[str, Any], folder: Path) -> Run:
    process = launch(n, tree | {"out": str(folder)}, config=folder.with_suffix(".yaml"))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return Run(folder, out, err)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Files, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder, n_train=19, n_test=5)  # 19 and 5 leave a rest with 2 and with 3
    tree = tiny_tree(model, files, folder / "run")
    tree["training"] |= {"epochs": 2, "batch_size": 6, "micro_batch_size": 1}
    tree["warmup"] |= {"batch_size": 6, "micro_batch_size": 1}
    return folder, files, tree


@pytest.fixture(scope="module")
def runs(tiny: tuple[Path, Files, dict[str, Any]]) -> Iterator[dict[int, Run]]:
    folder, _, tree = tiny
    yield {n: finished(n, tree, folder / f"processes-{n}") for n in (0, 2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_every_stage_is_that_of_one_process(runs: dict[int, Run], n: int) -> None:
    one, many = runs[0], runs[n]
    for path, kind in (("knowledge/knowledge.parquet", KnowledgeState), ("rait.jsonl", None)):
        if kind:
            assert many.rows(path, kind) == one.rows(path, kind)
    scores = [run.rows("influence/exact/influence.parquet", InfluenceScore) for run in (one, many)]
    for expected, found in zip(*scores, strict=True):
        assert (found.id, found.label) == (expected.id, expected.label)
        for name in ("refusal_influence", "over_refusal_influence", "retention_influence"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-4)
    selections = [
        [json.loads(line) for line in (run.folder / "rait.jsonl").read_text().splitlines()] for run in (one, many)
    ]
    for expected, found in zip(*selections, strict=True):
        assert found.pop("sample_weight") == pytest.approx(expected.pop("sample_weight"), abs=1e-4)
        assert found == expected
    for adapter in ("warmup", "adapters/grait", "adapters/cor-rait"):
        losses = [json.loads((run.folder / adapter / "losses.json").read_text()) for run in (one, many)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-3)
        weights = [load_file(run.folder / adapter / "adapter_model.safetensors") for run in (one, many)]
        for name, expected in weights[0].items():
            assert float((weights[1][name] - expected).abs().max()) < 1e-3
    for system in ("init-basic", "grait"):
        path = f"evaluation/own/{system}/predictions.parquet"
        expected_rows, found_rows = one.rows(path, Prediction), many.rows(path, Prediction)
        assert [(row.id, row.outcome) for row in found_rows] == [(row.id, row.outcome) for row in expected_rows]
    assert many.out.replace(str(many.folder), "") == one.out.replace(str(one.folder), "")  # the table, once


@pytest.mark.slow
def test_the_sketch_of_two_processes_is_that_of_one(
    tiny: tuple[Path, Files, dict[str, Any]], runs: dict[int, Run]
) -> None:
    folder, _, tree = tiny
    tree = copy.deepcopy(tree) | {"influence": {"mode": "sketch", "dimensions": 256}}
    found = [finished(n, tree, folder / f"sketch-{n}") for n in (0, 2)]
    scores = [run.rows("influence/sketch/influence.parquet", InfluenceScore) for run in found]
    for expected, other in zip(*scores, strict=True):
        assert other.stable_influence == pytest.approx(expected.stable_influence, abs=1e-4)


@pytest.mark.slow
def test_a_process_that_dies_stops_the_others_and_the_run_goes_on_later(
    tiny: tuple[Path, Files, dict[str, Any]], runs: dict[int, Run]
) -> None:
    folder, _, tree = tiny
    tree = tree | {"out": str(folder / "killed")}
    process = launch(2, tree, config=folder / "killed.yaml")
    deadline = time.monotonic() + 120
    while not (folder / "killed" / "knowledge").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(listed.stdout.split()[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "SIGKILL" in err or "Signal 9" in err
    again = finished(2, tree, folder / "killed")
    assert again.err.count("finished before, reused") >= 1
    assert again.out.replace(str(again.folder), "") == runs[2].out.replace(str(runs[2].folder), "")


def test_alone_a_process_does_everything() -> None:
    assert (processes.count(), processes.rank(), processes.is_main()) == (1, 0, True)
    assert processes.own("abc") == ["a", "b", "c"]
    assert processes.gathered([1, 2]) == [1, 2]
    assert processes.from_main("x") == "x"
