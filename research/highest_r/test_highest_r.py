"""Pictures are drawn from a datastore that a run would leave."""

from pathlib import Path

import numpy as np
import pytest
from states import state

from grait.runtime.artifacts import write_rows
from research.highest_r import plane


class Store:
    """A datastore's ids and unit gradients."""

    def __init__(self, ids: list[str], gradients: np.ndarray) -> None:
        self.ids, self.unit_gradients = ids, gradients


def test_both_planes_are_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [state(f"wf-{'ab'[i % 2]}-{i:02d}", 0.9 if i < 20 else 0.1) for i in range(60)]
    rows = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32) + 3
    store = Store([row.id for row in states], rows / np.linalg.norm(rows, axis=1, keepdims=True))
    monkeypatch.setattr(plane.GradientDatastore, "open", lambda _: store)
    (tmp_path / "knowledge").mkdir()
    write_rows(tmp_path / "knowledge" / "knowledge.parquet", states)
    monkeypatch.setattr("sys.argv", ["plane", str(tmp_path), str(tmp_path / "out")])
    plane.main()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plane-paper.png", "plane-centred.png"}
    assert "the paper's choice: 20 questions" in capsys.readouterr().out
    centred = plane.centred(store.unit_gradients)
    assert np.linalg.norm(centred, axis=1) == pytest.approx(np.ones(60), abs=1e-5)
