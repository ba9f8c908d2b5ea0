"""P(True) (arXiv 2207.05221): the model is shown a question with its own answer, and asked whether the answer is true.

The paper shows solved examples; here there are none, and the words are English whatever the question's language.
"""

import math
from collections.abc import Sequence

VERDICTS = ("True", "False")


def request(question: str, answer: str) -> str:
    """What the user says; the question, with its options, and the answer stand in it once each."""
    return f"Question: {question}\nProposed answer: {answer}\nIs the proposed answer true? Reply True or False."


def refusal_score(logprobs: Sequence[float]) -> float:
    """1 - P(True), in [0, 1], where the two verdicts share all. ``logprobs``: of both as replies, in their order."""
    of_true, of_false = logprobs
    difference = of_true - of_false
    return 1 / (1 + math.exp(difference)) if difference < 700 else 0.0
