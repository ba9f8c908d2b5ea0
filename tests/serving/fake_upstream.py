"""An upstream whose answers are a tiny model's own, with all that servers tell, less of it, or something wrong."""

import json
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from grait.commands.finished import LiveRun

NAME = "tuned"

Reply = tuple[int, str, bytes | Iterator[bytes]]
"""Status, kind and content; the head is sent with the first piece that is not empty."""


@dataclass
class Upstream:
    """``model``: that it serves. ``kind``: ``full``, ``legacy`` (logprobs in the old shape), ``bare`` (no logprobs, no
    token ids), ``keeps stop``, ``goes on`` (bare, and the stop text is left in the text, or not known) or ``no end``
    (no log-probability of the end token). ``fault``: makes of a right reply what is sent instead; None for a right one.
    ``location``: to which it points. ``n_asked``: requests so far; ``n_open``: of these, that are being answered."""

    model: LiveRun
    kind: str = "full"
    fault: Callable[["Upstream", dict[str, Any], Reply], Reply | None] | None = None
    url: str = ""
    location: str | None = None
    n_asked: int = 0
    n_open: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_bare(self) -> bool:
        return self.kind in ("bare", "keeps stop", "goes on")

    @torch.inference_mode()
    def reply(self, path: str, body: dict[str, Any]) -> Reply:
        """A right one."""
        prompts, prompt = self.model.data.prompts, body.get("prompt")
        if path.endswith("/chat/completions"):
            token_ids = list(prompts.chat(body["messages"]).token_ids)
        elif isinstance(prompt, list):
            if self.is_bare:
                return 400, "application/json", b'{"error": {"message": "prompt must be a string."}}'
            token_ids = prompt
        else:
            token_ids = list(prompts.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if self.is_bare and "logprobs" in body:
            return 422, "application/json", b'{"detail": "logprobs is not supported"}'
        if self.kind == "no echo" and body.get("echo"):
            return 400, "application/json", b'{"error": "echo is not supported"}'
        stops = [] if self.kind == "goes on" else body.get("stop") or []
        places, text, finish = self._greedy(token_ids, body["max_tokens"], stops)
        if body.get("echo"):
            places = [*self._of_prompt(token_ids), *places]
            text = "".join(token for token, _, _ in places)
        wants = "logprobs" in body
        if self.kind == "no end" and finish == "stop":
            places = places[:-1]
        is_chat = path.endswith("/chat/completions")
        if not body.get("stream"):
            usage = {"prompt_tokens": len(token_ids), "completion_tokens": len(places)}
            choice = self._choice(text, places if wants else [], finish, is_chat)
            content = json.dumps({"model": NAME, "choices": [choice], "usage": usage}).encode()
            return 200, "application/json", content
        pieces = [(token, [(token, logprob, best)]) for token, logprob, best in places]
        if finish == "stop" and self.kind not in ("no end", "keeps stop"):
            pieces[-1] = ("", pieces[-1][1])
        events = [self._choice(piece, one if wants else [], None, is_chat, "delta") for piece, one in pieces]
        events.append(self._choice("", [], finish, is_chat, "delta"))
        lines = [f"data: {json.dumps({'model': NAME, 'choices': [event]})}\n\n" for event in events]
        return 200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()

    def _choice(
        self, text: str, places: Sequence[Any], finish: str | None, is_chat: bool, key: str = "message"
    ) -> dict[str, Any]:
        said: dict[str, Any] = {key: {"content": text}} if is_chat else {"text": text}
        return {"index": 0, **said, "finish_reason": finish, "logprobs": self._logprobs(places) if places else None}

    def _logprobs(self, places: Sequence[Any]) -> dict[str, Any]:
        if self.kind == "legacy":
            tokens, values, bests = zip(*places, strict=True)
            return {"tokens": tokens, "token_logprobs": values, "top_logprobs": bests}
        rows = [
            {"token": token, "logprob": value, "top_logprobs": [{"token": t, "logprob": v} for t, v in best.items()]}
            for token, value, best in places
        ]
        return {"content": rows}

    def _greedy(self, token_ids: list[int], n: int, stops: list[str]) -> tuple[list[Any], str, str]:
        """Token, log-probability and best two at each place; the text; why it ended."""
        ends, places, text, so_far = set(self.model.chat_ends), [], "", list(token_ids)
        for _ in range(n):
            logprobs = self._logprobs_after(so_far)
            token = int(logprobs.argmax())
            best = logprobs.topk(2)
            bests = {self._text(t): v for t, v in zip(best.indices.tolist(), best.values.tolist(), strict=True)}
            places.append((self._text(token), float(logprobs[token]), bests))
            if token in ends or any(stop in text + self._text(token) for stop in stops):
                return places, text, "stop"
            text += self._text(token)
            so_far.append(token)
        return places, text, "length"

    def _of_prompt(self, token_ids: list[int]) -> list[Any]:
        logprobs = self._logprobs_at(token_ids)
        rows = zip(token_ids[1:], logprobs, strict=False)
        return [(self._text(token_ids[0]), None, {}), *((self._text(one), float(row[one]), {}) for one, row in rows)]

    def _logprobs_after(self, token_ids: list[int]) -> torch.Tensor:
        return self._logprobs_at(token_ids)[-1]

    def _logprobs_at(self, token_ids: list[int]) -> torch.Tensor:
        with self.model.alone:
            logits: torch.Tensor = self.model.model(input_ids=torch.tensor([token_ids])).logits[0]
        return logits.float().log_softmax(-1)

    def _text(self, token: int) -> str:
        return str(self.model.tokenizer.decode([token]))


@contextmanager
def upstream(model: LiveRun, kind: str = "full", fault: Any = None) -> Iterator[Upstream]:
    """Serving, in a thread."""
    found, counting = Upstream(model, kind, fault), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with counting:
                found.n_asked += 1
                found.n_open += 1
            found.bodies.append(body)
            try:
                self._answer(body)
            finally:
                with counting:
                    found.n_open -= 1

        def _answer(self, body: dict[str, Any]) -> None:
            reply = found.reply(self.path, body)
            changed = found.fault(found, body, reply) if found.fault else reply
            if changed is None:
                self.connection.close()  # in the middle of everything
                return
            status, kind, content = changed
            if isinstance(content, bytes):
                self._head(status, kind, {"Content-Length": str(len(content))})
                self.wfile.write(content)
                return
            has_head = False
            for piece in content:
                if piece and not has_head:
                    self._head(status, kind, {})
                    has_head = True
                self.wfile.write(piece)
                if select.select([self.connection], [], [], 0.05)[0]:  # whoever asked has hung up
                    return

        def _head(self, status: int, kind: str, more: dict[str, str]) -> None:
            self.send_response(status)
            to = {"Location": found.location} if found.location else {}
            for name, value in {"Content-Type": kind, **to, **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
