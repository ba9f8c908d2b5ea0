"""What judges outputs: labels, evaluation, `grait rewrite` and `grait bench` all ask one ``Judge``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.outcomes import judge
from grait.judging.respond import without_announcement
from grait.judging.sureness import is_unsure, without_sureness
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


@dataclass(frozen=True, slots=True)
class BySureness:
    """For outputs that say whether the model is sure of them: unsure ones are refusals, of the others the text before
    that statement is judged (``judging.sureness``)."""

    judge: Judge

    @property
    def name(self) -> str:
        return self.judge.name

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        sure = [replace(row, output=without_sureness(row.output)) for row in outputs if not is_unsure(row.output)]
        verdicts = iter(self.judge(sure))
        return ["refused" if is_unsure(row.output) else next(verdicts) for row in outputs]


@dataclass(frozen=True, slots=True)
class Announced:
    """For outputs whose answers a word announces: what follows it is judged (``judging.respond``)."""

    judge: Judge

    @property
    def name(self) -> str:
        return self.judge.name

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        return self.judge([replace(row, output=without_announcement(row.output)) for row in outputs])
