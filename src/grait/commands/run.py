"""``grait run``: one whole run."""

from typing import Any

from grait.config import Config, parse_config
from grait.pipeline.order import run as run_pipeline
from grait.pipeline.results import RunResult


def run(config: Config | dict[str, Any]) -> RunResult:
    """Run, or continue, the pipeline. ``config``: a ``Config``, or the same as a plain tree.

    Raises a GraitError with one line for what the user has to mend.
    """
    return run_pipeline(config if isinstance(config, Config) else parse_config(config))
