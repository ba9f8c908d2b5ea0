"""``grait serve`` on our own engine: what clients get is what the dial decides locally, whatever else happens."""

import copy
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx
import openai
import pytest
from conftest import Call
from openai.types import completion_create_params
from served import (
    QUESTIONS,
    REFUSAL,
    chat,
    complete,
    dial_that_asks_twice,
    events,
    form_of,
    quick,
    save_forms,
    serving,
    with_dials,
    with_forms,
)
from tiny_folder import MAX_NEW_TOKENS, POSITIONS

from grait.chat.reply import dialled
from grait.commands.finished import LiveRun, live
from grait.dial.threshold import gated_score, refusal_score
from grait.model.answers import BothAnswers
from grait.model.prompts import PromptFormat
from grait.records import Question
from grait.serving.app import SHORT, Service
from grait.serving.asked import Reader
from grait.serving.faults import RequestFault
from grait.serving.jobs import Batches, Job


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_forms(finished, tmp_path_factory.mktemp("served") / "run")
    with_dials(folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[LiveRun]:
    with live(run) as running:
        yield running


@pytest.fixture(scope="module")
def url(model: LiveRun) -> Iterator[str]:
    with serving(model) as (address, _):
        yield address


def locally(model: LiveRun, question: str, name: str) -> BothAnswers:
    """As ``grait chat`` has it: the tuned model's answers to one question in a form."""
    assert model.dials is not None
    prompt = model.data.prompts.prompt(Question("", question, ("",)), "refuse", form_of(model, name))
    return model.decided(prompt.token_ids, question, model.dials.forms[name], MAX_NEW_TOKENS)


# -- the dial ---------------------------------------------------------------------------------------------------------


def test_a_threshold_needs_a_dial_unless_it_refuses_nothing(model: LiveRun) -> None:
    for threshold, fits in {None: True, 0.3: False, 1.0: True}.items():
        with nullcontext() if fits else pytest.raises(RequestFault, match="no refusal dial"):
            Reader(replace(model, dials=None), None, threshold, 100)
        Reader(model, None, threshold, 100)


@pytest.mark.parametrize("form", ["question", "instruction", "examples"])
def test_many_clients_at_once_get_what_the_dial_decides(model: LiveRun, url: str, form: str) -> None:
    """At thresholds on both sides of every score; so batches, their order and their size change nothing."""
    assert model.dials is not None
    dial = model.dials.forms[form]
    local = {question: locally(model, question, form) for question in QUESTIONS}
    scores = sorted(refusal_score(both, dial.score) for both in local.values())
    middle = (scores[11] + scores[12]) / 2
    asked = [(question, threshold) for question in QUESTIONS for threshold in (0.0, middle, 1.0)]

    def ask(question: str, threshold: float) -> dict[str, Any]:
        wish = {"form": form, "threshold": threshold}
        return dict(chat(url, question, grait=wish, max_tokens=MAX_NEW_TOKENS).raise_for_status().json())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, *zip(*asked, strict=True)))
    for (question, threshold), reply in zip(asked, found, strict=True):
        shown = dialled(local[question], REFUSAL, dial.score, threshold, None)
        assert reply["choices"][0]["message"]["content"] == shown.answer
        assert reply["grait"]["score"] == pytest.approx(shown.score, abs=1e-5)
        assert reply["grait"]["threshold"] == threshold and reply["grait"]["form"] == form
    refused = [reply["grait"]["refused"] for reply in found]
    assert refused[0::3] == [True] * 24 and sum(refused[1::3]) == 12 and not any(refused[2::3])


def test_neither_limit_nor_stop_text_nor_stream_changes_who_is_refused(url: str) -> None:
    for question in QUESTIONS[:6]:
        whole = chat(url, question, max_tokens=20).json()
        text = whole["choices"][0]["message"]["content"]
        for fields in (
            {"max_tokens": 1},
            {"max_tokens": None, "max_completion_tokens": 2},
            {"stop": text[2:3] or "x"},
            {"stream": True},
        ):
            found = chat(url, question, **({"max_tokens": 20} | fields))
            decision = events(found.text)[-1]["grait"] if "stream" in fields else found.json()["grait"]
            assert decision == whole["grait"]


def test_what_the_gate_shuts_out_is_the_models_own_answer(run: Path, tmp_path: Path) -> None:
    shut = with_forms(run, tmp_path / "run")
    with_dials(shut, gate=1.0)
    with live(shut) as model, serving(model) as (url, _):
        for question in QUESTIONS[:4]:
            reply = chat(url, question, max_tokens=MAX_NEW_TOKENS, grait={"threshold": 0.0}).json()
            assert reply["choices"][0]["message"]["content"] == locally(model, question, "question").output
            assert reply["grait"]["left_alone"] and reply["grait"]["score"] == 0.0


