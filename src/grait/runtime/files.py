"""Files and folders that are replaced whole or not at all, and the disk's errors in words."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from grait.errors import ArtifactError, ConfigError, described, reason


def as_path(value: Any, name: str) -> Path:
    """The path that an argument called ``name`` gives as text or path. ConfigError for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name}: expected a path, found {described(value)}; give it as text or as a pathlib.Path")
    return Path(value)


def beside(path: Path, kind: str) -> Path:
    """The hidden place beside ``path`` for what is being written, or about to be thrown away."""
    return path.with_name(f".{path.name}.{kind}")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which becomes ``path`` when the block ends without an error; else it is deleted."""
    partial = beside(path, "partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which becomes ``folder`` when the block ends without an error. After an error
    what was written is deleted, and ``folder`` is as it was; a kill leaves it until the next attempt."""
    partial, replaced = beside(folder, "partial"), beside(folder, "replaced")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            folder.rename(replaced)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def written(path: Path, what: str = "") -> Iterator[None]:
    """ArtifactError with one line where the disk, or a library that writes to it, refuses ``path``. ``what``: such as
    "the merged model", for "cannot write the merged model"."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise ArtifactError(f"{path}: cannot write{f' {what}' if what else ''}: {why}") from error
