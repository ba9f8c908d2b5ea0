"""One run at a time in a folder: the second is refused by name, and no dead run keeps anyone out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grait.errors import ArtifactError
from grait.runtime import lock
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


# -- signals, and other hosts ---------------------------------------------------------------------------------------

ELSEWHERE = """
import signal, socket, sys, time
from pathlib import Path
socket.gethostname = lambda: "pod-a"
from grait.runtime import lock
lock.HEARTBEAT = 0.05
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored in whatever nohup has started
if sys.argv[2] == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with lock.locked(Path(sys.argv[1])):
    print("held", flush=True)
    for _ in range(200):
        time.sleep(0.05)
        if sys.argv[2] == "ignores" and _ == 10:
            break
print("left", flush=True)
"""


def elsewhere(folder: Path, does: str = "works") -> "subprocess.Popen[str]":
    """A run on another host whose locks are not seen here: the file that is locked is another one."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", ELSEWHERE, str(folder), does], text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "held\n"
    (folder / lock.LOCK).unlink()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_run_takes_its_note_away_and_the_next_host_goes_on(tmp_path: Path, number: int) -> None:
    process = elsewhere(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number and out == ""
    assert err.strip() == f"ended by {signal.Signals(number).name}; the same command continues where it was"
    assert not (tmp_path / OWNER).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["host"] == socket.gethostname()


def test_a_signal_that_the_program_ignores_is_ignored(tmp_path: Path) -> None:
    process = elsewhere(tmp_path, "ignores")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "left\n")


def test_a_signal_that_comes_where_python_swallows_exceptions_ends_the_run_all_the_same(tmp_path: Path) -> None:
    """Seen of a SIGTERM that came into a ``__del__`` of the package regex: the run went on, deaf to every other one."""
    code = """
import os, signal, sys, time
from pathlib import Path
from grait.runtime.lock import locked

class Grave:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

with locked(Path(sys.argv[1])):
    Grave()
    time.sleep(20)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert not (tmp_path / lock.OWNER).exists() and ended.stderr.count("ended by SIGTERM") == 1


def test_signals_are_as_before_afterwards(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in lock.ENDS]
    with locked(tmp_path):
        assert [signal.getsignal(number) for number in lock.ENDS] != before
        with locked(tmp_path / "inner"):
            pass
    assert [signal.getsignal(number) for number in lock.ENDS] == before


def test_a_run_of_another_host_that_is_alive_is_waited_for_until_it_shows_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = elsewhere(tmp_path)
    try:
        said = r"a run of another host is at work in it \(process \d+ on pod-a"
        with pytest.raises(ArtifactError, match=said), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()


def test_a_killed_run_of_another_host_is_taken_over_once_it_is_surely_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = elsewhere(tmp_path)
    process.kill()
    process.communicate()
    monkeypatch.setattr(lock, "HEARTBEAT", 0.05)
    monkeypatch.setattr(lock, "GONE", 1.0)
    with locked(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["host"] == socket.gethostname()
    err = capsys.readouterr().err
    assert "its last run ended before it was finished (process" in err and "on pod-a" in err


@pytest.mark.parametrize("age", [181, 3600, 10**6])
def test_an_old_note_of_another_host_is_taken_over_at_once(tmp_path: Path, age: float) -> None:
    note_of(tmp_path, age)
    start = time.monotonic()
    with locked(tmp_path):
        pass
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("age", [0, 60, 170, -3600])
def test_a_young_note_of_another_host_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    """Also one from the future. Here its holder shows that it is alive as soon as somebody waits."""
    note = note_of(tmp_path, age)
    monkeypatch.setattr(time, "sleep", lambda _: os.utime(note))
    with pytest.raises(ArtifactError, match="is at work in it"), locked(tmp_path):
        pass
    assert json.loads(note.read_text())["host"] == "elsewhere"


def test_a_run_of_another_host_that_leaves_while_it_is_waited_for_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = note_of(tmp_path, 0)
    monkeypatch.setattr(time, "sleep", lambda _: note.unlink())
    with locked(tmp_path):
        assert json.loads(note.read_text())["host"] == socket.gethostname()


def test_a_run_whose_note_was_taken_over_ends_and_leaves_the_other_note(tmp_path: Path) -> None:
    process = elsewhere(tmp_path)
    note = note_of(tmp_path, 0)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "was taken over by another run (process 4 on elsewhere" in err
    assert json.loads(note.read_text())["host"] == "elsewhere"


def note_of(folder: Path, age: float) -> Path:
    """The note of a run of another host that was touched so many seconds ago."""
    note = {"pid": 4, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00", "heartbeat": 15.0}
    path = folder / OWNER
    path.with_suffix(".new").write_text(json.dumps(note))
    path.with_suffix(".new").replace(path)
    os.utime(path, (time.time() - age, time.time() - age))
    return path
