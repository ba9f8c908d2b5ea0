"""The number that trials are compared by: THS over all thresholds, and whether one system leads another."""

import numpy as np
import pytest

from grait.evaluation.metrics import truthful_helpfulness_score
from grait.evaluation.trials import lead, mean_ths, standing
from grait.records import Outcome, Prediction

INITIAL: dict[str, Outcome] = {f"q{i}": "correct" if i % 4 == 0 else "wrong" for i in range(40)}


def rows(scores: dict[str, float], outcomes: dict[str, Outcome]) -> list[Prediction]:
    return [
        Prediction(name, "", outcome, "", outcome, scores[name], 0.0, scores[name], False, False)
        for name, outcome in outcomes.items()
    ]


def random_rows(seed: int, outcomes: dict[str, Outcome] = INITIAL) -> list[Prediction]:
    values = np.random.default_rng(seed).permutation(len(outcomes)) / 7
    return rows(dict(zip(outcomes, map(float, values), strict=True)), outcomes)


def at_every_threshold(own: list[Prediction]) -> float:
    """The long way: refuse the k highest, for every k; trapezoids between."""
    ordered, n = sorted(own, key=lambda row: row.refusal_log_odds), len(own)
    pc0, pw0 = (sum(INITIAL[row.id] == kind for row in own) / n for kind in ("correct", "wrong"))
    ths = []
    for k in range(n + 1):
        answered = ordered[: n - k]
        pc, pw = (sum(row.suppressed_outcome == kind for row in answered) / n for kind in ("correct", "wrong"))
        ths.append(truthful_helpfulness_score(pc, pw, pc0, pw0))
    return float(np.trapezoid(ths, dx=1 / n))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_mean_over_all_thresholds(seed: int) -> None:
    own = random_rows(seed)
    assert mean_ths(own, INITIAL, np.ones((1, 40)))[0] == pytest.approx(at_every_threshold(own))


def test_a_question_that_counts_twice_is_there_twice() -> None:
    own = random_rows(0)
    counts = np.array([[2.0 if i < 10 else 1.0 for i in range(40)]])
    twice = mean_ths([*own, *own[:10]], INITIAL, np.ones((1, 50)))
    assert mean_ths(own, INITIAL, counts) == pytest.approx(twice)


def test_scores_that_say_nothing_have_0_and_the_best_ranking_has_most() -> None:
    nothing = rows(dict.fromkeys(INITIAL, 0.0), INITIAL)
    best = rows({name: float(kind == "wrong") for name, kind in INITIAL.items()}, INITIAL)
    worst = rows({name: -float(kind == "wrong") for name, kind in INITIAL.items()}, INITIAL)
    assert standing(nothing, INITIAL).ths == pytest.approx(0.0)
    assert standing(worst, INITIAL).ths < standing(random_rows(1), INITIAL).ths < standing(best, INITIAL).ths
    assert (standing(best, INITIAL).auroc, standing(best, INITIAL).right) == (1.0, 0.25)


def test_answers_that_are_lost_count() -> None:
    forgot: dict[str, Outcome] = dict.fromkeys(INITIAL, "wrong")
    assert standing(random_rows(0, forgot), INITIAL).ths < standing(random_rows(0), INITIAL).ths


def test_a_lead_is_paired_and_the_same_for_any_order_of_rows() -> None:
    best = rows({name: float(kind == "wrong") for name, kind in INITIAL.items()}, INITIAL)
    found = lead(best, random_rows(0), INITIAL, 0)
    assert found.low > 0 and found.low < found.difference < found.high
    assert found == lead(best, random_rows(0)[::-1], INITIAL, 0)
    same = lead(best, best, INITIAL, 0)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)


def test_chance_is_no_lead() -> None:
    """Of systems whose scores say nothing hardly any leads another."""
    leads = [lead(random_rows(seed), random_rows(seed + 100), INITIAL, 0).low > 0 for seed in range(40)]
    assert sum(leads) <= 4
