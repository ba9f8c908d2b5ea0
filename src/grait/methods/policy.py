"""What a question with a text teaches: the label of each quadrant, by policy.

The quadrants: the model knows the answer (asked without the text) or not, and the text holds it or not.

| knows | holds | only | help |
| --- | --- | --- | --- |
| yes or no | yes | answer | answer |
| yes | no | refusal | answer |
| no | no | refusal | refusal |
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from grait.records import ContextPolicy, KnowledgeState, Label, Question

QUADRANTS = {
    (True, True): "known and in the text",
    (False, True): "unknown and in the text",
    (True, False): "known and not in the text",
    (False, False): "in neither",
}
"""In words, by whether the model knows the answer and whether the text holds it."""


def lesson(knows: bool, holds: bool, policy: ContextPolicy) -> Literal["answer", "refusal"]:
    """What the policy wants of a question with a text."""
    return "answer" if holds or (knows and policy == "help") else "refusal"


def labelled(
    states: Sequence[KnowledgeState], questions: Mapping[str, Question], policy: ContextPolicy
) -> list[KnowledgeState]:
    """The states with the label and correctness that the policy gives to questions with a text; the others as they are.

    A text that holds the answer makes it known (ik, correctness 1). One that does not makes it unknown where only the
    text counts (idk, correctness 0); with ``help`` it changes nothing. A question on the threshold of knowledge stays
    dropped only there.
    """
    return [_labelled(state, questions[state.id], policy) for state in states]


def _labelled(state: KnowledgeState, question: Question, policy: ContextPolicy) -> KnowledgeState:
    if not question.context or (policy == "help" and not question.holds_answer):
        return state
    label: Label = "ik" if question.holds_answer else "idk"
    return replace(state, label=label, correctness=float(label == "ik"))
