"""``grait calibrate`` and ``grait chat`` on a tiny tuned run: what is stored, what is refused, what a user sees."""

import html
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import fake_vllm
import pytest
from conftest import Call
from peft import PeftModel
from rich.console import Console
from tiny_dial import load_dial
from tiny_folder import save_tiny, tiny_tree, write_half_known, write_jsonl
from transformers import GenerationConfig

import grait
from grait.chat.terminal import Chat, typed_lines
from grait.commands.calibrate import Calibration, calibrate, default_data
from grait.commands.finished import live, open_run
from grait.config import Config, DataConfig, parse_config
from grait.dial import RefusalDial
from grait.dial.answers import Reply
from grait.dial.choice import Target
from grait.dial.stored import FILE_NAME
from grait.dial.threshold import ScoreName, dialled_outcomes, refusal_score
from grait.display import page as page_module
from grait.display.page import run_report
from grait.display.tables import percent
from grait.errors import ConfigError, DataError, DialError
from grait.model.answers import BothAnswers
from grait.pipeline.dials import guarantee
from grait.pipeline.models import Models
from grait.pipeline.results import RunResult
from grait.records import Prediction, Question
from grait.runtime.artifacts import read_rows

N_CALIBRATION = 40
LIMIT = 0.7
"""Of over-refusal: 20 known questions prove little, and the tiny model refuses much."""

ASKED_ONCE = [score for score in get_args(ScoreName) if score != "twice"]

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Done:
    """A finished run with one trained method, and questions that it has not seen."""

    tree: dict[str, Any]
    folder: Path
    unseen: str

    @property
    def adapter(self) -> Path:
        return self.folder / "adapters" / "grait"

    def copied_to(self, folder: Path) -> "Done":
        shutil.copytree(self.folder, folder / "run")
        return Done(self.tree | {"out": str(folder / "run")}, folder / "run", self.unseen)

    def calibrated(self, metric: Any = "over_refusal", at_most: float | None = LIMIT, **options: Any) -> Calibration:
        target = {f"max_{metric}": True if metric == "ths" else at_most}
        return calibrate(self.folder, data=self.unseen, **target, **options)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("tuned")
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder, n_train=16, n_test=8 + N_CALIBRATION)
    rows = [json.loads(line) for line in Path(files.test).read_text(encoding="utf-8").splitlines()]
    test, unseen = write_jsonl(folder / "test.jsonl", rows[:8]), write_jsonl(folder / "unseen.jsonl", rows[8:])
    tree = tiny_tree(model, files, folder / "run")
    tree["lora"] |= {"r": 8, "alpha": 16}
    tree["selection"] = {"n_ik": 4, "n_idk": 8}
    tree["training"] |= {"methods": ["grait"], "epochs": 30, "learning_rate": 0.03}  # enough to learn to refuse
    tree["evaluation"] |= {"max_new_tokens": 16, "datasets": [{"path": test, "name": "own"}]}
    grait.run(tree)
    return Done(tree, folder / "run", unseen)


@pytest.fixture(scope="module")
def done(tuned: Done) -> Done:
    """The run after a first calibration: later ones find all answers."""
    tuned.calibrated()
    return tuned


def rows_of(done: Done, title: str) -> list[Prediction]:
    part = "evaluation" if title == "own" else "calibration"
    return read_rows(done.folder / part / title / "grait" / "predictions.parquet", Prediction)


# -- calibration ---------------------------------------------------------------------------------------------------


def test_what_is_stored_is_what_the_answers_say(done: Done) -> None:
    result = done.calibrated()
    assert result.file == done.adapter / FILE_NAME
    dial = load_dial(done.adapter)
    assert dial == result.dial
    rows = rows_of(done, "unseen")
    initial = read_rows(done.folder / "calibration" / "unseen" / "init-basic" / "predictions.parquet", Prediction)
    known = {row.id for row in initial if row.outcome == "correct"}
    assert {row.id for row in rows} == {row.id for row in initial} and len(rows) == dial.n == N_CALIBRATION
    outcomes = dialled_outcomes(rows, dial.score, dial.threshold)
    assert dial.hits == sum(outcomes[id_] == "refused" for id_ in known)
    assert dial.trials == dial.n_known == len(known)
    assert dial.hits / dial.trials == dial.achieved.over_refusal_rate <= dial.upper_bound <= LIMIT  # type: ignore[operator]
    assert dial.achieved.pr == sum(outcome == "refused" for outcome in outcomes.values()) / dial.n
    assert dial.without_dial.pr == sum(row.outcome == "refused" for row in rows) / dial.n
    assert dial.guarantee == guarantee(Target("over_refusal", LIMIT)) and "at most 70.0%" in str(dial.guarantee)


