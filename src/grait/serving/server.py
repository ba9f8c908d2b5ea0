"""``grait serve``: a finished run behind an address, until it is told to end."""

import importlib.util
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grait.commands.finished import DialledRun, dialled, live
from grait.commands.served import Here, served_model
from grait.dial.threshold import check_threshold
from grait.errors import ConfigError, ServerError, reason
from grait.model.limits import longest_sequence
from grait.model.load import read_config
from grait.model.server import Address, Server, check_key
from grait.runtime import progress

if TYPE_CHECKING:
    from grait.serving.asked import Reader
    from grait.serving.jobs import Line

MOST_TOGETHER = 32
"""Requests of one batch."""


@dataclass(frozen=True)
class Place:
    """``port``: 0 for any that is free."""

    host: str = "127.0.0.1"
    port: int = 8000


def check_server() -> None:
    """ConfigError with one line when what serves is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ConfigError("grait serve needs Starlette and uvicorn: pip install 'grait[serve]'")


def serve(
    run: str | Path,
    *,
    method: str | None = None,
    form: str | None = None,
    threshold: float | None = None,
    place: Place = Place(),
    key: str | None = None,
    n_requests: int = 256,
    seconds: float = 300.0,
    upstream: Address | None = None,
    ready: Callable[[str], None] = progress.note,
) -> None:
    """Serve a finished run until SIGINT or SIGTERM; what is being answered then is finished.

    ``method``: None for the run's main one. ``form``, ``threshold``: of requests that name none. ``key``: that clients
    have to send. ``upstream``: whose answers are decided on here; None for those of the model in this
    process. ``ready``: is told the address. Raises a GraitError with one line.
    """
    check_server()
    check_key(key, "the API key that clients send")
    if threshold is not None:
        check_threshold(threshold)
    from grait.serving.app import Limits, Service

    limits = Limits(n_requests=n_requests, seconds=seconds)
    with ExitStack() as stack:
        listener = stack.enter_context(listening(place))
        if upstream is None:
            model, line, longest = _own(stack, Path(run), method)
            name = model.method
        else:
            model, line, longest = _proxy(stack, Path(run), method, replace(upstream, seconds=seconds), n_requests)
            name = upstream.model
        reader = _reader(model, form, threshold, longest)
        _run(Service(name, reader, line, limits, key, about(model, threshold)), listener, ready)


def _reader(model: DialledRun, form: str | None, threshold: float | None, longest: int) -> "Reader":
    from grait.serving.asked import Reader
    from grait.serving.faults import RequestFault

    try:
        return Reader(model, form, threshold, longest)
    except RequestFault as error:
        raise ConfigError(error.message) from error


def _own(stack: ExitStack, run: Path, method: str | None) -> tuple[DialledRun, "Line", int]:
    """The run's model in this process."""
    from grait.serving.jobs import Batches

    model = stack.enter_context(live(run, method))
    engine = model.engine()
    return model, Batches(model, engine, MOST_TOGETHER), engine.longest


def _proxy(
    stack: ExitStack, run: Path, method: str | None, upstream: Address, n_requests: int
) -> tuple[DialledRun, "Line", int]:
    """The same model behind another server; here, too, where that server lacks what the dials take."""
    from grait.serving.jobs import Singly

    model = dialled(run, method)
    server = Server(upstream)
    stack.callback(server.close)

    def load() -> Here:
        running = stack.enter_context(live(run, method))
        return running.engine(), running.alone

    served = served_model(model, server, load)
    return model, Singly(served, n_requests), longest_sequence(read_config(model.data.config.model).get_text_config())


def about(model: DialledRun, threshold: float | None = None) -> dict[str, Any]:
    """For ``/v1/models``: the run's forms, and the threshold and score of each that has a dial. ``threshold``: in place
    of the dials' own."""
    dials = model.dials.forms if model.dials else {}
    return {
        "refusal": model.refusal,
        "forms": [form.name for form in model.data.prompts.forms],
        "dials": {
            name: {"threshold": dial.threshold if threshold is None else threshold, "score": dial.score}
            for name, dial in dials.items()
        },
    }


def _run(service: Any, listener: socket.socket, ready: Callable[[str], None]) -> None:
    for note in notes(service.reader.run):
        progress.note(note)
    server = http_server(service)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises them again when it has ended
    ready(address(listener))
    server.run(sockets=[listener])


def http_server(service: Any) -> Any:
    """uvicorn's, for a ``Service``, not yet running."""
    import uvicorn

    from grait.serving.app import application

    config = uvicorn.Config(
        application(service),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=int(service.limits.seconds) + 1,
        timeout_keep_alive=30,
        server_header=False,
    )
    return uvicorn.Server(config)


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def notes(model: DialledRun) -> list[str]:
    """What to know before asking: which words have a dial."""
    dials = model.dials
    if dials is None:
        return ["the run has no refusal dial: every answer is the model's own; grait calibrate sets one"]
    found = model.chat_dial(None) if model.has_chat else None
    if found:
        return [f"a conversation is decided by the dial of the form {found[0]}, which was set on single questions"]
    return [
        f"the run has a refusal dial for {', '.join(dials.forms)}, and none for a bare question in a chat: there the "
        "answer is the model's own, unless a request or --form names a form"
    ]


def listening(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        listener = socket.create_server((place.host, place.port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise ServerError(
            f"{place.host}:{place.port}: cannot serve there ({reason(error)}); choose another --port or --host"
        ) from error
    # Else an answer's body, a packet of its own, waits 40 ms for a client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
