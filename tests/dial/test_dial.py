"""The rule of the dial, exact bounds, and thresholds that keep their promise on new questions."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import binom

from grait.chat.reply import BAR_WIDTH, bar, dialled
from grait.dial.bounds import fewest_trials, most_hits, upper_bound
from grait.dial.choice import Target, choose
from grait.dial.curve import dial_curve, dial_points, fewest_wrong, operating_curve
from grait.dial.threshold import (
    check_threshold,
    counts_above,
    dialled_outcomes,
    position,
    probability_at,
    refusal_score,
    thresholds,
)
from grait.errors import DialError
from grait.evaluation.metrics import outcome_shares, over_refusal_rate, truthful_helpfulness_score
from grait.records import Outcome, Prediction

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def answers(id_: str, score: float, outcome: Outcome, text_score: float = 0.5) -> Prediction:
    """One question; ``outcome``: of the answer that may not begin with the refusal."""
    first, text = float(logit(score)), float(logit(text_score))
    return Prediction(id_, "free", "refused", "suppressed", outcome, -3 + text, -3.0, first, False, False)


@st.composite
def calibration_sets(draw: st.DrawFn) -> tuple[list[Prediction], dict[str, Outcome]]:
    """Rows with many equal scores, and the initial model's outcomes; at least one right and one wrong."""
    scores = draw(st.lists(st.sampled_from([1e-9, 0.1, 0.5, 0.9, 1 - 1e-9, 1.0]), min_size=2, max_size=30))
    rows = [answers(f"q{i}", score, draw(st.sampled_from(OUTCOMES))) for i, score in enumerate(scores)]
    initial: dict[str, Outcome] = {row.id: draw(st.sampled_from(OUTCOMES)) for row in rows}
    return rows, initial | {"q0": "correct", "q1": "wrong"}


# -- the rule ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(calibration_sets(), st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_refuses_all_that_a_higher_one_refuses(case: Any, one: float, other: float) -> None:
    rows, _ = case
    high, low = (dialled_outcomes(rows, "first-token", at) for at in (max(one, other), min(one, other)))
    for row in rows:
        if high[row.id] == "refused":
            assert low[row.id] == "refused"
        assert low[row.id] in ("refused", row.suppressed_outcome)
        assert high[row.id] in ("refused", row.suppressed_outcome)


@settings(deadline=None)
@given(calibration_sets(), st.floats(0, 1))
def test_points_of_the_curve_are_what_the_thresholds_do(case: Any, threshold: float) -> None:
    rows, initial = case
    points = dial_curve(rows, initial, "first-token")
    assert points[0].threshold == 1 and points[-1].threshold == 0 and points[-1].pr == 1
    base = outcome_shares(initial.values())
    for point in [*points, *dial_points(rows, initial, "first-token", np.array([threshold]))]:
        outcomes = dialled_outcomes(rows, "first-token", point.threshold)
        shares = outcome_shares(outcomes.values())
        assert (point.pc, point.pw) == (shares.pc, shares.pw)
        assert point.pr == pytest.approx(shares.pr)
        assert point.over_refusal_rate == pytest.approx(over_refusal_rate(initial, outcomes))
        assert point.ths == pytest.approx(truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw))


def test_the_fewest_wrong_answers_at_each_over_refusal() -> None:
    """Right answers of scores 1, 3 and wrong ones of 2, 4: refusing all above 3 costs nothing that was right."""
    kinds: tuple[Outcome, ...] = ("correct", "wrong", "correct", "wrong")
    rows = [Prediction(f"q{i}", "", kind, "", kind, i - 9.0, -9.0, 0.0, False, False) for i, kind in enumerate(kinds)]
    own = operating_curve(rows, rows)
    at = np.array([0, 0.49, 0.5, 1.0])
    assert fewest_wrong([own], at).tolist() == [0.25, 0.25, 0.0, 0.0]
    assert fewest_wrong([own, own[:1]], at).tolist() == [0.375, 0.375, 0.25, 0.25]  # a mean of two
    assert fewest_wrong([own[-1:]], at).tolist() == [0, 0, 0, 0]  # even refusing nothing refuses all