def test_the_tuned_model_would_refuse_and_answers_below_the_threshold(done: Done) -> None:
    """Without this the other tests would say little: greedy decoding refuses some, and answers them when suppressed."""
    rows = [row for row in rows_of(done, "unseen") if row.outcome == "refused"]
    assert rows
    assert any(row.suppressed_outcome != "refused" for row in rows)
    for row in rows_of(done, "unseen"):
        assert row.output.startswith("I") or row.output == row.suppressed_output


def test_metrics_before_and_after_on_both_sets(done: Done) -> None:
    result = done.calibrated()
    assert [(row.dataset, row.method) for row in result.metrics] == [
        (title, name) for title in ("unseen", "own") for name in ("grait", "grait + dial")
    ]
    evaluated = json.loads((done.folder / "metrics.json").read_text(encoding="utf-8"))
    (before,) = [row for row in evaluated if (row["dataset"], row["method"]) == ("own", "grait")]
    for name in ("pc", "pw", "pr", "ths", "over_refusal_rate"):
        assert getattr(result.metrics[2], name) == before[name]


def test_the_report_shows_the_dial_on_both_sets(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "run_report", run_report)  # conftest lets nothing be drawn
    result = done.calibrated()
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    dial = page[page.index('<section id="dial">') :]
    assert result.dial.guarantee is not None and result.dial.guarantee in html.unescape(dial)
    assert f"the threshold {result.dial.threshold:.4g} " in dial
    for row in result.metrics:
        if row.method == "grait + dial":
            shares = (row.pc, row.pw, row.pr, row.over_refusal_rate, row.ths)
            cells = "".join(f'<td class="number">{percent(share)}</td>' for share in shares)
            assert f'<th scope="row">{row.dataset}</th>{cells}' in dial
    assert "own: every system with its own dial" in dial and '<th scope="row">grait + dial</th>' in dial
    assert (done.folder / "figures" / "dial.svg").is_file()


def test_test_sets_without_predictions_are_left_out(done: Done, tmp_path: Path) -> None:
    copy = done.copied_to(tmp_path)
    shutil.rmtree(copy.folder / "evaluation" / "own" / "grait")
    assert {row.dataset for row in copy.calibrated().metrics} == {"unseen"}


