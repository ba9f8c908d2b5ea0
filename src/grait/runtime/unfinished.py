"""The state that long work keeps on disk until it is finished, so that a killed run goes on where it was."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from grait.errors import ArtifactError
from grait.runtime.artifacts import differences, write_json

SECONDS_BETWEEN_WRITES = 30.0
"""Most seconds of work that a kill costs, where a write is quick."""

SETTINGS = "settings.json"


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ArtifactError, naming what differs, when the folder was made with other settings."""
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder}: holds something else (it has no {SETTINGS}); name another folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not readable settings; delete {folder} to begin again") from error
    changed = list(differences(found, settings))
    if changed:
        raise ArtifactError(f"{folder}: made with other settings ({'; '.join(changed)}); delete it, or take another")


def open_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder for these settings, or make sure that it was made for them (``check_settings``)."""
    if (folder / SETTINGS).exists():
        check_settings(folder, settings)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, settings)


def digest_of_weights(model: nn.Module, is_trainable: bool) -> str:
    """SHA-256 of the trainable weights, or of a sample of the frozen ones, with their names, shapes and types."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad == is_trainable:
            values = parameter.detach().flatten()
            sampled = values if is_trainable else values[:: max(1, len(values) // 64)]
            digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            digest.update(sampled.double().cpu().numpy().tobytes())
    return digest.hexdigest()


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
