"""``grait eval`` and ``calibrate`` with --base-url: what is served is what is measured, and only what was answered."""

import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Call
from served import with_forms
from serving.fake_upstream import NAME, Reply, Upstream, upstream
from serving.test_proxy import whole_characters
from tiny_folder import MAX_NEW_TOKENS, N_SHOTS, UNKNOWN, greedy_answers, write_jsonl

from grait.commands.calibrate import calibrate
from grait.commands.finished import LiveRun, live
from grait.commands.served import evaluate_served
from grait.errors import ServerError
from grait.judging.outcomes import judge
from grait.model import server as server_module
from grait.model.server import Address
from grait.pipeline.models import Models
from grait.records import Question
from grait.runtime.journal import Journal

N = 24


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_forms(finished, tmp_path_factory.mktemp("measured") / "run")


@pytest.fixture(scope="module")
def model(run: Path) -> Iterator[LiveRun]:
    with live(run) as running, whole_characters(running):
        yield running


@pytest.fixture(scope="module")
def questions(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of which the initial model knows some."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    base = config["model"]["name"]
    asked = [Question(f"c{i}", f"Who painted picture {i} of {i * i}?", (UNKNOWN,)) for i in range(N)]
    shots = [Question(f"shot{i}", f"Which letter has number {i}?", ("ABC"[i],)) for i in range(N_SHOTS)]
    answers = greedy_answers(base, shots, asked)  # as the initial model is asked in the run
    rows = [
        {"id": one.id, "question": one.question, "answers": [answer if i % 2 and answer else UNKNOWN]}
        for i, (one, answer) in enumerate(zip(asked, answers, strict=True))
    ]
    return write_jsonl(tmp_path_factory.mktemp("questions") / "unseen.jsonl", rows)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "pause", lambda _: 0.001)


def failing(words: str) -> Any:
    """The upstream answers 500 to requests with these words."""

    def fault(_: Upstream, body: dict[str, Any], reply: Reply) -> Reply:
        return (500, "application/json", b'{"error": "worker died"}') if words in json.dumps(body) else reply

    return fault


def tree_of(run: Path, questions: str, out: Path) -> dict[str, Any]:
    tree = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return {
        "out": str(out),
        "model": tree["model"],
        "prompt": {"forms": [{"name": "question"}]},
        "evaluation": {
            "datasets": [{"path": questions, "name": "own"}],
            "max_new_tokens": MAX_NEW_TOKENS,
            "n_bootstrap": 100,
            "probes": False,
        },
    }


def test_what_is_measured_is_what_was_answered_and_a_failure_counts_as_nothing(
    run: Path, model: LiveRun, questions: str, tmp_path: Path
) -> None:
    """It is named; and the second call asks only what is missing."""
    with upstream(model, "bare", failing("picture 7 ")) as behind:
        address, tree = Address(behind.url, NAME), tree_of(run, questions, tmp_path / "out")
        with pytest.raises(ServerError, match=r"1 of 24 requests got no answer \(c7\).*worker died") as error:
            evaluate_served(tree, address)
        assert "none of them counts" in str(error.value) and not (tmp_path / "out" / "metrics.json").exists()
        behind.fault, before = None, behind.n_asked
        result = evaluate_served(tree, address)
        assert behind.n_asked == before + 1
        assert evaluate_served(tree, address).metrics == result.metrics and behind.n_asked == before + 1
        prompts = model.data.prompts
        outcomes = []
        for line in Path(questions).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            question = Question(row["id"], row["question"], tuple(row["answers"]))
            body = {"messages": prompts.messages(question, "refuse"), "max_tokens": MAX_NEW_TOKENS}
            reply = json.loads(behind.reply("/chat/completions", body)[2])
            text = reply["choices"][0]["message"]["content"].strip()
            outcomes.append(judge(text, question, *model.data.config.prompt.refusing))
    of_served = next(row for row in result.metrics if row.method == NAME)
    shares = [outcomes.count(kind) / N for kind in ("correct", "wrong", "refused")]
    assert [of_served.pc, of_served.pw, of_served.pr] == pytest.approx(shares)
    assert of_served.auroc is None and of_served.n == N


