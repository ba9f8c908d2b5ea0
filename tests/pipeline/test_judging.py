"""The judge of a run: an endpoint with faults, a function of the user's, verdicts that are kept, and whole runs."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_server import Handler, judge_server, judged_by
from tiny_folder import UNKNOWN, Files, tiny_tree

import grait
from grait.config import Config
from grait.errors import ConfigError, GraitError, JudgeError
from grait.judging.judges import ToJudge
from grait.pipeline.judging import KeptJudge, judge_key, judge_of
from grait.records import KnowledgeState, Prediction, Question
from grait.runtime.artifacts import read_rows

ROWS = [ToJudge(Question(f"q{i:02}", f"What is {i}?", (f"ref{i}",)), f"out{i}") for i in range(30)]


def judge(folder: Path, url: str, **more: Any) -> KeptJudge:
    found = judge_of(Config.model_validate({"judge": judged_by(url, **more)}), folder)
    assert isinstance(found, KeptJudge)
    return found


# -- faults of an endpoint -----------------------------------------------------------------------------------------


def slow(handler: Handler, prompt: str, n: int) -> bool:
    time.sleep(1)
    return False


def cut(handler: Handler, prompt: str, n: int) -> bool:
    handler.connection.close()
    return True


FAULTS: dict[str, tuple[Callable[[Handler, str, int], Any], str]] = {
    "slow": (slow, "timed out"),
    "500 forever": (lambda handler, *_: handler.send(500, b'{"error": "broken"}'), "status 500"),
    "429 forever": (lambda handler, *_: handler.send(429, b"{}", retry_after_ms="1"), "status 429"),
    "cut connection": (cut, "cannot be asked"),
    "not JSON": (lambda handler, *_: handler.send(200, b"<html>"), "no reply that can be read"),
    "empty": (lambda handler, *_: handler.send(200, b""), "no reply that can be read"),
    "wrong shape": (lambda handler, *_: handler.send(200, b'{"choices": []}'), "no reply that can be read"),
    "a number": (lambda handler, *_: handler.reply(7), "no reply that can be read"),
    "rubbish": (lambda *_: "perhaps", "replied 'perhaps'"),
    "both words": (lambda *_: "correct\nwrong", "replied 'correct wrong'"),
    "redirect": (lambda handler, *_: handler.send(307, b"", location="http://127.0.0.1:9/v1"), "status 307"),
    "no key": (lambda handler, *_: handler.send(401, b'{"error": {"message": "who?"}}'), "judge.api_key_env"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_judge_that_cannot_be_asked_ends_in_one_line_and_judges_nothing(name: str, tmp_path: Path) -> None:
    fault, expected = FAULTS[name]
    with judge_server(fault) as server:
        own = judge(tmp_path, server.url, timeout=0.2 if name == "slow" else 5.0, concurrency=30)
        with pytest.raises(JudgeError) as caught:
            own(ROWS[:12])
    assert expected in str(caught.value) and "\n" not in str(caught.value)
    assert own.about()["judged"] == 0


def test_a_judge_that_is_down_ends_in_one_line(tmp_path: Path) -> None:
    with judge_server() as server:
        url = server.url
    with pytest.raises(JudgeError, match="the judge cannot be asked: 5 of 5 requests got no answer") as caught:
        judge(tmp_path, url)(ROWS[:5])
    assert url in str(caught.value) and "asks only what is missing" in str(caught.value)


def test_what_passes_is_asked_again_and_counted(tmp_path: Path) -> None:
    """429 and 500 by the client, rubbish by us, with what was replied and a reminder."""

    def at_first(handler: Handler, prompt: str, n: int) -> Any:
        if n > 1:
            return None
        if "What is 1?" in prompt:
            return handler.send(429, b"{}", retry_after_ms="1")
        return "perhaps" if "What is 2?" in prompt else None

    with judge_server(at_first) as server:
        own = judge(tmp_path, server.url)
        assert own(ROWS) == ["correct"] * 30
        (again,) = [body["messages"] for body in server.bodies if len(body["messages"]) > 1]
    assert [message["role"] for message in again] == ["user", "assistant", "user"] and again[1]["content"] == "perhaps"
    found = own.about()
    assert (found["asked"], found["judged"], found["retried"], found["without_verdict"]) == (31, 30, 1, 0)
    assert (found["prompt_tokens"], found["reply_tokens"]) == (310, 31)


def test_single_rows_without_a_verdict_are_named_counted_and_asked_about_at_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rubbish(handler: Handler, prompt: str, n: int) -> Any:
        if "What is 7?" in prompt:
            return handler.send(400, b'{"error": "too long"}')
        return "correct, wrong" if "What is 3?" in prompt else None

    with judge_server(rubbish) as server:
        own = judge(tmp_path, server.url)
        verdicts = own(ROWS)
        assert [place for place, verdict in enumerate(verdicts) if verdict is None] == [3, 7]
        assert "2 of 30 outputs without a verdict of m (q03, q07)" in capsys.readouterr().err
        n = server.asked.total()
        assert own(ROWS) == verdicts and server.asked.total() == n  # not in this start
        assert own.about()["without_verdict"] == 2 and own.about()["agreement"]["n"] == 28
        server.fault = None
        assert judge(tmp_path, server.url)(ROWS) == ["correct"] * 30 and server.asked.total() == n + 2


def test_one_output_is_asked_about_once_by_content(tmp_path: Path) -> None:
    other = Question("another id", ROWS[0].question.question, ROWS[0].question.answers)
    with judge_server() as server:
        own = judge(tmp_path, server.url)
        own([*ROWS, *ROWS, ToJudge(other, ROWS[0].output)])
        judge(tmp_path, server.url)(ROWS)
        assert server.asked.total() == 30 and own.reused == 31
        judge(tmp_path, server.url, model="other")(ROWS[:1])
        judge(tmp_path, server.url, request={})(ROWS[:1])
        assert server.asked.total() == 32
    torn = (tmp_path / "verdicts.jsonl").read_bytes()[:-20]
    (tmp_path / "verdicts.jsonl").write_bytes(torn)  # a kill in the middle of the last line
    with judge_server() as server:
        judge(tmp_path, server.url, request={})(ROWS[:2])
        assert server.asked.total() == 2


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with judge_server() as server:
        with pytest.raises(ConfigError, match="no such environment variable"):
            judge(tmp_path, server.url, api_key_env="MY_KEY")(ROWS[:1])
        monkeypatch.setenv("MY_KEY", "secret-7")
        judge(tmp_path, server.url, api_key_env="MY_KEY")(ROWS[:1])
        assert server.keys == {"Bearer secret-7"}
    assert all("secret-7" not in path.read_text() for path in tmp_path.iterdir())


def test_what_nobody_can_answer_is_never_right(tmp_path: Path) -> None:
    with judge_server() as server:
        own = judge(tmp_path, server.url)
        assert own([ToJudge(Question("q", "Who is he?", (), answerable=False), "Me")]) == ["wrong"]


def test_agreement_and_disagreements_are_those_of_the_verdicts(tmp_path: Path) -> None:
    """Four outputs: the judge says correct, wrong, wrong, refused; matching correct, correct, wrong, refused.

    p_o = 3/4, p_e = (1 * 2 + 2 * 1 + 1 * 1) / 16 = 5/16, kappa = 7/11.
    """
    said = {"Rome": "correct", "Rome, or Milan": "wrong", "Milan": "wrong", "I don't know.": "refused"}
    question = Question("q", "What is the capital of Italy?", ("Rome",))
    with judge_server(lambda _, prompt, n: said[prompt.partition("O: ")[2].removesuffix("\nEND")]) as server:
        own = judge(tmp_path, server.url)
        assert own([ToJudge(question, output) for output in said]) == list(said.values())
    found = own.about()
    assert found["agreement"]["share"] == 0.75 and found["agreement"]["kappa"] == pytest.approx(7 / 11)
    (row,) = found["disagreements"]
    assert (row["output"], row["verdict"], row["matching"]) == ("Rome, or Milan", "wrong", "correct")


# -- a function of the user's --------------------------------------------------------------------------------------


def python_judge(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> KeptJudge:
    (folder / f"{name}.py").write_text(f"def decide(output, question):\n    {body}\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    found = judge_of(Config.model_validate({"judge": {"by": "python", "python": f"{name}:decide"}}), folder)
    assert isinstance(found, KeptJudge)
    return found


def test_a_function_of_the_current_folder_gets_the_output_and_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'return "correct" if output == "out3" and question.answers == ("ref3",) else "wrong"'
    own = python_judge(tmp_path, monkeypatch, "judge_one", body)
    assert [row.question.id for row, verdict in zip(ROWS, own(ROWS), strict=True) if verdict == "correct"] == ["q03"]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("judge_two", "return ('wrong', 1 / (output != 'out3'))[0]", "raised ZeroDivisionError"),
        ("judge_six", "return {'out3': exit}.get(output, lambda _: 'wrong')(3)", "raised SystemExit: 3"),
        ("judge_seven", "return {f'out{n}': 'wrong' for n in range(3)}[output]", "raised KeyError: 'out3'"),
        ("judge_three", "return True if output == 'out3' else 'wrong'", "returned bool True; expected 'correct'"),
        ("judge_four", "return 'incorrect' if output == 'out3' else 'wrong'", "returned str 'incorrect'"),
    ],
)
def test_a_function_that_fails_is_told_with_its_row_and_the_rest_is_kept(
    name: str, body: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = python_judge(tmp_path, monkeypatch, name, body)
    with pytest.raises(JudgeError) as caught:
        own(ROWS)
    assert f"question 'q03', output 'out3': {expected}" in str(caught.value) and "\n" not in str(caught.value)
    assert own.about()["judged"] >= 3


def test_another_source_is_another_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = python_judge(tmp_path, monkeypatch, "judge_five", "return 'wrong'")
    (tmp_path / "judge_five.py").write_text("def decide(output, question): return 'correct'\n", encoding="utf-8")
    assert judge_key(Config.model_validate({"judge": {"by": "python", "python": "judge_five:decide"}})) != own.key
    for name, expected in (
        ("no_such_module_x:decide", "cannot be imported"),
        ("judge_five:other", "judge_five:other: judge_five has no function other"),
        ("judge_five:__name__", "expected a function __name__, found str 'judge_five'"),
    ):
        with pytest.raises(ConfigError, match=expected):
            judge_of(Config.model_validate({"judge": {"by": "python", "python": name}}), tmp_path)(ROWS[:1])  # type: ignore[call-arg]


# -- in a run ------------------------------------------------------------------------------------------------------


def tree_of(tiny: tuple[str, Files], out: Path, url: str, **more: Any) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["training"]["methods"] = ["cor-rait"]
    tree["evaluation"]["probes"] = False
    return tree | {"judge": judged_by(url, **more)}


def test_a_killed_run_asks_only_what_is_missing_and_labels_and_evaluation_are_the_judge_s(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    """This judge says the opposite of matching: what the model knows is unknown, and the answers to it wrong."""
    with judge_server() as server:

        def dies(handler: Handler, prompt: str, n: int) -> Any:
            return handler.send(503, b"{}", retry_after_ms="1") if len(server.asked) > 10 else None

        server.fault = dies
        tree = tree_of(tiny, tmp_path / "run", server.url, concurrency=1)
        with pytest.raises(GraitError, match="the judge cannot be asked"):
            grait.run(tree)
        judged = json_lines(tmp_path / "run" / "verdicts.jsonl")
        assert len(judged) == 10
        server.fault, before = None, server.asked.copy()
        result = grait.run(tree)
        answered = len(json_lines(tmp_path / "run" / "verdicts.jsonl"))
        assert (server.asked - before).total() == answered - 10
        n = server.asked.total()
        grait.run(tree)
        assert server.asked.total() == n
    states = read_rows(tmp_path / "run" / "knowledge" / "knowledge.parquet", KnowledgeState)
    references = {row["id"]: row["answers"][0] for row in json_lines(Path(tiny[1].train))}
    assert {(state.correctness, references[state.id] == UNKNOWN) for state in states} == {(1.0, True), (0.0, False)}
    rows = result.predictions["own"]["init-basic"]
    tests = {row["id"]: row["answers"][0] for row in json_lines(Path(tiny[1].test))}
    assert all(row.outcome == ("correct" if tests[row.id] == UNKNOWN else "wrong") for row in rows)
    assert all(row.suppressed_outcome in ("correct", "wrong") for row in rows)
    about = json.loads((tmp_path / "run" / "summary.json").read_text())["judge"]
    assert about["agreement"]["share"] < 0.5 and about["disagreements"] and (tmp_path / "run" / "judge.json").exists()


def test_questions_without_a_verdict_are_dropped_from_labels_and_count_for_no_system(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    """Of one test question only the tuned model's answer has none: it counts for the initial model neither."""
    train, test = (json_lines(Path(path)) for path in (tiny[1].train, tiny[1].test))
    unjudged = {train[5]["question"], test[2]["question"]}

    def rubbish(handler: Handler, prompt: str, n: int) -> Any:
        return "perhaps" if prompt.partition("\n")[0].removeprefix("Q: ") in unjudged else None

    with judge_server(rubbish) as server:
        result = grait.run(tree_of(tiny, tmp_path / "run", server.url))
    states = {row.id: row for row in read_rows(tmp_path / "run/knowledge/knowledge.parquet", KnowledgeState)}
    assert states[train[5]["id"]].label == "dropped"
    for name, rows in result.predictions["own"].items():
        assert {row.id for row in rows} == {row["id"] for row in test} - {test[2]["id"]}, name
        found = read_rows(tmp_path / "run/evaluation/own" / name / "predictions.parquet", Prediction)
        assert None not in {row.outcome for row in found}
    assert {row.n for row in result.metrics} == {len(test) - 1}
    assert result.summary["stages"]["evaluation/own/init-basic"]["without_verdict"] == [test[2]["id"]]
    assert any("counted neither as right nor as wrong" in told for told in result.summary["in_words"]["found"])


def test_grait_eval_is_judged_alike(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(tiny, tmp_path / "eval", "")
    with judge_server() as server:
        tree["judge"]["base_url"] = server.url
        result = grait.evaluate(tree)
    rows = read_rows(tmp_path / "eval" / "evaluation" / "own" / "init-basic" / "predictions.parquet", Prediction)
    tests = {row["id"]: row["answers"][0] for row in json_lines(Path(tiny[1].test))}
    assert all(row.outcome == ("correct" if tests[row.id] == UNKNOWN else "wrong") for row in rows)
    assert result.about["judge"]["judged"] == len(json_lines(tmp_path / "eval" / "verdicts.jsonl"))


def test_stage_keys_name_no_judge_but_another_one() -> None:
    assert judge_key(Config()) == {} and Config().unused["judge"] is True


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
