"""grait bench: people's sets on any model, beside the initial one, going on where it was, saying what is missing."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from served import dial_of, with_forms
from serving.fake_upstream import NAME, Reply, Upstream, upstream
from set_files import write_csv, write_lines
from tiny import tiny_model, tiny_tokenizer, with_lora
from tiny_dial import a_dial
from tiny_folder import MAX_NEW_TOKENS, POSITIONS, save_tiny

import grait
from grait.commands import bench as module
from grait.commands.finished import live
from grait.commands.report import FinishedRun
from grait.dial.stored import save_dials
from grait.display import page
from grait.display.page import run_report  # the real one: conftest puts another into the module
from grait.errors import ConfigError, DataError, GraitError
from grait.judging.judges import ToJudge
from grait.model import server as server_module
from grait.model.server import Address
from grait.pipeline.models import Models
from grait.records import BenchRecord, Outcome, Prediction
from grait.runtime.artifacts import read_rows

SHORT = [f"evaluation.max_new_tokens={MAX_NEW_TOKENS}"]
SETS = ("selfaware", "coconot", "coconot-contrast", "falseqa", "xstest", "truthfulqa", "simpleqa", "popqa")


@dataclass(frozen=True)
class Given:
    model: str
    adapter: str
    folder: Path


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("bench")
    vocabulary = len(tiny_tokenizer(chat=True))
    with_lora(tiny_model(vocab_size=vocabulary, max_position_embeddings=POSITIONS)).save_pretrained(folder / "lora")
    return Given(save_tiny(folder / "model"), str(folder / "lora"), write_sets(folder / "sets"))


def write_sets(folder: Path) -> Path:
    """All sets in their authors' files, with words of our own."""
    for name in SETS:
        (folder / name.removesuffix("-contrast")).mkdir(parents=True, exist_ok=True)
    example = [
        {
            "question_id": n,
            "question": f"Who wrote book {n}?",
            "answer": ["Ann"] if n % 2 else None,
            "answerable": n % 2 == 1,
        }
        for n in range(6)
    ]
    (folder / "selfaware" / "SelfAware.json").write_text(json.dumps({"dataset_name": "SelfAware", "example": example}))
    for name in ("coconot_eval", "coconot_contrast_eval"):
        rows = [{"id": f"x{n}", "category": "c", "prompt": f"Sing song {n}", "response": ""} for n in range(4)]
        write_lines(folder / "coconot" / f"{name}.jsonl", rows)
    write_csv(
        folder / "falseqa" / "test.csv",
        [["question", "answer", "label"], ["Why is ice hot?", "['no']", "1"], ["Why is it cold?", "so", "0"]],
    )
    write_csv(
        folder / "xstest" / "xstest_prompts.csv",
        [["id", "prompt", "type", "label", "focus", "note"], ["1", "How do I kill time?", "t", "safe", "kill", ""],
         ["2", "How do I kill a man?", "t", "unsafe", "kill", ""]],
    )  # fmt: skip
    targets = {"mc1_targets": {"Yes": 1, "No": 0}, "mc2_targets": {"Yes": 1, "Yes, it is": 1, "No": 0}}
    rows = [{"question": f"Is {n} a number?", **targets} for n in range(5)]
    (folder / "truthfulqa" / "mc_task.json").write_text(json.dumps(rows))
    write_csv(
        folder / "simpleqa" / "simple_qa_test_set.csv",
        [["metadata", "problem", "answer"], ["{}", "Who wrote Emma?", "Jane Austen"]],
    )
    head = ["id", "subj", "prop", "obj", "s_pop", "question", "possible_answers"]
    write_csv(
        folder / "popqa" / "popQA.tsv",
        [head, ["1", "Emma", "author", "Ann", "10", "Who wrote it?", '["Ann"]']],
        delimiter="\t",
    )
    return folder


def ask(given: Given, out: Path, **options: Any) -> module.BenchResult:
    return grait.bench(given.model, **{"folder": given.folder, "out": out, "overrides": SHORT, "limit": 4, **options})


def of(result: module.BenchResult, method: str) -> list[BenchRecord]:
    return [replace(row, method="") for row in result.records if row.method == method]


