"""``grait serve --upstream``: the dial in front of another server decides as it does here, or says why it cannot."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from conftest import Call
from served import QUESTIONS, chat, complete, events, quick, serving, with_dials, with_forms
from serving.fake_upstream import NAME, Reply, Upstream, upstream
from tiny_folder import MAX_NEW_TOKENS

from grait.commands.finished import LiveRun, live
from grait.commands.served import served_model
from grait.dial.stored import SavedDial
from grait.errors import ConfigError, ServerError
from grait.model import served as served_module
from grait.model import server as server_module
from grait.model.served import ServedEngine, ServedModel
from grait.model.server import Address, Server, to_its_end
from grait.records import Question
from grait.runtime.journal import Journal
from grait.serving.jobs import Singly
from grait.serving.server import about


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_forms(finished, tmp_path_factory.mktemp("proxied") / "run")
    with_dials(folder, gate=1e-7)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[LiveRun]:
    with live(run) as running, whole_characters(running):
        yield running


@contextmanager
def proxied(
    model: LiveRun, behind: Upstream, attempts: int = 1, seconds: float = 20.0, limit: float = 300.0
) -> Iterator[str]:
    """A proxy in front of an upstream; the model itself is lent where it has to help. ``limit``: of a request."""
    with ExitStack() as stack:
        server = Server(Address(behind.url, NAME, attempts=attempts, seconds=seconds))
        stack.callback(server.close)
        fault, behind.fault = behind.fault, None
        served = served_model(model, server, lambda: (model.engine(), model.alone))
        behind.fault = fault
        url, _ = stack.enter_context(serving(model, line=Singly(served, 4), limits=quick(seconds=limit), name=NAME))
        yield url


@contextmanager
def whole_characters(model: LiveRun) -> Iterator[None]:
    """The random model writes no broken characters, which no text could tell, and ends more often."""
    texts = model.tokenizer.batch_decode([[token] for token in range(len(model.tokenizer))])
    broken = torch.tensor(["\ufffd" in text or not text.strip() for text in texts])
    broken[model.chat_ends] = False

    def hook(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.masked_fill(broken, -1e4)
        logits[..., model.chat_ends[0]] += 2
        return logits

    handle = model.model.get_base_model().lm_head.register_forward_hook(hook)
    yield
    handle.remove()


# -- the same decision -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "legacy", "bare", "no end", "no echo"])
def test_the_dial_decides_in_front_of_a_server_as_it_does_here(
    model: LiveRun, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the server tells; and what it does not tell is said, once."""
    with serving(model, name=NAME) as (own, _), upstream(model, kind) as behind, proxied(model, behind) as url:
        said = capsys.readouterr().err
        assert said.count("the run's model is loaded here, too") == (kind not in ("full", "legacy"))
        for question in QUESTIONS[:3]:
            for form in ("question", "instruction", "examples", "plain"):
                for threshold in (0.0, 0.9) if form != "plain" else (None,):
                    wish = {"form": form} | ({} if threshold is None else {"threshold": threshold})
                    more: dict[str, Any] = {"model": NAME, "grait": wish, "max_tokens": MAX_NEW_TOKENS}
                    here, there = (chat(address, question, **more).json() for address in (own, url))
                    assert there["choices"] == here["choices"], (question, wish)
                    score = here["grait"].pop("score")
                    assert there["grait"].pop("score") == pytest.approx(score, abs=1e-4)
                    assert there["grait"] == here["grait"] and there["usage"] == here["usage"]
                    if threshold and (text := here["choices"][0]["message"]["content"]):
                        more["stop"] = text[len(text) // 2 :][:2]
                        here, there = (chat(address, question, **more).json() for address in (own, url))
                        assert there["choices"] == here["choices"] and there["usage"] == here["usage"]
        assert "loaded here" not in capsys.readouterr().err


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_ends_before_its_stop_text_whatever_the_server_makes_of_it(model: LiveRun, streams: bool) -> None:
    """Some servers leave the stop text in the answer, some do not know it."""
    found = []
    for kind in ("bare", "keeps stop", "goes on"):
        with upstream(model, kind) as behind:
            server = Server(Address(behind.url, NAME, attempts=1, seconds=20))
            wholes = [server.complete(question, 12, follow=to_its_end) for question in QUESTIONS[:8]]
            whole, prompt = max(zip(wholes, QUESTIONS[:8], strict=True), key=lambda one: len(one[0].pieces))
            stop = next(piece for piece in whole.pieces if whole.text.index(piece) > 2)
            said = server.complete(prompt, 12, stop=stop, follow=to_its_end if streams else None)
            assert (said.text, said.finish) == (whole.text.partition(stop)[0], "stop")
            found.append(said.text)
            server.close()
    assert len(set(found)) == 1


def test_streams_and_plain_text_go_through(model: LiveRun) -> None:
    with upstream(model) as behind, proxied(model, behind) as url:
        for fields in ({}, {"grait": {"threshold": 1.0}}, {"grait": {"threshold": 0.0}}):
            whole = chat(url, QUESTIONS[0], model=NAME, **fields).json()
            streamed = events(chat(url, QUESTIONS[0], model=NAME, stream=True, **fields).text)
            text = "".join(event["choices"][0]["delta"].get("content", "") for event in streamed)
            assert text == whole["choices"][0]["message"]["content"]
            assert streamed[-1]["grait"] == whole["grait"]
        assert complete(url, "Once upon", model=NAME).json()["grait"]["score"] is None


def with_a_letter_of_several_tokens() -> Any:
    """In place of the first token, told as one."""

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        is_first = True

        def of_choice(choice: dict[str, Any]) -> dict[str, Any]:
            nonlocal is_first
            if not is_first or not choice["text"]:
                return choice
            is_first, rows = False, (choice["logprobs"] or {}).get("content", [])
            told = {"content": [rows[0] | {"token": "\u017c"}, *rows[1:]]} if rows else None
            return choice | {"text": "\u017c", "logprobs": told}

        return with_choice(of_choice)(_, __, reply) if reply[1] == "text/event-stream" else reply

    return fault


def test_an_answer_is_weighed_by_all_its_tokens_or_not_at_all(model: LiveRun) -> None:
    """Some servers tell those of a character as one, by the log-probability of the last."""
    assert len(model.tokenizer("\u017c", add_special_tokens=False)["input_ids"]) > 1
    found = {}
    for kind in ("no echo", "bare", "full"):
        with upstream(model, kind, with_a_letter_of_several_tokens()) as behind, proxied(model, behind) as url:
            wish = {"form": "instruction", "threshold": 1.0}
            found[kind] = chat(url, QUESTIONS[0], model=NAME, grait=wish, max_tokens=MAX_NEW_TOKENS)
    assert found["full"].status_code == 502 and "a character has several tokens" in found["full"].text
    weighed, by_text = (found[kind].json() for kind in ("no echo", "bare"))
    assert weighed["choices"][0]["message"]["content"].startswith("\u017c")
    assert weighed["grait"]["score"] == pytest.approx(by_text["grait"]["score"], abs=1e-6)
    assert weighed["choices"] == by_text["choices"]


def test_a_prompt_that_comes_as_text_or_tokens_is_the_same_prompt(model: LiveRun, tmp_path: Path) -> None:
    """Its answer begins with the same token: without the blank that plain text has."""
    prompts, question = model.data.prompts, Question("", QUESTIONS[0], ("",))
    with upstream(model, "bare") as behind:
        server = Server(Address(behind.url, NAME))
        served = served_model(model, server, lambda: (model.engine(), model.alone))
        engine = ServedEngine(served, 100, Journal(tmp_path / "answers.jsonl"))
        for form in prompts.forms:
            own = prompts.prompt(question, "refuse", form)
            assert prompts.as_text(own.text, is_chat=own.is_chat) == own
            assert engine._prompt(own.token_ids, own.is_chat) == own
        server.close()


def test_token_ids_are_asked_as_such_or_not_at_all(model: LiveRun) -> None:
    """A server that takes text alone is not asked with other tokens."""
    written = model.data.prompts.as_text("Once upon", is_chat=False).token_ids
    spelled = [token for letter in "Once" for token in model.tokenizer(letter)["input_ids"]]
    assert spelled != model.tokenizer("Once")["input_ids"]
    for kind in ("full", "bare"):
        with serving(model, name=NAME) as (own, _), upstream(model, kind) as behind, proxied(model, behind) as url:
            for prompt in (list(written), spelled, [list(written), list(written)]):
                here, there = (complete(address, prompt, model=NAME) for address in (own, url))
                if kind == "bare" and prompt == spelled:
                    assert there.status_code == 400 and "send text" in there.text
                else:
                    assert there.json()["choices"] == here.json()["choices"]


def test_characters_of_which_a_server_tells_halves_are_whole(model: LiveRun) -> None:
    """Some servers tell each token by itself, and of its text what is certain."""
    (first, *_), n = model.tokenizer("\u017c", add_special_tokens=False)["input_ids"], 2
    assert model.tokenizer.decode([first]) == "\ufffd"

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        if reply[1] != "text/event-stream":
            return reply
        lines = [line.removeprefix("data: ") for line in reply[2].decode().split("\n\n")]
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        for row, text in zip(rows[:n], ("", "\u017c"), strict=False):
            (choice,) = row["choices"]
            choice["text"] = text
            if choice["logprobs"]:
                choice["logprobs"]["content"][0]["token"] = "\ufffd"
        told = "".join(f"data: {json.dumps(row)}\n\n" for row in rows)
        return reply[0], reply[1], f"{told}data: [DONE]\n\n".encode()

    wish = {"form": "instruction", "threshold": 1.0}
    with upstream(model, "full", fault) as behind, proxied(model, behind) as url:
        for n_tokens in (n, MAX_NEW_TOKENS):
            fields = {"model": NAME, "grait": wish, "max_tokens": n_tokens}
            whole = chat(url, QUESTIONS[0], **fields)
            assert whole.status_code == 200, whole.text
            text = whole.json()["choices"][0]["message"]["content"]
            assert text.startswith("\u017c") and "\ufffd" not in text
            streamed = events(chat(url, QUESTIONS[0], stream=True, **fields).text)
            assert "".join(event["choices"][0]["delta"].get("content", "") for event in streamed) == text


# -- faults ------------------------------------------------------------------------------------------------------------


def changed(change: Any) -> Any:
    """A fault that changes each JSON object of a reply."""

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        status, kind, content = reply
        if kind == "application/json":
            return status, kind, json.dumps(change(json.loads(content))).encode()
        lines = content.decode().split("\n\n")
        rows = [
            f"data: {json.dumps(change(json.loads(line.removeprefix('data: '))))}"
            if line.startswith("data: {")
            else line
            for line in lines
        ]
        return status, kind, "\n\n".join(rows).encode()

    return fault


def sent(status: int, content: bytes, kind: str = "application/json") -> Any:
    return lambda *_: (status, kind, content)


def with_choice(change: Any) -> Any:
    return changed(lambda tree: tree | {"choices": [change(choice) for choice in tree["choices"]]})


def with_rows(change: Any) -> Any:
    """Of the log-probabilities."""

    def of_choice(choice: dict[str, Any]) -> dict[str, Any]:
        rows = (choice["logprobs"] or {}).get("content", [])
        return choice | {"logprobs": {"content": [change(row) for row in rows]}}

    return with_choice(of_choice)


def cut_stream(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
    return reply[0], reply[1], reply[2][: len(reply[2]) // 2]


def without_end(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
    """The stream stops after two whole events."""
    return reply[0], reply[1], b"\n\n".join(reply[2].split(b"\n\n")[:2]) + b"\n\n"


def slow(*_: Any) -> None:
    time.sleep(1.0)


FAULTS: dict[str, tuple[Any, int, str]] = {
    "400": (sent(400, b'{"error": {"message": "bad\\nprompt"}}'), 502, "status 400: 'bad prompt'"),
    "401": (sent(401, b'{"error": {"message": "no key"}}'), 502, "status 401"),
    "404": (sent(404, b"<html>not here</html>", "text/html"), 502, "status 404: '<html>not here</html>'"),
    "429": (sent(429, b'{"error": "busy"}'), 429, "status 429: 'busy'"),
    "500": (sent(500, b'{"detail": "CUDA out of memory"}'), 502, "status 500: 'CUDA out of memory'"),
    "503 without a word": (sent(503, b""), 502, "status 503"),
    "a redirect": (sent(302, b""), 502, "status 302"),
    "cut off": (lambda *_: None, 502, "cannot be asked"),
    "slow": (slow, 504, "no answer in time"),
    "truncated JSON": (sent(200, b'{"choices": [{"te'), 502, "not JSON"),
    "HTML": (sent(200, b"<html>hello</html>", "text/html"), 502, "not JSON"),
    "a list": (sent(200, b"[]"), 502, "expected an object"),
    "no choices": (sent(200, b'{"model": "tuned"}'), 502, "expected choices"),
    "choices of none": (sent(200, b'{"model": "tuned", "choices": null}'), 502, "expected choices"),
    "two choices": (changed(lambda tree: tree | {"choices": tree["choices"] * 2}), 502, "expected one choice"),
    "text of null": (with_choice(lambda choice: choice | {"text": None}), 502, "expected a text"),
    "an error in the stream": (
        sent(200, b'data: {"error": "worker died"}\n\n', "text/event-stream"),
        502,
        "worker died",
    ),
    "a cut stream": (cut_stream, 502, "http"),
    "a stream without its end": (without_end, 502, "ended in the middle"),
    "another model": (changed(lambda tree: tree | {"model": "other"}), 502, "'other'"),
    "NaN": (with_rows(lambda row: row | {"logprob": float("nan")}), 502, "log-probability of nan"),
    "above 0": (with_rows(lambda row: row | {"logprob": 1.5}), 502, "log-probability of 1.5"),
    "null": (with_rows(lambda row: row | {"logprob": None}), 502, "log-probability of null"),
    "as text": (with_rows(lambda row: row | {"logprob": "-1"}), 502, "log-probability of '-1'"),
    "other tokens": (with_rows(lambda row: row | {"token": "zebra"}), 502, "add up to"),
    "no more log-probabilities": (with_choice(lambda choice: choice | {"logprobs": None}), 502, "log-probabilit"),
    "logprobs as a number": (with_choice(lambda choice: choice | {"logprobs": 5}), 502, "cannot be read"),
    "another end": (with_choice(lambda choice: choice | {"finish_reason": "tool_calls"}), 502, "'tool_calls'"),
    "10 MB": (sent(200, b"x" * 10_000_001), 502, "10000000 bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_upstream_is_one_line_with_its_status(model: LiveRun, name: str) -> None:
    """And never a decision; the next request is answered, when the upstream is well again."""
    fault, status, words = FAULTS[name]
    with upstream(model, "full", fault) as behind, proxied(model, behind, seconds=0.5 if name == "slow" else 20) as url:
        fields = {"model": NAME, "max_tokens": MAX_NEW_TOKENS, "grait": {"form": "instruction"}}
        found = chat(url, QUESTIONS[0], **fields)
        assert found.status_code == status, found.text
        message = found.json()["error"]["message"]
        assert words in message and "\n" not in message and "Traceback" not in message
        streamed = chat(url, QUESTIONS[0], stream=True, **fields)
        assert streamed.status_code != 200 or "error" in events(streamed.text)[-1]
        assert '"grait"' not in streamed.text
        behind.fault = None
        assert chat(url, QUESTIONS[0], **fields).status_code == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("to", "shown"),
    [
        ("{other}/completions", "'{other}'"),
        ("{other}/completions/", "'{other}'"),
        ("{other}//", "'{other}'"),
        ("/other/v1/completions", "/other/v1'"),
        ("https://x.test/login?to=1", "'https://x.test/login?to=1'"),
        ("https://x.test:port/", "Invalid port: 'port'"),
    ],
)
def test_a_redirect_is_told_and_not_followed(model: LiveRun, status: int, to: str, shown: str) -> None:
    """The key is for one address."""
    with upstream(model) as other, upstream(model, "full", sent(status, b"")) as behind:
        shown, behind.location = shown.format(other=other.url), to.format(other=other.url)
        server = Server(Address(behind.url, NAME, "secret", attempts=1))
        with pytest.raises(ServerError) as error:
            server.complete("Once", 1)
        server.close()
        message = str(error.value)
        assert shown in message and (f"status {status}: it points to " in message or "Invalid port" in shown)
        assert (other.n_asked, behind.n_asked) == (0, 1)


def test_an_upstream_that_comes_back_is_asked_again(model: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "pause", lambda _: 0.01)
    failing = iter([True, True])

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        return (500, "application/json", b"{}") if next(failing, False) else reply

    with upstream(model, "full", fault) as behind, proxied(model, behind, attempts=3) as url:
        before = behind.n_asked
        assert chat(url, QUESTIONS[0], model=NAME, grait={"form": "instruction"}).status_code == 200
        assert behind.n_asked >= before + 3


EMPTY = b'data: {"model": "tuned", "choices": [], "usage": {}}\n\n'

ENDLESS: dict[str, tuple[str, bytes]] = {
    "comments": ("text/event-stream", b": still here\n\n"),
    "no choices": ("text/event-stream", EMPTY),
    "a line without end": ("text/event-stream", b"d"),
    "a body in drips": ("application/json", b" "),
    "nothing": ("application/json", b""),
}
"""What an upstream sends for good."""


def endless(name: str) -> Any:
    kind, piece = ENDLESS[name]
    return lambda *_: (200, kind, repeat(piece))


def wait_until_idle(behind: Upstream) -> None:
    end = time.monotonic() + 20
    while behind.n_open and time.monotonic() < end:
        time.sleep(0.02)
    assert behind.n_open == 0


@pytest.mark.parametrize("is_left", [False, True], ids=["deadline", "client leaves"])
@pytest.mark.parametrize("name", ENDLESS)
def test_an_upstream_that_never_ends_holds_nothing(model: LiveRun, name: str, is_left: bool) -> None:
    """More requests than threads; each ends upstream, too, long before the upstream's own limit."""
    fields = {"model": NAME, "max_tokens": MAX_NEW_TOKENS, "grait": {"form": "instruction"}}

    def ask(url: str, stream: bool) -> int:
        body = {"messages": [{"role": "user", "content": QUESTIONS[0]}], "stream": stream, **fields}
        try:
            return httpx.post(f"{url}/chat/completions", json=body, timeout=0.5 if is_left else 60).status_code
        except httpx.ReadTimeout:
            return 0

    limit = 300.0 if is_left else 2.0
    with upstream(model, "no echo", endless(name)) as behind:
        with proxied(model, behind, attempts=3, seconds=1000, limit=limit) as url, ThreadPoolExecutor(6) as pool:
            before = behind.n_asked
            assert set(pool.map(lambda n: ask(url, n % 2 == 0), range(6))) == {0 if is_left else 504}
            wait_until_idle(behind)
            assert behind.n_asked >= before + 4
            behind.fault = None
            assert chat(url, QUESTIONS[0], **fields).status_code == 200
            behind.fault = endless(name)
            ask(url, False)
        wait_until_idle(behind)


def test_what_nobody_waits_for_is_not_asked_again(model: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "pause", lambda _: 1.5)
    with upstream(model, "full", sent(500, b"{}")) as behind:
        with proxied(model, behind, attempts=3, limit=0.5) as url:
            before = behind.n_asked
            assert chat(url, QUESTIONS[0], model=NAME, grait={"form": "instruction"}).status_code == 504
        assert behind.n_asked == before + 1


def test_an_answer_that_does_not_end_at_its_end_is_given(model: LiveRun) -> None:
    """What comes after it is not waited for."""

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        def pieces() -> Iterator[bytes]:
            yield reply[2].replace(b"data: [DONE]\n\n", b"")
            yield from repeat(b": still here\n\n")

        return (reply[0], reply[1], pieces()) if reply[1] == "text/event-stream" else reply

    with upstream(model, "full", fault) as behind, proxied(model, behind, seconds=1000) as url:
        for _ in range(5):
            assert chat(url, QUESTIONS[0], model=NAME, grait={"form": "instruction"}).status_code == 200
        wait_until_idle(behind)


@pytest.mark.parametrize("key", ["schl\u00fcssel", "a\nb", " a"])
def test_a_key_that_no_header_carries_is_refused_at_the_start(run: Path, command: Call, key: str) -> None:
    code, _, error = command("serve", run, "--port", 0, "--api-key", key)
    assert code == 2 and "printable ASCII" in error
    with pytest.raises(ConfigError, match="printable ASCII"):
        Address("http://127.0.0.1:9/v1", "x", key)


def test_an_upstream_with_a_template_of_its_own_is_not_asked(model: LiveRun) -> None:
    """As Ollama, for prompts as text: more tokens than were sent."""
    more = changed(lambda tree: tree | ({"usage": {"prompt_tokens": 999}} if "usage" in tree else {}))
    with upstream(model, "bare", more) as behind:
        server = Server(Address(behind.url, NAME, attempts=1))
        with pytest.raises(ServerError, match="makes 999 tokens of a prompt of"):
            served_model(model, server, lambda: (model.engine(), model.alone))
        server.close()


def test_an_upstream_that_decides_by_itself_is_not_asked(model: LiveRun) -> None:
    """Its answers would be taken for the model's own; whichever of its forms has the dial."""
    assert model.dials is not None
    saved, own = model.dials, model.dials.forms
    off = {name: dial.model_copy(update={"threshold": 1.0}) for name, dial in own.items()}
    with serving(model, name=NAME) as (url, service):
        server = Server(Address(url, NAME, attempts=1))

        def ask(dials: dict[str, SavedDial], threshold: float | None = None) -> ServedModel:
            served = replace(model, dials=saved.model_copy(update={"forms": dials}))
            service.reader = replace(service.reader, run=served, threshold=threshold)
            service.about = about(served, threshold)
            return served_model(model, server, lambda: (model.engine(), model.alone))

        for dials in (own, off | {"examples": own["examples"]}, {"instruction": own["instruction"]}):
            names = ", ".join(name for name in dials if dials[name] == own[name])
            said = rf"has a refusal dial, which may refuse in the forms {names}, .* or name the server behind it"
            with pytest.raises(ServerError, match=said):
                ask(dials)
            assert ask(dials, 1.0).abilities.takes_tokens
        assert ask({}).abilities.takes_tokens and ask(off).abilities.takes_tokens
        service.about = {}
        with pytest.raises(ServerError, match="does not tell in which forms"):
            served_model(model, server, lambda: (model.engine(), model.alone))
        server.close()


@pytest.mark.parametrize("n_answered", [0, 1, 3])
def test_an_upstream_that_hangs_at_the_start_is_given_up_soon(
    model: LiveRun, n_answered: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At whichever question; long before a request is."""
    monkeypatch.setattr(served_module, "FIRST_SECONDS", 0.5)
    left = iter(range(n_answered))

    def fault(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        return reply if next(left, None) is not None else (200, "application/json", repeat(b""))

    with upstream(model, "full", fault) as behind:
        server = Server(Address(behind.url, NAME))
        start = time.monotonic()
        with pytest.raises(ServerError, match=r"no answer within 0\.5 s; see whether it is still loading"):
            served_model(model, server, lambda: (model.engine(), model.alone))
        assert time.monotonic() - start < 5
        assert f"{behind.url}: asking what it can do, for at most 0.5 s" in capsys.readouterr().err
        server.close()


def test_an_upstream_that_is_not_there_is_one_line(run: Path, command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "pause", lambda _: 0.01)
    where = ("--upstream", "http://127.0.0.1:9/v1")
    code, _, error = command("serve", run, "--port", 0, *where, "--served-model", "x")
    assert code == 2 and "http://127.0.0.1:9/v1, x: cannot be asked" in error
    code, _, error = command("serve", run, *where)
    assert code == 2 and "--served-model go together" in error
    code, _, error = command("serve", run, "--upstream", "nonsense", "--served-model", "x")
    assert code == 2 and "expected an address" in error


def test_all_that_ask_hold_a_server_to_the_same_model() -> None:
    server = Server(Address("http://127.0.0.1:9/v1", "tuned"))
    try:
        first, second = (server.asked_while(lambda: True) for _ in range(2))
        first._check_model({"model": "tuned"})
        with pytest.raises(ServerError, match="of the model 'other', those before were of 'tuned'"):
            second._check_model({"model": "other"})
    finally:
        server.close()
