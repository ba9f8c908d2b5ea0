"""ConfTuner (arXiv 2508.18847): the model learns to state how sure it is, by the Brier score of its stated confidence.

The loss of an example is what the Brier score is expected to be when the confidence is drawn as the model says it: with
p_k the probability of confidence k / 9 among the ten, sum_k p_k (right - k / 9)^2. No confidence is a target, and no
other token is trained. The paper has 0 to 100 in answers that the model writes with their confidence; here it is one
digit, asked for beside the initial model's own answer, as P(True) is, so that answers stay what they were.
"""

import math
from collections.abc import Sequence

DIGITS = tuple("0123456789")
HIGHEST = len(DIGITS) - 1


def request(question: str, answer: str) -> str:
    """What the user says; the question, with its options, and the answer stand in it once each."""
    return (
        f"Question: {question}\nProposed answer: {answer}\n"
        f"How sure are you that the proposed answer is right? Reply with a digit from 0 (not at all) to {HIGHEST}."
    )


def costs(is_right: bool) -> tuple[float, ...]:
    """The Brier score of each digit, in [0, 1]."""
    return tuple((is_right - digit / HIGHEST) ** 2 for digit in range(len(DIGITS)))


def refusal_score(logprobs: Sequence[float]) -> float:
    """1 - the mean confidence, in [0, 1]. ``logprobs``: of the digits, which share all."""
    highest = max(logprobs)
    weights = [math.exp(value - highest) for value in logprobs]
    confidence = sum(digit * weight for digit, weight in enumerate(weights)) / sum(weights) / HIGHEST
    return min(max(1 - confidence, 0.0), 1.0)
