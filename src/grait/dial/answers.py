"""What the dial chooses between for one question: the tuned model's answers and its readiness to refuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grait.errors import DialError
from grait.model.engine import Advance, Engine, silent
from grait.model.prompts import PromptFormat
from grait.records import Outcome, Question


@dataclass(frozen=True, slots=True)
class BothAnswers:
    """A tuned model's answers to one question, asked with the REFUSE prompt.

    ``output``: the greedy answer, as without a dial. ``suppressed_output``: the greedy answer that may not begin with
    the refusal's first token; the same text where ``output`` does not begin with it.
    ``first_token_logprob``: log-probability (nats, at most 0) of the refusal's first token where the answer begins;
    ``refusal_logprob``: of the whole refusal text and its end token, summed.
    """

    output: str
    suppressed_output: str
    first_token_logprob: float
    refusal_logprob: float


@dataclass(frozen=True, slots=True)
class DialAnswers:
    """``BothAnswers`` of one question of a data set, judged."""

    id: str
    output: str
    outcome: Outcome
    suppressed_output: str
    suppressed_outcome: Outcome
    first_token_logprob: float
    refusal_logprob: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What a run's models make of one question: the initial model, asked as Init-Basic, and the tuned one."""

    question: str
    initial: str
    tuned: BothAnswers


def refusal_token_ids(prompts: PromptFormat, questions: Sequence[Question]) -> tuple[int, ...]:
    """The refusal text with its end token as it follows the questions' prompts. DialError if that is not one way."""
    ways = {
        prompts.completion(prompts.prompt(question, "refuse"), prompts.config.refusal).token_ids
        for question in questions
    }
    if len(ways) > 1:
        raise DialError(
            f"the tokenizer writes {prompts.config.refusal!r} in {len(ways)} ways, depending on the question before "
            "it; the dial needs one: use a model with a chat template"
        )
    return ways.pop()


def ask_both_ways(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    *,
    max_new_tokens: int,
    advance: Advance = silent,
) -> list[BothAnswers]:
    """Both answers to each question, in their order. ``advance`` is told answered questions."""
    asked = [prompts.prompt(question, "refuse") for question in questions]
    answers = engine.answers_both_ways(
        [prompt.token_ids for prompt in asked],
        [prompts.completion(prompt, prompts.config.refusal).token_ids for prompt in asked],
        max_new_tokens=max_new_tokens,
        end_token_ids=prompts.end_token_ids(asked[0].is_chat),
        advance=advance,
    )
    return [
        BothAnswers(prompts.decode(free), prompts.decode(suppressed), logprobs[0], sum(logprobs))
        for free, suppressed, logprobs in answers
    ]


def judged(
    question: Question,
    answers: BothAnswers,
    judge: Callable[[str, Question, tuple[str, ...]], Outcome],
    phrases: tuple[str, ...],
) -> DialAnswers:
    """Both answers with their outcomes. ``phrases``: what refuses, ``PromptConfig.all_refusal_phrases``."""
    return DialAnswers(
        id=question.id,
        output=answers.output,
        outcome=judge(answers.output, question, phrases),
        suppressed_output=answers.suppressed_output,
        suppressed_outcome=judge(answers.suppressed_output, question, phrases),
        first_token_logprob=answers.first_token_logprob,
        refusal_logprob=answers.refusal_logprob,
    )
