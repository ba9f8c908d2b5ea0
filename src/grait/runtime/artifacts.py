"""The run folder: what finished stages leave behind, so that nothing finished is lost or done twice.

Every stage has one folder. It is written under another name and renamed when it is complete, with a manifest of its
key (all that decides its content) and of its files; so a folder that exists is finished. Rows are parquet or JSON
lines, tensors safetensors; nothing is pickled.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from grait.errors import ArtifactError
from grait.runtime.files import replacing_file, replacing_folder

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

Row = TypeVar("Row")


def fingerprint(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, 64 hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its folder, and the key that decides its content."""

    folder: Path
    key: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Names the content of this stage in the keys of those that build on it."""
        return fingerprint(self.key)

    @classmethod
    def found(cls, folder: Path) -> "Stage":
        """The finished stage in a folder, with the key that it was written with. Raises as ``changes`` does."""
        stage = cls(folder, cls(folder, {})._manifest()["key"])
        stage.changes()
        return stage

    def changes(self) -> list[str] | None:
        """None when the stage is finished with this very key; else why it has to run, one reason each. Raises
        ArtifactError when the folder is damaged, foreign, or of another version."""
        if not self.folder.exists():
            return ["not run yet"]
        manifest = self._manifest()
        if manifest["key"] != self.key:
            return [*differences(manifest["key"], self.key)]
        for name, size in manifest["files"].items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                raise ArtifactError(
                    f"{path}: expected {size} bytes, found {'no file' if found is None else found}; "
                    f"delete {self.folder} to run this stage again"
                )
        return None

    def _manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        advice = f"if nothing in {self.folder} is needed, delete it to run this stage again"
        try:
            manifest = dict(json.loads(path.read_text(encoding="utf-8")))
            version = manifest["schema_version"]
        except FileNotFoundError as error:
            raise ArtifactError(f"{self.folder}: not a finished stage (no {MANIFEST}); {advice}") from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactError(f"{path}: not a readable manifest; {advice}") from error
        if version != SCHEMA_VERSION:
            raise ArtifactError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; {advice}")
        if not all(isinstance(manifest.get(name), dict) for name in ("key", "notes", "files")):
            raise ArtifactError(f"{path}: not a readable manifest; {advice}")
        return manifest

    def notes(self) -> dict[str, Any]:
        """The notes that were written with the finished stage."""
        return dict(self._manifest()["notes"])

    def files(self) -> dict[str, int]:
        """The finished stage's own files and their bytes; what is written beside them later is not among them."""
        return dict(self._manifest()["files"])

    def unfinished(self) -> Path:
        """Where a long stage keeps what it has done so far, to go on after a kill; gone when the stage is finished.
        Named by the stage's key, so that a stage with another key begins anew."""
        return self.folder.with_name(f".{self.folder.name}.{self.fingerprint[:16]}.unfinished")

    @contextmanager
    def writing(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yields a folder to write into, and notes to fill (time, what was left out). Both become the stage's when the
        block ends without an error."""
        notes: dict[str, Any] = {}
        with replacing_folder(self.folder) as partial:
            yield partial, notes
            files = {
                str(path.relative_to(partial)): path.stat().st_size
                for path in sorted(partial.rglob("*"))
                if path.is_file()
            }
            manifest = {"schema_version": SCHEMA_VERSION, "key": self.key, "notes": notes, "files": files}
            write_json(partial / MANIFEST, manifest)
        self.sweep()

    def sweep(self) -> None:
        """Delete what lies beside the finished stage: what it had kept, and what a kill at the very end left."""
        for name in ("*.unfinished", "partial", "replaced"):
            for leftover in self.folder.parent.glob(f".{self.folder.name}.{name}"):
                shutil.rmtree(leftover)


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Differences between two trees of settings, one phrase each: ``section.key: before -> now``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if key not in before or key not in now:
                yield f"{path}.{key}".lstrip(".") + (" is new" if key in now else " is gone")
            elif before[key] != now[key]:
                yield from differences(before[key], now[key], f"{path}.{key}".lstrip("."))
    elif isinstance(before, str) and isinstance(now, str) and len(before) == len(now) == 64:
        yield f"{path} changed"
    else:
        yield f"{path}: {before!r} -> {now!r}"


@contextmanager
def readable(told: str) -> Iterator[None]:
    """ArtifactError with these words for a file that is not there, or that holds something else."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(told) from error


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, all or nothing."""
    with replacing_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Sequence[Any]) -> None:
    """Write rows, dataclasses or plain values, as JSON lines, all or nothing."""
    with replacing_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row in rows:
            value = asdict(row) if is_dataclass(row) and not isinstance(row, type) else row
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write dataclass rows as parquet, all or nothing. Without any row there are no columns either."""
    with replacing_file(path) as partial:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), partial)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read parquet rows back into dataclasses. Raises ArtifactError when the columns are not those of ``kind``. The
    last ones may be absent where they have defaults: files of before they were kept."""
    expected = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    needed = required_columns(kind)
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(
            f"{path}: not a readable parquet file; delete its folder to run this stage again"
        ) from error
    if table.num_rows == 0 and not table.column_names:
        return []
    if table.column_names != expected[: max(table.num_columns, len(needed))]:
        raise ArtifactError(f"{path}: expected the columns {expected}, found {table.column_names}")
    return [kind(**row) for row in table.to_pylist()]


def required_columns(kind: type) -> list[str]:
    """The columns without defaults."""
    return [field.name for field in fields(kind) if field.default is MISSING]
