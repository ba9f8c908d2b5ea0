"""The examples that a run trained on, as text, and how it trained on them: the material of all formats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grait.config import LoraSection, OptimizerSection
from grait.model.prompts import Prompt
from grait.records import Label, Target

WeightsAre = Literal["carried", "left out", "resampled"]
"""``carried``: each row has its weight. ``left out``: rows are unweighted. ``resampled``: rows are repeated."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training example. ``kind``: a question, or an ordinary prompt of replay, which has no label and no target.

    ``target``: what is taught, the answer or the refusal; an unknown question may be there with both. ``messages``: as
    the chat template is given them, up to the question; solved examples, which are not trained on, may stand before it.
    ``answer``: what the assistant answers. ``prompt``, ``completion``: the same as text, up to the answer and from it
    on, without what a tokenizer puts around a text; in plain text the completion begins with a blank. ``begin``: text
    of the tokens that come before, often none; ``end``: of the token that ends the completion.
    """

    id: str
    label: Label | None
    target: Target | None
    messages: tuple[dict[str, str], ...]
    answer: str
    prompt: str
    completion: str
    begin: str
    end: str
    sample_weight: float
    kind: Literal["question", "replay"] = "question"

    @property
    def conversation(self) -> list[dict[str, str]]:
        return [*self.messages, {"role": "assistant", "content": self.answer}]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the run trained on the examples.

    ``model``: hub id or folder. ``is_chat``: rows are conversations, which the tool puts into the chat template; else
    they are text. ``n_chat_as_text``: rows of text that the run trained in the chat template, beside plain ones.
    ``begin``: text of the tokens that the tokenizer puts before a plain text; ``end``: of the token that ends a turn;
    ``eos``: of the token that ends all text. ``n_tokens``: of the longest example, all included. ``has_shots``: prompts
    hold answers that are not trained on, of solved examples or of earlier turns. ``template_arguments``: of the chat
    template, besides the messages.
    """

    model: str
    revision: str | None
    method: str
    dtype: str
    is_chat: bool
    n_chat_as_text: int
    begin: str
    end: str
    eos: str
    n_tokens: int
    has_shots: bool
    lora: LoraSection
    training: OptimizerSection
    seed: int
    trust_remote_code: bool
    template_arguments: Mapping[str, Any] = field(default_factory=dict)

    def around(self, prompt: Prompt) -> tuple[str, str]:
        """``begin`` and ``prompt`` of an example."""
        if self.is_chat or not prompt.is_chat:
            return "" if self.is_chat else self.begin, prompt.text
        text = prompt.text.removeprefix(self.begin)
        return prompt.text.removesuffix(text), text

    @property
    def settings(self) -> dict[str, Any]:
        """As JSON values, for scripts and for people."""
        return {
            "model": self.model,
            "revision": self.revision,
            "trust_remote_code": self.trust_remote_code,
            "dtype": self.dtype,
            "seed": self.seed,
            "lora": self.lora.model_dump(),
            "training": self.training.model_dump(include=set(OptimizerSection.model_fields)),
            **({"template_arguments": dict(self.template_arguments)} if self.template_arguments else {}),
        }


@dataclass(frozen=True, slots=True)
class Share:
    """The weights in the export.

    ``rows``: of each example. ``total_variation``: between the weights and what the rows stand for, each with its own
    weight where rows carry weights. ``unweighted``: the same for a trainer that takes every row as it comes.
    """

    weights_are: WeightsAre
    rows: tuple[int, ...]
    total_variation: float
    unweighted: float

    @property
    def n_rows(self) -> int:
        return sum(self.rows)

    @property
    def n_left_out(self) -> int:
        return self.rows.count(0)
