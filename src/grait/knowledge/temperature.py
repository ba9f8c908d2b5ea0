"""The sampling temperature at which a question counts as known where the model's greedy answer is right.

At a high temperature a small model rarely says its own best answer, and next to nothing counts as known; near 0 every
sample is the greedy answer, and correctness is 0 or 1, which says nothing of how sure the model is. So: the highest
temperature whose labels fit the greedy outcomes about as well as the best one's do.
"""

import math
from collections.abc import Sequence

from grait.config import KnowledgeConfig
from grait.judging.judges import Judge, Matching, ToJudge
from grait.knowledge.query import sample_answers
from grait.model.answers import Shown, greedy_answers
from grait.model.engine import Advance, Engine
from grait.model.prompts import PromptFormat
from grait.records import Outcome, Question, TemperatureTrial

TEMPERATURES = (0.3, 0.5, 0.7, 1.0)
SAMPLES = 5
"""Of each question at each temperature; odd, so that none lies on a threshold of one half."""

TOLERANCE = 0.15
"""Of F1. Near 0 the labels fit best by themselves; so far below, most of the known questions still count as known, and
less is chance with a hundred questions."""


def try_temperatures(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    answer_tokens: int,
    seed: int,
    advance: Advance,
    judge: Judge | None = None,
) -> list[TemperatureTrial]:
    """The greedy answer, of at most ``answer_tokens``, and ``SAMPLES`` at each temperature, of each question.
    ``judge``: None for the built-in one."""
    judge = judge or Matching(*prompts.config.refusing)
    outcomes: dict[str, Outcome | None] = {}
    for part in prompts.by_shots(questions):
        shown = [Shown(question.id, "query", prompts.query(question)) for question in part]
        answers = greedy_answers(engine, prompts, shown, answer_tokens)
        verdicts = judge([ToJudge(row, prompts.decode(answers[row.id])) for row in part])
        outcomes |= {row.id: verdict for row, verdict in zip(part, verdicts, strict=True)}
    correctness: dict[str, list[float]] = {question.id: [] for question in questions}
    for number, temperature in enumerate(TEMPERATURES, 1):
        tried = config.model_copy(update={"temperature": temperature, "n_samples": SAMPLES, "certainty": "agreement"})
        is_last = number == len(TEMPERATURES)
        states = sample_answers(
            engine, prompts, questions, tried, seed=seed, advance=advance if is_last else lambda _: None, judge=judge
        )
        for id_, state in states.items():
            correctness[id_].append(state.correctness)
    return [TemperatureTrial(row.id, outcomes[row.id], correctness[row.id]) for row in questions]


def known_f1(trials: Sequence[TemperatureTrial], threshold: float) -> list[float]:
    """F1 of "known", at each of ``TEMPERATURES``, in [0, 1]: of the label ``ik`` for a right greedy answer.

    2 both / (labelled known + answered right). Not a share of all questions that agree: known ones are few, and labels
    that call nothing known would agree with most outcomes. 0 where no question is both. Those count that have a verdict
    everywhere.
    """
    trials = [trial for trial in trials if trial.outcome is not None and not any(map(math.isnan, trial.correctness))]
    right = [trial.outcome == "correct" for trial in trials]
    found = []
    for place in range(len(TEMPERATURES)):
        known = [trial.correctness[place] > threshold for trial in trials]
        both = sum(is_known and is_right for is_known, is_right in zip(known, right, strict=True))
        found.append(2 * both / (sum(known) + sum(right)) if both else 0.0)
    return found


def best_temperature(f1: Sequence[float]) -> float:
    """The highest temperature within ``TOLERANCE`` of the best F1; the lowest of all where nothing fits anywhere."""
    if not max(f1):
        return min(TEMPERATURES)
    good = [at for at, value in zip(TEMPERATURES, f1, strict=True) if value >= max(f1) - TOLERANCE]
    return max(good)
