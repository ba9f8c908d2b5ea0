"""Whole runs that are killed three times; ``make faults`` kills them more often."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.faults import different


def test_a_changed_a_missing_and_an_additional_file_are_differences(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        for name in ("same", "deep/changed", "summary.json"):
            (tmp_path / folder / name).write_text("x" if name == "same" else folder)
    (tmp_path / "one" / "more").write_text("")
    (tmp_path / "other" / ".hidden").write_text("")
    assert different(tmp_path / "one", tmp_path / "other") == [".hidden", "deep/changed", "more"]


@pytest.mark.slow
def test_killed_runs_end_with_what_a_run_has_that_nobody_killed() -> None:
    script = Path(__file__).with_name("faults.py")
    done = subprocess.run(
        [sys.executable, script, "--kills", "3", "--seed", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills in" in done.stdout and " 0 files differ" in done.stdout
