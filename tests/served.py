"""A tiny run with four forms and dials in three of them, and a server of ours around it, in a thread."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from tiny_dial import a_dial

from grait.commands.finished import LiveRun, live
from grait.dial.stored import Gate, SavedDial, Terse, save_dials
from grait.dial.threshold import ScoreName
from grait.model.forms import Form
from grait.records import Question
from grait.serving.app import Limits, Service
from grait.serving.asked import Reader
from grait.serving.jobs import Batches, Line
from grait.serving.server import Place, about, address, http_server, listening

FORMS = ["question", "instruction", "examples", "plain"]
REFUSAL = "I don't know."
QUESTIONS = [f"Who wrote book {i * i} of {i}?" for i in range(24)]


def with_forms(run: Path, folder: Path) -> Path:
    """A copy of a finished run that says it was trained in these forms."""
    shutil.copytree(run, folder)
    tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tree["prompt"] |= {"forms": [{"name": name} for name in FORMS], "system": None}
    (folder / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    return folder


def dial_of(model: LiveRun, name: str, score: ScoreName, threshold: float, gate: float | None = None) -> SavedDial:
    """With the tokens that the form really has."""
    prompts = model.data.prompts
    form, question = form_of(model, name), Question("", QUESTIONS[0], ("",))
    prompt = prompts.prompt(question, "refuse", form)
    return a_dial("calibration.jsonl").model_copy(
        update={
            "score": score,
            "threshold": threshold,
            "refusal": REFUSAL,
            "refusal_token_ids": prompts.completion(prompt, REFUSAL).token_ids,
            "end_token_ids": tuple(sorted(prompts.end_token_ids(prompts.is_chat(question, form)))),
            "gate": None if gate is None else Gate(at=gate, n=200, refused=0.0, n_passed=20),
        }
    )


def dial_that_asks_twice(model: LiveRun, name: str) -> SavedDial:
    """Again after solved examples, as plain text."""
    prompts, mark = model.data.prompts, "qQq"
    prompt = prompts.prompt(Question("", mark, ("",)), "refuse", form_of(model, "examples"))
    before, _, after = prompt.text.partition(mark)
    terse = Terse(
        before=before,
        after=after,
        is_chat=prompt.is_chat,
        refusal_token_ids=prompts.completion(prompt, REFUSAL).token_ids,
        end_token_ids=tuple(sorted(prompts.end_token_ids(prompt.is_chat))),
    )
    return dial_of(model, name, "twice", 0.5).model_copy(update={"terse": terse})


def form_of(model: LiveRun, name: str) -> Form:
    return next(form for form in model.data.prompts.forms if form.name == name)


def save_forms(run: Path, dials: dict[str, SavedDial]) -> None:
    save_dials(run / "adapters" / "grait", FORMS[0], dials)


def with_dials(run: Path, gate: float | None = None) -> None:
    """Dials of three forms, each with another score; plain text has none."""
    with live(run) as model:
        dials = {
            "question": dial_of(model, "question", "answer-mean", 0.5, gate),
            "instruction": dial_of(model, "instruction", "answer", 0.9),
            "examples": dial_of(model, "examples", "first-token", 0.5),
        }
    save_forms(run, dials)


@contextmanager
def serving(
    model: LiveRun,
    *,
    line: Line | None = None,
    limits: Limits = Limits(),  # noqa: B008
    key: str | None = None,
    form: str | None = None,
    name: str = "grait",
) -> Iterator[tuple[str, Service]]:
    """The address, up to /v1, of a server that lives as long as this context."""
    engine = model.engine()
    line = line or Batches(model, engine, 8)
    service = Service(name, Reader(model, form, None, engine.longest), line, limits, key, about(model))
    with listening(Place(port=0)) as listener:
        server = http_server(service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield address(listener), service
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()


def quick(**changes: Any) -> Limits:
    return replace(Limits(), **changes)


def chat(url: str, *messages: str, **fields: Any) -> httpx.Response:
    """User and assistant take turns, the user first."""
    rows = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(messages)]
    body = {"model": "grait", "messages": rows, "max_tokens": 8, **fields}
    return httpx.post(f"{url}/chat/completions", json=body, timeout=60)


def complete(url: str, prompt: Any, timeout: float = 60, **fields: Any) -> httpx.Response:
    body = {"model": "grait", "prompt": prompt, "max_tokens": 8, **fields}
    return httpx.post(f"{url}/completions", json=body, timeout=timeout)


def events(text: str) -> list[dict[str, Any]]:
    """Of a stream; the last, [DONE], is left out where it is there."""
    found = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [json.loads(line) for line in found if line != "[DONE]"]
