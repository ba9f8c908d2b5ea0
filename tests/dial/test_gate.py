"""The gate, which leaves alone what is no short question of fact, and the score that does not punish length."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grait.chat.reply import dialled
from grait.dial.choice import Target, choose
from grait.dial.curve import dial_curve
from grait.dial.threshold import (
    PASSING,
    ScoreName,
    dialled_outcomes,
    gate_of,
    gated_score,
    passes,
    refusal_score,
    signal,
    thresholds,
)
from grait.errors import DialError
from grait.evaluation.metrics import outcome_shares, over_refusal_rate, truthful_helpfulness_score
from grait.records import Outcome, Prediction

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")
SCORES: tuple[ScoreName, ...] = ("answer", "answer-mean", "combined", "twice", "text", "first-token")
PROBABILITIES = st.sampled_from([1e-9, 0.01, 0.1, 0.3, 0.5, 0.9, 1 - 1e-9])


def row_of(
    id_: str, p: float, q: float, outcome: Outcome, suppressed: Outcome, n: int = 4, p_first: float = 0.5
) -> Prediction:
    """``p``: of the refusal text; ``q``: of the answer instead of it, which has n tokens."""
    odds = math.log(p_first) - math.log1p(-p_first)
    return Prediction(
        id_,
        "free",
        outcome,
        "other",
        suppressed,
        math.log(p),
        math.log(q),
        odds,
        False,
        False,
        n,
        math.log(p_first),
        math.log(q) / 2,
    )


@st.composite
def calibration_sets(draw: st.DrawFn) -> tuple[list[Prediction], dict[str, Outcome]]:
    """At least one question that the initial model answers right, and one wrong."""
    n = draw(st.integers(2, 25))
    kind = st.sampled_from(OUTCOMES)
    rows = [
        row_of(
            f"q{i}",
            draw(PROBABILITIES),
            draw(PROBABILITIES),
            draw(kind),
            draw(kind),
            draw(st.integers(1, 9)),
            draw(PROBABILITIES),
        )
        for i in range(n)
    ]
    initial: dict[str, Outcome] = {row.id: draw(kind) for row in rows}
    return rows, initial | {"q0": "correct", "q1": "wrong"}


GATES = st.sampled_from([None, 0.0, 0.1, 0.3, 0.5, 1.0])
SCORE = st.sampled_from(SCORES)


# -- the rule ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(calibration_sets(), SCORE, GATES, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_only_adds_refusals_and_a_gate_never_adds_one(
    case: Any, score: ScoreName, gate: float | None, one: float, other: float
) -> None:
    rows, _ = case
    high, low = (dialled_outcomes(rows, score, at, gate) for at in (max(one, other), min(one, other)))
    ungated = dialled_outcomes(rows, score, min(one, other))
    for row in rows:
        assert low[row.id] == "refused" or high[row.id] == low[row.id]
        if passes(row, score, gate):
            assert low[row.id] == ungated[row.id]
        else:  # left alone: neither a refusal nor an answer is the dial's
            assert high[row.id] == low[row.id] == row.outcome


@settings(deadline=None)
@given(calibration_sets(), SCORE, GATES)
def test_the_ends_of_the_dial(case: Any, score: ScoreName, gate: float | None) -> None:
    rows, _ = case
    nothing, everything = (dialled_outcomes(rows, score, at, gate) for at in (1.0, 0.0))
    for row in rows:
        is_open = passes(row, score, gate)
        assert nothing[row.id] == (row.suppressed_outcome if is_open else row.outcome)
        assert everything[row.id] == ("refused" if is_open else row.outcome)


def test_what_is_left_alone_is_shown_as_the_model_s_own_answer() -> None:
    row = row_of("q", 0.05, 0.01, "correct", "wrong")
    for threshold in (0.0, 0.5, 1.0):
        shown = dialled(row, "No.", "answer", threshold, 0.1)  # type: ignore[arg-type]
        assert shown.answer == "free" and "left alone" in shown.says
    assert dialled(row, "No.", "answer", 0.5, 0.04).answer == "No."  # type: ignore[arg-type]


def test_the_gate_s_signal_is_what_the_score_sees() -> None:
    row = row_of("q", 0.2, 0.5, "wrong", "wrong", p_first=0.7)
    assert [signal(row, score) for score in SCORES] == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.2, 0.7])


# -- what sets it --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400))
def test_no_more_ordinary_prompts_than_said_are_above_their_gate(signals: list[float]) -> None:
    assert (np.array(signals) > gate_of(np.array(signals))).mean() <= PASSING


def test_new_ordinary_prompts_pass_as_rarely_as_said() -> None:
    """Of uniform signals the share above a gate is one less the gate: its mean over draws is 2 of 201 with 200."""
    generator = np.random.default_rng(0)
    passing = [1 - gate_of(generator.random(200)) for _ in range(4000)]
    assert np.mean(passing) == pytest.approx(2 / 201, abs=4 * np.std(passing) / math.sqrt(len(passing)))
    assert PASSING >= 2 / 201


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.99])
def test_ordinary_prompts_keep_their_replies_and_questions_are_refused(threshold: float) -> None:
    """A model that thinks of refusing questions alone. Without a gate every long reply is refused."""
    generator = np.random.default_rng(1)
    kinds: list[Outcome] = ["wrong", "wrong", "wrong", "refused"]  # some chit-chat the model refuses by itself

    def ordinary(n: int) -> list[Prediction]:
        return [row_of(f"o{i}", 0.2 * generator.random() + 1e-9, 1e-6, kinds[i % 4], "correct", 30) for i in range(n)]

    questions = [row_of(f"q{i}", 0.3 + 0.5 * generator.random(), 1e-3, "correct", "wrong", 3) for i in range(50)]
    gate = gate_of(np.array([signal(row, "answer") for row in ordinary(200)]))
    new = ordinary(1000)
    replies = dialled_outcomes(new, "answer", threshold, gate)
    assert sum(replies[row.id] != row.outcome for row in new) <= 30
    assert set(dialled_outcomes(new, "answer", threshold).values()) == {"refused"}
    assert set(dialled_outcomes(questions, "answer", threshold, gate).values()) == {"refused"}


# -- length --------------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 0.99), st.integers(1, 200), st.integers(1, 200))
def test_the_mean_score_does_not_depend_on_length(q: float, one: int, other: int) -> None:
    """Of tokens that are equally probable; the whole answer's score grows with their number."""
    short, long = (
        replace(row_of("q", 0.5, 0.5, "wrong", "wrong", n), suppressed_logprob=n * math.log(q))
        for n in sorted((one, other))
    )
    for row in (short, long):
        assert refusal_score(row, "answer-mean") == pytest.approx(1 - q)
    assert refusal_score(short, "answer") <= refusal_score(long, "answer")


