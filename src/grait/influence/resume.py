"""What unfinished passes leave on disk, so that a killed run goes on where it was."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from grait.artifacts import differences, write_json
from grait.errors import ArtifactError

SECONDS_BETWEEN_WRITES = 30.0
SETTINGS = "settings.json"


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ArtifactError, naming what differs, when the folder was made with other settings."""
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not readable settings; delete {folder} to begin again") from error
    changed = list(differences(found, settings))
    if changed:
        raise ArtifactError(f"{folder}: made with other settings ({'; '.join(changed)}); delete it, or take another")


@dataclass
class Clock:
    """Tells when it is some time since the last write."""

    seconds: float
    last: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """True once in so many seconds."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


@dataclass(frozen=True)
class SavedPasses:
    """A folder with the state of passes: tensors by pass name, each file replaced as a whole."""

    folder: Path
    clock: Clock

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> "SavedPasses":
        """The folder of an interrupted call with these settings, or a new one."""
        if (folder / SETTINGS).exists():
            check_settings(folder, settings)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / SETTINGS, settings)
        return cls(folder, Clock(SECONDS_BETWEEN_WRITES))

    def load(self, name: str) -> dict[str, Tensor] | None:
        """The state that was kept last, or None."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return None
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise ArtifactError(f"{path}: not readable; delete {self.folder} to begin again") from error

    def keep(self, name: str, state: dict[str, Tensor]) -> None:
        """Write the state, if it is some time since the last write."""
        if self.clock.is_due():
            self.write(name, state)

    def write(self, name: str, state: dict[str, Tensor]) -> None:
        """Write the state now, all or nothing."""
        path = self.folder / f"{name}.safetensors"
        partial = path.with_name(f".{path.name}.partial")
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, partial)
        partial.replace(path)
