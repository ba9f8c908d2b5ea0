"""One run at a time in a folder: a lock that ends with its process, and beside it who holds it.

The lock is the operating system's (``filelock``), so that a killed process leaves none. What it does leave is the note
of who held it: of a process of this host that tells no one anything new; of another host it may still be at work where
hosts share the folder but not their locks. So the holder touches its note every ``HEARTBEAT`` seconds, and a note that
nobody has touched for ``GONE`` seconds is taken over. A holder that finds its note taken ends.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from grait.errors import ArtifactError
from grait.runtime import processes, progress
from grait.runtime.artifacts import write_json
from grait.runtime.files import written

LOCK, OWNER = ".lock", ".lock-owner.json"

HEARTBEAT = 15.0
"""Seconds between two touches of the note."""

GONE = 180.0
"""Seconds without a touch after which the holder is gone: a file server may show its clients what is a minute old."""

ENDS = (signal.SIGTERM, signal.SIGHUP)
"""What schedulers send, and terminals that are closed."""


@dataclass(frozen=True)
class Owner:
    """A process that holds the lock of a folder. ``since``: local time of its host, ISO 8601. ``heartbeat``: seconds
    between two touches of the note; 0 in those of earlier versions, which are never touched."""

    pid: int
    host: str
    since: str
    heartbeat: float = 0.0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other runs out of it. Of several processes of one run, the main one holds the lock.

    A signal that ends the process (``ENDS``) becomes SystemExit within, so that the note goes, too. Raises
    ArtifactError when another run is in it, also one of another host, which is waited for as long as it may be alive;
    and for an OSError within, as of a full disk.
    """
    if not processes.is_main():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        owner = _owner(folder)
        raise ArtifactError(
            f"{folder}: another run is at work in it ({owner or 'process unknown'}); wait for it, end it, or take "
            "another folder"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{folder}: cannot write the run folder: {reason}") from error
    try:
        before = _owner(folder)
        if before and before.host != socket.gethostname():
            _wait_until_gone(folder, before)
        if before:
            progress.note(f"{folder}: its last run ended before it was finished ({before}); this one goes on")
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        own = Owner(os.getpid(), socket.gethostname(), since, HEARTBEAT)
        with _ended_by_signals():
            try:
                with written(folder, "the run folder"):
                    write_json(folder / OWNER, asdict(own))
                with _touching(folder, own):
                    yield
            except OSError as error:
                where = error.filename or folder
                raise ArtifactError(f"{where}: cannot be read or written: {error.strerror or error}") from error
            finally:
                if _owner(folder) == own:
                    (folder / OWNER).unlink(missing_ok=True)
    finally:
        lock.release()


def _wait_until_gone(folder: Path, owner: Owner) -> None:
    """Return once the run of another host is gone. ArtifactError when it shows that it is not, or never could show it.
    The file server's clock is compared with itself: hosts' clocks differ."""
    waits = False
    first = touched = _touched(folder / OWNER)
    while owner.heartbeat and touched is not None and touched == first:
        os.utime(folder / LOCK)
        age = (folder / LOCK).stat().st_mtime - touched
        if age > GONE:
            return
        if not waits:
            progress.note(f"{folder}: a run of another host may be at work in it ({owner}): waiting for a sign of life")
        waits = True
        time.sleep(min(1.0, HEARTBEAT))
        touched = _touched(folder / OWNER)
    if owner.heartbeat and touched is None:
        return
    if owner.heartbeat:
        raise ArtifactError(
            f"{folder}: a run of another host is at work in it ({owner}); wait for it, end it, or take another folder"
        )
    raise ArtifactError(
        f"{folder}: a run of another host is, or was, at work in it ({owner}); make sure that it has ended, "
        f"then delete {folder / OWNER}"
    )


def _touched(path: Path) -> float | None:
    """When the note was touched, None when it is gone; opened first, which makes a file server's client look anew."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None


@contextmanager
def _touching(folder: Path, own: Owner) -> Iterator[None]:
    """Touches the note from another thread. When someone else has taken it over, this process is ended."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(HEARTBEAT):
            found = _owner(folder)
            if found not in (own, None) and not ended.is_set():
                progress.note(f"{folder}: was taken over by another run ({found}); this one ends")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            with suppress(OSError):  # a file server that is away for a moment
                os.utime(folder / OWNER)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SystemExit, which everything is tidied up after, where a signal would end the process at once.

    Signals that the program handles or ignores itself stay as they are. Where Python has to swallow the exception, as
    in a ``__del__`` that the signal came into, the signal comes again.
    """

    caught: list[int] = []
    swallowed = sys.unraisablehook

    def end(number: int, _: FrameType | None) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)  # one is enough: nothing is to end the tidying up
        caught[:] = [number]
        raise SystemExit(128 + number)

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if caught and ignored.exc_type is SystemExit:
            signal.signal(caught[0], end)
            threading.Timer(0.01, os.kill, (os.getpid(), caught[0])).start()  # here it would be swallowed as well
        else:
            swallowed(ignored)

    is_main_thread = threading.current_thread() is threading.main_thread()
    ours = [number for number in ENDS if is_main_thread and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = swallowed
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        for received in caught:
            progress.note(f"ended by {signal.Signals(received).name}; the same command continues where it was")


def _owner(folder: Path) -> Owner | None:
    """Who is noted; None where no one is, or no one can read it."""
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return Owner(int(found["pid"]), str(found["host"]), str(found["since"]), float(found.get("heartbeat", 0)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