def test_answers_that_were_stored_without_their_length_are_one_line() -> None:
    row = replace(row_of("q", 0.5, 0.5, "wrong", "wrong"), n_suppressed_tokens=None, first_token_logprob=None)
    assert refusal_score(row, "answer") == 0.5 and signal(row, "answer") == 0.5
    with pytest.raises(DialError, match="stored by an earlier version"):
        refusal_score(row, "answer-mean")
    for score in ("combined", "twice"):
        with pytest.raises(DialError, match="stored by an earlier version"):
            refusal_score(row, score)
    with pytest.raises(DialError, match="stored by an earlier version"):
        passes(row, "first-token", 0.5)


@given(st.floats(0.001, 0.999), st.integers(1, 50), st.floats(-20, 20), st.floats(-20, 20))
def test_the_combined_score_adds_log_odds(q: float, n: int, odds: float, others: float) -> None:
    """Of a wrong token, and half of those of the refusal: worked out by hand, and rising with either."""
    row = replace(row_of("q", 0.5, 0.5, "wrong", "wrong", n), suppressed_logprob=n * math.log(q))
    score = refusal_score(replace(row, first_token_log_odds=odds), "combined")
    assert math.log(score / (1 - score)) == pytest.approx(math.log((1 - q) / q) + odds / 2, abs=1e-4)
    assert refusal_score(replace(row, first_token_log_odds=0.0), "combined") == pytest.approx(1 - q)
    low, high = sorted((odds, others))
    low, high = (refusal_score(replace(row, first_token_log_odds=value), "combined") for value in (low, high))
    assert low <= high


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.integers(1, 50), st.floats(-9, 9))
def test_asking_twice_adds_the_terse_answer_s_log_odds(q: float, terse: float, n: int, odds: float) -> None:
    row = replace(row_of("q", 0.5, 0.5, "wrong", "wrong", n), suppressed_logprob=n * math.log(q))
    row = replace(row, first_token_log_odds=odds, terse_logprob=math.log(terse))
    combined, twice = (refusal_score(row, score) for score in ("combined", "twice"))
    expected = math.log(combined / (1 - combined)) + math.log((1 - terse) / terse) / 2
    assert math.log(twice / (1 - twice)) == pytest.approx(expected, abs=1e-4)


