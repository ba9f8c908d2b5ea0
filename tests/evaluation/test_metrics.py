"""Metrics: what THS, the shares, the interval and AUROC must satisfy."""

import random
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from grait.errors import GraitError
from grait.evaluation.metrics import (
    joint_counts,
    outcome_shares,
    over_refusal_rate,
    refusal_auroc,
    summarize,
    ths_interval,
    truthful_helpfulness_score,
    with_abstention,
)
from grait.records import MetricRecord, Outcome, RefusedRecord

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")
outcome_lists = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=40)

# CRaFT (arXiv 2410.06913) Table 2, Llama-3-8B-Instruct, in %: Init-Basic, then Pc, Pw, THS of Init-Refuse, Van-Tuning,
# Cor-RAIT, CRaFT.
PUBLISHED = {
    "MMLU": [(66.8, 33.1, 0.0), (50.0, 17.0, 15.6), (69.5, 30.5, 8.0), (63.9, 21.6, 20.4), (53.3, 9.6, 34.0)],
    "ARC-c": [(80.6, 19.5, 0.0), (65.3, 14.4, 5.6), (80.3, 19.7, -1.3), (79.4, 16.2, 12.2), (74.1, 12.7, 21.4)],
    "TriviaQA": [(66.8, 33.2, 0.0), (53.9, 20.8, 12.0), (55.0, 38.1, -21.8), (45.4, 13.2, 18.8), (43.5, 10.9, 21.5)],
    "NQ": [(40.3, 59.7, 0.0), (31.1, 38.6, 5.0), (21.0, 48.5, -11.7), (17.2, 25.6, -0.1), (19.0, 27.5, 0.4)],
}
CELLS = [(rows[0], row) for rows in PUBLISHED.values() for row in rows]