def test_the_ends_of_the_dial_refuse_nothing_and_everything() -> None:
    rows = [answers("never", 0.0, "wrong"), answers("always", 1.0, "correct")]
    assert dialled_outcomes(rows, "first-token", 1.0) == {"never": "wrong", "always": "correct"}
    assert dialled_outcomes(rows, "first-token", 0.0) == {"never": "refused", "always": "refused"}


def test_the_score_is_the_refusal_s_share() -> None:
    """p / (p + q), and as ready a half where the refusal and the answer are equally probable."""
    row = Prediction("q", "", "wrong", "", "wrong", math.log(0.3), math.log(0.1), math.log(0.2 / 0.6), False, False)
    assert refusal_score(row, "text") == pytest.approx(0.3 / 0.4)
    assert refusal_score(row, "first-token") == pytest.approx(0.2 / 0.8)
    assert refusal_score(row, "answer") == pytest.approx(0.9)
    assert refusal_score(replace(row, suppressed_logprob=0.0), "answer") > 0
    assert refusal_score(replace(row, suppressed_logprob=row.refusal_logprob), "text") == 0.5


def test_each_score_is_its_own() -> None:
    row = answers("q", 0.9, "correct", text_score=0.2)
    assert refusal_score(row, "first-token") == pytest.approx(0.9)
    assert refusal_score(row, "text") == pytest.approx(0.2)
    assert dialled_outcomes([row], "text", 0.5) == {"q": "correct"}
    assert dialled_outcomes([row], "first-token", 0.5) == {"q": "refused"}


@settings(deadline=None)
@given(st.lists(st.floats(1e-300, 1), min_size=1, max_size=20))
def test_thresholds_tell_all_scores_apart(scores: list[float]) -> None:
    at = thresholds(np.array(scores))
    assert at[0] == 1 and at[-1] == 0 and (np.diff(at) <= 0).all()
    refused = [frozenset(score for score in scores if score > t) for t in at]
    assert len(set(refused)) == len(refused) == len(set(scores)) + 1


def test_neighbouring_floats_are_told_apart() -> None:
    scores = np.array([0.5, np.nextafter(0.5, 1)])
    assert counts_above(scores, np.array([True, True]), thresholds(scores)).tolist() == [0, 1, 2]


@settings(deadline=None)
@given(st.floats(5e-5, 0.9999), st.floats(0, 1), st.floats(0, 1))
def test_the_axis_of_the_dial(probability: float, one: float, other: float) -> None:
    assert probability_at(position(probability)) == pytest.approx(probability, rel=1e-6)
    assert (position(one) <= position(other)) or one > other
    assert [position(0), position(0.5), position(1)] == [0, 0.5, 1]
    assert [probability_at(0), probability_at(0.5), probability_at(1)] == [0, 0.5, 1]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(DialError, match="from 0"):
        check_threshold(threshold)


def test_what_is_shown_follows_the_rule() -> None:
    row = answers("q", 0.6, "correct")
    assert dialled(row, "No idea.", "first-token", 0.5).answer == "No idea."
    assert dialled(row, "No idea.", "first-token", 0.6001).answer == "suppressed"
    assert dialled(row, "No idea.", "first-token", None).answer == "free"
    assert bar(0.5, 0.5) == "█" * (BAR_WIDTH // 2) + "┃" + "░" * (BAR_WIDTH // 2)
    assert bar(1.0, 0.0) == "┃" + "█" * BAR_WIDTH


# -- bounds --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 200), st.data(), st.floats(0.5, 0.99))
def test_the_bound_is_the_rate_that_makes_so_few_hits_just_as_rare(n: int, data: st.DataObject, conf: float) -> None:
    hits = data.draw(st.integers(0, n - 1))
    assert binom.cdf(hits, n, upper_bound(hits, n, conf)) == pytest.approx(1 - conf, rel=1e-6)
    assert upper_bound(n, n, conf) == 1


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0.01, 0.9), st.floats(0.5, 0.99))
@example(1, 0.6156127839414616, 0.6156127839414616)  # the bound is the limit itself
def test_most_hits_are_those_whose_bound_is_within_the_limit(n: int, limit: float, conf: float) -> None:
    allowed = most_hits(n, limit, conf)
    if allowed >= 0:
        assert upper_bound(allowed, n, conf) <= limit + 1e-9
    assert upper_bound(allowed + 1, n, conf) >= limit - 1e-9
    assert (allowed >= 0) == (n >= fewest_trials(limit, conf))