def test_all_sets_with_their_scores_beside_the_initial_model(given: Given, tmp_path: Path) -> None:
    result = ask(given, tmp_path / "out", adapter=given.adapter)
    assert result.left_out == {}
    assert list(dict.fromkeys(row.dataset for row in result.records)) == ["invented", *SETS]
    parts = {(row.dataset, row.part): row.n for row in result.records if row.method == "initial"}
    assert parts["xstest", "to comply"] == parts["xstest", "to refuse"] == parts["falseqa", "to refuse"] == 1
    assert parts["truthfulqa", "options"] == parts["invented", "to refuse"] == 4
    assert parts["selfaware", "to answer"] + parts["selfaware", "to refuse"] == 4
    for method in ("initial", "lora"):
        assert {(row.dataset, row.part): row.n for row in result.records if row.method == method} == parts
        published = {(row.dataset, row.name) for row in result.scores if row.is_published and row.method == method}
        assert {name for name, _ in published} == {"invented", *SETS}
    initial, tuned = (row.value for row in result.scores if row.name == "mc2")
    assert initial != tuned  # the adapter was on
    tree = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [
        BenchRecord(**{**row, "intervals": {k: tuple(v) for k, v in row["intervals"].items()}})
        for row in tree["records"]
    ] == result.records
    assert tree["left_out"] == {} and tree["about"]["form"] == "question" and tree["about"]["judge"] == "matching"


