"""Thresholds are chosen on questions other than those that they are measured on."""

from dataclasses import replace
from pathlib import Path

import pytest

from grait.methods.catalog import INIT_BASIC
from research.answers import read_seeds
from research.best_threshold import curves
from research.best_threshold.compare import at_best_thresholds, cross_fitted
from research.made_up import predictions

KEPT = Path(__file__).parents[1] / "which_method" / "answers"


def test_a_half_does_not_choose_its_own_threshold() -> None:
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


def test_the_initial_model_stays_and_other_sets_take_the_threshold() -> None:
    initial = predictions(0, ("correct", "wrong"))
    rows = [
        replace(row, suppressed_outcome="correct" if row.refusal_log_odds < -1 else "wrong") for row in predictions(1)
    ]
    cells = {"in-domain": {INIT_BASIC: initial, "grait": rows}, "out": {INIT_BASIC: initial, "grait": rows}}
    found = at_best_thresholds(cells, "in-domain", "text")
    assert found["in-domain"][INIT_BASIC] == found["out"][INIT_BASIC] == initial
    refused = [row.refusal_log_odds for row in found["out"]["grait"] if row.outcome == "refused"]
    answered = [row.refusal_log_odds for row in found["out"]["grait"] if row.outcome != "refused"]
    assert min(refused) > max(answered)


def test_curves_are_drawn_from_kept_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeds = read_seeds(KEPT, [0])
    few = {0: {"nq": seeds[0]["nq"]}}
    monkeypatch.setattr(curves, "read_seeds", lambda _: few)
    monkeypatch.setattr("sys.argv", ["curves", str(KEPT), str(tmp_path), "--systems", "cor-rait,grait"])
    curves.main()
    assert (tmp_path / "operating-nq.png").stat().st_size > 10_000
