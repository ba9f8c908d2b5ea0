"""The HTTP side: routes, limits, keys, and what a client is told. Starlette; nothing here knows of models."""

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from grait.errors import GraitError, ServerError
from grait.judging.refusal import detect_refusal
from grait.records import Question
from grait.runtime import progress
from grait.serving.asked import Asked, Reader
from grait.serving.faults import RequestFault
from grait.serving.jobs import Job, Line
from grait.serving.replies import Replies
from grait.serving.requests import BodyT, ChatBody, CompletionBody, read_body

SECONDS_BETWEEN_LOOKS = 0.5
"""At whether a client that waits for an answer is still there."""

SHORT = 10_000
"""Bytes of a body that is read faster than a thread takes it."""

MOST_THROWN_AWAY = 64_000_000
"""Bytes of a body that is too long, which are read all the same: a client that still sends reads no answer."""


@dataclass(frozen=True)
class Limits:
    """``n_bytes``: of a body. ``n_requests``: that are answered or wait at a time. ``seconds``: of one request;
    ``body_seconds``: until its body is there."""

    n_bytes: int = 1_000_000
    n_requests: int = 256
    seconds: float = 300.0
    body_seconds: float = 20.0


@dataclass
class Service:
    """What is served. ``name``: of the model, as clients call it; ``about``: what ``/v1/models`` tells of it. ``key``:
    that clients have to send; None for none."""

    name: str
    reader: Reader
    line: Line
    limits: Limits
    key: str | None
    about: dict[str, Any]
    n_running: int = 0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reading_long: asyncio.Lock = field(default_factory=asyncio.Lock)

    # -- routes ------------------------------------------------------------------------------------------------

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "running": self.n_running})

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        self._check_key(request)
        self._check_name(request.path_params["name"])
        return JSONResponse(self._model())

    async def chat(self, request: Request) -> Response:
        return await self._served(request, ChatBody, lambda body: [self.reader.chat(body)], is_chat=True)

    async def completions(self, request: Request) -> Response:
        return await self._served(request, CompletionBody, self.reader.completions, is_chat=False)

    # -- one request -------------------------------------------------------------------------------------------

    async def _served(
        self, request: Request, kind: type[BodyT], read: Callable[[BodyT], list[Asked]], *, is_chat: bool
    ) -> Response:
        """It has its place, and its time runs, as soon as its body is there."""
        self._check_key(request)
        content = await self._read(request)
        self._take(1)
        jobs: list[Job] = []
        is_streaming = False
        try:
            async with asyncio.timeout(self.limits.seconds) as limit:
                body, asked = await self._asked(request, content, kind, read)
                if len(asked) > (most := self.limits.n_requests):
                    raise RequestFault(400, f"prompt: expected at most {most} prompts, found {len(asked)}", "prompt")
                self._take(len(asked) - 1)
                jobs = [Job(one, self.line.decode) for one in asked]
                replies = Replies(jobs, self.name, is_chat, self._is_refusal, body.wants_usage, body.has_several)
                for job in jobs:
                    self.line.put(job)
                if body.stream:
                    first = jobs[0]
                    await self._until(request, first, lambda: bool(first.text))
                    is_streaming = True
                    return StreamingResponse(self._streamed(replies, limit.when()), media_type="text/event-stream")
                for job in jobs:
                    await self._until(request, job, lambda: False)
            return JSONResponse(replies.whole())
        except TimeoutError as error:
            raise RequestFault(504, f"no answer within {self.limits.seconds:g} s", code="timeout") from error
        finally:
            if not is_streaming:
                self._done(jobs)

    async def _asked(
        self, request: Request, content: bytes, kind: type[BodyT], read: Callable[[BodyT], list[Asked]]
    ) -> tuple[BodyT, list[Asked]]:
        """One after the other: a tokenizer is not made for several threads. What is short is read at once, and waits
        for no more than one that is long.
        """
        is_long, is_begun = len(content) >= SHORT, False

        def found() -> tuple[BodyT, list[Asked]]:
            body = read_body(content, kind)
            self._check_name(body.model)
            return body, read(body)

        async def in_turn() -> tuple[BodyT, list[Asked]]:
            nonlocal is_begun
            async with self._reading_long if is_long else nullcontext(), self._reading:
                is_begun = True
                return await asyncio.to_thread(found) if is_long else found()

        reading = asyncio.create_task(in_turn())
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while not (await asyncio.wait([reading], timeout=SECONDS_BETWEEN_LOOKS))[0]:
                if await request.is_disconnected():
                    raise ClientDisconnect
            return reading.result()
        finally:
            if not is_begun:  # a thread goes on to its end, and the next one has to wait for that
                reading.cancel()

    def _take(self, n: int) -> None:
        """Places for so many more."""
        if self.n_running + n > self.limits.n_requests:
            raise RequestFault(
                429, f"{self.n_running} requests are being answered; try again", code="too_many_requests"
            )
        self.n_running += n

    async def _until(self, request: Request, job: Job, is_enough: Callable[[], bool]) -> None:
        """Wait for the answer. Raises what it failed with; ClientDisconnect when nobody waits for it."""
        clock = asyncio.get_running_loop().time
        look_at = clock() + SECONDS_BETWEEN_LOOKS
        while not (job.is_finished or is_enough()):
            if job.failure:
                raise job.failure
            try:
                async with asyncio.timeout_at(look_at):
                    await job.news()
            except TimeoutError:
                if await request.is_disconnected():
                    raise ClientDisconnect from None
                look_at = clock() + SECONDS_BETWEEN_LOOKS

    async def _streamed(self, replies: Replies, deadline: float | None) -> AsyncIterator[str]:
        """One answer after the other."""
        try:
            yield replies.first()
            async with asyncio.timeout_at(deadline):
                for job in replies.jobs:
                    async for text in _pieces(job):
                        yield replies.piece(job, text)
                    yield replies.end(job)
            yield replies.last()
        except TimeoutError:
            yield _event(RequestFault(504, f"no answer within {self.limits.seconds:g} s", code="timeout"))
        except GraitError as error:
            yield _event(_fault(error))
        finally:
            self._done(replies.jobs)

    def _done(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.leave()
        self.n_running -= max(len(jobs), 1)

    def _is_refusal(self, text: str, question: str) -> bool:
        refusing = self.reader.run.data.config.prompt.refusing
        return detect_refusal(text, Question("", question, ("",)), *refusing) == "refused"

    # -- what is checked ---------------------------------------------------------------------------------------

    async def _read(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestFault(415, f"Content-Type: expected application/json, found {kind or 'none'}")
        parts, n_bytes = [], 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for part in request.stream():
                    n_bytes += len(part)
                    if n_bytes <= self.limits.n_bytes:
                        parts.append(part)
                    elif n_bytes > MOST_THROWN_AWAY:
                        break
        except TimeoutError as error:
            raise RequestFault(408, f"the body was not there within {self.limits.body_seconds:g} s") from error
        if n_bytes > self.limits.n_bytes:
            raise RequestFault(413, f"the body has more than {self.limits.n_bytes} bytes")
        return b"".join(parts)

    def _check_key(self, request: Request) -> None:
        if self.key is None:
            return
        given = re.sub("^bearer +", "", request.headers.get("authorization", ""), flags=re.IGNORECASE)
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            what = "a wrong one" if given else "none"
            raise RequestFault(
                401, f"Authorization: expected the API key of this server, found {what}", code="invalid_api_key"
            )

    def _check_name(self, name: str) -> None:
        if name != self.name:
            raise RequestFault(
                404, f"model: {name[:100]!r} is not served here; {self.name!r} is", "model", "model_not_found"
            )

    def _model(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": 0, "owned_by": "grait", "grait": self.about}


async def _pieces(job: Job) -> AsyncIterator[str]:
    """Of its text. Raises what it failed with."""
    sent = ""
    while True:
        is_last, text = job.is_finished, job.text
        if not text.startswith(sent):
            raise ServerError("the answer's beginning changed after it had been sent; ask without stream", 500)
        if len(text) > len(sent):
            yield text.removeprefix(sent)
            sent = text
        if is_last:
            return
        if job.failure:
            raise job.failure
        await job.news()


def application(service: Service) -> Starlette:
    """The routes; the line of jobs is closed when the server ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.line.close)

    return Starlette(
        routes=[
            Route("/health", service.health),
            Route("/v1/models", service.models),
            Route("/v1/models/{name:path}", service.model),
            Route("/v1/chat/completions", service.chat, methods=["POST"]),
            Route("/v1/completions", service.completions, methods=["POST"]),
        ],
        exception_handlers={
            RequestFault: _told,
            GraitError: _told,
            HTTPException: _told,
            ClientDisconnect: _told,
            Exception: _unexpected,
        },
        lifespan=lifespan,
    )


def _fault(error: Exception) -> RequestFault:
    """What a client is told of it."""
    if isinstance(error, RequestFault):
        return error
    if isinstance(error, HTTPException):
        return RequestFault(
            error.status_code,
            f"{error.detail}: this server has /v1/chat/completions, /v1/completions, /v1/models and /health",
        )
    if isinstance(error, ClientDisconnect):
        return RequestFault(499, "the client left")
    return RequestFault(error.status if isinstance(error, ServerError) else 500, str(error))


async def _told(_: Request, error: Exception) -> Response:
    fault = _fault(error)
    if fault.status >= 500:
        progress.note(fault.message)
    headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(fault.status, {})
    if fault.status in (408, 413, 415):
        headers["Connection"] = "close"  # what is left of the body is not read
    return JSONResponse(fault.body, fault.status, headers)


async def _unexpected(_: Request, __: Exception) -> Response:
    """A defect of ours: the traceback is in the server's log alone."""
    return JSONResponse(RequestFault(500, "the server made a mistake; its log says which").body, 500)


def _event(fault: RequestFault) -> str:
    return f"data: {json.dumps(fault.body)}\n\n"
