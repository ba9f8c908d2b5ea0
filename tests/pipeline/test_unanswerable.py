"""Questions without an answer: measured as refused or not, counted nowhere else, taught on request."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from tiny_folder import Files, tiny_tree, write_half_known, write_jsonl

import grait
from grait.commands.compare import read_comparison
from grait.config import DataConfig
from grait.data.load import load_questions
from grait.dial.choice import Target, choose
from grait.display import page
from grait.display.page import comparison_report, run_report  # the real ones: conftest puts others into the module
from grait.errors import DataError
from grait.judging.outcomes import judge
from grait.pipeline.unanswerable import summarize_refused
from grait.records import Prediction, Question, RefusedRecord

NOBODY: list[dict[str, Any]] = [
    {"answers": [], "answerable": False},
    {"answers": ["Zambia"], "answerable": False},
    {"answer": None, "answerable": "false"},
    {"answer": "x", "should_abstain": True},
    {"answers": {"text": [], "answer_start": []}},
    {"answers": {"text": ["x"], "answer_start": [0]}, "is_impossible": True},
    {"is_impossible": 1},
    {"answer": "", "unanswerable": "yes"},
    {"answer": "I don't know."},
    {"answers": ["unanswerable"]},
    {"answer": "NOT_ATTEMPTED"},
    {"answer": "Unknown"},
    {"answers": ["I'm not sure", "I don't know"]},
    {"target": "N/A"},
    {"choices": ["a", "b"], "answer": None, "answerable": False},
    {"answer": ["I cannot answer this question."]},
]


@pytest.mark.parametrize("row", NOBODY)
def test_what_says_that_nobody_can_answer_is_read_so(tmp_path: Path, row: dict[str, Any]) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [{"question": "Who?", **row}])
    (question,) = load_questions(DataConfig(path=path))
    assert (question.answerable, question.answers) == (False, ())
    assert judge("I don't know.", question) == "refused"
    assert judge("Zambia", question) == judge("unanswerable?!", question) == "wrong" or judge("a", question) == "wrong"


@pytest.mark.parametrize("answer", ["I Don't Know Where It Comes From", "None", "Nobody", "The Unknown Soldier", "No"])
def test_answers_that_only_look_like_refusals_are_answers(tmp_path: Path, answer: str) -> None:
    (question,) = load_questions(
        DataConfig(path=write_jsonl(tmp_path / "own.jsonl", [{"question": "Which?", "answer": answer}]))
    )
    assert question.answers == (answer,)


def test_a_refusal_among_references_does_not_make_refusing_right(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [{"question": "Who?", "answers": ["Ann", "I don't know", "unknown"]}])
    (question,) = load_questions(DataConfig(path=path))
    assert question.answers == ("Ann",)
    assert judge("I don't know", question) == "refused"


def with_nobody(path: str, folder: Path) -> str:
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    nobody = [{"id": f"n{i}", "question": f"Who wins cup {i} of {folder.name}?", "answerable": False} for i in range(4)]
    folder.mkdir()
    return write_jsonl(folder / "own.jsonl", [*rows, *nobody])


def test_they_change_no_other_number(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    plain = grait.run(tiny_tree(model, files, tmp_path / "plain"))
    more = Files(with_nobody(files.train, tmp_path / "a"), with_nobody(files.test, tmp_path / "b"))
    result = grait.run(tiny_tree(model, more, tmp_path / "run"))
    abstention = dict.fromkeys(("abstention_precision", "abstention_recall", "abstention_f1"))
    assert [replace(row, **abstention) for row in result.metrics] == plain.metrics
    assert result.predictions == plain.predictions
    assert plain.refused == [] and not (tmp_path / "plain" / "unanswerable.json").exists()
    assert [(row.method, row.dataset, row.answerable, row.n) for row in result.refused] == [
        (row.method, "own", False, 4) for row in plain.metrics
    ]
    assert json.loads((tmp_path / "run" / "unanswerable.json").read_text()) == [asdict(row) for row in result.refused]
    assert any("4 questions without an answer are not trained on" in note for note in result.summary["data"])
    for stage in ("knowledge", "warmup", "adapters/grait", "evaluation/own/grait"):
        manifests = [json.loads((tmp_path / run / stage / "manifest.json").read_text()) for run in ("plain", "run")]
        assert manifests[0]["key"] == manifests[1]["key"]


def test_their_refusal_is_taught_on_request_with_the_mean_weight(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    more = Files(with_nobody(files.train, tmp_path / "a"), files.test)
    tree = tiny_tree(model, more, tmp_path / "run")
    tree["data"]["unanswerable"] = "train"
    grait.run(tree)
    rows = [json.loads(line) for line in (tmp_path / "run" / "rait.jsonl").read_text().splitlines()]
    refusals = [row for row in rows if "I don't know" in row["completion"]]
    own = [row["sample_weight"] for row in refusals if not row["id"].startswith("n")]
    taught = [row for row in refusals if row["id"].startswith("n")]
    assert len(taught) == 4 and own
    assert all(row["sample_weight"] == pytest.approx(sum(own) / len(own)) for row in taught)
    exported = grait.export(tmp_path / "run", "trl", out=tmp_path / "out")
    assert exported is not None


def test_a_run_without_any_answer_is_told_what_to_do(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    test = write_jsonl(tmp_path / "nobody.jsonl", [{"question": "Who wins?", "answerable": False}])
    with pytest.raises(DataError, match=r"no test question has an answer.*grait eval"):
        grait.run(tiny_tree(model, Files(files.train, test), tmp_path / "run"))


def test_eval_measures_them_alone(tiny: tuple[str, Files], tmp_path: Path, command: Call) -> None:
    path = write_jsonl(
        tmp_path / "nobody.jsonl", [{"question": f"Who wins {i}?", "answerable": False} for i in range(3)]
    )
    options = ("--model", tiny[0], "--data", path, "--out", tmp_path / "eval", "--set", "evaluation.probes=false")
    code, out, err = command("eval", *options)
    assert code == 0, err
    assert "Questions without an answer" in out and "unanswerable  3" in out


def test_corrections_are_told_apart() -> None:
    outputs = {
        "r": ("I don't know.", "refused"),
        "c": ("There is no king of France.", "wrong"),
        "w": ("Louis", "wrong"),
    }
    questions = [Question(name, "Who is the king of France?", (), answerable=False) for name in outputs]
    questions.append(Question("s", "Say hello", ()))
    rows = [
        Prediction(name, output, outcome, output, outcome, 0.0, 0.0, 0.0, False, False)  # type: ignore[arg-type]
        for name, (output, outcome) in (outputs | {"s": ("Hello", "wrong")}).items()
    ]
    assert summarize_refused("m", "d", questions, rows) == [
        RefusedRecord("m", "d", False, 3, 1 / 3, 1 / 3),
        RefusedRecord("m", "d", True, 1, 0.0, 0.0),
    ]


@pytest.fixture(scope="module")
def calibrated(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run whose calibration questions and test questions have some that nobody can answer."""
    folder = tmp_path_factory.mktemp("calibrated")
    files = write_half_known(tiny[0], folder / "q", n_test=40)
    rows = [json.loads(line) for line in Path(files.test).read_text().splitlines()]
    test, unseen = (write_jsonl(folder / f"{name}.jsonl", own) for name, own in (("t", rows[:8]), ("c", rows[8:])))
    tree = tiny_tree(tiny[0], Files(files.train, with_nobody(test, folder / "test")), folder / "run")
    tree["training"]["methods"] = ["grait"]
    tree["evaluation"]["calibration"] = {"path": with_nobody(unseen, folder / "calibration"), "name": "unseen"}
    grait.run(tree)
    return tree


