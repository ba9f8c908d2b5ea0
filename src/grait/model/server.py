"""A server with OpenAI's API, as we ask it: text in, text with log-probabilities out, or one line why not.

Every answer is checked before anyone believes it: that it is of the model that answered first, that its tokens add up
to its text, that its log-probabilities are numbers, that it has an end. All that goes wrong is a ServerError.
"""

import asyncio
import copy
import json
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from grait.errors import ConfigError, ServerError, reason

LONGEST_WAIT = 30.0
"""Seconds between two attempts."""

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may go well."""

TOO_LATE = 504
"""The status of a ServerError where no answer came in time, or nobody waited for it any more."""

MOST_BYTES = 10_000_000
"""Of one answer."""

LOOK_SECONDS = 0.2
"""Between two looks at whether anyone still waits for an answer of which nothing comes."""

REST_SECONDS = 1.0
"""For what comes after an answer's end: a connection is used again only when all of it was read."""


@dataclass(frozen=True)
class Address:
    """``url``: up to /v1. ``model``: as the server calls it. ``attempts``: of one request, before it has failed.
    ``seconds``: of one attempt, up to the answer's end."""

    url: str
    model: str
    key: str | None = None
    attempts: int = 3
    seconds: float = 300.0

    def __post_init__(self) -> None:
        try:
            found = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ConfigError(
                f"{self.url}: {reason(error)}; give an address such as http://127.0.0.1:8000/v1"
            ) from error
        if found.scheme not in ("http", "https") or not found.host:
            raise ConfigError(f"{self.url}: expected an address such as http://127.0.0.1:8000/v1")
        check_key(self.key, "the key of the server that is asked")


def check_key(key: str | None, name: str) -> None:
    """ConfigError with one line for a key that no header can carry."""
    if key and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ConfigError(f"{name}: expected printable ASCII characters without blanks around; choose another key")


@dataclass
class Said:
    """An answer, as far as it has come. ``pieces``: of its text, as they came.

    ``shown``: the pieces of the text that are its tokens'; where a character has several, the first has it.
    ``tokens``, ``logprobs``: empty where the server gives none; once it has ended with the end token's. ``first``:
    log-probabilities of the best tokens where the answer begins, by their text. ``is_ours``: of a ``grait serve``.
    """

    pieces: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    finish: str | None = None
    n_prompt: int | None = None
    is_ours: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def has_ended(self) -> bool:
        """By itself, not for its length."""
        return self.finish == "stop"


Follow = Callable[[Said], bool]
"""Is told of an answer as it grows; whether more is needed."""


def to_its_end(_: Said) -> bool:
    """A ``Follow`` of an answer that is streamed, and needed as a whole."""
    return True


