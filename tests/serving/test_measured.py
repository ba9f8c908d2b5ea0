"""``grait eval`` and ``calibrate`` with --base-url: what is served is what is measured, and only what was answered."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
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


@pytest.mark.parametrize("kind", ["full", "bare"])
def test_a_dial_that_is_set_on_what_is_served_is_the_one_that_is_set_here(
    run: Path, model: LiveRun, questions: str, tmp_path: Path, kind: str
) -> None:
    """What the server does not tell is asked of the model here. A request that fails once is asked once more."""
    shutil.copytree(run, tmp_path / "run")
    with upstream(model, kind, failing("picture 3 ")) as behind:
        address = Address(behind.url, NAME)
        wanted: dict[str, Any] = {"max_ths": True, "data": questions, "forms": ["question"], "score": "answer"}
        if kind == "full":
            behind.fault = lambda _, body, reply: (500, "text/plain", b"died") if len(behind.bodies) == 20 else reply
        else:
            behind.fault = None
        first = calibrate(tmp_path / "run", address=Address(behind.url, NAME, attempts=2), **wanted)
        before = behind.n_asked
        second = calibrate(tmp_path / "run", address=address, **wanted)
        assert second.dial == first.dial
        assert behind.n_asked - before <= 4  # what the server can do is found out again, no more
    assert first.dial.n == N and 0 <= first.dial.threshold <= 1
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