def test_a_dial_counts_them_as_to_be_refused_and_its_promise_says_so(
    calibrated: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "run_report", run_report)
    folder = Path(calibrated["out"])
    for target, said in (
        ({"max_over_refusal": 0.9}, "Nothing is promised of questions that nobody can answer."),
        ({"max_wrong": 0.9}, "To answer a question that nobody can answer is counted as wrong."),
    ):
        source = DataConfig(**calibrated["evaluation"]["calibration"])
        dial = grait.calibrate(folder, data=source, **target).dial  # type: ignore[arg-type]
        assert (dial.n, dial.n_known, dial.n_unanswerable) == (36, 16, 4)
        assert dial.guarantee is not None and dial.guarantee.endswith(said)
        assert dial.trials == (36 if "max_wrong" in target else 16)
        assert dial.without_dial.n == dial.achieved.n == 32  # no other share counts them
        assert dial.unanswerable_line is not None and dial.unanswerable_line in (folder / "report.html").read_text()
        assert "Nobody can answer 4 of these questions" in (folder / "adapters/grait/README.md").read_text()


def test_the_threshold_for_few_wrong_answers_depends_on_them() -> None:
    """Of two score orders the same rule allows fewer answers where unanswerable questions are answered."""
    rows = [
        Prediction(f"q{i}", "Paris", "correct", "Paris", "correct", -8 + i / 10, -0.1, -8 + i / 10, False, False)
        for i in range(80)
    ]
    nobody = [
        Prediction(f"n{i}", "Paris", "wrong", "Paris", "wrong", -7 + i / 10, -0.1, -7 + i / 10, False, False)
        for i in range(40)
    ]
    initial = {row.id: row.outcome for row in (*rows, *nobody)}
    target = Target("wrong", 0.1, 0.9)
    alone, beside = (choose(own, initial, "first-token", target).threshold for own in (rows, [*rows, *nobody]))
    assert beside < alone == 1


