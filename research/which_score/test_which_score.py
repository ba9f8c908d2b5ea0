"""Orders by a score, and over-refusal at equal wrong answers."""

from dataclasses import replace

import numpy as np
import pytest

from grait.evaluation.metrics import over_refusal_rate, refusal_auroc
from research.made_up import predictions
from research.which_score import learned
from research.which_score.compare import WRONG, along, as_trained, auroc_within, over_refusal_at


def test_at_its_own_wrong_answers_over_refusal_is_as_trained() -> None:
    initial, rows = predictions(0, ("correct", "wrong")), predictions(1)
    right = np.array([row.outcome == "correct" for row in initial])
    trained = over_refusal_rate(*({row.id: row.outcome for row in own} for own in (initial, rows)))
    one = as_trained(rows)
    assert over_refusal_at(one, right, float(one.wrong.mean())) == pytest.approx(trained)
    falling = [over_refusal_at(one, right, pw) for pw in np.linspace(0, 1, 20)]
    assert falling == sorted(falling, reverse=True)


def test_within_relations_what_tells_only_relations_apart_is_chance() -> None:
    rows = predictions(0, ("correct", "wrong"))
    initial = {row.id: row.outcome for row in rows}
    scores = {row.id: row.refusal_log_odds for row in rows}
    assert auroc_within(scores, initial, dict.fromkeys(initial, "all")) == pytest.approx(refusal_auroc(scores, initial))
    relations = {id_: str(number % 3) for number, id_ in enumerate(initial)}
    assert auroc_within({id_: float(relations[id_]) for id_ in initial}, initial, relations) == 0.5
    shifted = {id_: score + 100 * float(relations[id_]) for id_, score in scores.items()}
    assert auroc_within(shifted, initial, relations) == pytest.approx(auroc_within(scores, initial, relations))


def test_along_a_score_that_knows_all_nothing_right_is_refused_and_nothing_wrong_answered() -> None:
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


def test_the_learned_dial_is_measured_on_questions_that_it_was_not_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {title: {"init-basic": predictions(1, ("correct", "wrong")), "grait": predictions(2)} for title in "ab"}
    n = len(cells["a"]["grait"])
    monkeypatch.setattr(learned, "N_FITTED", n // 2)
    found = learned.measured(cells, "grait", 0, right_answers=False)
    assert set(found) == {
        (title, score) for title in "ab" for score in (learned.TUNED, learned.INITIAL, learned.LEARNED)
    }
    turned = {"correct": "wrong", "wrong": "correct"}
    cells["b"] = {
        name: [replace(row, outcome=turned.get(row.outcome, row.outcome)) for row in rows]
        for name, rows in cells["b"].items()
    }
    again = learned.measured(cells, "grait", 0, right_answers=False)
    for score in (learned.TUNED, learned.INITIAL, learned.LEARNED):
        assert again["a", score] == found["a", score]
        assert again["b", score][0] == pytest.approx(1 - found["b", score][0])
