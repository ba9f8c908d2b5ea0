"""What was found out one by one, kept as it comes: after a kill only the rest is left to do."""

import json
import threading
from pathlib import Path
from typing import Any

from grait.runtime.files import written


class Journal:
    """Values by key in a file of JSON lines that only grows; for one process, from any of its threads. A line that a
    kill has torn is as if it had never been there."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._values: dict[str, Any] = {}
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            for line in content.splitlines():
                try:
                    row = json.loads(line)
                    self._values[row["key"]] = row["value"]
                except (ValueError, KeyError, TypeError):
                    continue
            if content and not content.endswith(b"\n"):
                with path.open("ab") as file:
                    file.write(b"\n")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def items(self) -> list[tuple[str, Any]]:
        """All that is kept, as it came."""
        return list(self._values.items())

    def forget(self, key: str) -> None:
        """As if it had never been found out, until it is put again."""
        del self._values[key]

    def put(self, key: str, value: Any) -> None:
        line = json.dumps({"key": key, "value": value}) + "\n"
        with self._lock, written(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            self._values[key] = value
