"""The config's section ``context``: what holds for questions that are asked with a text."""

from typing import Literal

from pydantic import Field

from grait.config.section import Section
from grait.records import ContextPolicy, Question


class ContextConfig(Section):
    """Questions that are asked with a text (docs/contexts.md). Without effect where no question has one."""

    policy: ContextPolicy = Field(
        "only",
        description="only: what the text does not hold is refused, also where the model knows it. help: refused is "
        "what neither the text holds nor the model knows.",
    )
    refusal: str = Field(
        "The text does not say.",
        min_length=1,
        description="With only: the refusal of what the text does not hold. All else is refused with prompt.refusal.",
    )
    too_long: Literal["stop", "cut"] = Field(
        "stop",
        description="Texts that leave no room for question and answer in what the model attends to: stop the run and "
        "name them, or cut them at the end, and look again whether they hold the answer.",
    )

    def refusal_of(self, question: Question, other: str) -> str:
        """The text that a question is refused with: the one of texts where only its text counts, else the other."""
        return self.refusal if question.context and self.policy == "only" else other