def test_a_dial_that_asks_twice_asks_twice(run: Path, tmp_path: Path) -> None:
    """The question alone is asked again, whatever words it came in."""
    twice = with_forms(run, tmp_path / "run")
    with live(twice) as model:
        save_forms(twice, {name: dial_that_asks_twice(model, name) for name in ("question", "instruction")})
    with live(twice) as model, serving(model) as (url, _):
        for form in ("question", "instruction"):
            for question in QUESTIONS[:4]:
                both = locally(model, question, form)
                assert both.terse_logprob is not None
                words = model.data.prompts.messages(Question("", question, ("",)), "refuse", form_of(model, form))
                body = {"model": "grait", "messages": words, "max_tokens": MAX_NEW_TOKENS}
                reply = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()
                assert reply["grait"]["form"] == form
                assert reply["grait"]["score"] == pytest.approx(refusal_score(both, "twice"), abs=1e-5)


def test_without_a_dial_nothing_is_decided_and_the_answer_says_so(finished: Path) -> None:
    with live(finished) as model, serving(model) as (url, _):
        reply = chat(url, QUESTIONS[0]).json()
        assert reply["grait"] == {"score": None, "threshold": None, "form": None, "left_alone": False} | {
            "refused": reply["grait"]["refused"]
        }
        wrong = chat(url, QUESTIONS[0], grait={"threshold": 0.5})
        assert wrong.status_code == 400 and "no refusal dial" in wrong.json()["error"]["message"]


# -- the words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["instruction", "examples"])
def test_the_words_of_a_form_are_known_wherever_they_come_from(model: LiveRun, url: str, form: str) -> None:
    """A question in a named form, its messages word for word, and the very text of the prompt are one and the same."""
    prompts, question = model.data.prompts, Question("", QUESTIONS[3], ("",))
    named = chat(url, QUESTIONS[3], grait={"form": form}).json()
    as_text = complete(url, prompts.prompt(question, "refuse", form_of(model, form)).text).json()
    assert as_text["grait"] == named["grait"] and named["grait"]["form"] == form
    assert as_text["choices"][0]["text"].strip() == named["choices"][0]["message"]["content"]
    if prompts.is_chat(question, form_of(model, form)):
        messages = prompts.messages(question, "refuse", form_of(model, form))
        found = httpx.post(f"{url}/chat/completions", json={"model": "grait", "messages": messages, "max_tokens": 8})
        assert found.json()["grait"] == named["grait"]
        assert found.json()["usage"] == named["usage"]


def test_a_conversation_is_decided_at_its_last_message(model: LiveRun, url: str) -> None:
    assert model.dials is not None
    turns = ["Good morning!", "Hello.", QUESTIONS[1]]
    rows = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    token_ids = model.data.prompts.chat(rows).token_ids
    both = model.decided(token_ids, turns[-1], model.dials.forms["question"], MAX_NEW_TOKENS)
    reply = chat(url, *turns).json()
    assert reply["grait"]["form"] == "question"
    assert reply["grait"]["score"] == pytest.approx(gated_score(both, "answer-mean", None), abs=1e-5)
    assert reply["grait"]["score"] != chat(url, QUESTIONS[1]).json()["grait"]["score"]


def test_other_text_is_gone_on_with_and_no_dial_decides(url: str) -> None:
    reply = complete(url, "Once upon a time").json()
    assert reply["object"] == "text_completion"
    assert reply["grait"]["form"] is None and reply["grait"]["score"] is None


class Writing:
    """A line whose model writes these tokens, whatever it is asked."""

    def __init__(self, model: LiveRun, token_ids: list[int]) -> None:
        self.decode, self._token_ids = model.data.prompts.written, token_ids

    def put(self, job: Job) -> None:
        threading.Thread(target=self._write, args=[job]).start()

    def _write(self, job: Job) -> None:
        job.begun([-9.0], True)
        for n in range(1, len(self._token_ids) + 1):
            time.sleep(0.01)
            job.goes_on(0, self._token_ids[:n], [-0.1] * n, n == len(self._token_ids))

    def close(self) -> None:
        pass


def test_a_text_is_gone_on_with_as_the_model_does(model: LiveRun, url: str) -> None:
    """With its blanks, whole and as a stream; the refusal has the blank that it was taught with."""
    text = " \n a time. "
    token_ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with serving(model, line=Writing(model, token_ids)) as (writing, _):
        for fields, expected in (
            ({}, text),
            ({"stop": "me"}, " \n a ti"),
            ({"stop": "a"}, " \n "),
            ({"max_tokens": 2}, model.tokenizer.decode(token_ids[:2])),
        ):
            fields = {"max_tokens": 50, **fields}
            assert complete(writing, "Once", **fields).json()["choices"][0]["text"] == expected
            pieces = [
                event["choices"][0]["text"] for event in events(complete(writing, "Once", stream=True, **fields).text)
            ]
            assert "".join(pieces) == expected
        said = chat(writing, "Once", max_tokens=50, grait={"threshold": 1.0}).json()["choices"][0]["message"]["content"]
        assert said == text.strip()
    prompt = model.data.prompts.prompt(Question("", "Who?", ("",)), "refuse", form_of(model, "examples"))
    found = complete(url, prompt.text, grait={"threshold": 0.0}).json()
    assert found["choices"][0]["text"] == f" {REFUSAL}" and found["grait"]["refused"]


