"""Predictions from a scripted engine: judged in the config's words, scored by the whole refusal, joined by id."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from tiny import tiny_tokenizer

from grait.config import PromptConfig
from grait.judging.judges import Matching
from grait.model.engine import BothWays
from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.pipeline.predict import predict
from grait.records import Prediction, Question

QUESTIONS = [Question(f"q{i}", "What is the capital of Italy?", ("Rome",)) for i in range(3)]
OUTPUTS = {"q0": "Rome", "q1": "Je ne sais pas.", "q2": "Paris"}


class Scripted:
    """Gives the answers above; every token of a completion after the i-th prompt costs i + 1 nats."""

    def __init__(self, prompts: PromptFormat) -> None:
        self.prompts = prompts
        self.scored: list[tuple[Sequence[int], list[str]]] = []

    def answers_both_ways(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], **_: Any
    ) -> list[BothWays]:
        for prompt, tokens in zip(prompts, completions, strict=True):
            self.scored.append((prompt, [self.prompts.tokenizer.decode(tokens)]))
        answers = self.prompts.tokenizer(list(OUTPUTS.values()), add_special_tokens=False)["input_ids"]
        instead = self.prompts.tokenizer("Oslo", add_special_tokens=False)["input_ids"]
        return [
            BothWays(answers[i], instead, [-(i + 1.0)] * len(tokens), [-0.5, -0.25])
            for i, tokens in enumerate(completions)
        ]


def predicted(config: PromptConfig, chat: bool = True) -> tuple[list[Prediction], Scripted, PromptFormat]:
    prompts = PromptFormat(tiny_tokenizer(chat=chat), config)
    engine = Scripted(prompts)
    rows = predict(
        cast(InferenceEngine, engine),
        prompts,
        QUESTIONS,
        "refuse",
        Matching(*config.refusing),
        max_new_tokens=8,
        advance=lambda _: None,
    )
    return rows, engine, prompts


def test_outputs_are_judged_by_the_phrases_of_the_config() -> None:
    """The refusals that the knowledge query counts are those that the evaluation counts."""
    plain, _, _ = predicted(PromptConfig())
    assert [row.outcome for row in plain] == ["correct", "wrong", "wrong"]
    french, _, _ = predicted(PromptConfig(refusal_phrases=["je ne sais pas"]))
    assert [row.outcome for row in french] == ["correct", "refused", "wrong"]
    assert [row.output for row in french] == list(OUTPUTS.values())


def test_the_score_is_the_sum_over_the_refusal_and_its_end_token() -> None:
    for chat in (True, False):
        rows, engine, prompts = predicted(PromptConfig(refusal="I am not sure."), chat)
        asked = [prompts.prompt(question, "refuse") for question in QUESTIONS]
        assert [prompt for prompt, _ in engine.scored] == [prompt.token_ids for prompt in asked]
        for _, (text,) in engine.scored:
            assert text.strip().startswith("I am not sure.")
            assert not text.endswith("sure.")  # the end token
        n = len(prompts.completion(asked[0], "I am not sure.").token_ids)
        assert [row.refusal_logprob for row in rows] == [-n, -2.0 * n, -3.0 * n]
        assert [row.refusal_log_odds for row in rows] == [0.75 - n, 0.75 - 2.0 * n, 0.75 - 3.0 * n]
        assert [row.first_token_log_odds for row in rows] == [-0.5, -1.5, -2.5]
        assert {(row.suppressed_output, row.suppressed_outcome) for row in rows} == {("Oslo", "wrong")}


def test_refused_then_answered_and_unparsable_outputs_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("Rome", "Paris", "Oslo", "Bonn")
    outputs = {"q0": "I don't know, but I think it is Rome.", "q1": "Perhaps a city", "q2": "I don't know."}
    monkeypatch.setitem(globals(), "OUTPUTS", outputs)
    monkeypatch.setitem(globals(), "QUESTIONS", [replace(row, choices=options) for row in QUESTIONS])
    rows, _, _ = predicted(PromptConfig())
    assert [row.outcome for row in rows] == ["correct", "wrong", "refused"]
    assert [row.is_hedged for row in rows] == [True, False, False]
    assert [row.is_unparsable for row in rows] == [False, True, False]
