"""A run folder goes on as it was begun, where a default has changed since and the config says nothing."""

import json
from pathlib import Path
from typing import Any

from grait.config import Config
from grait.runtime import progress

BEFORE_AUTO: dict[tuple[str, str], Any] = {("knowledge", "temperature"): 1.0, ("evaluation", "calibration"): None}
"""The defaults that ``auto`` took the place of."""


def as_begun(config: Config) -> Config:
    """The config with these earlier defaults where its folder was begun with them, and the user has set nothing else.
    Says what it keeps, and how to change it."""
    try:
        begun = json.loads((Path(config.out) / "config.json").read_text(encoding="utf-8"))
        found = {place: begun[place[0]].get(place[1], "auto") for place in BEFORE_AUTO}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return config  # no run yet, or none that can be read: its stages say for themselves what they are
    for (section, key), before in BEFORE_AUTO.items():
        own = getattr(config, section)
        if found[section, key] == before and key not in own.model_fields_set:
            config = config.model_copy(update={section: own.model_copy(update={key: before})})
            name = f"{section}.{key}"
            progress.note(f"{name}: {json.dumps(before)}, as this folder was begun; to change that: --set {name}=auto")
    return config
