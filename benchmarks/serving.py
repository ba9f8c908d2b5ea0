"""Requests per second and latency of ``grait serve``, beside ``transformers serve``, at 1, 8 and 32 clients at once.

python -m benchmarks.serving RUN [--n 32] [--max-tokens 24] [--json FILE] [--markdown FILE]

One after the other, on the same machine and with the same questions: the run's model in ``grait serve``, the merged one
in ``transformers serve``, and the proxy in front of the latter. Then what the proxy itself adds: in front of a server
that answers at once. Needs the extras serve and dev (transformers[serving]).
"""

import json as json_module
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.report import markdown, write
from grait.commands.finished import dialled
from grait.commands.merge import merge

COLUMNS = ["server", "clients", "requests", "per second", "median s", "95% s"]
CLIENTS = (1, 8, 32)
BIN = Path(sys.executable).parent
NOTE = (
    "The same questions in the same order, one server after the other. The last rows are of a server that answers at "
    "once, alone and with the proxy in front: the difference is what the proxy adds."
)


def main(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    n: Annotated[int, typer.Option(help="Requests of each row.")] = 32,
    max_tokens: int = 24,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """One row for each server and number of clients."""
    questions = [question.question for own in dialled(run).data.test_sets.values() for question in own][:n]
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        merged = str(merge(run, Path(folder) / "model").folder)
        with started([str(BIN / "grait"), "serve", str(run), "--port", "18101"], 18101):
            records += [measured("grait serve", 18101, "grait", questions, own, max_tokens) for own in CLIENTS]
        peer = [str(BIN / "transformers"), "serve", merged, "--port", "18102", "--device", "cpu"]
        with started(peer, 18102):
            records += [measured("transformers serve", 18102, merged, questions, own, max_tokens) for own in CLIENTS]
    proxy = [str(BIN / "grait"), "serve", str(run), "--upstream", "http://127.0.0.1:18103/v1"]
    with at_once(18103), started([*proxy, "--served-model", "m", "--form", "examples", "--port", "18104"], 18104):
        records += [measured("answers at once", 18103, "m", questions * 4, own, max_tokens) for own in CLIENTS]
        records += [measured("proxy before it", 18104, "m", questions * 4, own, max_tokens) for own in CLIENTS]
    table = markdown("Serving", COLUMNS, [[str(row[name]) for name in COLUMNS] for row in records], NOTE)
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


def measured(
    server: str, port: int, model: str, questions: Sequence[str], clients: int, max_tokens: int
) -> dict[str, Any]:
    """The same questions to one server, by so many clients at once."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"

    def ask(question: str) -> float:
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
        start = time.perf_counter()
        client.post(url, json=body | {"temperature": 0}).raise_for_status()
        return time.perf_counter() - start

    with httpx.Client(timeout=600) as client, ThreadPoolExecutor(clients) as pool:
        ask(questions[0])
        start = time.perf_counter()
        seconds = list(pool.map(ask, questions))
        whole = time.perf_counter() - start
    found = [len(questions) / whole, statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]]
    print(server, clients, found, file=sys.stderr, flush=True)
    rounded = [round(value, 4 if value < 1 else 2) for value in found]
    return dict(zip(COLUMNS, [server, clients, len(questions), *rounded], strict=True))


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """A server as a process, until it is ready and as long as it is needed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        for _ in range(300):
            time.sleep(1)
            if process.poll() is not None:
                raise RuntimeError(f"{command[:2]} ended with {process.returncode}")
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                continue
        print("ready", port, file=sys.stderr, flush=True)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@contextmanager
def at_once(port: int) -> Iterator[None]:
    """A server that says the same at once, with log-probabilities, so that all the time is the proxy's."""
    tokens = ["It", " is", " Paris", ".", "<end>"]
    rows = [
        {
            "token": token,
            "logprob": -0.1,
            "top_logprobs": [{"token": token, "logprob": -0.1}, {"token": "x", "logprob": -3}],
        }
        for token in tokens
    ]
    choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": rows}}
    text = "".join(tokens[:-1])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = json_module.loads(self.rfile.read(int(self.headers["Content-Length"])))
            own = choice | ({"message": {"content": text}} if "messages" in body else {"text": text})
            reply = {"model": "m", "choices": [own]}
            if "echo" in body:
                n_tokens = len(body["prompt"])
                places = {"tokens": ["x"] * n_tokens, "token_logprobs": [None, *[-9.0] * (n_tokens - 1)]}
                reply["choices"] = [{"text": "x" * n_tokens, "finish_reason": "stop", "logprobs": places}]
            content, kind = json_module.dumps(reply), "application/json"
            if body.get("stream"):
                content, kind = f"data: {content}\n\ndata: [DONE]\n\n", "text/event-stream"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.socket.listen(max(CLIENTS))  # five at once by default: more clients would be turned away
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()


if __name__ == "__main__":
    typer.run(main)
