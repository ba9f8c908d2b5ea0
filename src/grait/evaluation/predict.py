"""Greedy answers of one system to a data set, judged."""

from collections.abc import Callable, Sequence

from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.records import Asked, Outcome, Prediction, Question


def predict(
    engine: InferenceEngine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    asked: Asked,
    judge: Callable[[str, Question], Outcome],
    *,
    max_new_tokens: int,
    advance: Callable[[int], None],
) -> list[Prediction]:
    """One prediction for each question, in their order."""
    asked_prompts = [
        prompts.query(question) if asked == "query" else prompts.prompt(question, "refuse") for question in questions
    ]
    answers = engine.generate(
        [prompt.token_ids for prompt in asked_prompts],
        [question.id for question in questions],
        n=1,
        temperature=0,
        max_new_tokens=max_new_tokens,
        end_token_ids=prompts.end_token_ids(asked_prompts[0].is_chat),
        advance=advance,
    )
    predictions = []
    for question, (tokens,) in zip(questions, answers, strict=True):
        output = prompts.decode(tokens)
        predictions.append(Prediction(question.id, output, judge(output, question)))
    return predictions
