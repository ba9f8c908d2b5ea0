"""Results by form: against the initial model asked in the same form."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grait.evaluation.forms import by_form, summarize_form
from grait.evaluation.metrics import summarize
from grait.records import Outcome, Prediction

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def rows(outcomes: list[Outcome], output: str = "x") -> list[Prediction]:
    return [
        Prediction(f"q{i}", output, outcome, output, outcome, -1.0, -1.0, 0.0, False, False)
        for i, outcome in enumerate(outcomes)
    ]


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=20))
def test_the_initial_model_has_a_ths_of_0_in_every_form(outcomes: list[Outcome]) -> None:
    answers = {form: {"set": {"init-refuse": rows(outcomes)}} for form in ("a", "b")}
    found, differences = by_form(answers, "init-refuse", ["a"], "init-refuse", resamples=100)
    assert [(row.form, row.trained) for row in found] == [("a", True), ("all", True), ("b", False), ("all", False)]
    assert differences == []
    for row in found:
        assert row.ths == (None if "wrong" not in outcomes else pytest.approx(0))
        assert row.over_refusal_rate == 0


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)), min_size=1, max_size=20))
def test_a_form_has_the_metrics_of_the_main_table_with_its_own_base(pairs: list[tuple[Outcome, Outcome]]) -> None:
    before, after = (rows([pair[side] for pair in pairs]) for side in (0, 1))
    found = summarize_form("m", "set", "a", before, after, 100, 3, trained=True)
    if "wrong" not in {row.outcome for row in before}:
        assert found.ths is found.share is None
        return
    outcomes = [{row.id: row.outcome for row in own} for own in (before, after)]
    same = summarize("m", "set", *outcomes, resamples=100, seed=3)
    for name in ("n", "pc", "pw", "pr", "over_refusal_rate", "ths", "ths_low", "ths_high"):
        assert getattr(found, name) == getattr(same, name)


def test_a_model_that_refuses_what_is_wrong_and_nothing_else_has_all_of_the_share() -> None:
    found = summarize_form(
        "m", "set", "a", rows(["correct", "wrong", "wrong"]), rows(["correct", "refused", "refused"]), trained=True
    )
    assert found.share == pytest.approx(1) and found.ths == pytest.approx(found.pc0)
    assert summarize_form("m", "set", "a", rows(["wrong"]), rows(["refused"]), trained=True).share is None


def test_empty_answers_and_apologies_are_counted() -> None:
    before = rows(["wrong", "wrong"])
    after = [*rows(["wrong"], " \n"), *rows(["refused", "wrong"], "I'm so sorry for any confusion.")[1:]]
    found = summarize_form("m", "set", "a", before, after, trained=True)
    assert (found.empty_rate, found.apology_rate) == (0.5, 0.5)
    refused = summarize_form(
        "m", "set", "a", before, rows(["refused", "refused"], "I'm sorry, I don't know."), trained=True
    )
    assert refused.apology_rate == 0


def judged(seed: int, n: int = 150) -> list[Outcome]:
    return random.Random(seed).choices(OUTCOMES, [2, 5, 3], k=n)


def test_means_are_over_forms_of_their_kind_and_differences_over_trained_ones() -> None:
    systems = ("init-refuse", "craft", "grait")
    answers = {
        form: {"set": {system: rows(judged(10 * i + j)) for j, system in enumerate(systems)}}
        for i, form in enumerate(("a", "b", "c", "d"))
    }
    records, (difference,) = by_form(answers, "init-refuse", ["a", "b"], "grait", 400, 1)
    found = {(row.method, row.form, row.trained): row for row in records}
    for method in systems:
        for forms, trained in ((("a", "b"), True), (("c", "d"), False)):
            mean = found[method, "all", trained]
            for name in ("ths", "share", "pc", "pw0", "empty_rate"):
                own = [getattr(found[method, form, trained], name) for form in forms]
                assert getattr(mean, name) == pytest.approx(sum(own) / 2)
            assert mean.ths_low <= mean.ths <= mean.ths_high  # type: ignore[operator]
    assert (difference.method, difference.versus) == ("grait", "craft")
    means = [found[method, "all", True].ths or 0.0 for method in ("grait", "craft")]
    assert difference.ths_difference == pytest.approx(means[0] - means[1])
    assert difference.low < difference.ths_difference < difference.high
    alone = by_form({"a": answers["a"]}, "init-refuse", ["a"], "grait", 4000, 1)[0]
    for row, mean in zip(alone[::2], alone[1::2], strict=True):  # of one form: its interval, by another road
        assert (mean.ths_low, mean.share_high) == pytest.approx((row.ths_low, row.share_high), rel=0.05, abs=0.01)


def test_differences_are_paired() -> None:
    """Each resample has the same questions for both: alike answers differ in none, however wide their intervals are."""
    answers = {
        form: {"set": {"init-refuse": rows(judged(seed)), "grait": rows(judged(9)), "craft": rows(judged(9))}}
        for seed, form in enumerate("ab")
    }
    records, (difference,) = by_form(answers, "init-refuse", "ab", "grait", 200)
    assert (difference.ths_difference, difference.low, difference.high) == (0, 0, 0)
    assert all(row.ths_high - row.ths_low > 0.05 for row in records if row.method == "grait")  # type: ignore[operator]


def test_questions_that_one_system_was_not_asked_count_for_none() -> None:
    answers = {"a": {"set": {"init-refuse": rows(["wrong"] * 4), "m": rows(["wrong", "refused", "refused"])}}}
    records, _ = by_form(answers, "init-refuse", ["a"], "m", 100)
    assert {row.n for row in records} == {3}


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)), min_size=1, max_size=30))
def test_a_share_and_its_interval_are_those_of_ths_over_what_was_right_before(
    pairs: list[tuple[Outcome, Outcome]],
) -> None:
    before, after = (rows([pair[side] for pair in pairs]) for side in (0, 1))
    found = summarize_form("m", "set", "a", before, after, 200, trained=True)
    if found.ths is None or not found.pc0:
        assert found.share is found.share_low is found.share_high is None
        return
    assert found.share == pytest.approx(found.ths / found.pc0)
    assert found.share_low is not None and found.share_high is not None
    assert found.share_low <= found.share_high and found.share_high <= 1 / found.pc0 * len(pairs)