def test_fewest_trials_by_hand() -> None:
    assert fewest_trials(0.05, 0.9) == 45  # 0.95 ** 44 = 0.1047, 0.95 ** 45 = 0.0994


# -- the choice ----------------------------------------------------------------------------------------------------


def hits(rows: Sequence[Prediction], initial: dict[str, Outcome], target: Target, threshold: float) -> tuple[int, int]:
    """What counts against the limit, and of how many, the long way."""
    outcomes = dialled_outcomes(rows, "first-token", threshold)
    if target.metric == "wrong":
        return sum(outcome == "wrong" for outcome in outcomes.values()), len(rows)
    known = [id_ for id_, outcome in initial.items() if outcome == "correct"]
    return sum(outcomes[id_] == "refused" for id_ in known), len(known)


@settings(deadline=None)
@given(calibration_sets(), st.sampled_from(["over_refusal", "wrong"]), st.floats(0.05, 0.9))
def test_the_choice_is_the_last_threshold_that_passes(case: Any, metric: Any, limit: float) -> None:
    rows, initial = case
    target = Target(metric, limit, 0.75)
    at = thresholds(np.array([refusal_score(row, "first-token") for row in rows])).tolist()
    ordered = at if metric == "over_refusal" else at[::-1]
    passing = []
    for threshold in ordered:
        found, trials = hits(rows, initial, target, threshold)
        if binom.cdf(found, trials, limit) > 0.25:
            break
        passing.append((threshold, found))
    if not passing:
        with pytest.raises(DialError):
            choose(rows, initial, "first-token", target)
        return
    choice = choose(rows, initial, "first-token", target)
    assert (choice.threshold, choice.hits, choice.trials) == (*passing[-1], hits(rows, initial, target, 0)[1])
    assert choice.upper_bound is not None and choice.upper_bound <= limit + 1e-9


@settings(deadline=None)
@given(calibration_sets())
def test_the_highest_mean_of_ths_is_found(case: Any) -> None:
    """The mean over refusing up to a fifth of the questions more or less, counted out by hand."""
    rows, initial = case
    base = outcome_shares(initial.values())

    def ths(threshold: float) -> float:
        shares = outcome_shares(dialled_outcomes(rows, "first-token", threshold).values())
        return truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw)

    choice = choose(rows, initial, "first-token", Target("ths"))
    at = thresholds(np.array([refusal_score(row, "first-token") for row in rows]))
    scores = [refusal_score(row, "first-token") for row in rows]
    refused = [sum(score > threshold for score in scores) for threshold in at]
    n, width = len(rows), round(0.2 * len(rows))
    everywhere = np.interp(range(n + 1), refused, list(map(ths, at)))
    means = [
        np.mean([everywhere[min(max(count + step, 0), n)] for step in range(-width, width + 1)]) for count in refused
    ]
    assert means[list(at).index(choice.threshold)] == pytest.approx(max(means))
    assert choice.upper_bound is None


def test_the_mean_finds_the_middle_of_a_hill_with_noise_on_it() -> None:
    """On simulated questions, known ones more probable at low scores: less spread of over-refusal, THS as high."""
    generator = np.random.default_rng(0)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = generator.random(n)
        return scores, generator.random(n) < 0.6 * (1 - scores) ** 2

    def at(threshold: float, scores: np.ndarray, known: np.ndarray) -> tuple[float, float]:
        answered = scores <= threshold
        base = known.mean()
        ths = truthful_helpfulness_score((answered & known).mean(), (answered & ~known).mean(), base, 1 - base)
        return ths, 1 - answered[known].mean()

    new, found = drawn(20_000), []
    for _ in range(40):
        scores, known = drawn(300)
        rows = [
            answers(f"q{i}", score, "correct" if right else "wrong")
            for i, (score, right) in enumerate(zip(scores.tolist(), known.tolist(), strict=True))
        ]
        initial: dict[str, Outcome] = {row.id: row.suppressed_outcome for row in rows}
        mean = choose(rows, initial, "first-token", Target("ths")).threshold
        highest = max(thresholds(scores), key=lambda threshold: at(threshold, scores, known)[0])
        found.append((*at(mean, *new), *at(float(highest), *new)))
    mean_ths, mean_refused, highest_ths, highest_refused = np.array(found).T
    assert mean_ths.mean() > highest_ths.mean()
    assert mean_refused.std() < 0.75 * highest_refused.std()


