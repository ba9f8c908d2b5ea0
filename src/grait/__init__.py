"""Refusal-aware instruction tuning by gradient influence.

``grait.run(config)`` does what ``grait run`` does; ``grait.influence`` ranks training examples by influence.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grait.config import Config
    from grait.pipeline import RunResult

__all__ = ["run"]
__version__ = "0.1.0"


def run(config: "Config | dict[str, Any]") -> "RunResult":
    """Run, or continue, the pipeline. ``config``: a ``grait.config.Config``, or the same as a plain tree.

    Raises a ``grait.errors.GraitError`` with one line for what the user has to mend.
    """
    from grait.config import Config, parse_config
    from grait.pipeline import run as run_pipeline

    return run_pipeline(config if isinstance(config, Config) else parse_config(config))
