"""Scorers and the learned dial on a tiny model: all are there, and no test question decides anything."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_folder import save_tiny, tiny_tree, write_half_known, write_jsonl

from grait.commands.compare import Comparison, compare
from grait.commands.report import FinishedRun
from grait.config import parse_config
from grait.dial.threshold import refusal_score
from grait.evaluation.metrics import refusal_auroc
from grait.pipeline.dialled import at_thresholds
from grait.pipeline.dials import ScoreDial
from grait.pipeline.order import run
from grait.pipeline.results import RunResult
from grait.records import Prediction, QuestionScore, ScoredPrediction
from grait.runtime.artifacts import MANIFEST, read_rows

SCORERS = ["answer-probability", "p-true", "probe", "text-floor", "conftuner"]
METHODS = ["cor-rait", "uniform", "refusal-token", "dpo", "truthrl", "tiar"]

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Made:
    folder: Path
    tree: dict[str, Any]
    result: RunResult

    def again(self, **evaluation: Any) -> dict[str, Any]:
        """The tree, with other keys of ``evaluation``."""
        tree: dict[str, Any] = json.loads(json.dumps(self.tree))
        return tree | {"evaluation": tree["evaluation"] | evaluation}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("scorers")
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder, n_train=24, n_test=24)
    rows = [json.loads(line) for line in Path(files.test).read_text(encoding="utf-8").splitlines()]
    tree = tiny_tree(model, files, folder / "run")
    tree["training"]["methods"] = METHODS
    tree["evaluation"] |= {
        "datasets": [{"path": write_jsonl(folder / "own.jsonl", rows[:12]), "name": "own"}],
        "calibration": {"path": write_jsonl(folder / "calibration.jsonl", rows[12:]), "name": "cal"},
        "scorers": SCORERS,
        "learned_dial": True,
    }
    return Made(folder, tree, run(parse_config(tree)))


def refused(result: RunResult, system: str) -> set[str]:
    return {row.id for row in result.dialled["own"][system] if row.outcome == "refused"}


def test_every_system_is_there_with_its_threshold_and_ranked_by_its_own_score(made: Made) -> None:
    names = [f"{name} + dial" for name in METHODS] + [f"{name} + learned dial" for name in METHODS]
    names += [f"{name} + dial" for name in SCORERS]
    assert list(made.result.dialled["own"]) == ["init-basic", *names]
    assert [row.method for row in made.result.dialled_metrics] == names
    initial = {row.id: row.outcome for row in made.result.predictions["own"]["init-basic"]}
    for record in made.result.dialled_metrics:
        rows = made.result.dialled["own"][record.method]
        assert all(isinstance(row, ScoredPrediction) for row in rows)
        scores = {row.id: row.score for row in rows if isinstance(row, ScoredPrediction)}
        assert record.auroc == pytest.approx(refusal_auroc(scores, initial))
        lowest = min((scores[id_] for id_ in refused(made.result, record.method)), default=1.0)
        assert all(row.outcome == "refused" or scores[row.id] <= lowest for row in rows)


def test_what_is_not_refused_is_the_initial_models_answer(made: Made) -> None:
    initial = {row.id: row for row in made.result.predictions["own"]["init-basic"]}
    for name in SCORERS:
        for row in made.result.dialled["own"][f"{name} + dial"]:
            answer = initial[row.id].suppressed_output
            assert row.output == ("I don't know." if row.outcome == "refused" else answer)


def test_the_answer_probability_is_that_of_the_initial_models_answer(made: Made) -> None:
    initial = {row.id: row for row in made.result.predictions["own"]["init-basic"]}
    for row in made.result.dialled["own"]["answer-probability + dial"]:
        assert isinstance(row, ScoredPrediction)
        assert row.score == refusal_score(initial[row.id], "answer")


@pytest.mark.parametrize("name", SCORERS[1:])
def test_each_question_has_one_score_that_is_stored(made: Made, name: str) -> None:
    rows = read_rows(made.folder / "run" / "scorers" / name / "scores.parquet", QuestionScore)
    assert len({(row.dataset, row.id) for row in rows}) == len(rows) == 24
    assert {row.dataset for row in rows} == {"cal", "own"}
    assert all(0 <= row.score <= 1 for row in rows)
    assert len({row.score for row in rows}) > 12


def test_test_questions_decide_neither_scores_nor_thresholds(made: Made, tmp_path: Path) -> None:
    """With other references, everything that the initial model answers right is wrong, and the other way round."""
    rows = [json.loads(line) for line in (made.folder / "own.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = {row.id: row.output for row in made.result.predictions["own"]["init-basic"]}
    turned = [
        row | {"answers": ["zebra" if row["answers"] != ["zebra"] else answers[row["id"]] or "zebra"]} for row in rows
    ]
    path = write_jsonl(tmp_path / "turned.jsonl", turned)
    tree = made.again(datasets=[{"path": path, "name": "own"}]) | {"out": str(tmp_path / "run")}
    other = run(parse_config(tree))
    assert {row.outcome for row in other.predictions["own"]["init-basic"]} == {"correct", "wrong"}
    before, after = (
        {row.id: row.outcome for row in one.predictions["own"]["init-basic"]} for one in (made.result, other)
    )
    assert sum(before[id_] != after[id_] for id_ in before) > 6
    for system in made.result.dialled["own"]:
        if system != "init-basic":
            assert refused(made.result, system) == refused(other, system)


def test_calibration_scores_are_the_same_to_the_last_bit_with_other_test_questions(made: Made, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (made.folder / "own.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [rows[0] | {"question": f"{rows[0]['question']} {'Paris ' * 9}"}, *rows[1:4]]
    path = write_jsonl(tmp_path / "few.jsonl", rows)
    tree = made.again(datasets=[{"path": path, "name": "few"}], scorers=["p-true"], learned_dial=False)
    tree["training"]["methods"] = ["cor-rait"]
    run(parse_config(tree | {"out": str(tmp_path / "run")}))
    scores = [
        {row.id: row.score for row in read_rows(path, QuestionScore) if row.dataset == "cal"}
        for path in (folder / "run" / "scorers" / "p-true" / "scores.parquet" for folder in (made.folder, tmp_path))
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 12


def test_other_calibration_questions_make_other_thresholds(made: Made) -> None:
    rows = read_rows(made.folder / "run" / "calibration" / "cal" / "init-basic" / "predictions.parquet", Prediction)
    scores = np.linspace(0.9, 0.1, len(rows))
    known = [row.id for row in rows if row.outcome == "correct"]
    found = []
    for right in (known, [row.id for row in rows if row.id not in known]):
        initial = {row.id: "correct" if row.id in right else "wrong" for row in rows}
        own = [_judged(row, row.id in right) for row in rows]
        found.append(ScoreDial.of(own, scores, initial))  # type: ignore[arg-type]
    assert found[0] != found[1]


def _judged(row: Prediction, is_right: bool) -> Prediction:
    outcome = "correct" if is_right else "wrong"
    return Prediction(row.id, "", outcome, "", outcome, -1.0, -1.0, 0.0, False, False)  # type: ignore[arg-type]


def test_a_finished_run_asks_nothing_again_and_its_folder_tells_the_same(made: Made) -> None:
    stages = {path: path.stat().st_mtime_ns for path in (made.folder / "run").rglob(MANIFEST)}
    again = run(parse_config(made.tree))
    assert again.dialled_metrics == made.result.dialled_metrics
    assert stages == {path: path.stat().st_mtime_ns for path in (made.folder / "run").rglob(MANIFEST)}
    read = FinishedRun.read(made.folder / "run")
    assert at_thresholds(read.data, read.predictions, read.same) == made.result.dialled


def test_without_scorers_the_numbers_are_as_before(made: Made) -> None:
    """And with them the dials refuse the same; only the rank of answers goes by the dial's own score."""
    plain = run(parse_config(made.again(scorers=[], learned_dial=False)))
    assert list(plain.dialled["own"]) == ["init-basic", *(f"{name} + dial" for name in METHODS)]
    assert plain.metrics == made.result.metrics
    for name in METHODS:
        assert refused(plain, f"{name} + dial") == refused(made.result, f"{name} + dial")
        assert not any(isinstance(row, ScoredPrediction) for row in plain.dialled["own"][f"{name} + dial"])


def test_a_comparison_has_the_scorers_that_it_names(made: Made, tmp_path: Path) -> None:
    tree = made.again(scorers=[], learned_dial=False) | {"out": str(tmp_path / "compared")}
    tree["compare"] = {"seeds": [0, 1], "methods": ["cor-rait", "probe", "p-true"]}
    found: Comparison = compare(parse_config(tree))
    assert [row.method for row in found.dialled] == ["cor-rait + dial", "p-true + dial", "probe + dial"]
    assert {row.versus for row in found.dialled_differences if row.method == "cor-rait + dial"} >= {"probe + dial"}
    first, second = (
        tmp_path / "compared" / f"seed-{seed}" / "scorers" / "p-true" / "scores.parquet" for seed in (0, 1)
    )
    assert first.read_bytes() == second.read_bytes()


def test_without_calibration_questions_a_line_says_that_there_is_no_threshold(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = made.again(calibration=None) | {"out": str(tmp_path / "run")}
    assert not run(parse_config(tree)).dialled
    assert "p-true, probe, text-floor, conftuner: no calibration questions, so no threshold" in capsys.readouterr().err