class Server:
    """Requests to a server, from any thread. Close it. A loop in a thread of its own reads what comes, so that a
    request can be given up at any time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=10),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            headers=headers,
            trust_env=False,
        )
        self._answers_as: list[Any] = []
        """The name in the first answer; one list for all that ``asked_while`` gives."""
        self._is_needed: Callable[[], bool] = lambda: True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asking", daemon=True)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.aclose()

    def asked_while(self, is_needed: Callable[[], bool]) -> "Server":
        """The same server, whose requests end, with a ServerError, as soon as they are no longer needed."""
        found = copy.copy(self)
        found._is_needed = is_needed
        return found

    def complete(
        self,
        prompt: str | Sequence[int],
        n_tokens: int,
        *,
        follow: Follow | None = None,
        stop: str | None = None,
        **more: Any,
    ) -> Said:
        """The greedy continuation of a prompt, as text or as tokens. ``follow``: it is streamed."""
        shown = prompt if isinstance(prompt, str) else list(prompt)
        body = {"prompt": shown, "max_tokens": n_tokens, "temperature": 0, **({"stop": [stop]} if stop else {}), **more}
        return self._said("/completions", body, follow)

    def chat(self, messages: Sequence[dict[str, str]], n_tokens: int, **more: Any) -> Said:
        """The greedy answer to messages, in the server's own template."""
        body = {"messages": list(messages), "max_tokens": n_tokens, "temperature": 0, **more}
        return self._said("/chat/completions", body, None)

    def refusing_forms(self) -> list[str] | None:
        """Those of a ``grait serve`` whose dial may refuse; None where it does not tell."""
        found = asyncio.run_coroutine_threadsafe(self._models(), self._loop).result()
        try:
            (about,) = [row["grait"] for row in found["data"]]
            return [name for name, dial in about["dials"].items() if not dial["threshold"] >= 1]
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    async def _models(self) -> dict[str, Any]:
        """What ``/v1/models`` tells; nothing where it fails."""
        try:
            async with (
                asyncio.timeout(10),
                self._client.stream("GET", self.address.url.rstrip("/") + "/models") as response,
            ):
                return _object(await _read(response))
        except (TimeoutError, httpx.HTTPError, ServerError, _Passing):
            return {}

    def _said(self, path: str, body: dict[str, Any], follow: Follow | None) -> Said:
        body = {"model": self.address.model, **body, **({"stream": True} if follow else {})}
        for attempt in range(1, self.address.attempts + 1):
            said = Said()
            try:
                return self._attempt(path, body, follow, said)
            except ServerError as error:
                raise ServerError(self._told(str(error)), error.status) from error
            except _Passing as error:
                if attempt == self.address.attempts or (follow and said.text):
                    raise ServerError(self._told(str(error)), error.status) from error
                self._wait(error.wait if error.wait is not None else pause(attempt))
        raise AssertionError("unreachable")

    def _attempt(self, path: str, body: dict[str, Any], follow: Follow | None, said: Said) -> Said:
        self._check_needed()
        found: _Found = SimpleQueue()
        asking = asyncio.run_coroutine_threadsafe(self._ask(path, body, found), self._loop)
        is_over = False
        try:
            while (reply := self._next(found)) is not None:
                add(said, reply, has_prompt=bool(body.get("echo")))
                self._check_model(reply)
                is_cut = any(cut(said, text) for text in body.get("stop", []))
                if (follow and not follow(said)) or is_cut:
                    is_over = said.finish is not None
                    return said
        finally:
            self._give_up(asking, REST_SECONDS if is_over else 0.0)
        if said.finish is None:
            raise _Passing("the answer ended in the middle")
        check(said)
        return said

    def _next(self, found: "_Found") -> dict[str, Any] | None:
        """What comes next of an answer; None at its end."""
        while True:
            self._check_needed()
            try:
                reply = found.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            if isinstance(reply, Exception):
                raise reply
            return reply

    def _check_needed(self) -> None:
        if not self._is_needed():
            raise ServerError("nobody waits for the answer any more", TOO_LATE)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._is_needed() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

    def _give_up(self, asking: Future[None], seconds: float) -> None:
        """After so many seconds, unless it has ended by then."""
        if not asking.done():
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, asking.cancel)

    async def _ask(self, path: str, body: dict[str, Any], found: "_Found") -> None:
        """Put what comes: one reply for an answer in one piece, several for a stream, then None or what went wrong."""
        url, seconds = self.address.url.rstrip("/") + path, self.address.seconds
        try:
            async with asyncio.timeout(seconds), self._client.stream("POST", url, json=body) as response:
                if response.status_code != 200:
                    raise await self._refused(response, path)
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async for reply in _events(response):
                        found.put(reply)
                else:
                    found.put(_object(await _read(response)))
            found.put(None)
        except (TimeoutError, httpx.TimeoutException):
            found.put(_Passing(f"no answer in time ({seconds:g} s)", TOO_LATE))
        except httpx.HTTPError as error:
            found.put(_Passing(f"cannot be asked ({reason(error)})"))
        except asyncio.CancelledError:
            found.put(ServerError("given up"))
            raise
        except Exception as error:
            found.put(error)

    async def _refused(self, response: httpx.Response, path: str) -> Exception:
        status = response.status_code
        if response.has_redirect_location:  # not followed: the key is for this address
            url = str(response.url.join(response.headers["location"])).rstrip("/").removesuffix(path).rstrip("/")
            return ServerError(f"status {status}: it points to {short(url)}; give that address, if you trust it")
        told = f"status {status}: {_error_of(await _read(response))}"
        if status in PASSING:
            wait = _seconds(response.headers.get("retry-after"))
            return _Passing(told, 429 if status == 429 else 502, wait)
        return ServerError(told)

    def _check_model(self, reply: dict[str, Any]) -> None:
        name = reply.get("model")
        if not self._answers_as:
            self._answers_as.append(name)
        if name != self._answers_as[0]:
            raise ServerError(f"the answer is of the model {name!r}, those before were of {self._answers_as[0]!r}")

    def _told(self, what: str) -> str:
        return f"{self.address.url}, {self.address.model}: {what}"


class _Passing(Exception):
    """A fault after which the same request may go well. ``wait``: seconds that the server asks for."""

    def __init__(self, message: str, status: int = 502, wait: float | None = None) -> None:
        super().__init__(message)
        self.status, self.wait = status, wait


_Found = SimpleQueue[dict[str, Any] | Exception | None]


def pause(attempt: int) -> float:
    """Seconds before the next attempt: twice as long each time, so that not all come at once."""
    longest: float = min(LONGEST_WAIT, 0.25 * 2**attempt)
    return longest * random.uniform(0.5, 1)


