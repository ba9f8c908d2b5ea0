"""One run at a time in a folder: a lock that ends with its process, and beside it who holds it.

The lock is the operating system's (``filelock``), so that a killed process leaves none. What it does leave is the note
of who held it: of a process of this host that tells no one anything new; of another host it may still be at work where
hosts share the folder but not their locks, so that its lock counts until someone says otherwise.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from grait.errors import ArtifactError
from grait.runtime import processes, progress
from grait.runtime.artifacts import write_json
from grait.runtime.files import written

LOCK, OWNER = ".lock", ".lock-owner.json"


@dataclass(frozen=True)
class Owner:
    """A process that holds the lock of a folder. ``since``: local time of its host, ISO 8601."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other runs out of it. Of several processes of one run, the main one holds the lock.

    Raises ArtifactError when another run is in it, or when one of another host did not say that it has left; and for
    an OSError within, as of a full disk.
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
            raise ArtifactError(
                f"{folder}: a run of another host is, or was, at work in it ({before}); make sure that it has ended, "
                f"then delete {folder / OWNER}"
            )
        if before:
            progress.note(f"{folder}: its last run ended before it was finished ({before}); this one goes on")
        own = Owner(os.getpid(), socket.gethostname(), datetime.now().astimezone().isoformat(timespec="seconds"))
        with written(folder, "the run folder"):
            write_json(folder / OWNER, asdict(own))
        try:
            yield
        except OSError as error:
            where = error.filename or folder
            raise ArtifactError(f"{where}: cannot be read or written: {error.strerror or error}") from error
        finally:
            (folder / OWNER).unlink(missing_ok=True)
    finally:
        lock.release()


def _owner(folder: Path) -> Owner | None:
    """Who is noted; None where no one is, or no one can read it."""
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return Owner(int(found["pid"]), str(found["host"]), str(found["since"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
