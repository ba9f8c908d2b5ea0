"""Files and folders that are replaced whole or not at all, and the disk's errors in words."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from grait.errors import ArtifactError


def beside(path: Path, kind: str) -> Path:
    """The hidden place beside ``path`` for what is being written, or about to be thrown away."""
    return path.with_name(f".{path.name}.{kind}")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which becomes ``path`` when the block ends without an error."""
    partial = beside(path, "partial")
    yield partial
    partial.replace(path)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which becomes ``folder`` when the block ends without an error.

    What a block that failed has written stays beside until the next attempt; ``folder`` is as it was.
    """
    partial, replaced = beside(folder, "partial"), beside(folder, "replaced")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    partial.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def written(path: Path, what: str = "") -> Iterator[None]:
    """ArtifactError with one line where the disk, or a library that writes to it, refuses ``path``.

    ``what``: such as "the merged model", for "cannot write the merged model".
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{path}: cannot write{f' {what}' if what else ''}: {reason}") from error