def add(said: Said, reply: dict[str, Any], *, has_prompt: bool = False) -> None:
    """Add a reply's piece to an answer. Raises a fault where it is none. ``has_prompt``: the prompt stands before it,
    whose first token has no probability."""
    usage = reply.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int):
        said.n_prompt = usage["prompt_tokens"]
    said.is_ours |= "grait" in reply
    if "error" in reply:
        raise _Passing(f"broke off: {_error_of(json.dumps(reply).encode())}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _Passing(f"expected choices, found {short(reply)}")
    if not choices and usage is not None:
        return
    if len(choices) != 1:
        raise _Passing(f"expected one choice, found {len(choices)}")
    (choice,) = choices
    if piece := _text_of(choice):
        said.pieces.append(piece)
    rows = list(_logprobs_of(choice.get("logprobs")))
    is_broken = "\ufffd" in "".join(token for token, _, _ in rows) and "\ufffd" not in piece
    said.shown += [piece, *[""] * (len(rows) - 1)] if is_broken else [token for token, _, _ in rows]
    for token, logprob, best in rows:
        if math.isnan(logprob) and not (has_prompt and not said.tokens):
            raise ServerError("a log-probability of null; expected a number of at most 0")
        if not said.tokens:
            said.first = best
        said.tokens.append(token)
        said.logprobs.append(logprob)
    finish = choice.get("finish_reason")
    if finish not in (None, "stop", "length"):
        raise ServerError(f"the answer ended by {finish!r}; expected stop or length")
    said.finish = finish or said.finish


def cut(said: Said, stop: str) -> bool:
    """End an answer before ``stop``: some servers leave it in the text, or go on. One with tokens has its own end.
    Returns whether it was there."""
    before, found, _ = said.text.partition(stop)
    if not found or said.tokens:
        return False
    over, said.finish = len(said.text) - len(before), "stop"
    while over:
        last = said.pieces.pop()
        if kept := last[: max(len(last) - over, 0)]:
            said.pieces.append(kept)
        over -= len(last) - len(kept)
    return True


def check(said: Said) -> None:
    """Raise ServerError where the tokens of a whole answer are not those of its text."""
    if not said.tokens:
        return
    texts = ["".join(said.shown), "".join(said.shown[:-1])]
    if said.text.strip() not in [text.strip() for text in texts] and "\ufffd" not in texts[0]:
        raise ServerError(f"the tokens add up to {short(texts[0])}, and the text is {short(said.text)}")


def _text_of(choice: dict[str, Any]) -> str:
    found = choice.get("text")
    for key in ("message", "delta"):
        if isinstance(choice.get(key), dict):
            found = choice[key].get("content") or ""
    if not isinstance(found, str):
        raise _Passing(f"expected a text, found {short(choice)}")
    return found


def _logprobs_of(found: Any) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Token, log-probability and best tokens at each place, in either of the two shapes that servers use."""
    if not found:
        return
    try:
        if "content" in found:
            for row in found["content"] or ():
                yield (
                    row["token"],
                    _number(row["logprob"]),
                    _best({one["token"]: one["logprob"] for one in row.get("top_logprobs") or ()}),
                )
            return
        tokens, values = found["tokens"], found["token_logprobs"]
        bests = found.get("top_logprobs") or [{}] * len(tokens)
        for token, value, best in zip(tokens, values, bests, strict=True):
            yield str(token), _number(value), _best(best or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerError(f"log-probabilities that cannot be read ({reason(error)}): {short(found)}") from error


def _best(found: dict[str, Any]) -> dict[str, float]:
    return {str(token): _number(value) for token, value in found.items()}


def _number(value: Any) -> float:
    """A log-probability, NaN for null; ServerError for what is none."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 0.001:
        raise ServerError(f"a log-probability of {value!r}; expected a number of at most 0")
    return min(float(value), 0.0)


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    n_bytes, is_done = 0, False
    async for line in response.aiter_lines():
        n_bytes += len(line)
        if n_bytes > MOST_BYTES:
            raise ServerError(f"the answer has more than {MOST_BYTES} bytes")
        if line.startswith("data:") and not is_done:
            content = line.removeprefix("data:").strip()
            is_done = content == "[DONE]"
            if not is_done:
                yield _object(content.encode())


async def _read(response: httpx.Response) -> bytes:
    found = b""
    async for part in response.aiter_bytes():
        found += part
        if len(found) > MOST_BYTES:
            raise ServerError(f"the answer has more than {MOST_BYTES} bytes")
    return found


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _Passing(f"the answer is not JSON: {short(content.decode(errors='replace'))}") from error
    if not isinstance(found, dict):
        raise _Passing(f"the answer: expected an object, found {short(found)}")
    return found


def _error_of(content: bytes) -> str:
    """What a server says went wrong, in whatever shape."""
    try:
        found = json.loads(content)
    except ValueError:
        return short(content.decode(errors="replace"))
    while isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail") if key in found), str(found))
    return short(found)


def _seconds(text: str | None) -> float | None:
    """Of Retry-After, where it is a number; no longer than we wait ourselves."""
    try:
        return min(max(float(text or ""), 0.0), LONGEST_WAIT)
    except ValueError:
        return None


def short(value: Any) -> str:
    """On one line, in quotes, at most 120 characters."""
    text = " ".join((value if isinstance(value, str) else json.dumps(value, default=str)).split())
    return repr(text if len(text) <= 120 else f"{text[:117]}...")
