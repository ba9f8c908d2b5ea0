"""What one system makes of a data set: greedy answers, free and without the refusal, judged, and how likely it was."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from grait.judging.judges import Judge, ToJudge
from grait.judging.outcomes import is_hedged, is_unparsable
from grait.languages import Language
from grait.model.answers import BothAnswers, ask_both_ways, choose_both_ways
from grait.model.engine import Advance, Engine
from grait.model.forms import Form
from grait.model.prompts import PromptFormat
from grait.records import Asked, Outcome, Prediction, Question
from grait.runtime import progress

Refusing = tuple[tuple[str, ...], Language]
"""``PromptConfig.refusing``."""


def predict(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    asked: Asked,
    judge: Judge,
    *,
    form: Form | None = None,
    terse: Form | None = None,
    max_new_tokens: int,
    advance: Advance,
    by_likelihood: bool = False,
) -> list[Prediction]:
    """One prediction for each question, in their order; questions may be none. ``by_likelihood``: those with options
    are answered by ``choose_both_ways``.

    Questions with the same shots are asked together, so that their common prefix runs once. ``advance`` is
    told answered questions. ``form``, ``terse``: as of ``ask_both_ways``. Rows without a verdict are among them
    (``with_verdict``).
    """
    if not questions:
        return []
    answers: dict[str, BothAnswers] = {}
    for part in prompts.asked_together(questions, asked, form):
        chosen = [question for question in part if by_likelihood and question.choices]
        written = [question for question in part if not (by_likelihood and question.choices)]
        both = choose_both_ways(engine, prompts, chosen, asked, form=form, advance=advance) if chosen else []
        if written:
            both += ask_both_ways(
                engine, prompts, written, asked, form=form, terse=terse, max_new_tokens=max_new_tokens, advance=advance
            )
        answers |= {question.id: own for question, own in zip([*chosen, *written], both, strict=True)}
    return judged(questions, [answers[question.id] for question in questions], judge, prompts.config.refusing)


def judged(
    questions: Sequence[Question], answers: Sequence[BothAnswers], judge: Judge, refusing: Refusing
) -> list[Prediction]:
    """What the answers to questions are worth. An outcome without a verdict is None, against its type."""
    pairs = list(zip(questions, answers, strict=True))
    free = [ToJudge(question, both.output) for question, both in pairs]
    verdicts = judge([*free, *(ToJudge(question, both.suppressed_output) for question, both in pairs)])
    return [
        Prediction(
            id=question.id,
            **asdict(both),
            outcome=cast(Outcome, outcome),
            suppressed_outcome=cast(Outcome, suppressed),
            is_unparsable=outcome == "wrong" and is_unparsable(both.output, question, *refusing),
            is_hedged=outcome not in ("refused", None) and is_hedged(both.output, question, *refusing),
        )
        for (question, both), outcome, suppressed in zip(
            pairs, verdicts[: len(pairs)], verdicts[len(pairs) :], strict=True
        )
    ]


def with_verdict(rows: Sequence[Prediction], title: str) -> tuple[list[Prediction], dict[str, Any]]:
    """The rows that were judged, and the note about the others, whose questions count for no system; says so."""
    kept = [row for row in rows if None not in (row.outcome, row.suppressed_outcome)]
    without = sorted({row.id for row in rows} - {row.id for row in kept})
    if not without:
        return kept, {}
    progress.note(f"{title}: {len(without)} questions without a verdict left out: {progress.first_few(without)}")
    return kept, {"without_verdict": without}
