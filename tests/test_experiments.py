"""What the experiments add to the package: answers that are kept in files, and over-refusal at equal wrong answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from experiments import answers, paired
from experiments.best_point import at_best_points, cross_fitted
from experiments.equal_wrong import Cell, at_equal_wrong, over_refusal_of_answers
from experiments.sureness import WRONG, along
from experiments.within import within
from grait.evaluation.compare import compare, gather
from grait.evaluation.metrics import over_refusal_rate, refusal_auroc, summarize
from grait.methods.catalog import INIT_BASIC
from grait.records import Outcome, Prediction
from grait.runtime.artifacts import write_rows

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def predictions(seed: int, outcomes: tuple[Outcome, ...] = OUTCOMES) -> list[Prediction]:
    generator = np.random.default_rng(seed)
    return [
        Prediction(
            id=f"q{i}",
            output="text",
            outcome=outcomes[int(generator.integers(len(outcomes)))],
            suppressed_output="other",
            suppressed_outcome=outcomes[int(generator.integers(len(outcomes)))],
            refusal_logprob=-5 * generator.random(),
            suppressed_logprob=-3 * generator.random(),
            first_token_log_odds=float(generator.normal()),
            is_unparsable=False,
            is_hedged=False,
        )
        for i in range(60)
    ]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of three systems, and a trial that is none of a comparison's."""
    initial = predictions(0, ("correct", "wrong"))
    for seed in (0, 1):
        run = tmp_path / "runs" / f"seed-{seed}"
        for number, system in enumerate((INIT_BASIC, "cor-rait", "grait")):
            folder = run / "evaluation" / "in-domain" / system
            folder.mkdir(parents=True)
            rows = initial if system == INIT_BASIC else predictions(10 * seed + number)
            write_rows(folder / "predictions.parquet", rows[::-1] if seed else rows)
        trial = run / "evaluation" / "validation" / "grait"
        trial.mkdir(parents=True)
        write_rows(trial / "predictions.parquet", initial)
        facts = {"versions": {"python": "3"}, "machine": {"processor": f"kind {seed}"}}
        (run / "summary.json").write_text(json.dumps(facts), encoding="utf-8")
        config = {"evaluation": {"datasets": [{"path": "nq", "name": "in-domain", "folder": "/home/me/nq"}]}}
        (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path / "runs"


def test_kept_answers_give_the_very_comparison_of_the_runs(runs: Path, tmp_path: Path) -> None:
    answers.keep(runs, tmp_path / "kept")
    of_runs, of_kept = answers.read_seeds(runs), answers.read_seeds(tmp_path / "kept")
    assert list(of_kept) == [0, 1]
    assert answers.compare_seeds(of_kept) == answers.compare_seeds(of_runs)
    assert list(of_kept[0]) == ["in-domain"]
    systems = {
        system: {seed: of_runs[seed]["in-domain"][system] for seed in of_runs} for system in of_runs[0]["in-domain"]
    }
    expected = compare(gather("in-domain", systems, INIT_BASIC), differences_of=["grait"])
    by_method = {record.method: record for record in answers.compare_seeds(of_kept)[0]}
    assert by_method == {record.method: record for record in expected[0]}


def test_trials_are_held_against_each_other_as_trained_and_with_their_dials(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    validation = runs / "seed-0" / "evaluation" / "validation"
    for name, seed in ((INIT_BASIC, 0), ("trial-2", 5)):
        (validation / name).mkdir()
        rows = predictions(seed, ("correct", "wrong") if name == INIT_BASIC else OUTCOMES)
        write_rows(validation / name / "predictions.parquet", rows)
    answers.keep_trials(runs / "seed-0", tmp_path / "kept.parquet")
    kept = answers.read_kept(tmp_path / "kept.parquet")["validation"]
    assert set(kept) == {INIT_BASIC, "grait", "trial-2"}
    for score in (None, "answer"):
        arguments = ["paired", str(tmp_path / "kept.parquet"), "trial-2", "grait"]
        monkeypatch.setattr("sys.argv", [*arguments, *(["--score", score] if score else [])])
        capsys.readouterr()
        paired.main()
        out = capsys.readouterr().out
        own = cross_fitted(kept["trial-2"], kept[INIT_BASIC], "answer") if score else kept["trial-2"]
        record = summarize("", "", *({row.id: row.outcome for row in rows} for rows in (kept[INIT_BASIC], own)))
        assert f"trial-2: THS {100 * record.ths:.1f} [" in out
        assert "trial-2 less grait: " in out and f"{INIT_BASIC}: THS 0.0 [0.0, 0.0]" in out


def test_what_is_kept_names_machines_and_no_folder_of_mine(runs: Path, tmp_path: Path) -> None:
    answers.keep(runs, tmp_path / "kept")
    answers.write_comparison(tmp_path / "kept", tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text(encoding="utf-8")
    assert "kind 0 and kind 1" in text
    assert all("/home/me" not in path.read_text(encoding="utf-8") for path in tmp_path.glob("[ko]*/*.json"))
    assert "/home/me" not in text


def test_a_comparison_of_some_seeds_has_what_these_have_in_common(runs: Path, tmp_path: Path) -> None:
    shutil.rmtree(runs / "seed-1" / "evaluation" / "in-domain" / "cor-rait")
    answers.keep(runs, tmp_path / "kept")
    for seeds, systems in ((None, {INIT_BASIC, "grait"}), ([0], {INIT_BASIC, "grait", "cor-rait"})):
        answers.write_comparison(tmp_path / "kept", tmp_path / "out", seeds)
        written = json.loads((tmp_path / "out" / "compare.json").read_text())
        assert {record["method"] for record in written["records"]} == systems
        assert written["about"]["seeds"] == (seeds or [0, 1])
    with pytest.raises(SystemExit, match="has no seed 2; it has 0, 1"):
        answers.write_comparison(tmp_path / "kept", tmp_path / "out", [0, 2])


def test_keeping_again_leaves_other_seeds(runs: Path, tmp_path: Path) -> None:
    answers.keep(runs, tmp_path / "kept")
    before = (tmp_path / "kept" / "seed-1.parquet").read_bytes()
    (runs / "seed-1").rename(tmp_path / "elsewhere")
    answers.keep(runs, tmp_path / "kept")
    assert (tmp_path / "kept" / "seed-1.parquet").read_bytes() == before
    assert set(json.loads((tmp_path / "kept" / answers.ABOUT).read_text())) == {"seed-0", "seed-1"}


def test_a_run_with_fewer_systems_takes_nothing_away(runs: Path, tmp_path: Path) -> None:
    answers.keep(runs, tmp_path / "kept")
    before = (tmp_path / "kept" / "seed-0.parquet").read_bytes()
    shutil.rmtree(runs / "seed-0" / "evaluation" / "in-domain" / "cor-rait")
    with pytest.raises(SystemExit, match="such as cor-rait on in-domain"):
        answers.keep(runs, tmp_path / "kept")
    assert (tmp_path / "kept" / "seed-0.parquet").read_bytes() == before


def test_older_kept_answers_are_ranked_as_they_were(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.keep(runs, tmp_path / "kept")
    path = tmp_path / "kept" / "seed-0.parquet"
    table = pq.read_table(path)
    pq.write_table(table.select(["dataset", "system", "id", "outcome", "refusal_logprob"]), path)
    rows = answers.read_kept(path)["in-domain"]["grait"]
    of_run = answers.read_seeds(runs)[0]["in-domain"]["grait"]
    kept = {row.id: (row.outcome, row.refusal_log_odds) for row in rows}
    assert kept == {row.id: (row.outcome, pytest.approx(row.refusal_logprob)) for row in of_run}
    assert f"{path}: kept by an earlier version" in capsys.readouterr().out


def cell(rows: list[Prediction]) -> Cell:
    return Cell(
        np.array([row.refusal_log_odds for row in rows]),
        np.array([row.outcome == "wrong" for row in rows]),
        np.array([row.outcome == "refused" for row in rows]),
    )


def test_at_its_own_wrong_answers_over_refusal_is_as_trained() -> None:
    initial, rows = predictions(0, ("correct", "wrong")), predictions(1)
    right = np.array([row.outcome == "correct" for row in initial])
    trained = over_refusal_rate(*({row.id: row.outcome for row in of} for of in (initial, rows)))
    one = cell(rows)
    assert over_refusal_of_answers(one, right, float(one.wrong.mean())) == pytest.approx(trained)
    falling = [over_refusal_of_answers(one, right, pw) for pw in np.linspace(0, 1, 20)]
    assert falling == sorted(falling, reverse=True)


def test_the_one_with_more_wrong_answers_has_to_refuse_more() -> None:
    initial, rows = predictions(0, ("correct", "wrong")), predictions(1)
    right = np.array([row.outcome == "correct" for row in initial])
    bold, shy = cell(rows), cell([replace(row, outcome="refused") if row.outcome == "wrong" else row for row in rows])
    of_bold, of_shy = at_equal_wrong(bold, shy, right)
    assert of_bold > of_shy
    assert at_equal_wrong(shy, bold, right) == (of_shy, of_bold)
    assert at_equal_wrong(bold, bold, right)[0] == at_equal_wrong(bold, bold, right)[1]


def test_best_points_are_chosen_on_other_questions() -> None:
    """What the answers of one half are does not matter to the thresholds that it is measured at."""
    initial, rows = predictions(0, ("correct", "wrong")), predictions(1, ("correct", "wrong"))
    one = {row.id: row.outcome for row in cross_fitted(rows, initial, "text")}
    assert len(one) == len(rows)
    assert {one[row.id] for row in rows} == {"correct", "wrong", "refused"}
    ordered = sorted(rows, key=lambda row: row.id)
    even, odd = ordered[::2], ordered[1::2]
    flipped = [
        replace(row, suppressed_outcome="wrong" if row.suppressed_outcome == "correct" else "correct") for row in even
    ]
    other = {row.id: row.outcome for row in cross_fitted([*flipped, *odd], initial, "text")}
    assert {row.id for row in even if one[row.id] == "refused"} == {
        row.id for row in even if other[row.id] == "refused"
    }
    assert any((one[row.id] == "refused") != (other[row.id] == "refused") for row in odd)


def test_at_best_points_the_initial_model_stays_and_other_sets_take_the_threshold() -> None:
    initial = predictions(0, ("correct", "wrong"))
    rows = [
        replace(row, suppressed_outcome="correct" if row.refusal_log_odds < -1 else "wrong") for row in predictions(1)
    ]
    cells = {"in-domain": {INIT_BASIC: initial, "grait": rows}, "out": {INIT_BASIC: initial, "grait": rows}}
    found = at_best_points(cells, "in-domain", "text")
    assert found["in-domain"][INIT_BASIC] == found["out"][INIT_BASIC] == initial
    refused = [row.refusal_log_odds for row in found["out"]["grait"] if row.outcome == "refused"]
    answered = [row.refusal_log_odds for row in found["out"]["grait"] if row.outcome != "refused"]
    assert min(refused) > max(answered)


def test_within_relations_what_tells_only_relations_apart_is_chance() -> None:
    rows = predictions(0, ("correct", "wrong"))
    initial = {row.id: row.outcome for row in rows}
    scores = {row.id: row.refusal_log_odds for row in rows}
    assert within(scores, initial, dict.fromkeys(initial, "all")) == pytest.approx(refusal_auroc(scores, initial))
    relations = {id_: str(number % 3) for number, id_ in enumerate(initial)}
    assert within({id_: float(relations[id_]) for id_ in initial}, initial, relations) == 0.5
    shifted = {id_: score + 100 * float(relations[id_]) for id_, score in scores.items()}
    assert within(shifted, initial, relations) == pytest.approx(within(scores, initial, relations))


def test_along_a_score_that_knows_all_nothing_is_refused_that_is_right_and_none_of_the_wrong_answered() -> None:
    right = np.arange(40) % 4 == 0
    assert along(np.where(right, 0.0, 1.0), right, right) == ([0.0] * len(WRONG), pytest.approx(0.25))
    worst, best = along(np.where(right, 1.0, 0.0), right, right)
    assert worst == [1.0] * len(WRONG)
    assert best == pytest.approx(0.0)


def test_along_a_score_stops_where_as_many_are_wrong_as_may_be() -> None:
    """Right and wrong in turn, of 100: at 6% wrong 7 right ones are answered, at 10% 11, at 15% 16."""
    right = np.arange(100) % 2 == 0
    refused, best = along(np.arange(100.0), right, right)
    assert refused == pytest.approx([1 - 7 / 50, 1 - 11 / 50, 1 - 16 / 50])
    assert best == pytest.approx(0.01)
