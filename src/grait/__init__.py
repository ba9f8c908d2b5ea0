"""Refusal-aware instruction tuning by gradient influence.

What the command line does, from Python: ``run``, ``check``, ``compare``, ``evaluate``, ``bench``, ``calibrate``,
``export``, ``merge``, ``push``, ``report``, ``rewrite``, ``show_data``. ``grait.influence`` ranks training examples by
influence; ``RefusalDial`` serves a tuned model.

Everything is imported when it is first used: ``import grait`` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grait import influence as influence
    from grait.commands.bench import bench as bench
    from grait.commands.calibrate import calibrate as calibrate
    from grait.commands.check import check as check
    from grait.commands.compare import compare as compare
    from grait.commands.evaluate import evaluate as evaluate
    from grait.commands.export import export as export
    from grait.commands.merge import merge as merge
    from grait.commands.push import push as push
    from grait.commands.recipe import load_config as load_config
    from grait.commands.report import report as report
    from grait.commands.rewrite import Rewritten as Rewritten
    from grait.commands.rewrite import rewrite as rewrite
    from grait.commands.run import run as run
    from grait.commands.show_data import show_data as show_data
    from grait.config import Config as Config
    from grait.dial import RefusalDial as RefusalDial
    from grait.errors import GraitError as GraitError
    from grait.pipeline.results import Comparison as Comparison
    from grait.pipeline.results import RunResult as RunResult

__version__ = "0.1.0"

_COMMANDS = (
    "bench",
    "calibrate",
    "check",
    "compare",
    "evaluate",
    "export",
    "merge",
    "push",
    "report",
    "rewrite",
    "run",
    "show_data",
)
_HOMES = {
    "Comparison": "grait.pipeline.results",
    "Config": "grait.config",
    "GraitError": "grait.errors",
    "RefusalDial": "grait.dial",
    "Rewritten": "grait.commands.rewrite",
    "RunResult": "grait.pipeline.results",
    "load_config": "grait.commands.recipe",
    **{name: f"grait.commands.{name}" for name in _COMMANDS},
}
"""The module of each public name."""

__all__ = sorted([*_HOMES, "influence"])


def __getattr__(name: str) -> Any:
    if name == "influence":
        return import_module("grait.influence")
    if name not in _HOMES:
        from difflib import get_close_matches

        close = get_close_matches(name, __all__, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(f"module 'grait' has no attribute {name!r}{hint}", name=name)  # else Python hints, too
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
