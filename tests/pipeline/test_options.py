"""Options by likelihood: the answer is the most probable of the options and the refusal; nothing is written."""

import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
from tiny import tiny_model, tiny_tokenizer

from grait.config import KnowledgeConfig, PromptConfig
from grait.dial.threshold import refusal_score
from grait.judging.judges import Matching
from grait.knowledge.query import query
from grait.model.engine import Engine
from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.pipeline.predict import predict
from grait.records import Prediction, Question

COLOURS = Question("c", "Which colour has box 4?", ("green",), choices=("red", "green", "pale blue", "green"))
WRITTEN = Question("w", "Who wrote it?", ("Someone",))


class Scripted:
    """Gives the refusal and each option text a total log-probability, shared evenly by its tokens."""

    def __init__(self, refusal: float, of_option: dict[str, float], prompts: PromptFormat) -> None:
        self.refusal, self.of_option, self.prompts = refusal, of_option, prompts

    def completion_logprobs(
        self, prompts: Sequence[Any], completions: Sequence[Sequence[Sequence[int]]], **_: Any
    ) -> list[list[list[float]]]:
        found = []
        for refusal, *options in completions:
            texts = [self.prompts.tokenizer.decode(tokens).strip() for tokens in options]
            own = [[self.of_option[text]] * len(tokens) for text, tokens in zip(texts, options, strict=True)]
            found.append([[self.refusal / len(refusal)] * len(refusal), *own])
        return found


def chosen(refusal: float, of_option: dict[str, float]) -> Prediction:
    """``of_option``: the mean log-probability of a token of each."""
    prompts = PromptFormat(tiny_tokenizer(chat=True), PromptConfig(), answer_form="text")
    engine = cast(Engine, Scripted(refusal, of_option, prompts))
    (row,) = predict(
        engine, prompts, [COLOURS], "refuse", Matching(), max_new_tokens=8, advance=lambda _: None, by_likelihood=True
    )
    return row


@pytest.mark.parametrize(
    ("refusal", "output", "outcome"),
    [(0.1, "green", "correct"), (0.34, "green", "correct"), (0.36, "I don't know.", "refused")],
)
def test_the_most_probable_of_options_and_refusal_is_the_answer(refusal: float, output: str, outcome: str) -> None:
    """Green has five of nine shares of what the refusal leaves: 0.366 where that is 0.66, 0.355 where it is 0.64."""
    row = chosen(math.log(refusal), {"red": math.log(0.3), "green": math.log(0.5), "pale blue": math.log(0.1)})
    assert (row.output, row.outcome) == (output, outcome)
    assert (row.suppressed_output, row.suppressed_outcome) == ("green", "correct")
    assert math.exp(row.suppressed_logprob) == pytest.approx((1 - refusal) * 5 / 9)
    assert math.exp(row.refusal_logprob) == pytest.approx(refusal)
    assert not row.is_unparsable


def test_every_score_of_the_dial_refuses_more_where_the_refusal_is_more_probable() -> None:
    of_option = {"red": -1.0, "green": -0.5, "pale blue": -2.0}
    few, many = (chosen(math.log(share), of_option) for share in (0.2, 0.6))
    for score in ("first-token", "text", "answer", "answer-mean", "combined"):
        assert refusal_score(few, score) < refusal_score(many, score)  # type: ignore[arg-type]
    assert refusal_score(many, "text") > 0.5 > refusal_score(few, "text")


def test_a_refusal_that_is_certain_leaves_finite_numbers() -> None:
    row = chosen(0.0, {"red": -1.0, "green": -0.5, "pale blue": -2.0})
    assert row.output == "I don't know."
    assert math.isfinite(row.suppressed_logprob)


def test_the_initial_model_answers_what_its_knowledge_query_finds() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    prompts = PromptFormat(tokenizer, PromptConfig(), answer_form="text")
    engine = InferenceEngine(
        tiny_model(vocab_size=len(tokenizer), max_position_embeddings=320), int(tokenizer.eos_token_id)
    )
    words = ["red", "green", "pale blue", "yellow", "black"]
    asked = [
        Question(f"q{i}", f"Which colour has box {i}?", (words[i % 5],), choices=tuple(words[i % 5 :] + words[: i % 5]))
        for i in range(12)
    ]
    config = KnowledgeConfig(scoring="likelihood", temperature=1.0)
    states = query(engine, prompts, asked, config, seed=0, advance=lambda _: None)
    rows = predict(
        engine, prompts, [*asked[:6], WRITTEN, *asked[6:]], "query", Matching(), max_new_tokens=4,
        advance=lambda _: None, by_likelihood=True,
    )  # fmt: skip
    assert [row.id for row in rows] == [*(f"q{i}" for i in range(6)), "w", *(f"q{i}" for i in range(6, 12))]
    of_options = [row for row in rows if row.id != "w"]
    assert [row.output for row in of_options] == [state.answer for state in states]
    for row, question in zip(of_options, asked, strict=True):
        assert row.outcome == ("correct" if row.output == question.answers[0] else "wrong")
    assert rows[6].suppressed_output not in words  # written, as ever
