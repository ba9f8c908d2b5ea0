"""Results by form: against the initial model asked in the same form."""

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
    found = by_form(answers, "init-refuse", resamples=100)
    assert [row.form for row in found] == ["a", "b", "all"]
    for row in found:
        assert row.ths == (None if "wrong" not in outcomes else pytest.approx(0))
        assert row.over_refusal_rate == 0


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)), min_size=1, max_size=20))
def test_a_form_has_the_metrics_of_the_main_table_with_its_own_base(pairs: list[tuple[Outcome, Outcome]]) -> None:
    before, after = (rows([pair[side] for pair in pairs]) for side in (0, 1))
    found = summarize_form("m", "set", "a", before, after, 100, 3)
    if "wrong" not in {row.outcome for row in before}:
        assert found.ths is found.share is None
        return
    outcomes = [{row.id: row.outcome for row in own} for own in (before, after)]
    same = summarize("m", "set", *outcomes, resamples=100, seed=3)
    for name in ("n", "pc", "pw", "pr", "over_refusal_rate", "ths", "ths_low", "ths_high"):
        assert getattr(found, name) == getattr(same, name)


def test_a_model_that_refuses_what_is_wrong_and_nothing_else_has_all_of_the_share() -> None:
    found = summarize_form(
        "m", "set", "a", rows(["correct", "wrong", "wrong"]), rows(["correct", "refused", "refused"])
    )
    assert found.share == pytest.approx(1) and found.ths == pytest.approx(found.pc0)
    assert summarize_form("m", "set", "a", rows(["wrong"]), rows(["refused"])).share is None


def test_empty_answers_and_apologies_are_counted() -> None:
    before = rows(["wrong", "wrong"])
    after = [*rows(["wrong"], " \n"), *rows(["refused", "wrong"], "I'm so sorry for any confusion.")[1:]]
    found = summarize_form("m", "set", "a", before, after)
    assert (found.empty_rate, found.apology_rate) == (0.5, 0.5)
    refused = summarize_form("m", "set", "a", before, rows(["refused", "refused"], "I'm sorry, I don't know."))
    assert refused.apology_rate == 0