def test_it_goes_on_after_a_kill_and_asks_nothing_twice(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ask(given, tmp_path / "whole", only=["invented", "selfaware"])
    answer, asked = module.answer_questions, []

    def killed(*arguments: Any) -> Any:
        asked.append(arguments[-2].title)
        if asked[-1] == "selfaware":
            raise KeyboardInterrupt
        return answer(*arguments)

    monkeypatch.setattr(module, "answer_questions", killed)
    with pytest.raises(KeyboardInterrupt):
        ask(given, tmp_path / "out", only=["invented", "selfaware"])
    assert asked == ["invented", "selfaware"] and not (tmp_path / "out" / "bench.json").exists()
    monkeypatch.setattr(module, "answer_questions", answer)
    capsys.readouterr()
    result = ask(given, tmp_path / "out", only=["invented", "selfaware"])
    said = capsys.readouterr().err
    assert said.count("finished before, reused") == 1 and said.count("loading") == 1
    assert (result.records, result.scores) == (whole.records, whole.scores)
    with monkeypatch.context() as patch:
        patch.setattr(Models, "adapted", lambda *_: pytest.fail("a model was asked again"))
        assert ask(given, tmp_path / "out", only=["invented", "selfaware"]).records == whole.records


def test_a_set_that_cannot_be_had_is_one_line_and_the_others_go_on(given: Given, tmp_path: Path, command: Call) -> None:
    folder = tmp_path / "sets"
    shutil.copytree(given.folder, folder)
    (folder / "selfaware" / "SelfAware.json").unlink()
    (folder / "coconot" / "coconot_eval.jsonl").write_text("[1]\n")
    options = ("--only", "selfaware,coconot,invented", "--folder", folder, "--limit", "3", "--set", SHORT[0])
    code, out, err = command("bench", given.model, *options, "--out", tmp_path / "out")
    assert code == 1, err
    assert "invented names accepted" in out and "F1 of" not in out
    left_out = [line for line in out.splitlines() if line.startswith("left out: ")]
    assert f"selfaware: {folder} has no selfaware/SelfAware.json" in left_out[0]
    assert "coconot_eval.jsonl, line 1: expected an object" in left_out[1] and len(left_out) == 2
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["left_out"].keys() == {"selfaware", "coconot"}
    code, _, err = command("bench", given.model, "--only", "selfaware", "--folder", folder, "--out", tmp_path / "none")
    assert code == 2 and "no set can be had: selfaware" in err and not (tmp_path / "none").exists()
    options = ("--only", "invented", "--limit", "2", "--set", SHORT[0], "--out", tmp_path / "whole")
    assert command("bench", given.model, *options)[0] == 0


def test_the_hub_is_not_asked_where_a_folder_is_named_and_its_failure_is_one_line(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    asked: list[str] = []

    def no_network(name: str, *_: Any, **__: Any) -> Any:
        asked.append(name)
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    ask(given, tmp_path / "a", only=["invented", "popqa"])
    assert asked == []
    result = ask(given, tmp_path / "b", only=["invented", "popqa", "truthfulqa"], folder=None)
    assert asked == ["akariasai/PopQA", "truthfulqa/truthful_qa"]
    assert all("no network" in why and "\n" not in why for why in result.left_out.values())
    assert {row.dataset for row in result.records} == {"invented"}


def test_files_beside_each_other_are_found_but_not_what_another_set_has_under_the_same_name(
    given: Given, tmp_path: Path
) -> None:
    for path in (given.folder / "selfaware" / "SelfAware.json", given.folder / "falseqa" / "test.csv"):
        shutil.copy(path, tmp_path)
    result = ask(given, tmp_path / "out", folder=tmp_path, only=["selfaware", "simpleqa", "falseqa"])
    assert {row.dataset for row in result.records} == {"selfaware"}
    assert "has no simpleqa/simple_qa_test_set.csv or simpleqa/test.csv" in result.left_out["simpleqa"]


@dataclass
class Parity:
    """Calls every second output right, the third of four refused, and has no verdict on the fourth."""

    name: str = "parity"

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        kinds: list[Outcome | None] = ["correct", "refused", "correct", None]
        return [kinds[place % 4] for place in range(len(outputs))]


def test_any_judge_and_what_it_does_not_judge_counts_as_nothing(given: Given, tmp_path: Path) -> None:
    result = ask(given, tmp_path / "out", only=["invented"], judge=Parity())
    (record,) = result.records
    assert (record.n, record.n_unjudged, record.right, record.refused) == (3, 1, 2 / 3, 1 / 3)
    assert result.about["judge"] == "parity"
    short = Parity()
    short.__class__ = type("Short", (Parity,), {"__call__": lambda *_: []})
    with pytest.raises(GraitError, match="judge parity: expected 4 verdicts, found 0"):
        ask(given, tmp_path / "out", only=["invented"], judge=short)


# -- a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_is_asked_with_and_without_its_dial_and_its_page_shows_it(
    run: Path, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live(run) as model:
        form = model.data.prompts.forms[0].name
    dial = a_dial("c.jsonl").model_copy(update={"threshold": 0.0, "score": "first-token"})
    save_dials(run / "adapters" / "grait", form, {form: dial})
    result = grait.bench(run, only=["invented", "truthfulqa"], folder=given.folder, limit=4)
    assert [row.method for row in result.records if row.dataset == "invented"] == ["initial", "grait", "grait + dial"]
    assert [row.method for row in result.records if row.dataset == "truthfulqa"] == ["initial", "grait"]
    refused = {row.method: row.refused for row in result.records if row.dataset == "invented"}
    assert refused["grait + dial"] == 1  # a threshold of 0 refuses everything
    assert result.folder == run / "bench" and result.about["run"] == str(run)

    path = run / "bench" / "bench.json"
    tree = json.loads(path.read_text())
    tree["left_out"] = {"popqa": "popqa: <script>alert(1)</script>"}
    tree["about"]["warnings"] = ["<b>bold"]
    tree["records"][0]["method"] = tree["scores"][0]["method"] = "<i>x</i>"
    path.write_text(json.dumps(tree))
    monkeypatch.setattr(page, "run_report", run_report)
    html = FinishedRun.read(run).page().html
    assert 'id="benchmarks"' in html and "invented names accepted" in html and "grait + dial" in html
    assert "&lt;script&gt;alert(1)" in html and "&lt;b&gt;bold" in html and "&lt;i&gt;x&lt;/i&gt;" in html
    assert "<script>alert(1)" not in html and "<i>x" not in html
    path.write_text("{}")
    with pytest.raises(GraitError, match=r"bench.json: not readable; run grait bench again"):
        FinishedRun.read(run).page()


def test_a_run_of_several_forms_is_asked_in_its_bare_question_with_the_dial_of_that(
    finished: Path, given: Given, tmp_path: Path
) -> None:
    run = with_forms(finished, tmp_path / "run")
    tree = json.loads((run / "config.json").read_text())
    tree["prompt"]["forms"] = [{"name": name} for name in ("instruction", "examples", "question")]
    (run / "config.json").write_text(json.dumps(tree))
    with live(run) as model:
        dials = {
            name: dial_of(model, name, "first-token", at) for name, at in (("instruction", 1.0), ("question", 0.0))
        }
    save_dials(run / "adapters" / "grait", "instruction", dials)
    result = grait.bench(run, only=["invented"], limit=3)
    assert result.about["form"] == "question" and result.about["dial"] == 0
    assert {row.method: row.refused for row in result.records}["grait + dial"] == 1
    asked = read_rows(next((run / "bench").rglob("initial/predictions.parquet")), Prediction)
    alone = grait.bench(
        tree["model"]["name"],
        only=["invented"],
        limit=3,
        out=tmp_path / "out",
        overrides=["evaluation.max_new_tokens=6"],
    )
    found = read_rows(next((alone.folder).rglob("initial/predictions.parquet")), Prediction)
    assert [row.output for row in asked] == [row.output for row in found]  # the same prompts, by another road


def test_what_the_run_was_trained_on_is_said(run: Path, given: Given, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    trained = json.loads(Path(config["data"]["path"]).read_text().splitlines()[-1])["question"]
    folder = tmp_path / "sets"
    folder.mkdir()
    example = [{"question_id": 1, "question": trained.upper(), "answer": ["x"], "answerable": True}]
    (folder / "SelfAware.json").write_text(json.dumps({"example": example}))
    result = grait.bench(run, only=["selfaware"], folder=folder)
    assert result.about["warnings"] == ["selfaware: 1 of 1 questions are training questions of the run"]


# -- a server ------------------------------------------------------------------------------------------------------


@contextmanager
def served(run: Path, fault: Any = None) -> Iterator[Upstream]:
    with live(run) as model, upstream(model, "bare", fault) as behind:
        yield behind


def failing(_: Upstream, body: dict[str, Any], reply: Reply) -> Reply:
    return (500, "application/json", b'{"error": "worker died"}') if "song 2" in json.dumps(body) else reply


def test_what_is_served_is_measured_as_the_same_adapter_here(
    finished: Path, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "pause", lambda _: 0.001)
    model = json.loads((finished / "config.json").read_text())["model"]["name"]
    options: dict[str, Any] = {
        "folder": given.folder,
        "only": ["selfaware", "coconot", "truthfulqa"],
        "overrides": [*SHORT, "prompt.system=Be brief."],
    }
    here = grait.bench(model, adapter=finished / "adapters" / "grait", out=tmp_path / "here", **options)
    with served(finished, failing) as behind:
        address = Address(behind.url, NAME)
        first = grait.bench(model, address=address, out=tmp_path / "there", **options)
        assert "1 of 4 requests got no answer" in first.left_out["coconot"]
        assert {row.method for row in first.records if row.dataset == "coconot"} == {"initial"}
        behind.fault, before = None, behind.n_asked
        again = grait.bench(model, address=address, out=tmp_path / "there", **options)
        assert behind.n_asked == before + 1 and again.left_out == {}
        for method, same in (("initial", "initial"), (NAME, "grait")):
            rows = [row for row in of(here, same) if method == "initial" or row.part != "options"]
            assert of(again, method) == rows
        alone = grait.bench(address=address, out=tmp_path / "alone", **options)
    assert of(alone, NAME) == of(again, NAME)
    assert "takes likelihoods, which a server is not asked for" in alone.left_out["truthfulqa"]


# -- what does not fit ---------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_one_line(given: Given, run: Path, tmp_path: Path) -> None:
    address = Address("http://127.0.0.1:9/v1", "m")
    for options, expected in (
        ({}, "name what to measure"),
        ({"model": given.model, "only": ["selfawar"]}, "'selfawar' is no set of grait bench; there are invented"),
        ({"model": given.model, "only": "selfaware"}, "only: expected a list of sets, found str"),
        ({"model": given.model, "limit": 0}, "limit: expected a whole number from 1, found 0"),
        ({"model": run, "adapter": given.adapter}, "is a run, which has adapters of its own"),
        ({"address": address, "adapter": given.adapter}, "adapter: goes with a model"),
        ({"model": given.model, "out": run, "only": ["invented"]}, "holds a run of its own"),
    ):
        with pytest.raises(GraitError, match=expected) as caught:
            grait.bench(**options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="model: expected a path"):
        grait.bench(7)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no set can be had"):
        grait.bench(given.model, only=["popqa"], folder=tmp_path)


def test_the_list_says_what_needs_a_judge(command: Call) -> None:
    code, out, _ = command("bench", "--list")
    assert code == 0 and all(f"\n{name} " in f"\n{out}" for name in ("invented", *SETS))
    here = "coconot-contrast/{0} or coconot/{0} or {0}\n".format("coconot_contrast_eval.jsonl")
    assert f"--folder with {here}" in out
    assert out.count("better with a judge") == 5 and out.count("no judge needed") == 4


def test_tables_fit_into_a_hundred_columns(
    given: Given, tmp_path: Path, command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    options = ("--folder", given.folder, "--set", SHORT[0], "--adapter", given.adapter)
    code, out, err = command("bench", given.model, *options, "--out", tmp_path / "out")
    assert code == 0, err
    shown = out.partition("Everything is in")[0]
    assert max(map(len, shown.splitlines())) <= 100 and "…" not in shown
