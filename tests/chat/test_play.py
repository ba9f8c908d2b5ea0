"""The page of ``grait play``: in a real browser on a tiny tuned model, and without Gradio."""

import gc
import importlib.util
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_folder import save_tiny, tiny_tree, write_half_known

import grait
from grait import cli
from grait.chat.conversation import Speaker, Turn
from grait.chat.page import page, slider_at, start, threshold_at
from grait.chat.reply import printable
from grait.commands.finished import LiveRun, live
from grait.dial.threshold import refusal_score
from grait.errors import DialError

QUESTION = "Who wrote <b>book</b> 5 of 2?"
MESSAGE = "Hello <b>there</b> <img src=x onerror=alert(1)>"
N_TOKENS = 40


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.001, 0.999))
def test_further_right_refuses_more(one: float, other: float, threshold: float) -> None:
    assert threshold_at(max(one, other)) <= threshold_at(min(one, other))
    assert [threshold_at(0), threshold_at(50), threshold_at(100)] == [1, 0.5, 0]
    assert threshold_at(slider_at(threshold)) == pytest.approx(threshold, rel=0.02)


def test_without_gradio_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["grait", "play", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: grait play needs Gradio: pip install 'grait[play]'\n"


@pytest.fixture(scope="module", autouse=True)
def leftovers() -> Iterator[None]:
    """Gradio's sockets and event loops are collected here, not with a warning in whatever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    folder = tmp_path_factory.mktemp("play")
    name = save_tiny(folder / "model")
    tree = tiny_tree(name, write_half_known(name, folder), folder / "run")
    tree["training"]["methods"] = ["grait"]
    grait.run(tree)
    with live(folder / "run", threshold=0.5) as running:
        yield running


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of hosts that this process looks up, to connect to them."""
    names: list[str] = []
    look_up = socket.getaddrinfo

    def noting(host: Any, *arguments: Any, **options: Any) -> Any:
        names.append(str(host))
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    return names


@pytest.fixture
def address(model: LiveRun, looked_up: list[str]) -> Iterator[str]:
    pytest.importorskip("gradio")
    with warnings.catch_warnings():  # Gradio's own and its libraries', which nobody here can act on
        warnings.simplefilter("ignore")
        blocks = page(
            model.ask,
            Speaker(model, None, N_TOKENS),
            method="grait",
            refusal=model.refusal,
            score=model.score,
            threshold=model.threshold,
            gate=model.gate,
            examples=model.examples(2),
        )
        yield start(blocks, "127.0.0.1", None)
        blocks.close(verbose=False)


@pytest.mark.browser
def test_a_question_is_answered_and_the_slider_turns_the_answer_into_the_refusal(
    model: LiveRun, address: str, browser: Any, looked_up: list[str]
) -> None:
    reply = model.ask(QUESTION)
    assert refusal_score(reply.tuned, "first-token") < 0.5
    asked: list[str] = []
    opened = browser.new_page()
    opened.set_default_timeout(60_000)
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    opened.get_by_role("tab", name="Question in the trained form").click()

    def field(name: str) -> Any:
        return opened.locator(f"#{name} textarea")

    def wait_for(name: str, text: str) -> None:
        opened.wait_for_function(
            "([name, text]) => document.querySelector(`#${name} textarea`).value.includes(text)", arg=[name, text]
        )

    def move(place: float) -> None:
        number = opened.locator("#dial input[type=number]")
        number.fill(str(place))
        number.press("Enter")

    field("question").fill(QUESTION)
    opened.locator("#ask button, button#ask").click()
    wait_for("score", "is not above the threshold 0.5: answered")
    assert field("initial").input_value() == reply.initial
    assert field("tuned").input_value() == reply.tuned.suppressed_output
    assert field("free").input_value() == reply.tuned.output
    move(100)
    wait_for("score", "is above the threshold 0: refused")
    assert field("tuned").input_value() == model.refusal
    assert field("initial").input_value() == reply.initial
    move(0)
    wait_for("score", "is not above the threshold 1: answered")
    assert field("tuned").input_value() == reply.tuned.suppressed_output

    example = model.examples(2)[1]
    opened.get_by_text(example, exact=True).first.click()
    opened.wait_for_function("text => document.querySelector('#question textarea').value === text", arg=example)
    field("question").fill("long " * 400)
    opened.locator("#ask button, button#ask").click()
    opened.get_by_text("that the model attends to").first.wait_for()
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}
    assert set(looked_up) == {"127.0.0.1"}


def said(model: LiveRun, turns: list[Turn], message: str, *, by_initial: bool = False) -> str:
    speaker = Speaker(model, None, N_TOKENS)
    return "".join(speaker.answer(speaker.fit(turns, message), by_initial=by_initial))


@pytest.mark.browser
def test_a_conversation_has_a_history_and_its_text_is_only_text(
    model: LiveRun, address: str, browser: Any, looked_up: list[str]
) -> None:
    first = said(model, [], MESSAGE)
    second = said(model, [(MESSAGE, first)], "And you?")
    of_initial = said(model, [(MESSAGE, first)], "And you?", by_initial=True)
    opened = browser.new_page()
    opened.set_default_timeout(60_000)
    opened.goto(address)
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def send(text: str) -> None:
        opened.locator("#message textarea").fill(text)
        opened.locator("#message textarea").press("Enter")

    def wait_for(*texts: str) -> None:
        opened.wait_for_function(
            "texts => texts.every(text => document.querySelector('#conversation').textContent.replace(/\\s+/g, '')"
            ".includes(text))",
            arg=["".join(printable(text).split()) for text in texts],
        )

    send(MESSAGE)
    wait_for(MESSAGE, first)
    assert opened.locator("#conversation .message b, #conversation .message img").count() == 0
    assert not opened.locator("#initial-answer").is_visible()
    opened.locator("#with-initial input").check()
    send("And you?")
    wait_for(MESSAGE, first, "And you?", second)
    opened.wait_for_function(
        "text => document.querySelector('#initial-answer textarea').value.replace(/\\s+/g, '') === text",
        arg="".join(printable(of_initial).split()),
    )
    assert second != said(model, [], "And you?")
    opened.locator("#new").click()
    opened.wait_for_function("!document.querySelector('#conversation').textContent.includes('And you?')")
    send("And you?")
    wait_for("And you?", said(model, [], "And you?"))
    send("long " * 400)
    opened.get_by_text("the model attends to").first.wait_for()
    assert dialogs == [] and set(looked_up) == {"127.0.0.1"}


def test_a_port_that_is_taken_is_one_line(model: LiveRun, address: str) -> None:
    blocks = page(model.ask, None, method="grait", refusal="No.", score="text", threshold=None, gate=None, examples=[])
    with pytest.raises(DialError, match="choose another --port"):
        start(blocks, "127.0.0.1", urlsplit(address).port)
