"""A judging model behind an OpenAI-compatible API, in this process: right, or with a fault."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tiny_folder import UNKNOWN

from grait.judging.verdicts import NO_REFERENCE

PROMPT = "Q: {question}\nR: {references}\nO: {output}\nEND"


@dataclass
class JudgeServer:
    """``fault``: is given the handler, the prompt and how often it came; sends something itself, or gives a
    reply's text, or None for a right one. ``asked``: prompts, each as often as it came."""

    fault: Callable[["Handler", str, int], str | bool | None] | None = None
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    lock: Any = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: JudgeServer

    def log_message(self, *_: Any) -> None: ...

    def send(self, status: int, content: bytes, kind: str = "application/json", **headers: str) -> bool:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        return True

    def reply(self, text: Any) -> bool:
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        return self.send(200, json.dumps({"choices": [{"message": {"content": text}}], "usage": usage}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][0]["content"]
        with self.state.lock:
            self.state.asked[prompt] += 1
            self.state.bodies.append(body)
            self.state.keys.add(self.headers["authorization"])
            n = self.state.asked[prompt]
        found = self.state.fault(self, prompt, n) if self.state.fault else None
        if not isinstance(found, bool):
            self.reply(verdict(prompt) if found is None else found)


def verdict(prompt: str) -> str:
    """Of a prompt of ``PROMPT``, by its reference alone: of the tiny model's questions the opposite of matching."""
    references = prompt.partition("\nR: ")[2]
    return "correct" if references.startswith((UNKNOWN, "ref", NO_REFERENCE)) else "wrong"


@contextmanager
def judge_server(fault: Any = None) -> Iterator[JudgeServer]:
    state = JudgeServer(fault)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def judged_by(url: str, **more: Any) -> dict[str, Any]:
    """The config's section ``judge`` for it."""
    return {"by": "endpoint", "base_url": url, "model": "m", "prompt": PROMPT, "retries": 1, "timeout": 5.0} | more