def known_question(generator: random.Random, number: int) -> Prediction:
    """A question that the initial model answers right; refused in other words with probability 0.03."""
    outcome: Outcome = "refused" if generator.random() < 0.03 else "correct"
    return answers(f"k{number}", 1 - generator.random(), outcome)


def any_question(generator: random.Random, number: int) -> Prediction:
    """A question that the tuned model would answer wrong with probability 0.6."""
    return answers(f"a{number}", 1 - generator.random(), "wrong" if generator.random() < 0.6 else "correct")


@pytest.mark.parametrize("confidence", [0.9, 0.5])
@pytest.mark.parametrize("metric", ["over_refusal", "wrong"])
def test_the_promise_holds_on_new_questions(metric: Any, confidence: float) -> None:
    """The true rate at the chosen threshold, in closed form, exceeds the limit in no more calibrations than allowed.

    Where scores have no ties the share of failures lies between the probabilities of at most k - 1 and at most k hits
    at the limit, k being the most hits that pass (the threshold stands between two scores): neither too bold nor
    needlessly careful. That a bolder procedure would be seen is shown by the other confidence: at 0.5 many more fail.
    """
    limit, n, calibrations = 0.15, 100, 800
    generator = random.Random(7)
    failures = 0
    for _ in range(calibrations):
        if metric == "over_refusal":
            rows = [known_question(generator, number) for number in range(n)]
            risk = lambda t: 1 - 0.97 * t  # noqa: E731
        else:
            rows = [any_question(generator, number) for number in range(n)]
            risk = lambda t: 0.6 * t  # noqa: E731
        choice = choose(rows, {row.id: "correct" for row in rows}, "first-token", Target(metric, limit, confidence))
        failures += risk(choice.threshold) > limit
    k = most_hits(n, limit, confidence)
    least, most = (float(binom.cdf(count, n, limit)) for count in (k - 1, k))
    noise = 4 * math.sqrt(most * (1 - most) / calibrations)
    assert most <= 1 - confidence
    assert least - noise < failures / calibrations < most + noise
    assert (failures / calibrations > 0.1 + noise) == (confidence == 0.5)


def test_what_cannot_be_reached_is_said_with_its_reason() -> None:
    few = [answers(f"q{i}", 0.5, "correct") for i in range(44)]
    with pytest.raises(DialError, match=r"at least 45 questions that the initial model answers right, found 44"):
        choose(few, {row.id: "correct" for row in few}, "first-token", Target("over_refusal", 0.05))
    own = [answers(f"q{i}", 0.5, "refused" if i < 20 else "correct") for i in range(100)]
    with pytest.raises(
        DialError, match="20 of 100 questions that the initial model answers right are refused in other"
    ):
        choose(own, {row.id: "correct" for row in own}, "first-token", Target("over_refusal", 0.05))
    with pytest.raises(DialError, match="found 0"):
        choose(few, {row.id: "wrong" for row in few}, "first-token", Target("over_refusal", 0.05))


def test_a_tighter_limit_moves_the_dial_the_safe_way() -> None:
    generator = random.Random(0)
    rows = [answers(f"q{i}", 1 - generator.random(), generator.choice(OUTCOMES[:2])) for i in range(400)]
    initial: dict[str, Outcome] = {row.id: row.suppressed_outcome for row in rows}
    for metric, rises in (("over_refusal", True), ("wrong", False)):
        found = [
            choose(rows, initial, "first-token", Target(metric, limit)).threshold  # type: ignore[arg-type]
            for limit in (0.4, 0.3, 0.2, 0.1)
        ]
        assert found == sorted(found, reverse=not rises) and len(set(found)) == 4
    at = choose(rows, initial, "first-token", Target("over_refusal", 0.1)).threshold
    assert over_refusal_rate(initial, dialled_outcomes(rows, "first-token", at)) <= 0.1