def test_the_combined_score_of_an_answer_that_is_certain_refuses_least() -> None:
    row = replace(row_of("q", 0.5, 0.5, "wrong", "wrong", 3), suppressed_logprob=0.0, first_token_log_odds=9.0)
    assert 0 < refusal_score(row, "combined") < 1e-300


# -- the choice ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(calibration_sets(), SCORE, GATES)
def test_points_of_the_curve_are_what_the_gated_dial_does(case: Any, score: ScoreName, gate: float | None) -> None:
    rows, initial = case
    base = outcome_shares(initial.values())
    for point in dial_curve(rows, initial, score, gate):
        outcomes = dialled_outcomes(rows, score, point.threshold, gate)
        shares = outcome_shares(outcomes.values())
        assert (point.pc, point.pw) == (shares.pc, shares.pw)
        assert point.over_refusal_rate == pytest.approx(over_refusal_rate(initial, outcomes))
        assert point.ths == pytest.approx(truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw))


@settings(deadline=None)
@given(calibration_sets(), SCORE, GATES, st.sampled_from(["over_refusal", "wrong"]), st.floats(0.2, 0.9))
def test_a_promise_is_about_the_gated_dial(
    case: Any, score: ScoreName, gate: float | None, metric: Any, limit: float
) -> None:
    """The hits that are counted are those of the outcomes, and no threshold before the chosen one fails."""
    rows, initial = case
    try:
        choice = choose(rows, initial, score, Target(metric, limit, 0.6), gate)
    except DialError:
        return
    outcomes = dialled_outcomes(rows, score, choice.threshold, gate)
    known = [row.id for row in rows if initial[row.id] == "correct"]
    if metric == "wrong":
        assert choice.hits == sum(outcome == "wrong" for outcome in outcomes.values())
    else:
        assert choice.hits == sum(outcomes[id_] == "refused" for id_ in known)
    assert choice.upper_bound is not None and choice.upper_bound <= limit + 1e-9


def test_a_gate_that_lets_nothing_pass_leaves_all_as_it_was() -> None:
    rows = [row_of(f"q{i}", 0.1, 0.5, OUTCOMES[i % 3], "correct") for i in range(9)]
    initial: dict[str, Outcome] = {row.id: "correct" if i < 4 else "wrong" for i, row in enumerate(rows)}
    assert choose(rows, initial, "answer", Target("ths"), 0.5).threshold == 1
    assert thresholds(np.array([gated_score(row, "answer", 0.5) for row in rows])).tolist() == [1, 0]
    assert [point.pr for point in dial_curve(rows, initial, "answer", 0.5)] == [1 / 3, 1 / 3]
    with pytest.raises(DialError, match="even where the dial refuses all that passes the gate, 3 of 9"):
        choose(rows, initial, "answer", Target("wrong", 0.2, 0.5), 0.5)