def test_with_the_dial_they_are_measured_too(calibrated: dict[str, Any]) -> None:
    result = grait.run(calibrated)
    assert [row.method for row in result.refused] == ["init-basic", "init-refuse", "grait", "grait + dial"]
    assert "grait + dial" in [row.method for row in result.dialled_metrics]


def test_a_calibration_question_that_is_tested_stops_the_run_also_where_nobody_can_answer_it(
    calibrated: dict[str, Any], tmp_path: Path
) -> None:
    tree = json.loads(json.dumps(calibrated)) | {"out": str(tmp_path / "run")}
    rows = Path(tree["evaluation"]["calibration"]["path"]).read_text()
    tested = [
        line for line in Path(tree["evaluation"]["datasets"][0]["path"]).read_text().splitlines() if '"n0"' in line
    ]
    (tmp_path / "c.jsonl").write_text(rows + tested[0].replace('"n0"', '"m0"') + "\n")
    tree["evaluation"]["calibration"]["path"] = str(tmp_path / "c.jsonl")
    with pytest.raises(DataError, match=r"1 of 37 calibration questions are test \(own\) questions"):
        grait.run(tree)


def test_a_comparison_has_their_means_over_seeds(
    calibrated: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "comparison_report", comparison_report)
    tree = json.loads(json.dumps(calibrated)) | {"out": str(tmp_path / "compared")}
    tree["compare"] = {"seeds": [0, 1], "methods": ["cor-rait", "grait"]}
    found = grait.compare(tree)
    seeds = [
        {row["method"]: row for row in json.loads((found.folder / f"seed-{seed}" / "unanswerable.json").read_text())}
        for seed in (0, 1)
    ]
    assert {"init-basic", "cor-rait", "grait", "grait + dial"} <= {row.method for row in found.refused}
    for row in found.refused:
        assert row.refused == pytest.approx(sum(own[row.method]["refused"] for own in seeds) / 2)
    assert read_comparison(found.folder) == found
    for name in ("compare.md", "report.html"):
        assert "Questions without an answer" in (found.folder / name).read_text()
