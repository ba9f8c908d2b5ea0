"""One run at a time in a folder: the second is refused by name, and no dead run keeps anyone out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from grait.errors import ArtifactError
from grait.runtime.lock import OWNER, locked

HOLD = """
import sys, time
from pathlib import Path
from grait.runtime.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_is_refused_with_who_is_there_and_a_killed_one_is_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with holder(folder) as process:
        try:
            with pytest.raises(ArtifactError) as caught, locked(folder):
                pass
            message = str(caught.value)
            assert "\n" not in message
            owner = rf"process {process.pid} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d"
            assert re.match(rf"{re.escape(str(folder))}: another run is at work in it \({owner}", message)
        finally:
            process.send_signal(signal.SIGKILL)
    assert (folder / OWNER).exists()
    with locked(folder):
        found = json.loads((folder / OWNER).read_text())
        assert (found["pid"], found["host"]) == (os.getpid(), socket.gethostname())
    err = capsys.readouterr().err
    assert f"its last run ended before it was finished (process {process.pid} on" in err and err.count("\n") == 1
    assert not (folder / OWNER).exists()


def test_a_lock_is_given_back_after_an_error_and_leaves_no_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError), locked(tmp_path):
            raise RuntimeError
    with locked(tmp_path):
        pass
    assert capsys.readouterr().err == ""


def test_two_in_one_process_exclude_each_other_and_other_folders_are_free(tmp_path: Path) -> None:
    with locked(tmp_path / "a"), locked(tmp_path / "a" / "seed-0"):
        with pytest.raises(ArtifactError, match=f"process {os.getpid()} on"), locked(tmp_path / "a"):
            pass
        with locked(tmp_path / "b"):
            pass


def test_a_lock_of_another_host_is_refused_with_what_to_do(tmp_path: Path) -> None:
    note = json.dumps({"pid": 4, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00"})
    (tmp_path / OWNER).write_text(note)
    with pytest.raises(ArtifactError) as caught, locked(tmp_path):
        pass
    assert f"({'process 4 on elsewhere, since 2026-01-01T00:00:00+00:00'})" in str(caught.value)
    assert f"then delete {tmp_path / OWNER}" in str(caught.value)
    assert (tmp_path / OWNER).read_text() == note
    (tmp_path / OWNER).unlink()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", "3", '{"pid": "x"}', '{"pid": 1}', "\x00", "[" * 100_000])
def test_an_unreadable_note_keeps_no_one_out(tmp_path: Path, note: str) -> None:
    (tmp_path / OWNER).write_text(note)
    with locked(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write the run folder: "), locked(tmp_path / "file" / "run"):
        pass
