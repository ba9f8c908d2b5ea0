"""``grait run``: one whole run."""

from pathlib import Path
from typing import Any

from grait.commands.recipe import run_config
from grait.config import Config
from grait.pipeline.order import run as run_pipeline
from grait.pipeline.results import RunResult


def run(config: Config | dict[str, Any] | str | Path) -> RunResult:
    """Run, or continue, the pipeline: what it found, all of which is in the folder ``config.out``, too.

    ``config``: a ``Config``, the same as a plain tree, or a YAML file. What a tree or file leaves out is what the
    command takes without a config file (docs/defaults.md). Stages that are finished in the folder with the same
    settings are reused. Raises a GraitError with one line for what the user has to mend.
    """
    return run_pipeline(run_config(config))
