"""Greedy answers of one system to a data set, judged, and how likely a refusal was."""

from collections.abc import Callable, Sequence

from grait.judging.outcomes import is_hedged, is_unparsable
from grait.model.engine import Advance, Engine
from grait.model.prompts import PromptFormat
from grait.records import Asked, Outcome, Prediction, Question


def predict(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    asked: Asked,
    judge: Callable[[str, Question, tuple[str, ...]], Outcome],
    *,
    max_new_tokens: int,
    advance: Advance,
) -> list[Prediction]:
    """One prediction for each question, in their order; questions may be none.

    Questions with the same shots are asked together, so that their common prefix runs once. ``advance`` is
    told answered questions.
    """
    if not questions:
        return []
    outputs: dict[str, str] = {}
    refusal_logprobs: dict[str, float] = {}
    for part in prompts.asked_together(questions, asked):
        asked_prompts = [
            prompts.query(question) if asked == "query" else prompts.prompt(question, "refuse") for question in part
        ]
        answers = engine.answers_with_logprobs(
            [prompt.token_ids for prompt in asked_prompts],
            [prompts.completion(prompt, prompts.config.refusal).token_ids for prompt in asked_prompts],
            max_new_tokens=max_new_tokens,
            end_token_ids=prompts.end_token_ids(asked_prompts[0].is_chat),
            advance=advance,
        )
        for question, (tokens, logprobs) in zip(part, answers, strict=True):
            outputs[question.id] = prompts.decode(tokens)
            refusal_logprobs[question.id] = sum(logprobs)
    predictions = []
    for question in questions:
        output, phrases = outputs[question.id], prompts.config.all_refusal_phrases
        outcome = judge(output, question, phrases)
        predictions.append(
            Prediction(
                question.id,
                output,
                outcome,
                refusal_logprobs[question.id],
                is_unparsable=outcome == "wrong" and is_unparsable(output, question, phrases),
                is_hedged=outcome != "refused" and is_hedged(output, question, phrases),
            )
        )
    return predictions
