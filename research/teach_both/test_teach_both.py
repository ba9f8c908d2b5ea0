"""Half the weight of refusals is half, and nothing else; what is kept is what the page shows."""

import json
from pathlib import Path

import numpy as np
import pytest
from states import some_scores, some_states

from grait.config import Config
from grait.evaluation.metrics import refusal_auroc
from grait.methods import grait
from grait.methods.catalog import INIT_BASIC
from grait.methods.selection import Evidence
from research.answers import read_kept
from research.teach_both.train import half_refusals
from research.trials import Trial

HERE = Path(__file__).parent
KEPT, TRIALS, PAGE = HERE / "answers" / "seed-0.parquet", HERE / "trials.jsonl", HERE / "README.md"


def test_refusals_weigh_half() -> None:
    states = some_states()
    evidence = Evidence(states, {}, {row.id: row for row in some_scores(states)})
    trial = Trial(evidence, Config(), states, np.zeros((len(states), 1), dtype=np.float32))
    rows = half_refusals(trial)
    assert [row.id for row in rows] == [row.id for row in grait.select(evidence, Config().selection, 0)]
    total = {target: sum(row.sample_weight for row in rows if row.target == target) for target in ("answer", "refusal")}
    assert total["refusal"] == pytest.approx(total["answer"] / 2)


def test_the_kept_answers_rank_as_the_page_says() -> None:
    kept = read_kept(KEPT)["validation"]
    initial = {row.id: row.outcome for row in kept[INIT_BASIC]}
    shown = {"grait-2": 91.4, "taught-30-2": 91.2, "grait-known-answers": 91.1, "cor-rait": 90.6, "van-tuning": 64.4}
    for name, auroc in shown.items():
        scores = {row.id: row.refusal_log_odds for row in kept[name]}
        assert round(100 * refusal_auroc(scores, initial), 1) == auroc


def test_the_measurements_are_those_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for line in map(json.loads, TRIALS.read_text(encoding="utf-8").splitlines()):
        shares = " / ".join(f"{100 * line[name]:.1f}" for name in ("pc", "pw", "pr"))
        assert f"| {shares} | {100 * line['ths']:.1f} | {100 * line['over_refusal_rate']:.1f} |" in page
