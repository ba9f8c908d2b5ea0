"""What a plan is made of; ``pipeline/work.py`` has what a stage declares."""

from dataclasses import dataclass, field

from grait.config import Config
from grait.pipeline.work import SetSize, StagePlan
from grait.plan.size import ModelSize


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one stage needs at once, by part."""

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """``size`` None: see ``size_unknown`` for why, and what to do. ``disk``: bytes in the run folder, by part."""

    config: Config
    size: ModelSize | None
    size_unknown: str
    sets: tuple[SetSize, ...]
    stages: tuple[StagePlan, ...]
    memory: tuple[Memory, ...] = ()
    disk: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
