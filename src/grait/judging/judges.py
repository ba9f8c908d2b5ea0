"""What judges outputs: labels, evaluation, `grait rewrite` and `grait bench` all ask one ``Judge``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.outcomes import judge
from grait.languages import Language
from grait.records import Outcome, Question


@dataclass(frozen=True, slots=True)
class ToJudge:
    """One output of a model, and the question that it answers."""

    question: Question
    output: str


class Judge(Protocol):
    """Judges many outputs at once. The verdicts are in the order of ``outputs``; None: no verdict was to be had."""

    @property
    def name(self) -> str: ...

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]: ...


@dataclass(frozen=True, slots=True)
class Matching:
    """The built-in judge: refusals by their words, right answers by the references' words (``outcomes.judge``)."""

    phrases: tuple[str, ...] = REFUSAL_PHRASES
    language: Language = "en"
    name: str = "matching"

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        return [judge(row.output, row.question, self.phrases, self.language) for row in outputs]
