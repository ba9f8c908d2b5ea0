"""What one system makes of a data set: greedy answers, free and without the refusal, judged, and how likely it was."""

from collections.abc import Sequence
from dataclasses import asdict

from grait.judging.outcomes import is_hedged, is_unparsable
from grait.languages import Language
from grait.methods.catalog import Judge
from grait.model.answers import BothAnswers, ask_both_ways, choose_both_ways
from grait.model.engine import Advance, Engine
from grait.model.forms import Form
from grait.model.prompts import PromptFormat
from grait.records import Asked, Prediction, Question

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
    told answered questions. ``form``, ``terse``: as of ``ask_both_ways``.
    """
    if not questions:
        return []
    refusing = prompts.config.refusing
    predictions: dict[str, Prediction] = {}
    for part in prompts.asked_together(questions, asked, form):
        chosen = [question for question in part if by_likelihood and question.choices]
        written = [question for question in part if not (by_likelihood and question.choices)]
        answers = []
        if chosen:
            answers += choose_both_ways(engine, prompts, chosen, asked, form=form, advance=advance)
        if written:
            answers += ask_both_ways(
                engine, prompts, written, asked, form=form, terse=terse, max_new_tokens=max_new_tokens, advance=advance
            )
        for question, both in zip([*chosen, *written], answers, strict=True):
            predictions[question.id] = judged(question, both, judge, refusing)
    return [predictions[question.id] for question in questions]


def judged(question: Question, both: BothAnswers, judge: Judge, refusing: Refusing) -> Prediction:
    """What the answers to a question are worth."""
    outcome = judge(both.output, question, *refusing)
    return Prediction(
        id=question.id,
        **asdict(both),
        outcome=outcome,
        suppressed_outcome=judge(both.suppressed_output, question, *refusing),
        is_unparsable=outcome == "wrong" and is_unparsable(both.output, question, *refusing),
        is_hedged=outcome != "refused" and is_hedged(both.output, question, *refusing),
    )
