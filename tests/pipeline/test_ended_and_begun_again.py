"""``grait run`` as a scheduler treats it: ended in the middle of every kind of stage, begun again on another host."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known, write_jsonl

from grait.runtime import lock
from grait.runtime.artifacts import MANIFEST

HOST = "import os, socket\nif name := os.environ.get('HOST_OF_TEST'):\n    socket.gethostname = lambda: name\n"
LATEST = 600.0
"""Seconds that a start has until its next stage."""


def every_stage(folder: Path) -> dict[str, Any]:
    """A run that has every kind of stage: temperature, forms, replay, dials, side effects."""
    model = save_tiny(folder / "model", positions=1500)
    files = write_half_known(model, folder / "q")
    nobody = [{"id": f"n{i}", "question": f"Who wins cup {i}?", "answerable": False} for i in range(3)]
    rows = [json.loads(line) for line in Path(files.test).read_text(encoding="utf-8").splitlines()]
    test = write_jsonl(folder / "q" / "tests.jsonl", [*rows[:4], *nobody])
    calibration = write_jsonl(folder / "q" / "calibration.jsonl", rows[4:])
    tree = tiny_tree(model, Files(files.train, test), folder / "run")
    tree["training"]["methods"] = ["grait", "craft"]
    tree["knowledge"] |= {"temperature": "auto", "correctness_threshold": 0.1}
    tree["prompt"]["forms"] = ["examples", "question"]
    tree["replay"] = {"path": "builtin", "n": 6, "given_texts": 2, "unanswerable": 3, "max_new_tokens": 4}
    tree["evaluation"] |= {"probes": True, "max_probes": 2, "calibration": {"path": calibration}}
    return tree


def start(tree: dict[str, Any], folder: Path, host: str) -> subprocess.Popen[str]:
    config = folder / "config.yaml"
    config.write_text(json.dumps(tree), encoding="utf-8")
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(HOST, encoding="utf-8")
    path = os.pathsep.join(part for part in (str(folder / "site"), os.environ.get("PYTHONPATH")) if part)
    return subprocess.Popen(
        [sys.executable, "-m", "grait", "run", str(config)],
        env=os.environ | {"PYTHONPATH": path, "HOST_OF_TEST": host, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(run: Path) -> set[str]:
    return {str(path.parent.relative_to(run)) for path in run.rglob(MANIFEST) if ".partial" not in str(path)}


def kinds(stages: set[str]) -> set[str]:
    """``evaluation`` of ``evaluation/own/grait``."""
    return {stage.split("/")[0] for stage in stages}


def begun(run: Path) -> set[str]:
    """Stages that are being written; what vanishes meanwhile is none."""
    found = set()
    for folder, names, _ in os.walk(run):
        within = Path(folder).relative_to(run)
        found |= {str(within / name[1:-8]) for name in names if name.startswith(".") and name.endswith(".partial")}
    return {name for name in found if ".partial" not in name}


@pytest.mark.slow
def test_sigterm_in_the_middle_of_each_stage_then_the_same_command_elsewhere(tmp_path: Path) -> None:
    tree = every_stage(tmp_path)
    whole = start(tree | {"out": str(tmp_path / "whole")}, tmp_path, "whole")
    _, said = whole.communicate()
    assert whole.returncode == 0, said
    run = tmp_path / "run"
    met: set[str] = set()
    for number in range(200):
        with start(tree, tmp_path, f"pod-{number}") as process:
            latest = time.monotonic() + LATEST
            while process.poll() is None and kinds(met_now := begun(run)) <= met and time.monotonic() < latest:
                time.sleep(0.001)
            is_ended = process.poll() is None
            if is_ended:
                process.send_signal(signal.SIGTERM)
            _, said = process.communicate()
        if (code := process.returncode) == 0 and not is_ended:
            break
        assert code == 128 + signal.SIGTERM, said
        assert not (run / lock.OWNER).exists() and not begun(run)
        met |= kinds(met_now - finished(run))
    assert finished(run) == finished(tmp_path / "whole")
    assert kinds(finished(run)) <= met and len(met) > 12
    for name in ("metrics.json", "unanswerable.json", "side_effects.json", "rait.jsonl"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    for method in ("grait", "craft"):
        one, other = (
            folder / "adapters" / method / "adapter_model.safetensors" for folder in (run, tmp_path / "whole")
        )
        assert one.read_bytes() == other.read_bytes()