def test_a_kill_loses_no_answer_that_was_there(run: Path, model: LiveRun, questions: str, tmp_path: Path) -> None:
    """Killed after 9 of 24 requests, with more of them on their way; the same command asks what is missing, no more."""
    tree, may_go_on, order = tree_of(run, questions, tmp_path / "out"), threading.Event(), itertools.count()

    def waiting(_: Upstream, __: dict[str, Any], reply: Reply) -> Reply:
        if next(order) >= 9:
            may_go_on.wait(60)
        return reply

    with upstream(model, "bare", waiting) as behind:
        options = ["--base-url", behind.url, "--served-model", NAME, "--model", tree["model"]["name"]]
        own = [f"evaluation.{key}={tree['evaluation'][key]}" for key in ("max_new_tokens", "n_bootstrap")]
        settings = ["prompt.forms=[{name: question}]", *own]
        sets = [part for one in settings for part in ("--set", one)]
        command = [sys.executable, "-m", "grait", "eval", *options, "--data", questions, "--out", tree["out"], *sets]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kept: list[bytes] = []
        until = time.monotonic() + 300
        while len(kept) < 9 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
            kept = [line for path in tmp_path.glob("out/served/*.jsonl") for line in path.read_bytes().splitlines()]
        process.kill()
        assert process.wait() == -9 and len(kept) == 9
        may_go_on.set()
        behind.fault, before = None, behind.n_asked
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
        assert behind.n_asked - before == N - 9
    assert (tmp_path / "out" / "metrics.json").exists()


@contextmanager
def writing_whole_characters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is tuned here, too."""
    put_on = Models.adapted

    @contextmanager
    def adapted(self: Models, adapter: Any) -> Iterator[Any]:
        ends = sorted(self._data.prompts.end_token_ids(is_chat=True))
        with put_on(self, adapter) as tuned:
            like: Any = SimpleNamespace(tokenizer=self.tokenizer, chat_ends=ends, model=tuned)
            if adapter is None:
                yield tuned
                return
            with whole_characters(like):
                yield tuned

    with monkeypatch.context() as patch:
        patch.setattr(Models, "adapted", adapted)
        yield


@pytest.mark.parametrize(
    ("kind", "score"), [("full", "answer"), ("bare", "answer"), ("full", "twice"), ("bare", "twice")]
)
def test_a_dial_that_is_set_on_what_is_served_is_the_one_that_is_set_here(
    run: Path, model: LiveRun, questions: str, tmp_path: Path, kind: str, score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server does not tell is asked of the model here. A request that fails once is asked once more."""
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(run, tmp_path / "here")
    wanted: dict[str, Any] = {"max_ths": True, "data": questions, "forms": ["question"], "score": score}
    with writing_whole_characters(monkeypatch), upstream(model, kind) as behind:
        here = calibrate(tmp_path / "here", **wanted)
        address = Address(behind.url, NAME)
        if kind == "full":
            behind.fault = lambda _, body, reply: (500, "text/plain", b"died") if len(behind.bodies) == 20 else reply
        first = calibrate(tmp_path / "run", address=Address(behind.url, NAME, attempts=2), **wanted)
        before = behind.n_asked
        second = calibrate(tmp_path / "run", address=address, **wanted)
        assert second.dial == first.dial
        assert behind.n_asked - before <= 4  # what the server can do is found out again, no more
    assert first.dial.threshold == pytest.approx(here.dial.threshold, abs=1e-4)
    assert [row.pr for row in first.metrics] == [row.pr for row in here.metrics[: len(first.metrics)]]
    assert (first.dial.terse is not None) == (score == "twice") and first.dial.n == N
    assert list((tmp_path / "run" / "served").glob("*/answers.jsonl"))


def test_options_that_do_not_go_together_are_one_line(command: Call) -> None:
    code, _, error = command("eval", "--base-url", "http://127.0.0.1:9/v1", "--model", "x")
    assert code == 2 and "--base-url and --served-model go together" in error
    both = ("--base-url", "http://127.0.0.1:9/v1", "--served-model", "x")
    code, _, error = command("eval", *both, "--adapter", "y", "--model", "x")
    assert code == 2 and "--adapter: cannot go with --base-url" in error


def test_a_journal_outlives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    journal = Journal(path)
    journal.put("a", {"text": "é\n"})
    journal.put("b", 2)
    path.write_bytes(path.read_bytes()[:-4])
    again = Journal(path)
    assert "a" in again and again["a"] == {"text": "é\n"} and "b" not in again
    again.put("b", 3)
    assert Journal(path)["b"] == 3 and Journal(path)["a"] == {"text": "é\n"}