def test_a_stored_dial_leaves_the_run_finished(done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = done.copied_to(tmp_path)
    grait.run(copy.tree)
    assert "running again" not in capsys.readouterr().err
    assert (copy.adapter / FILE_NAME).exists()


def test_targets_move_the_dial_as_they_say(done: Done) -> None:
    wrong = done.calibrated("wrong", 0.3).dial
    assert wrong.trials == N_CALIBRATION and wrong.achieved.pw == wrong.hits / wrong.trials <= 0.3  # type: ignore[operator]
    best = done.calibrated("ths", None).dial
    assert best.guarantee is best.confidence is best.upper_bound is None
    assert best.achieved.ths >= max(wrong.achieved.ths, done.calibrated().dial.achieved.ths)
    assert done.calibrated(score="text").dial.score == "text"


@pytest.mark.parametrize("score", ASKED_ONCE)
def test_serving_with_the_stored_dial_gives_the_pipeline_s_answers(done: Done, score: ScoreName) -> None:
    """The whole road: REFUSE prompts, PEFT's adapter and the dial in ``generate``, against the stored answers."""
    rows = {row.id: row for row in rows_of(done, "unseen")}
    scores = sorted(refusal_score(row, score) for row in rows.values())
    done.calibrated(score=score)
    dial = RefusalDial.from_pretrained(
        done.adapter, threshold=(scores[N_CALIBRATION // 2 - 1] + scores[N_CALIBRATION // 2]) / 2
    )
    data = open_run(done.folder)
    prompts, tokenizer = data.prompts, data.prompts.tokenizer
    questions = [json.loads(line) for line in Path(done.unseen).read_text(encoding="utf-8").splitlines()]
    tokenizer.padding_side = "left"
    texts = [prompts.prompt(Question(row["id"], row["question"], ("",)), "refuse").text for row in questions]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    model = PeftModel.from_pretrained(Models(data).initial, done.adapter)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    outputs = [dial.generate(model, ids, mask, max_new_tokens=16)]
    if score == "first-token":
        config = GenerationConfig(
            max_new_tokens=16, eos_token_id=list(dial.end_token_ids), pad_token_id=tokenizer.pad_token_id
        )
        outputs += [model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=[dial])]
    for output in outputs:
        refused = 0
        for row, tokens in zip(questions, output[:, ids.shape[1] :], strict=True):
            answers = rows[row["id"]]
            is_refused = refusal_score(answers, score) > dial.threshold
            refused += is_refused
            assert prompts.decode(tokens.tolist()) == ("I don't know." if is_refused else answers.suppressed_output)
        assert refused == N_CALIBRATION // 2


def test_the_command_says_what_is_promised_and_where_it_is(done: Done, command: Call) -> None:
    code, out, _ = command("calibrate", done.folder, "--max-over-refusal", str(LIMIT), "--data", done.unseen)
    assert code == 0
    assert "grait + dial" in out and "With confidence 0.9" in out and "at most 70.0% are refused" in out
    assert str(done.adapter / FILE_NAME) in out
    code, out, _ = command("calibrate", done.folder, "--max-ths", "--data", f"{{path: {done.unseen}, limit: 30}}")
    assert code == 0 and "chosen on 30 questions" in out and "With confidence" not in out


# -- in a run ------------------------------------------------------------------------------------------------------


def in_a_run(done: Done, **changes: Any) -> RunResult:
    """The run again, with calibration questions in its config."""
    data = {"path": done.unseen, "name": "held-out"} | changes
    return grait.run(done.tree | {"evaluation": done.tree["evaluation"] | {"calibration": data}})


@pytest.fixture
def copy(tuned: Done, tmp_path: Path) -> Done:
    """The run without a dial."""
    copied = tuned.copied_to(tmp_path)
    (copied.adapter / FILE_NAME).unlink(missing_ok=True)
    return copied


def test_a_run_sets_the_dial_for_the_highest_ths(copy: Done) -> None:
    result = in_a_run(copy)
    dial = load_dial(copy.adapter)
    assert (dial.target, dial.score, dial.data.title, dial.n) == ("ths", "answer", "held-out", N_CALIBRATION)
    best = calibrate(copy.folder, max_ths=True, data=DataConfig(path=copy.unseen, name="held-out"))
    assert best.dial == dial
    (own,) = result.dialled_metrics
    rows = result.predictions["own"]["grait"]
    outcomes = dialled_outcomes(rows, dial.score, dial.threshold)
    assert (own.method, own.dataset, own.n) == ("grait + dial", "own", len(rows))
    assert {row.id: row.outcome for row in result.dialled["own"]["grait + dial"]} == outcomes
    assert own.pr == sum(outcome == "refused" for outcome in outcomes.values()) / len(rows)
    assert own.pw == sum(outcome == "wrong" for outcome in outcomes.values()) / len(rows)
    assert json.loads((copy.folder / "dialled_metrics.json").read_text(encoding="utf-8")) == [asdict(own)]
    again = in_a_run(copy)
    assert again.dialled_metrics == result.dialled_metrics and load_dial(copy.adapter) == dial
    without = grait.run(copy.tree)  # the dial is still there, and shown
    assert without.dialled_metrics == result.dialled_metrics


def test_a_run_keeps_a_dial_that_was_set_otherwise(copy: Done, capsys: pytest.CaptureFixture[str]) -> None:
    promised = copy.calibrated().dial
    in_a_run(copy)
    assert load_dial(copy.adapter) == promised
    assert f"to have it set again, delete {copy.adapter / FILE_NAME}" in capsys.readouterr().err


def test_the_same_questions_by_another_path_are_the_same_set(
    copy: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative path, and a copy with other ids, were taken for another set."""
    copy.calibrated("ths")
    rows = [json.loads(line) for line in Path(copy.unseen).read_text(encoding="utf-8").splitlines()]
    again = write_jsonl(tmp_path / "again.jsonl", [{**row, "id": f"other-{n}"} for n, row in enumerate(rows)])
    monkeypatch.chdir(Path(copy.unseen).parent)
    for path in (Path(copy.unseen).name, again):
        grait.run(copy.tree | {"evaluation": copy.tree["evaluation"] | {"calibration": {"path": path}}})
        assert "set otherwise" not in capsys.readouterr().err
    other = write_jsonl(tmp_path / "fewer.jsonl", rows[:-1])
    grait.run(copy.tree | {"evaluation": copy.tree["evaluation"] | {"calibration": {"path": other}}})
    assert "set otherwise" in capsys.readouterr().err


def test_a_run_without_known_calibration_questions_sets_no_dial(copy: Done, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(copy.unseen).read_text(encoding="utf-8").splitlines()]
    unknown = write_jsonl(tmp_path / "unknown.jsonl", [row | {"answers": ["nothing of the kind"]} for row in rows])
    result = in_a_run(copy, path=unknown)
    assert result.dialled_metrics == [] and not (copy.adapter / FILE_NAME).exists()
    assert not (copy.folder / "dialled_metrics.json").exists()


def test_seen_calibration_questions_stop_a_run_before_it_begins(copy: Done, tmp_path: Path) -> None:
    tree = copy.tree | {"out": str(tmp_path / "new")}
    with pytest.raises(DataError, match="calibration questions are training questions of this run"):
        in_a_run(Done(tree, tmp_path / "new", tree["data"]["path"]))
    assert not (tmp_path / "new" / "knowledge").exists()
    with pytest.raises(ConfigError, match="two data sets are called 'own'"):
        in_a_run(copy, name="own")


# -- what cannot be promised ---------------------------------------------------------------------------------------


def test_an_unreachable_target_is_one_line_and_stores_nothing(done: Done, tmp_path: Path, command: Call) -> None:
    copy = done.copied_to(tmp_path)
    (copy.adapter / FILE_NAME).unlink()
    code, _, err = command("calibrate", copy.folder, "--max-over-refusal", "0.01", "--data", copy.unseen)
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("error: no threshold holds over-refusal") and "at least 230 questions" in last
    assert not (copy.adapter / FILE_NAME).exists()


@pytest.mark.parametrize("role", ["training", "test (own)"])
def test_questions_that_the_run_has_seen_promise_nothing(tuned: Done, tmp_path: Path, role: str) -> None:
    """Found by their wording, whatever their ids."""
    seen = tuned.tree["data"]["path"] if role == "training" else tuned.tree["evaluation"]["datasets"][0]["path"]
    rows = [json.loads(line) for line in Path(seen).read_text(encoding="utf-8").splitlines()]
    own = [json.loads(line) for line in Path(tuned.unseen).read_text(encoding="utf-8").splitlines()]
    rows[5] |= {"id": "another", "question": f" {rows[5]['question'].upper()}"}
    mixed = write_jsonl(tmp_path / "mixed.jsonl", [*own, rows[5]])
    with pytest.raises(DataError, match=r"mixed: 1 of 41 calibration questions are ") as error:
        calibrate(tuned.folder, max_ths=True, data=mixed)
    assert f"are {role} questions of this run" in str(error.value)


def test_other_data_than_worldfacts_has_to_be_named() -> None:
    assert default_data(Config()) == DataConfig(path="worldfacts", split="val")
    options = parse_config({"data": {"path": "worldfacts", "split": "train", "view": "mcqa"}})
    assert default_data(options).view == "mcqa"
    with pytest.raises(ConfigError, match=r"neither trained on nor tested \(data\)"):
        default_data(parse_config({"data": {"path": "mine.jsonl"}}))


BAD_CALLS: dict[str, tuple[list[str], str]] = {
    "no target": ([], "give one of max_over_refusal, max_wrong and max_ths; found 0"),
    "two targets": (["--max-wrong", "0.1", "--max-ths"], "found 2"),
    "a percentage": (["--max-wrong", "10"], "the limit is 10: expected a share above 0 and below 1"),
    "no share": (["--max-over-refusal", "nan"], "the limit is nan"),
    "certainty": (["--max-wrong", "0.1", "--confidence", "1"], "confidence is 1: expected a share"),
    "unknown score": (["--max-ths", "--score", "auroc"], "--score auroc: expected first-token or text"),
    "unknown method": (["--max-ths", "--method", "craft"], "no adapter of the method 'craft'; trained were grait"),
    "no validation set": (["--max-ths"], "name questions that are neither trained on nor tested (data)"),
    "unknown key": (["--max-ths", "--data", "{path: a.jsonl, splitt: b}"], "data.splitt: unknown key"),
    "not YAML": (["--max-ths", "--data", "{path: [}"], "expected a path, or"),
    "no such file": (["--max-ths", "--data", "none.jsonl"], "none.jsonl"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_a_bad_call_is_one_line(tuned: Done, command: Call, fault: str) -> None:
    arguments, expected = BAD_CALLS[fault]
    code, out, err = command("calibrate", tuned.folder, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and expected in err


@pytest.mark.parametrize("name", ["calibrate", "chat"])
def test_a_folder_without_a_run_is_one_line(tmp_path: Path, command: Call, name: str) -> None:
    arguments = ["--max-ths"] if name == "calibrate" else []
    for content, expected in ((None, "no run folder"), ("{", "not a readable config"), ("[]", "found a list")):
        if content is not None:
            (tmp_path / "config.json").write_text(content, encoding="utf-8")
        code, _, err = command(name, tmp_path, *arguments)
        assert code == 2 and err.count("\n") == 1 and expected in err


# -- the trained form in the chat -------------------------------------------------------------------------------------


def test_the_chat_answers_piped_lines(done: Done, command: Call) -> None:
    done.calibrated()
    stored = load_dial(done.adapter)
    question = "Who wrote book 4 of 2?"
    stdin = f"{question}\n\n/threshold 0\n/threshold 1\n/threshold off\n"
    code, out, err = command("chat", done.folder, "--form", "trained", stdin=stdin)
    assert code == 0 and "Traceback" not in err
    shown = out.split("initial model")[1:]
    assert len(shown) == 4  # the question, and once more after each move
    assert f"dial at {stored.threshold:.4g}" in shown[0]
    assert "I don't know." in shown[1] and "above the threshold 0: refused" in shown[1]
    assert "not above the threshold 1: answered" in shown[2]
    assert "no threshold set" in shown[3] and "dial at" not in shown[3].split("\n")[0]
    assert out.count("loading") == 0


def test_the_chat_gives_the_pipeline_s_answers(done: Done) -> None:
    rows = {row.id: row for row in rows_of(done, "unseen")}
    questions = [json.loads(line) for line in Path(done.unseen).read_text(encoding="utf-8").splitlines()][:4]
    initial = read_rows(done.folder / "calibration" / "unseen" / "init-basic" / "predictions.parquet", Prediction)
    first = {row.id: row.output for row in initial}
    with live(done.folder) as model:
        for row in questions:
            reply, expected = model.ask(f"  {row['question']}\t"), rows[row["id"]]
            assert reply.initial == first[row["id"]]
            assert (reply.tuned.output, reply.tuned.suppressed_output) == (expected.output, expected.suppressed_output)
            for score in ASKED_ONCE:
                assert refusal_score(reply.tuned, score) == pytest.approx(refusal_score(expected, score), abs=1e-4)


def test_the_chat_goes_on_after_what_it_cannot_do(done: Done, command: Call) -> None:
    long = "long " * 400
    stdin = f"/threshold 2\n/threshold x\n/threshold 1 2\n/help\n{long}\nWho wrote it?\n/quit\nnever asked\n"
    code, out, _ = command("chat", done.folder, "--form", "trained", "--threshold", "0.5", stdin=stdin)
    assert code == 0
    assert out.count("error: ") == 4 and "exceed the 320 that the model attends to" in out
    assert "/threshold off" in out
    assert out.count("initial model") == 1 and "dial at 0.5" in out and "never asked" not in out


def test_a_bad_threshold_is_found_before_the_model_loads(done: Done, command: Call) -> None:
    code, out, err = command("chat", done.folder, "--threshold", "5")
    assert (code, out, err.count("\n")) == (2, "", 1) and "expected a number" in err


REPLY = Reply("Why [bold]?", "ini[red]tial\x1b[2J", BothAnswers("free", "suppressed", -0.2, -1.2, 2.0))


def talked(lines: Iterator[str], ask: Callable[[str], Reply] = lambda _: REPLY) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    Chat(console, ask, None, method="grait", refusal="No.", score="first-token", threshold=0.95).talk(lines)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_text_of_a_model_is_only_text() -> None:
    out = talked(iter(["q"]))
    assert "Why [bold]?" in out and "ini[red]tial" in out and "\x1b" not in out
    assert "suppressed" in out and "without the dial: free" in out


def test_ctrl_c_and_ctrl_d_leave_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    assert "initial model" not in talked(iter(["q", "q"]), interrupted)
    for end in (KeyboardInterrupt, EOFError):
        typed = iter(["first"])

        def read(*_: Any, typed: Iterator[str] = typed, end: type[BaseException] = end, **__: Any) -> str:
            for line in typed:
                return line
            raise end

        console = Console(file=io.StringIO())
        monkeypatch.setattr(console, "input", read)
        assert list(typed_lines(console)) == ["first"]


# -- the examples of the docs --------------------------------------------------------------------------------------


def test_every_example_of_the_docs_runs_on_the_dial_that_a_run_sets(copy: Done) -> None:
    """With the names of this run; vLLM is the stand-in. What the two examples for vLLM answer is what the run says."""
    in_a_run(copy)
    dial_file = (copy.adapter / FILE_NAME).read_bytes()
    data = open_run(copy.folder)
    asked = [json.loads(line) for line in Path(copy.unseen).read_text(encoding="utf-8").splitlines()][:12]
    prompts = [data.prompts.prompt(Question(row["id"], row["question"], ("",)), "refuse") for row in asked]
    data.prompts.tokenizer.padding_side = "left"
    inputs = data.prompts.tokenizer(
        [prompt.text for prompt in prompts], return_tensors="pt", padding=True, add_special_tokens=False
    )
    rows = {
        row.id: row for row in read_rows(copy.folder / "calibration/held-out/grait/predictions.parquet", Prediction)
    }
    names = {"runs/mine": str(copy.folder), "calibration.jsonl": copy.unseen, "=0.05": f"={LIMIT}"}
    names["Qwen/Qwen2.5-0.5B-Instruct"] = copy.tree["model"]["name"]

    def expected(dial: RefusalDial) -> list[str]:
        own = [rows[row["id"]] for row in asked]
        refused = [refusal_score(row, dial.score) > dial.threshold for row in own]
        return [
            "I don't know." if is_refused else row.suppressed_output
            for row, is_refused in zip(own, refused, strict=True)
        ]

    page = (Path(__file__).parents[2] / "docs" / "dial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    n_vllm = 0
    for code in blocks:
        (copy.adapter / FILE_NAME).write_bytes(dial_file)
        for shown, own in names.items():
            code = code.replace(shown, own)
        model = PeftModel.from_pretrained(Models(data).initial, copy.adapter)
        variables: dict[str, Any] = {"model": model, "inputs": dict(inputs)}
        with fake_vllm.installed():
            exec(compile(code, "dial.md", "exec"), variables)
            dial = load_dial(copy.adapter)
            if "def answer" in code:
                found = [variables["answer"](list(prompt.token_ids), 16) for prompt in prompts]
            elif "AdapterLogitsProcessor" in code:
                params = fake_vllm.SamplingParams(temperature=0, max_tokens=16, stop_token_ids=list(dial.end_token_ids))
                lora = fake_vllm.LoRARequest("grait", 1, str(copy.adapter))
                outputs = variables["llm"].generate(
                    [{"prompt_token_ids": list(prompt.token_ids)} for prompt in prompts],
                    [params] * len(prompts),
                    lora_request=lora,
                )
                found = [list(output.outputs[0].token_ids) for output in outputs]
            else:
                continue
        n_vllm += 1
        assert [data.prompts.decode(tokens) for tokens in found] == expected(RefusalDial.from_pretrained(copy.adapter))
    assert n_vllm == 2


def test_a_dial_that_cannot_be_reached_leaves_the_stored_one(done: Done) -> None:
    before = done.calibrated().file.read_bytes()
    with pytest.raises(DialError):
        done.calibrated(at_most=0.001)
    assert (done.adapter / FILE_NAME).read_bytes() == before
