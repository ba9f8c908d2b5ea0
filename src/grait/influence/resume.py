"""The state of unfinished passes on disk, so that a killed run goes on where it was."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from grait.errors import ArtifactError
from grait.runtime.files import replacing_file, written
from grait.runtime.unfinished import SECONDS_BETWEEN_WRITES, Clock, open_folder


@dataclass(frozen=True)
class SavedPasses:
    """A folder with the state of passes: tensors by pass name, each file replaced as a whole."""

    folder: Path
    clock: Clock

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> "SavedPasses":
        """The folder of an interrupted call with these settings, or a new one."""
        open_folder(folder, settings)
        return cls(folder, Clock(SECONDS_BETWEEN_WRITES))

    def load(self, name: str) -> dict[str, Tensor] | None:
        """The state that was kept last, or None."""
        return load(self.folder, name)

    def keep(self, name: str, state: dict[str, Tensor]) -> None:
        """Write the state, if it is some time since the last write."""
        if self.clock.is_due():
            self.write(name, state)

    def write(self, name: str, state: dict[str, Tensor]) -> None:
        """Write the state now, all or nothing."""
        path = self.folder / f"{name}.safetensors"
        with written(path), replacing_file(path) as partial:
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, partial)


def load(folder: Path, name: str) -> dict[str, Tensor] | None:
    """The state of this name in the folder of ``SavedPasses``, or None."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        return None
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not readable; delete {folder} to begin again") from error