def by_id(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {f"q{i}": outcome for i, outcome in enumerate(outcomes)}


def mixed(n: int, seed: int, weights: tuple[float, float, float]) -> list[Outcome]:
    return random.Random(seed).choices(OUTCOMES, weights, k=n)


@given(outcome_lists)
def test_shares_sum_to_one(outcomes: list[Outcome]) -> None:
    shares = outcome_shares(outcomes)
    assert shares.n == len(outcomes)
    assert shares.pc + shares.pw + shares.pr == pytest.approx(1)
    assert min(shares.pc, shares.pw, shares.pr) >= 0


@given(outcome_lists.filter(lambda outcomes: "wrong" in outcomes))
@settings(max_examples=50, deadline=None)
def test_ths_of_the_untouched_model_is_zero(outcomes: list[Outcome]) -> None:
    record = summarize("m", "d", by_id(outcomes), by_id(outcomes), resamples=200)
    assert record.ths == pytest.approx(0)
    assert record.ths_low == pytest.approx(0)
    assert record.ths_high == pytest.approx(0)
    assert record.over_refusal_rate == 0


@given(st.floats(0, 1), st.floats(0.001, 1))
def test_ths_of_the_ideal_model_is_one_and_of_refusing_everything_zero(pc0: float, pw0: float) -> None:
    assert truthful_helpfulness_score(1, 0, pc0, pw0) == 1
    assert truthful_helpfulness_score(0, 0, pc0, pw0) == 0


def test_a_perfect_refuser_keeps_the_initial_models_right_answers() -> None:
    initial = by_id(["correct"] * 6 + ["wrong"] * 4)
    tuned = by_id(["correct"] * 6 + ["refused"] * 4)
    record = summarize("m", "d", initial, tuned)
    assert record.ths == pytest.approx(0.6)
    assert record.over_refusal_rate == 0


def test_ths_worse_than_the_base_is_negative() -> None:
    assert truthful_helpfulness_score(0.5, 0.5, 0.6, 0.4) < 0
    assert summarize("m", "d", by_id(["correct", "wrong"]), by_id(["wrong", "wrong"])).ths < 0


def test_a_base_without_wrong_answers_is_a_clear_error() -> None:
    with pytest.raises(GraitError, match="no wrong answer"):
        truthful_helpfulness_score(0.5, 0.1, 1.0, 0.0)
    with pytest.raises(GraitError, match="no wrong answer"):
        summarize("m", "d", by_id(["correct", "refused"]), by_id(["correct", "wrong"]))
    with pytest.raises(GraitError, match="no wrong answer"):
        ths_interval(joint_counts(by_id(["correct"]), by_id(["wrong"])))


def test_ths_reproduces_published_cells() -> None:
    """18 of these 20 cells agree within 0.2 points; the other two, both ARC-c, within 0.25.

    There a rounded Pw0 of 19.5 is multiplied by 4: the next test shows that rounding explains every cell.
    """
    errors = [abs(100 * truthful_helpfulness_score(pc / 100, pw / 100, b[0] / 100, b[1] / 100) - ths)
              for b, (pc, pw, ths) in CELLS]  # fmt: skip
    assert sum(error <= 0.2 for error in errors) == 18
    assert max(errors) <= 0.25


@pytest.mark.parametrize(("base", "cell"), CELLS)
def test_published_cells_lie_within_their_own_rounding(
    base: tuple[float, float, float], cell: tuple[float, float, float]
) -> None:
    h = 0.05  # half of the last printed digit
    if base == cell:
        assert truthful_helpfulness_score(cell[0], cell[1], base[0], base[1]) == pytest.approx(cell[2])
        return
    low = truthful_helpfulness_score(cell[0] - h, cell[1] + h, base[0] + h, base[1] - h)
    high = truthful_helpfulness_score(cell[0] + h, cell[1] - h, base[0] - h, base[1] + h)
    assert low - h <= cell[2] <= high + h


def test_shuffled_input_order_gives_the_same_record() -> None:
    initial, tuned = by_id(mixed(60, 1, (5, 4, 1))), by_id(mixed(60, 2, (5, 2, 3)))
    ids = list(initial)
    random.Random(0).shuffle(ids)
    shuffled = {id_: tuned[id_] for id_ in ids}
    assert summarize("m", "d", initial, tuned) == summarize("m", "d", initial, shuffled)
    assert summarize("m", "d", {id_: initial[id_] for id_ in reversed(ids)}, shuffled).ths_low == pytest.approx(
        summarize("m", "d", initial, tuned).ths_low
    )


def test_rows_join_by_id_and_not_by_position() -> None:
    """A shifted join keeps all shares and THS, but not the over-refusal rate or the pairs."""
    initial: dict[str, Outcome] = {"a": "correct", "b": "wrong"}
    tuned: dict[str, Outcome] = {"b": "refused", "a": "correct"}
    assert over_refusal_rate(initial, tuned) == 0
    assert joint_counts(initial, tuned).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_different_questions_are_an_error_that_names_them() -> None:
    initial: dict[str, Outcome] = {"a": "correct", "b": "wrong"}
    with pytest.raises(GraitError, match=r"1 only in the initial model's \(such as 'b'\)"):
        summarize("m", "d", initial, {"a": "correct"})
    with pytest.raises(GraitError, match=r"1 only in the tuned model's \(such as 'c'\)"):
        summarize("m", "d", initial, {**initial, "c": "correct"})
    with pytest.raises(GraitError, match="no outcome"):
        summarize("m", "d", {}, {})
    with pytest.raises(GraitError, match="no outcome"):
        outcome_shares([])


def test_over_refusal_rate() -> None:
    initial = by_id(["correct", "correct", "correct", "correct", "wrong", "refused"])
    tuned = by_id(["refused", "correct", "wrong", "correct", "refused", "refused"])
    assert over_refusal_rate(initial, tuned) == 0.25


def test_over_refusal_rate_is_zero_when_nothing_was_known() -> None:
    assert over_refusal_rate(by_id(["wrong", "wrong"]), by_id(["refused", "refused"])) == 0


def test_interval_agrees_with_resampling_questions_one_by_one() -> None:
    """The multinomial over joint cells and the plain paired bootstrap are the same distribution."""
    initial, tuned = mixed(80, 3, (5, 4, 1)), mixed(80, 4, (5, 2, 3))
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(4000):
        rows = rng.integers(0, 80, size=80)
        base, shares = outcome_shares(initial[i] for i in rows), outcome_shares(tuned[i] for i in rows)
        scores.append(truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw))
    low, high = ths_interval(joint_counts(by_id(initial), by_id(tuned)), resamples=40_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])), abs=0.025)


def test_interval_holds_the_score_and_is_reproducible() -> None:
    initial, tuned = by_id(mixed(300, 5, (5, 4, 1))), by_id(mixed(300, 6, (5, 2, 3)))
    record = summarize("m", "d", initial, tuned)
    assert record.ths_low < record.ths < record.ths_high
    assert summarize("m", "d", initial, tuned) == record
    assert summarize("m", "d", initial, tuned, seed=1).ths_low != record.ths_low


