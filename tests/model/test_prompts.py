"""Prompts and completions as tokens."""

from dataclasses import replace
from typing import Literal

import pytest
from tiny import tiny_tokenizer, tokenizer_that_begins_with_a_blank

from grait.config import PromptConfig
from grait.model.prompts import PromptFormat
from grait.records import Question

QUESTION = Question("q", "What is the capital of France?", ("Paris",))
SHOT = Question("s", "What is the capital of Italy?", ("Rome",))


def test_an_answer_in_plain_text_has_the_tokens_that_a_model_would_write() -> None:
    """Tokenised apart, " Paris" began with two blanks, which no model writes after "Answer:"."""
    tokenizer = tokenizer_that_begins_with_a_blank()
    prompts = PromptFormat(tokenizer, PromptConfig())
    prompt = prompts.prompt(QUESTION, "refuse")
    completion = prompts.completion(prompt, "Paris")
    together = tokenizer(prompt.text + " Paris")["input_ids"]
    assert [*prompt.token_ids, *completion.token_ids] == [*together, tokenizer.eos_token_id]
    apart = tokenizer(" Paris", add_special_tokens=False)["input_ids"]
    assert list(completion.token_ids[:-1]) != apart  # the control: this tokenizer does have the trait


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("answer", ["Paris", "I don't know.", "42"])
def test_prompt_and_completion_together_are_the_text(chat: bool, answer: str) -> None:
    tokenizer = tiny_tokenizer(chat=chat)
    prompts = PromptFormat(tokenizer, PromptConfig())
    prompt = prompts.prompt(QUESTION, "refuse")
    completion = prompts.completion(prompt, answer)
    assert prompt.is_chat == chat
    assert completion.token_ids[-1] in prompts.end_token_ids(chat)
    assert prompts.decode(list(completion.token_ids[:-1])) == answer
    assert tokenizer.decode([*prompt.token_ids, *completion.token_ids[:-1]]) == prompt.text + completion.text


def test_only_a_query_has_shots_and_only_refuse_allows_to_refuse() -> None:
    prompts = PromptFormat(tiny_tokenizer(chat=True), PromptConfig(), shots=(SHOT,))
    query, basic, refuse = (
        prompts.query(QUESTION),
        prompts.prompt(QUESTION, "basic"),
        prompts.prompt(QUESTION, "refuse"),
    )
    assert "Rome" in query.text and not query.is_chat
    assert "Rome" not in basic.text + refuse.text
    assert "I don't know." in refuse.text
    assert "I don't know" not in query.text + basic.text
    as_chat = PromptFormat(prompts.tokenizer, PromptConfig(shots_style="chat"), shots=(SHOT,)).query(QUESTION)
    assert as_chat.is_chat and "Rome" in as_chat.text


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_shots_in_all_prompts_are_those_of_the_query(style: Literal["plain", "chat"]) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    config = PromptConfig(shots_style=style, shots_in="all")
    prompts = PromptFormat(tokenizer, config, shots=(SHOT,))
    query, basic, refuse = (prompts.query(QUESTION), *(prompts.prompt(QUESTION, of) for of in ("basic", "refuse")))
    assert basic == query
    assert refuse.is_chat == query.is_chat == prompts.is_chat(QUESTION) == (style == "chat")
    invitation = " If you do not know the answer, reply only: I don't know."
    assert refuse.text.count(invitation) == 2  # in the shot, too, which answers
    assert refuse.text.replace(invitation, "") == query.text
    shown = [message["content"] for message in prompts.messages(QUESTION, "refuse")]
    assert all(text in refuse.text for text in shown) and any("Rome" in text for text in shown)
    without = PromptFormat(tokenizer, config)
    assert without.prompt(QUESTION, "refuse") == PromptFormat(tokenizer, PromptConfig()).prompt(QUESTION, "refuse")


def test_shots_in_all_prompts_follow_the_topic() -> None:
    art, own = Question("a", "Who painted Guernica?", ("Picasso",)), replace(QUESTION, topic="geography")
    prompts = PromptFormat(
        tiny_tokenizer(chat=True), PromptConfig(shots_in="all"), shots=(art,), topic_shots={"geography": (SHOT,)}
    )
    assert "Rome" in prompts.prompt(own, "refuse").text and "Picasso" not in prompts.prompt(own, "refuse").text
    assert "Picasso" in prompts.prompt(QUESTION, "refuse").text