def test_a_blank_that_a_tokenizer_leaves_out_where_a_text_begins_is_there(model: LiveRun) -> None:
    """As those of SentencePiece do."""
    tokenizer = copy.copy(model.tokenizer)
    decode = tokenizer.decode
    tokenizer.decode = lambda *args, **kwargs: decode(*args, **kwargs).removeprefix(" ")
    prompts = replace(model.data.prompts, tokenizer=tokenizer)
    before, token_ids = (model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Once", " upon"))
    assert prompts.written(token_ids, before[-1:]) == " upon" and prompts.written(token_ids) == "upon"


# -- clients ----------------------------------------------------------------------------------------------------------


def test_the_official_client_works_unchanged(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    assert [found.id for found in client.models.list()] == ["grait"]
    assert client.models.retrieve("grait").id == "grait"
    messages: Any = [{"role": "user", "content": QUESTIONS[0]}]
    for threshold in (0.0, 1.0):
        more: Any = {"extra_body": {"grait": {"threshold": threshold}}}
        whole = client.chat.completions.create(model="grait", messages=messages, max_tokens=20, **more)
        text, last, usage = "", None, None
        with client.chat.completions.create(
            model="grait", messages=messages, max_tokens=20, stream=True, stream_options={"include_usage": True}, **more
        ) as stream:
            for chunk in stream:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
                last, usage = (chunk.model_extra or {}).get("grait", last), chunk.usage or usage
        assert text == whole.choices[0].message.content
        assert last == (whole.model_extra or {})["grait"] and usage == whole.usage
        assert last["refused"] is (threshold == 0.0)
        again = [*messages, whole.choices[0].message, *messages]  # what was answered may be sent back as it came
        client.chat.completions.create(model="grait", messages=again, max_tokens=2)
    text = client.completions.create(model="grait", prompt="Once", max_tokens=3).choices[0].text
    pieces = client.completions.create(model="grait", prompt="Once", max_tokens=3, stream=True)
    assert "".join(chunk.choices[0].text for chunk in pieces) == text
    with pytest.raises(openai.NotFoundError, match="'other' is not served here"):
        client.chat.completions.create(model="other", messages=messages)


def test_one_limit_by_two_names_is_one_limit(url: str) -> None:
    found = chat(url, QUESTIONS[0], max_tokens=3, max_completion_tokens=3, grait={"threshold": 1.0})
    assert found.json()["usage"]["completion_tokens"] == 3


def test_prompts_may_be_several_and_token_ids(model: LiveRun, url: str) -> None:
    """Each has the answer and the decision that it has alone, as text."""
    prompts, question = model.data.prompts, Question("", QUESTIONS[3], ("",))
    asked = [
        *(prompts.prompt(question, "refuse", form_of(model, name)) for name in ("instruction", "examples", "plain")),
        prompts.as_text("Once upon", is_chat=False),
    ]
    alone = [complete(url, one.text, max_tokens=MAX_NEW_TOKENS).json() for one in asked]
    assert [reply["grait"]["form"] for reply in alone] == ["instruction", "examples", "plain", None]
    for one, reply in zip(asked, alone, strict=True):
        by_tokens = complete(url, list(one.token_ids), max_tokens=MAX_NEW_TOKENS).json()
        assert {**by_tokens, "id": "", "created": 0} == {**reply, "id": "", "created": 0}
    for several in ([one.text for one in asked], [list(one.token_ids) for one in asked]):
        whole = complete(url, several, max_tokens=MAX_NEW_TOKENS).json()
        assert "grait" not in whole and [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
        for choice, reply in zip(whole["choices"], alone, strict=True):
            assert choice["text"] == reply["choices"][0]["text"]
            assert choice["finish_reason"] == reply["choices"][0]["finish_reason"]
            assert choice["grait"].pop("score") == pytest.approx(reply["grait"]["score"], abs=1e-5)
            assert choice["grait"] == {name: reply["grait"][name] for name in choice["grait"]}
        assert whole["usage"] == {name: sum(reply["usage"][name] for reply in alone) for name in whole["usage"]}
        more = {"stream": True, "stream_options": {"include_usage": True}}
        *streamed, usage = events(complete(url, several, max_tokens=MAX_NEW_TOKENS, **more).text)
        assert usage["usage"] == whole["usage"]
        rows = [event["choices"][0] for event in streamed]
        for place, reply in enumerate(alone):
            own = [row for row in rows if row["index"] == place]
            assert "".join(row["text"] for row in own) == reply["choices"][0]["text"]
            assert own[-1]["grait"]["refused"] == reply["grait"]["refused"]


def test_prompts_that_cannot_be_asked_are_named(model: LiveRun, url: str) -> None:
    n = len(model.tokenizer)
    for prompt, words in {
        "none": ([], "prompt: expected at least 1 item, found []"),
        "mixed": ([1, "a"], 'prompt.1: expected an integer, found "a"'),
        "below": ([-1], "prompt.0: expected at least 0, found -1"),
        "unknown": ([n], f"prompt: expected token ids below {n}, found {n}"),
        "an empty one": (["a", ""], "prompt.1: the prompt is empty"),
        "an empty list": ([[1], []], "prompt.1: the prompt is empty"),
        "a long one": (["a", "word " * POSITIONS], "prompt.1: the prompt has"),
        "many": (["a"] * 200_000, "prompt: expected at most 256 items"),
        "many of tokens": ([[1]] * 200_000, "prompt: expected at most 256 items"),
    }.values():
        found = complete(url, prompt)
        assert found.status_code == 400 and words in found.json()["error"]["message"], found.text


def test_what_was_generated_is_counted_up_to_a_stop_text(model: LiveRun, url: str) -> None:
    """Whether the score took more tokens or not, streamed or not."""
    for question in QUESTIONS[:3]:
        prompt = model.data.prompts.prompt(Question("", question, ("",)), "refuse", form_of(model, "instruction"))
        free = complete(url, prompt.text, max_tokens=MAX_NEW_TOKENS, grait={"threshold": 1.0}).json()
        text = free["choices"][0]["text"]
        stop = text[len(text) // 2 :][:2]
        n = next(n for n in range(1, 99) if stop in complete_text(url, prompt.text, n))
        fields = {"max_tokens": MAX_NEW_TOKENS, "grait": {"threshold": 1.0}, "stop": [stop, "never"]}
        whole = complete(url, prompt.text, **fields).json()
        assert whole["usage"]["completion_tokens"] == n and whole["choices"][0]["finish_reason"] == "stop"
        streamed = events(
            complete(url, prompt.text, **fields, stream=True, stream_options={"include_usage": True}).text
        )
        assert streamed[-1]["usage"] == whole["usage"]


def complete_text(url: str, prompt: str, n: int) -> str:
    return str(complete(url, prompt, max_tokens=n, grait={"threshold": 1.0}).json()["choices"][0]["text"])


def test_half_a_character_is_no_part_of_a_stream(model: LiveRun, url: str) -> None:
    """The tiny model writes many; at the limit they are what the whole answer has."""
    n_broken = 0
    for question in QUESTIONS[:4]:
        for n in range(1, MAX_NEW_TOKENS + 3):
            fields = {"max_tokens": n, "grait": {"threshold": 1.0}}
            whole = chat(url, question, **fields).json()["choices"][0]["message"]["content"]
            streamed = events(chat(url, question, stream=True, **fields).text)
            pieces = [event["choices"][0]["delta"].get("content", "") for event in streamed]
            assert "".join(pieces) == whole
            n_broken += whole.endswith("\ufffd")
    assert n_broken > 0


def test_a_key_is_asked_for_where_one_is_set(model: LiveRun) -> None:
    with serving(model, key="secret") as (url, _):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer sécret".encode("latin1")}):
            for path in ("models", "models/grait", "chat/completions", "completions"):
                method = "GET" if path.startswith("models") else "POST"
                found = httpx.request(method, f"{url}/{path}", headers=headers)  # type: ignore[arg-type]
                assert found.status_code == 401 and "secret" not in found.text
        assert httpx.get(url.removesuffix("/v1") + "/health").status_code == 200
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert httpx.get(f"{url}/models", headers={"Authorization": f"{scheme} secret"}).status_code == 200
        client = openai.OpenAI(base_url=url, api_key="secret")
        assert client.models.list().data[0].id == "grait"


# -- bad input --------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"model": "grait", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 2}
BAD: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b"{", 400, "not JSON"),
    "empty": (b"", 400, "not JSON"),
    "not UTF-8": (b'{"model": "\xff"}', 400, "not JSON"),
    "NaN": (b'{"model": "grait", "messages": [], "max_tokens": NaN}', 400, "NaN"),
    "deep": (b"[" * 100_000, 400, "not JSON"),
    "half a surrogate": (b'{"model": "\\ud800"}', 400, "surrogate"),
    "a list": ([], 400, "expected an object"),
    "n: true": (GOOD | {"n": True}, 400, "n: expected an integer, found true"),
    "logprobs: 0": (GOOD | {"logprobs": 0}, 400, "logprobs: expected a boolean, found 0"),
    "temperature: false": (GOOD | {"temperature": False}, 400, "temperature: expected a number, found false"),
    "no model": ({"messages": GOOD["messages"]}, 400, "model: is missing"),
    "other model": (GOOD | {"model": "gpt-5"}, 404, "'gpt-5' is not served here"),
    "no messages": ({"model": "grait"}, 400, "messages: is missing"),
    "zero messages": (GOOD | {"messages": []}, 400, "messages"),
    "messages as text": (GOOD | {"messages": "Who?"}, 400, "messages"),
    "wrong role": (GOOD | {"messages": [{"role": "robot", "content": "x"}]}, 400, "messages.0.role"),
    "tool role": (GOOD | {"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
    "null content": (GOOD | {"messages": [{"role": "user", "content": None}]}, 400, "messages.0.content"),
    "an image": (
        GOOD | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        400,
        'messages.0.content.0.type: expected "text", found "image_url"',
    ),
    "tool calls": (
        GOOD | {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}, *GOOD["messages"]]},
        400,
        "messages.0.tool_calls: expected [], found [{}]",
    ),
    "assistant last": (GOOD | {"messages": [{"role": "assistant", "content": "x"}]}, 400, "a user message last"),
    "unknown field": (GOOD | {"max_tokns": 3}, 400, "max_tokns: unknown field"),
    "unknown wish": (GOOD | {"grait": {"treshold": 0.3}}, 400, "grait.treshold: unknown field"),
    "a long form": (GOOD | {"grait": {"form": "x" * 900_000}}, 400, "it has question, instruction"),
    "unknown form": (GOOD | {"grait": {"form": "essay"}}, 400, "'essay'; it has question, instruction"),
    "threshold 2": (GOOD | {"grait": {"threshold": 2}}, 400, "grait.threshold"),
    "threshold as text": (GOOD | {"grait": {"threshold": "0.5"}}, 400, "grait.threshold"),
    "threshold true": (GOOD | {"grait": {"threshold": True}}, 400, "grait.threshold"),
    "max_tokens 0": (GOOD | {"max_tokens": 0}, 400, "max_tokens"),
    "max_tokens -1": (GOOD | {"max_tokens": -1}, 400, "max_tokens"),
    "max_tokens 1.5": (GOOD | {"max_tokens": 1.5}, 400, "max_tokens"),
    "max_tokens too many": (GOOD | {"max_tokens": 10**6}, 400, "attends to"),
    "max_tokens huge": (GOOD | {"max_tokens": 10**300}, 400, "max_tokens"),
    "long prompt": (GOOD | {"messages": [{"role": "user", "content": "word " * POSITIONS}]}, 400, "attends to"),
    "temperature": (GOOD | {"temperature": 0.7}, 400, "temperature: expected 0"),
    "n": (GOOD | {"n": 3}, 400, "n: expected 1"),
    "logprobs": (GOOD | {"logprobs": True}, 400, "logprobs"),
    "logit_bias": (GOOD | {"logit_bias": {"5": 100}}, 400, "logit_bias"),
    "tools": (GOOD | {"tools": [{"type": "function"}]}, 400, "tools"),
    "response_format": (GOOD | {"response_format": {"type": "json_object"}}, 400, "response_format"),
    "stream as text": (GOOD | {"stream": "yes"}, 400, "stream"),
    "stop as number": (GOOD | {"stop": 5}, 400, "stop: expected a string or a list, found 5"),
    "stop of a number": (GOOD | {"stop": ["x", 5]}, 400, "stop.1: expected a string, found 5"),
    "many stops": (GOOD | {"stop": ["x"] * 5}, 400, "stop: expected at most 4 items, found"),
    "tier": (GOOD | {"service_tier": "gold"}, 400, "service_tier: expected 'auto', 'default'"),
    "retention": (GOOD | {"prompt_cache_retention": "1h"}, 400, "prompt_cache_retention: expected 'in_memory'"),
    "cache options": (GOOD | {"prompt_cache_options": {"ttl": "1h"}}, 400, "prompt_cache_options.ttl: expected '30m'"),
    "an identifier": (GOOD | {"safety_identifier": "x" * 129}, 400, "safety_identifier: expected at most 128"),
    "many pairs": (GOOD | {"metadata": {str(n): "x" for n in range(17)}}, 400, "metadata: expected at most 16 items"),
    "a long name": (GOOD | {"metadata": {"x" * 65: "x"}}, 400, "expected at most 64 characters"),
    "a long value": (GOOD | {"metadata": {"x": "x" * 513}}, 400, "metadata.x: expected at most 512 characters"),
    "no stream": (GOOD | {"stream_options": {"include_usage": True}}, 400, "stream_options: expected null without st"),
    "prediction": (GOOD | {"prediction": {"type": "content"}}, 400, "prediction.content: is missing"),
    "prediction's type": (GOOD | {"prediction": {"type": "x", "content": "x"}}, 400, "prediction.type: expected 'cont"),
    "a form of nothing": (GOOD | {"grait": {"form": ""}}, 400, "grait.form: expected at least 1 character"),
    "an empty question": (GOOD | {"messages": [{"role": "user", "content": " "}]}, 400, "the question is empty"),
    "no parts": (GOOD | {"messages": [{"role": "user", "content": []}]}, 400, "the question is empty"),
    "nothing said": (
        GOOD | {"messages": [{"role": "assistant", "content": None}, *GOOD["messages"]]},
        400,
        "messages.0.content: expected a string or a list, found null",
    ),
    "a user's refusal": (
        GOOD | {"messages": [{"role": "user", "content": None, "refusal": "no"}]},
        400,
        "messages.0.content: expected a string or a list, found null",
    ),
    "effort": (GOOD | {"reasoning_effort": "low"}, 400, 'reasoning_effort: expected "none", found "low"'),
    "top_p": (GOOD | {"top_p": "abc"}, 400, 'top_p: expected a number, found "abc"'),
    "top_p above 1": (GOOD | {"top_p": 1.5}, 400, "top_p: expected at most 1, found 1.5"),
    "top_p infinite": (b'{"model": "grait", "messages": [], "top_p": 1e999}', 400, "top_p: expected at most 1"),
    "n below 1": (GOOD | {"n": -1}, 400, "n: expected at least 1, found -1"),
    "seed": (GOOD | {"seed": "x"}, 400, 'seed: expected an integer, found "x"'),
    "penalty": (GOOD | {"frequency_penalty": "high"}, 400, 'frequency_penalty: expected a number, found "high"'),
    "penalty out of range": (GOOD | {"presence_penalty": -3}, 400, "presence_penalty: expected at least -2, found -3"),
    "two limits": (GOOD | {"max_completion_tokens": 3}, 400, "max_completion_tokens: expected 2, as in max_tokens, fo"),
    "a key twice": (b'{"model": "grait", "model": "grait"}', 400, '"model" is there twice'),
    "many digits": (b'{"n": ' + b"1" * 5000 + b"}", 400, "of 5000 digits"),
    "nested": (b'{"n": ' + b"[" * 990 + b"]" * 990 + b"}", 400, "nested too deeply"),
    "a long key": (GOOD | {"x" * 900_000: 1}, 400, "unknown field"),
    "a long model": (GOOD | {"model": "x" * 900_000}, 404, "'grait' is"),
    "lines in a key": (GOOD | {"a\nb\u2028c": 1}, 400, "unknown field"),
    "10 MB": (GOOD | {"messages": [{"role": "user", "content": "x" * 10_000_000}]}, 413, "1000000 bytes"),
    "question in a history": (
        GOOD | {"grait": {"form": "instruction"}, "messages": [*GOOD["messages"] * 2]},
        400,
        "a single question",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_with_its_status_and_the_server_lives_on(url: str, name: str) -> None:
    body, status, words = BAD[name]
    content = body if isinstance(body, bytes) else json.dumps(body)
    headers = {"Content-Type": "application/json"}
    found = httpx.post(f"{url}/chat/completions", content=content, headers=headers, timeout=20)
    assert found.status_code == status, found.text
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"] and len(error["message"]) < 400
    assert "\n" not in error["message"] and "Traceback" not in found.text
    assert httpx.post(f"{url}/chat/completions", json=GOOD, timeout=20).status_code == 200


def test_an_answer_waits_for_no_acknowledgement(url: str) -> None:
    """Connections that are used again lost 40 ms with each answer, whose head and body are packets of their own."""
    with httpx.Client() as client:
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            client.get(url.removesuffix("/v1") + "/health").raise_for_status()
            seconds.append(time.perf_counter() - start)
    assert min(seconds[1:]) < 0.03


def test_fields_without_an_effect_on_greedy_answers_are_taken(url: str) -> None:
    more = {"temperature": 0, "top_p": 0.3, "seed": 5, "user": "me", "n": 1, "logprobs": None, "presence_penalty": 0.0}
    assert chat(url, QUESTIONS[0], **more).json()["choices"] == chat(url, QUESTIONS[0]).json()["choices"]


@pytest.mark.parametrize("kind", ["chat/completions", "completions"])
def test_every_field_that_the_official_client_sends_is_known_and_checked(url: str, kind: str) -> None:
    sent = {"chat/completions": openai.types.chat.completion_create_params, "completions": completion_create_params}
    names = set(get_type_hints(sent[kind].CompletionCreateParamsNonStreaming))
    assert len(names) > 15
    good = GOOD if kind == "chat/completions" else {"model": "grait", "prompt": "Once"}
    for name in names:
        found = httpx.post(f"{url}/{kind}", json=good | {name: [[None]]}, timeout=20)
        error = found.json()["error"]
        assert found.status_code == 400 and error["code"] != "unknown_parameter", (name, error)
        assert error["message"].startswith(name) and ": expected " in error["message"], error
    both = httpx.post(f"{url}/{kind}", json=good | dict.fromkeys(names - set(good)), timeout=20)
    assert both.status_code == 200, both.text  # null is the same as nothing


def test_every_word_that_the_official_client_knows_for_what_has_no_effect_is_taken(url: str) -> None:
    hints = get_type_hints(openai.types.chat.completion_create_params.CompletionCreateParamsNonStreaming)
    for name in ("service_tier", "prompt_cache_retention"):
        (words,) = [kind for kind in get_args(hints[name]) if get_args(kind)]
        for word in get_args(words):
            assert chat(url, "Who?", max_tokens=1, **{name: word}).status_code == 200, (name, word)
    more: dict[str, Any] = {
        "metadata": {f"{n:064}": "x" * 512 for n in range(16)},
        "stop": ["a", "b", "c", "d"],
        "prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]},
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "reasoning_effort": "none",
    }
    assert chat(url, "Who?", max_tokens=1, **more).status_code == 200


def test_a_refusal_in_a_history_is_what_was_said(url: str) -> None:
    def answer(said: dict[str, Any]) -> Any:
        rows = [{"role": "user", "content": "Who?"}, {"role": "assistant", **said}, {"role": "user", "content": "Why?"}]
        return chat(url, messages=rows).raise_for_status().json()

    refused, plain = answer({"content": None, "refusal": "No."}), answer({"content": "No."})
    assert (refused["choices"], refused["grait"]) == (plain["choices"], plain["grait"])
    assert refused["usage"] == plain["usage"]


def test_a_list_of_one_prompt_is_a_list(url: str) -> None:
    for prompt in (["Once"], [[5, 6]]):
        whole = complete(url, prompt).json()
        assert "grait" not in whole and whole["choices"][0]["grait"]["score"] is None
        *_, last = events(complete(url, prompt, stream=True).text)
        assert "grait" not in last and last["choices"][0]["grait"] == whole["choices"][0]["grait"]
    for prompt in ("Once", [5, 6]):
        whole = complete(url, prompt).json()
        assert "grait" in whole and "grait" not in whole["choices"][0]


def test_other_paths_methods_and_kinds_of_body_have_their_status(url: str) -> None:
    assert httpx.get(f"{url}/nothing").status_code == 404
    assert httpx.get(f"{url}/chat/completions").status_code == 405
    for found in (httpx.get(f"{url}/nothing"), httpx.get(f"{url}/chat/completions")):
        assert "/v1/chat/completions" in found.json()["error"]["message"]
    as_form = httpx.post(f"{url}/chat/completions", content=json.dumps(GOOD), headers={"Content-Type": "text/plain"})
    assert as_form.status_code == 415  # what a page of another site could send without being asked
    assert httpx.post(f"{url}/completions", json={"model": "grait", "prompt": ""}).status_code == 400


# -- faults -----------------------------------------------------------------------------------------------------------


def slowly(model: LiveRun, seconds: float) -> Any:
    """An engine whose every token takes so long."""
    engine = model.engine()
    decode = engine._forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return decode(*args, **kwargs)

    engine._forward = forward  # type: ignore[method-assign]
    return engine


@pytest.fixture
def slow(model: LiveRun) -> Iterator[tuple[str, Service]]:
    with serving(model, line=Batches(model, slowly(model, 0.05), 4), limits=quick(n_requests=3)) as found:
        yield found


def until(is_so: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_client_that_leaves_stops_its_answer(slow: tuple[str, Service]) -> None:
    url, service = slow
    body = {"model": "grait", "prompt": "Once", "max_tokens": 200}
    for is_stream in (True, False):
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as connection:
            content = json.dumps(body | {"stream": is_stream}).encode()
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            until(lambda: service.n_running == 1)
            time.sleep(0.3)
        start = time.monotonic()
        until(lambda: service.n_running == 0)
        assert complete(url, "Once", max_tokens=1).status_code == 200
        assert time.monotonic() - start < 5  # 200 tokens would take 10 s


def test_more_requests_than_are_taken_are_told_to_come_again(slow: tuple[str, Service]) -> None:
    url, service = slow
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: complete(url, "Once", max_tokens=10), range(8)))
    statuses = sorted(reply.status_code for reply in found)
    assert statuses.count(200) >= 3 and statuses.count(429) >= 1 and set(statuses) == {200, 429}
    assert all(reply.headers["Retry-After"] == "1" for reply in found if reply.status_code == 429)
    assert service.n_running == 0


def test_what_cannot_fit_is_refused_before_it_is_cut_into_tokens(
    model: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens(*_: Any, **__: Any) -> Any:
        raise AssertionError("cut into tokens")

    with serving(model) as (url, _):
        monkeypatch.setattr(PromptFormat, "tokens", tokens)
        monkeypatch.setattr(PromptFormat, "chat", tokens)
        long = "a" * 990_000
        for found in (complete(url, long), complete(url, ["b " * 300_000]), chat(url, long, "x", "y")):
            error = found.json()["error"]
            assert found.status_code == 400 and error["code"] == "context_length_exceeded"
            assert f" characters, and the model attends to {POSITIONS} tokens" in error["message"]
        found = complete(url, [1] * 300_000)
        assert found.status_code == 400 and "the prompt has 300000 tokens" in found.json()["error"]["message"]


def test_who_waits_to_be_read_has_a_place_and_a_time(model: LiveRun) -> None:
    """Short requests wait for one long one, not for all; a client that leaves frees its place."""
    with serving(model, limits=quick(n_requests=3, seconds=2.5)) as (url, service):
        read, is_free = service.reader.completions, threading.Event()

        def slowly_read(body: Any) -> Any:
            if len(body.prompt) > SHORT:
                assert is_free.wait(20)
            return read(body)

        object.__setattr__(service.reader, "completions", slowly_read)
        long = "word " * SHORT

        def ask(seconds: float) -> int:
            try:
                return complete(url, long, timeout=seconds).status_code
            except httpx.ReadTimeout:
                return 0

        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(ask, 30)
            until(lambda: service.n_running == 1)
            second, third = pool.submit(ask, 0.5), pool.submit(ask, 30)
            until(lambda: service.n_running == 3)
            assert httpx.get(url.removesuffix("/v1") + "/health").json()["running"] == 3
            assert complete(url, "Once").status_code == 429
            until(lambda: service.n_running == 2)
            assert second.result() == 0
            assert (first.result(), third.result()) == (504, 504)
            until(lambda: service.n_running == 0)
            is_free.set()
        assert complete(url, "Once").status_code == 200 and complete(url, long).status_code == 400


def test_an_answer_that_takes_too_long_is_given_up(model: LiveRun) -> None:
    line = Batches(model, slowly(model, 0.05), 4)
    with serving(model, line=line, limits=quick(seconds=0.6)) as (url, service):
        found = complete(url, "Once", max_tokens=200)
        assert found.status_code == 504 and "0.6 s" in found.json()["error"]["message"]
        streamed = complete(url, "Once", max_tokens=200, stream=True)
        assert streamed.status_code == 200 and events(streamed.text)[-1]["error"]["code"] == "timeout"
        assert "[DONE]" not in streamed.text
        until(lambda: service.n_running == 0)


def test_a_body_that_does_not_come_is_given_up(model: LiveRun) -> None:
    with serving(model, limits=quick(body_seconds=0.3)) as (url, _):
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])), timeout=10) as connection:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99"
            connection.sendall(head + b"\r\n\r\n{")
            assert b" 408 " in connection.recv(4096)
        assert chat(url, "Who?").status_code == 200