def test_interval_shrinks_with_more_questions() -> None:
    cells = joint_counts(by_id(mixed(100, 7, (5, 4, 1))), by_id(mixed(100, 8, (5, 2, 3))))
    low, high = ths_interval(cells)
    wide = high - low
    low, high = ths_interval(cells * 100)
    assert (high - low) == pytest.approx(wide / 10, rel=0.2)


def test_interval_covers_the_true_score_about_95_times_in_100() -> None:
    probabilities = np.array([0.40, 0.03, 0.07, 0.05, 0.18, 0.17, 0.03, 0.02, 0.05])
    cells = probabilities.reshape(3, 3)
    true = truthful_helpfulness_score(cells[:, 0].sum(), cells[:, 1].sum(), cells[0].sum(), cells[1].sum())
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(300):
        low, high = ths_interval(rng.multinomial(200, probabilities).reshape(3, 3), resamples=600, seed=trial)
        inside += low <= true <= high
    assert 0.90 <= inside / 300 <= 0.99


def test_interval_leaves_out_resamples_without_a_wrong_base_answer() -> None:
    cells = joint_counts(by_id(["correct", "correct", "wrong"]), by_id(["correct", "refused", "refused"]))
    low, high = ths_interval(cells)
    assert np.isfinite([low, high]).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(OUTCOMES)), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, Outcome]]) -> None:
    scores = {f"q{i}": float(score) for i, (score, _) in enumerate(rows)}
    initial = {f"q{i}": outcome for i, (_, outcome) in enumerate(rows)}
    unknown = [score for score, outcome in rows if outcome != "correct"]
    known = [score for score, outcome in rows if outcome == "correct"]
    if not unknown or not known:
        with pytest.raises(GraitError, match="at least one of each"):
            refusal_auroc(scores, initial)
        return
    pairs = [(u > k) + 0.5 * (u == k) for u in unknown for k in known]
    expected = sum(pairs) / len(pairs)
    assert refusal_auroc(scores, initial) == pytest.approx(expected)
    assert mannwhitneyu(unknown, known).statistic / len(pairs) == pytest.approx(expected)
    assert refusal_auroc({id_: -score for id_, score in scores.items()}, initial) == pytest.approx(1 - expected)


def test_auroc_of_a_constant_score_is_chance() -> None:
    assert refusal_auroc({"a": 1.0, "b": 1.0}, {"a": "correct", "b": "wrong"}) == 0.5


def test_auroc_refuses_numbers_that_are_none() -> None:
    with pytest.raises(GraitError, match="'b' is not finite"):
        refusal_auroc({"a": 1.0, "b": float("nan")}, {"a": "correct", "b": "wrong"})
    with pytest.raises(GraitError, match="different questions"):
        refusal_auroc({"a": 1.0}, {"a": "correct", "b": "wrong"})


def test_every_metric_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)`", text))
    assert {field.name for field in fields(MetricRecord)} - {"method", "dataset", "n"} <= explained


def test_abstention_counts_what_nobody_can_answer_against_all_refusals_of_the_set() -> None:
    """Refused: 1 of 4 with a reference, 6 of 8 that nobody can answer, 1 of 2 without a reference."""
    plain = summarize(
        "m", "d", by_id(["correct", "wrong", "wrong", "wrong"]), by_id(["refused", "wrong", "wrong", "wrong"])
    )
    apart = [RefusedRecord("m", "d", False, 8, 6 / 8, 0.0), RefusedRecord("m", "d", True, 2, 1 / 2, 0.0)]
    others = [RefusedRecord("m", "other", False, 8, 1.0, 0.0), RefusedRecord("other", "d", False, 8, 1.0, 0.0)]
    (found,) = with_abstention([plain], [*apart, *others])
    assert found.abstention_precision == 6 / 8 and found.abstention_recall == 6 / 8 and found.abstention_f1 == 6 / 8
    (found,) = with_abstention([plain], [apart[0]])
    assert found.abstention_precision == 6 / 7
    assert with_abstention([plain], [*others, apart[1]]) == [plain]


def test_scores_that_others_report_follow_from_the_shares() -> None:
    row = summarize(
        "m", "d", by_id(["correct", "wrong", "wrong", "wrong"]), by_id(["correct", "wrong", "wrong", "refused"])
    )
    assert row.right_of_answered == pytest.approx(1 / 3) == 1 - (row.wrong_of_answered or 0)
    assert row.simpleqa_f == pytest.approx(2 / (3 / 1 + 1 / row.pc))
    assert row.hallucination_rate == 2 / 3 and row.omniscience_index == -25
    assert row.truthrl_score == row.penalised_50
