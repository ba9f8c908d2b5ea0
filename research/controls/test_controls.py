"""Controls lose what they should lose; trials run through the real pipeline on a tiny model, none of them a method."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from states import state
from tiny_folder import save_tiny, tiny_tree, write_half_known

from grait.config import Config, parse_config
from grait.methods import grait
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.methods.selection import by_question
from research import trials
from research.answers import read_kept
from research.controls import paired
from research.controls.train import VARIANTS
from research.gradients import evidence

KEPT = Path(__file__).parent / "answers" / "seed-1.parquet"


@pytest.fixture
def trial() -> trials.Trial:
    """Known questions whose gradients point elsewhere than those of unknown ones."""
    states = [state(f"q{i:02d}", 0.9 if i < 20 else 0.1) for i in range(60)]
    rows = np.random.default_rng(0).normal(size=(60, 12)) + 3
    rows[:20, 0] += 3
    gradients = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return trials.Trial(evidence(states, gradients), Config(), states, gradients)


def test_every_control_teaches_and_no_labels_teaches_all_alike(trial: trials.Trial) -> None:
    rows = VARIANTS["no-labels"](trial)
    assert {row.sample_weight for row in rows} == {1.0} and len(rows) == 2 * len(trial.states)
    own = grait.select(trial.evidence, trial.config.selection, 0)
    permuted = VARIANTS["permuted-gradients"](trial)
    assert [(row.id, row.target) for row in permuted] == [(row.id, row.target) for row in own]
    weights = [{row.id: row.sample_weight for row in rows if row.target == "refusal"} for rows in (own, permuted)]
    assert weights[0] != weights[1]
    shuffled = by_question(VARIANTS["shuffled-labels-grait"](trial))
    assert sum(row.label == "ik" for row in shuffled.values()) == 20
    assert {id_ for id_, row in shuffled.items() if row.label == "ik"} != {row.id for row in trial.states[:20]}


def test_the_kept_controls_stand_where_the_page_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for score, ths in ((None, ("25.0", "17.2")), ("answer", ("27.2", "26.6"))):
        arguments = ["paired", str(KEPT), "grait", "no-labels-2"]
        monkeypatch.setattr("sys.argv", [*arguments, *(["--score", score] if score else [])])
        paired.main()
        out = capsys.readouterr().out
        assert f"grait: THS {ths[0]} [" in out and f"no-labels-2: THS {ths[1]} [" in out
        assert "grait less no-labels-2: " in out and f"{INIT_BASIC}: THS 0.0 [0.0, 0.0]" in out


def test_trials_train_and_answer_and_become_no_methods(tmp_path: Path) -> None:
    methods = dict(METHODS)
    model = save_tiny(tmp_path / "model")
    tree = tiny_tree(model, write_half_known(model, tmp_path), tmp_path / "run")
    tree["influence"] = {"mode": "sketch", "dimensions": 256}
    tree["evaluation"]["datasets"][0]["name"] = "validation"
    trials.run_trials(parse_config(tree, "tree"), VARIANTS, ["no-labels", "grait"], ["training.epochs=2"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert [line["variant"] for line in lines] == ["no-labels", "grait"]
    assert all(line["set"] == ["training.epochs=2"] and 0 <= line["pw"] <= 1 for line in lines)
    trials.keep(tmp_path / "run", tmp_path / "kept.parquet")
    kept = read_kept(tmp_path / "kept.parquet")["validation"]
    assert set(kept) == {INIT_BASIC, "no-labels-2", "grait-2"}
    assert len(kept[INIT_BASIC]) == lines[0]["n_validation"]
    assert methods == METHODS


def test_labels_alone_do_not_change_the_gradients_of_a_trial(trial: trials.Trial) -> None:
    flipped = [replace(row, label="ik" if row.label == "idk" else "idk") for row in trial.states]
    margins = [evidence(states, trial.gradients).influence for states in (trial.states, flipped)]
    for id_ in margins[0]:
        assert margins[0][id_].left_out_margin == pytest.approx(-margins[1][id_].left_out_margin, abs=1e-4)
