"""A model's answers to questions, free and without the refusal, as text, and how likely the refusal was."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from scipy.special import log_softmax

from grait.model.engine import Advance, BothWays, Engine, silent
from grait.model.forms import Form
from grait.model.prompts import Prompt, PromptFormat
from grait.records import Asked, Likelihoods, Question


@dataclass(frozen=True, slots=True)
class BothAnswers(Likelihoods):
    """A model's answers to one question; fields as in ``records.Prediction``, not judged."""

    output: str
    suppressed_output: str
    refusal_logprob: float
    suppressed_logprob: float
    first_token_log_odds: float
    n_suppressed_tokens: int | None = None
    first_token_logprob: float | None = None
    terse_logprob: float | None = None


def ask_both_ways(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    asked: Asked = "refuse",
    *,
    form: Form | None = None,
    terse: Form | None = None,
    max_new_tokens: int,
    advance: Advance = silent,
) -> list[BothAnswers]:
    """Both answers to each question, in their order. ``advance`` is told answered questions. ``form``: of ``refuse``;
    None for the main one. ``terse``: in which they are asked again, None for not."""
    if terse is not None:
        again = ask_both_ways(engine, prompts, questions, "refuse", form=terse, max_new_tokens=max_new_tokens)
        first = ask_both_ways(
            engine, prompts, questions, asked, form=form, max_new_tokens=max_new_tokens, advance=advance
        )
        return [
            replace(both, terse_logprob=terse_both.suppressed_logprob)
            for both, terse_both in zip(first, again, strict=True)
        ]
    shown = [
        prompts.query(question) if asked == "query" else prompts.prompt(question, "refuse", form)
        for question in questions
    ]
    answered = engine.answers_both_ways(
        [prompt.token_ids for prompt in shown],
        [
            prompts.completion(prompt, prompts.refusal(question)).token_ids
            for prompt, question in zip(shown, questions, strict=True)
        ],
        max_new_tokens=max_new_tokens,
        end_token_ids=prompts.end_token_ids(shown[0].is_chat),
        advance=advance,
    )
    return [both_answers(prompts, both) for both in answered]


def choose_both_ways(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    asked: Asked = "refuse",
    *,
    form: Form | None = None,
    advance: Advance = silent,
) -> list[BothAnswers]:
    """The most probable of the options and the refusal, and the most probable option; nothing is generated.

    The refusal has the probability of its text. The options share the rest by the mean log-probability of a token of
    each one's text, as in the knowledge query by likelihood: so a short option is not probable for being short, nor a
    refusal for having tokens that follow from its first one. Log-probabilities are those of these shares; where a first
    token is asked for, those of the whole. Questions have options; of equal texts one counts.
    """
    shown = [
        prompts.query(question) if asked == "query" else prompts.prompt(question, "refuse", form)
        for question in questions
    ]
    texts = [list(dict.fromkeys(question.choices)) for question in questions]
    completions = [
        [
            prompts.completion(prompt, prompts.config.first_refusal).token_ids,
            *(prompts.completion(prompt, text).token_ids[:-1] for text in own),
        ]
        for prompt, own in zip(shown, texts, strict=True)
    ]
    scored = engine.completion_logprobs([prompt.token_ids for prompt in shown], completions, advance=advance)
    found = []
    for own_texts, (of_refusal, *of_options) in zip(texts, scored, strict=True):
        refusal = min(sum(of_refusal), 0.0)
        shares = log_softmax([sum(tokens) / len(tokens) for tokens in of_options])
        best = int(shares.argmax())
        option = math.log(max(-math.expm1(refusal), sys.float_info.min)) + float(shares[best])
        found.append(
            BothAnswers(
                output=prompts.config.first_refusal if refusal > option else own_texts[best],
                suppressed_output=own_texts[best],
                refusal_logprob=refusal,
                suppressed_logprob=option,
                first_token_log_odds=refusal - option,
                n_suppressed_tokens=1,
                first_token_logprob=refusal,
            )
        )
    return found


def both_answers(prompts: PromptFormat, both: BothWays) -> BothAnswers:
    """The same as text, where the completion was the refusal."""
    return BothAnswers(
        output=prompts.decode(both.answer),
        suppressed_output=prompts.decode(both.suppressed),
        refusal_logprob=sum(both.completion_logprobs),
        suppressed_logprob=sum(both.suppressed_logprobs),
        first_token_log_odds=both.completion_logprobs[0] - both.suppressed_logprobs[0],
        n_suppressed_tokens=len(both.suppressed_logprobs),
        first_token_logprob=both.completion_logprobs[0],
    )


@dataclass(frozen=True)
class Shown:
    """A prompt to be answered. ``form``: prompts of one form share a beginning."""

    id: str
    form: str
    prompt: Prompt


ShownT = TypeVar("ShownT", bound=Shown)


def by_form(rows: Sequence[ShownT]) -> list[list[ShownT]]:
    """The prompts of each form, whose beginning then runs once."""
    return [[row for row in rows if row.form == form] for form in dict.fromkeys(row.form for row in rows)]


def greedy_answers(
    engine: Engine, prompts: PromptFormat, asked: Sequence[Shown], max_new_tokens: int, advance: Advance = silent
) -> dict[str, list[int]]:
    """Tokens of the greedy answer to each prompt, by its id."""
    found: dict[str, list[int]] = {}
    for own in by_form(asked):
        answers = engine.generate(
            [row.prompt.token_ids for row in own],
            [row.id for row in own],
            n=1,
            temperature=0,
            max_new_tokens=max_new_tokens,
            end_token_ids=prompts.end_token_ids(own[0].prompt.is_chat),
            advance=advance,
        )
        found |= {row.id: tokens for row, (tokens,) in zip(own, answers, strict=True)}
    return found