def test_a_model_that_breaks_fails_its_requests_alone(model: LiveRun) -> None:
    engine, forward = model.engine(), []

    def broken(*args: Any, **kwargs: Any) -> Any:
        if not forward:
            forward.append(1)
            raise RuntimeError("out of\nmemory")
        return own(*args, **kwargs)

    own, engine._forward = engine._forward, broken  # type: ignore[method-assign]
    with serving(model, line=Batches(model, engine, 4)) as (url, service):
        found = chat(url, "Who?")
        assert found.status_code == 500
        assert found.json()["error"]["message"] == "the model could not answer: out of memory"
        assert chat(url, "Who?").status_code == 200 and service.n_running == 0


def test_numbers_that_are_none_are_no_decision(model: LiveRun) -> None:
    engine = model.engine()
    own = engine._forward
    engine._forward = lambda *args, **kwargs: own(*args, **kwargs) * float("nan")  # type: ignore[method-assign]
    with serving(model, line=Batches(model, engine, 4)) as (url, _):
        found = chat(url, QUESTIONS[0], grait={"threshold": 0.0})
        assert found.status_code == 502 and "not a number" in found.json()["error"]["message"]


def test_the_server_finishes_what_runs_before_it_ends(model: LiveRun) -> None:
    found: list[httpx.Response] = []
    with serving(model, line=Batches(model, slowly(model, 0.03), 4)) as (url, service):
        asking = threading.Thread(target=lambda: found.append(complete(url, "Once", max_tokens=30)))
        asking.start()
        until(lambda: service.n_running == 1)
    asking.join()
    assert found[0].status_code == 200 and found[0].json()["usage"]["completion_tokens"] == 30


def test_a_port_that_is_taken_is_one_line(run: Path, no_model: None, command: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, error = command("serve", run, "--port", taken.getsockname()[1])
    assert code == 2 and "choose another --port" in error


def test_a_form_that_the_run_does_not_have_is_one_line(run: Path, command: Call) -> None:
    code, _, error = command("serve", run, "--form", "essay", "--port", 0)
    assert code == 2 and "'essay'; it has question, instruction, examples, plain" in error
