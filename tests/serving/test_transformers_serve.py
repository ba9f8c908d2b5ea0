"""The official client, unchanged, against our own engine and against the proxy over ``transformers serve``."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import openai
import pytest
from served import QUESTIONS, serving, with_dials, with_forms
from tiny_folder import MAX_NEW_TOKENS
from transformers.utils.import_utils import is_serve_available

from grait.commands.finished import live
from grait.commands.merge import merge
from grait.commands.served import served_model
from grait.model.server import Address, Server
from grait.serving.jobs import Singly

pytestmark = pytest.mark.skipif(not is_serve_available(), reason="pip install 'transformers[serving]'")


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_forms(finished, tmp_path_factory.mktemp("transformers") / "run")
    with_dials(folder)
    return folder


@pytest.fixture(scope="module")
def upstream(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and name of the merged model, served by transformers."""
    merged = str(merge(run, tmp_path_factory.mktemp("merged") / "model").folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", merged, "--device", "cpu"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            time.sleep(0.5)
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                assert process.poll() is None
        yield f"http://127.0.0.1:{port}/v1", merged
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_same_dial_and_the_same_refusals_on_both(run: Path, upstream: tuple[str, str]) -> None:
    """In each form that has a dial, at thresholds on both sides of its scores; streamed and not."""
    url, name = upstream
    with ExitStack() as stack:
        model = stack.enter_context(live(run))
        server = Server(Address(url, name))
        stack.callback(server.close)
        behind = served_model(model, server, lambda: (model.engine(), model.alone))
        own, _ = stack.enter_context(serving(model, name=name))
        proxy, _ = stack.enter_context(serving(model, line=Singly(behind, 4), name=name))
        here, there = (openai.OpenAI(base_url=address, api_key="none", max_retries=0) for address in (own, proxy))
        for form in ("question", "instruction", "examples"):
            for place, question in enumerate(QUESTIONS[:6]):
                found = []
                for client in (here, there):
                    wish = {"form": form, "threshold": (0.0, 0.9, 1.0)[place % 3]}
                    messages = [{"role": "user", "content": question}]
                    with client.chat.completions.create(
                        model=name,
                        messages=messages,
                        max_tokens=MAX_NEW_TOKENS,
                        stream=True,
                        extra_body={"grait": wish},
                    ) as stream:
                        chunks = list(stream)
                    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
                    decision = next(chunk.model_extra["grait"] for chunk in chunks if "grait" in chunk.model_extra)
                    whole = client.chat.completions.create(
                        model=name, messages=messages, max_tokens=MAX_NEW_TOKENS, extra_body={"grait": wish}
                    )
                    assert (text, decision) == (whole.choices[0].message.content, whole.model_extra["grait"])
                    found.append((text, decision))
                (text, decision), (other_text, other) = found
                assert other_text == text
                assert other.pop("score") == pytest.approx(decision.pop("score"), abs=1e-4)
                assert other == decision
