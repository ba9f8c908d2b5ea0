"""``grait influence validate``: whether influence predicts what training does, by the linear datamodeling score."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from grait.commands.finished import run_tree
from grait.commands.recipe import load_config, run_config
from grait.config import Config, override, parse_config
from grait.errors import ConfigError
from grait.pipeline.begun import as_begun
from grait.pipeline.data import RunData
from grait.pipeline.knowledge import initial_knowledge
from grait.pipeline.models import Models
from grait.pipeline.own_words import known_at_best, own_words
from grait.pipeline.stages import Stages, keep_moment
from grait.pipeline.temperature import with_temperature
from grait.pipeline.training import warmup
from grait.pipeline.validation import Sizes, Validation, validation
from grait.runtime.artifacts import write_json
from grait.runtime.lock import locked


def validate(
    config: Config | dict[str, Any] | str | Path,
    *,
    subsets: int = 50,
    share: float = 0.5,
    candidates: int = 500,
    targets: int = 100,
    overrides: list[str] | None = None,
) -> Validation:
    """Train on ``subsets`` random parts of the unknown questions, and hold influence against what each training does.

    ``config``: the folder of a run, whose knowledge and warm-up are taken, or what ``run`` takes, which makes them. In
    each training are ``share`` of at most ``candidates`` unknown questions with their refusals, and as many answers of
    known ones, trained as ``training`` of the config says. Outcomes and influence are those of ``targets`` other
    questions of each label. For every score and outcome the rank correlation over subsets (LDS; Park et al. 2023) with
    the 95% interval of a bootstrap. All lies in ``validation`` in the run folder; each training has its own file there,
    so an interrupted call goes on. Raises a GraitError with one line.
    """
    sizes = Sizes(subsets, share, candidates, targets)
    for name, value in asdict(sizes).items():
        least = 3 if name == "subsets" else 1
        if isinstance(value, bool) or (name != "share" and (not isinstance(value, int) or value < least)):
            raise ConfigError(f"{name}: expected a whole number from {least}, found {value!r}")
    if not isinstance(share, float | int) or not 0 < share < 1:
        raise ConfigError(f"share: expected a number between 0 and 1, found {share!r}")
    data = RunData(as_begun(_config(config, overrides or [])))
    models = Models(data)
    with locked(data.folder), models.releasing_vllm():
        keep_moment(data)
        stages = Stages(data.folder)
        if not (data.folder / "config.json").exists():
            write_json(data.folder / "config.json", data.config.model_dump())
        data = with_temperature(data, models, stages)
        asked = initial_knowledge(data, models, stages)
        states = known_at_best(data, asked, own_words(data, models, stages, asked))
        return validation(data, models, stages, states, warmup(data, models, stages, states), sizes)


def _config(config: Any, overrides: list[str]) -> Config:
    """Of a run's folder that which it was begun with."""
    if isinstance(config, str | Path):
        folder = Path(config)
        if folder.is_dir():
            tree = override(run_tree(folder), [*overrides, f"out={folder}"])
            return parse_config(tree, str(folder))
        return load_config(folder, overrides)
    if overrides:
        raise ConfigError("overrides: go with a file or a run's folder; set the keys in the config itself")
    return run_config(config)
