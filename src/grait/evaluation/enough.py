"""Are questions and model good for a run? Warnings, one sentence each, and what to do; pure, no model."""

import math
from collections import Counter
from collections.abc import Sequence

from grait.errors import KnowledgeError
from grait.evaluation.expected import planned_outcomes, planned_ths, ths_half_width
from grait.evaluation.metrics import Shares
from grait.records import KnowledgeState, Question

FEW_QUESTIONS, FEW_OF_A_LABEL = 200, 30
SHORT_ANSWER = 10
"""Words of a reference answer that a model may still be expected to give word for word."""

FEW_TOO_LONG = 0.1
LITTLE_KNOWN = 0.05
ONE_KIND = 0.9

SEEN = (1.96 + 0.84) / 1.96
"""Half widths of an interval that a gain has, of which 4 in 5 runs see that it is above 0."""

STRONGER = "a form in which it answers better (such as prompt.forms: [examples]), easier questions, or a stronger model"


def check_both_sides(states: Sequence[KnowledgeState], threshold: float, judge: str = "matching") -> None:
    """Raise KnowledgeError when the model knows everything or nothing: there is then no boundary to learn. ``judge``:
    ``judge.by``, named as a likely cause where it is not the built-in one."""
    n_ik, n_idk = (sum(state.label == label for state in states) for label in ("ik", "idk"))
    if n_ik and n_idk:
        return
    found = f"of {len(states)} training questions the model knows {n_ik} and does not know {n_idk}"
    verdicts = f"The judge (judge.by = {judge}) may be the cause: look first whether it calls everything "
    wrong, right = (f"{verdicts}{same}. " if judge != "matching" else "" for same in ("wrong", "right"))
    if not n_ik:
        raise KnowledgeError(
            f"{found}: nothing to keep. {wrong}Take {STRONGER}, or lower knowledge.correctness_threshold (now "
            f"{threshold}) or knowledge.temperature"
        )
    raise KnowledgeError(
        f"{found}: nothing to refuse. {right}Add harder questions, or raise knowledge.correctness_threshold (now "
        f"{threshold})"
    )


def about_questions(questions: Sequence[Question]) -> list[str]:
    """Warnings that need no model: few training questions, or all of one kind."""
    warnings = []
    if len(questions) < FEW_QUESTIONS:
        warnings.append(
            f"{len(questions)} training questions are few: what comes out depends much on which ones they are; add "
            f"some, {FEW_QUESTIONS} at least"
        )
    if (kind := one_kind(questions)) is not None:
        warnings.append(
            f"the training questions are of one kind ({kind}): the model may learn to refuse the kind, or never to; "
            "test it on other kinds, too, or add some to the training questions"
        )
    return warnings


def one_kind(questions: Sequence[Question]) -> str | None:
    """The relation or topic of (nearly) all questions, or the three words that they begin with; None for several."""
    kinds = [row.relation or row.topic or " ".join(row.question.split()[:3]) + " ..." for row in questions]
    name, n = Counter(kinds).most_common(1)[0]
    return name if n > ONE_KIND * len(kinds) else None


def about_answers(title: str, questions: Sequence[Question], too_long: int, longest: int) -> list[str]:
    """A warning where most free-text answers are whole sentences. ``too_long``: how many of the questions have no
    answer of ``longest`` tokens (evaluation.max_new_tokens)."""
    free = [row for row in questions if not row.choices and row.answers]
    n_long = sum(min(len(answer.split()) for answer in row.answers) > SHORT_ANSWER for row in free)
    if too_long <= FEW_TOO_LONG * len(free) and n_long <= len(free) / 2:
        return []
    too_many = f"{too_long} have more than the {longest} tokens of evaluation.max_new_tokens, and cannot be given"
    of = f"{title}: of {len(free)} reference answers"
    if not n_long:
        return [f"{of} {too_many}: give short references, or raise it"]
    found = f"{of} {n_long} have more than {SHORT_ANSWER} words" + (f", {too_many}" if too_long else "")
    return [f"{found}; an answer is right that holds the reference word for word: give short references"]


def about_labels(n_ik: int, n_idk: int) -> list[str]:
    """Warnings where one of the labels is rare."""
    warnings = []
    if n_ik < FEW_OF_A_LABEL:
        warnings.append(
            f"only {n_ik} of {n_ik + n_idk} training questions count as known, which is little to learn from what to "
            f"go on answering: take more questions, {STRONGER}"
        )
    if n_idk < FEW_OF_A_LABEL:
        warnings.append(
            f"only {n_idk} of {n_ik + n_idk} training questions count as unknown, which is little to learn refusing "
            "from: take more questions, or harder ones"
        )
    return warnings


def about_test(title: str, initial: Shares) -> tuple[str, list[str]]:
    """What THS can be seen on a test set, in one sentence, and warnings. ``initial``: shares of the initial model."""
    outcomes, n, planned = planned_outcomes(initial), initial.n, planned_ths(initial)
    width = ths_half_width(outcomes, n)
    told = (
        f"{title}: the initial model answers {initial.pc:.1%} of {n} questions right, so a model that keeps all of "
        f"these and refuses the rest has THS {100 * initial.pc:.1f}, and more only by learning answers; the 95% "
        f"interval of THS will be about {100 * width:.1f} either way"
    )
    if initial.pc < LITTLE_KNOWN:
        return told, [f"{title}: with {initial.pc:.1%} right there is hardly an answer to keep: take {STRONGER}"]
    needed = SEEN * width
    if needed < planned:
        return told, []
    enough = 10 * math.ceil(n * (needed / planned) ** 2 / 10)
    return told, [
        f"{title}: {n} test questions are too few: even a usual gain (THS {100 * planned:.1f}) would not stand out "
        f"from chance; take at least {enough}"
    ]
