"""Metrics of refusals against what the initial model knows: by hand, by another road, at the edges."""

from statistics import harmonic_mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from grait.errors import GraitError
from grait.evaluation.abstention import abstention_f1, four_way_counts, four_way_shares, honesty, penalised_score
from grait.evaluation.metrics import joint_counts, outcome_shares, over_refusal_rate, summarize
from grait.judging.outcomes import four_way
from grait.records import Outcome

NAMES: dict[str, Outcome] = {"c": "correct", "w": "wrong", "r": "refused"}

# Ten questions. The initial model is right on five, wrong on four, and refuses one. What the system does:
#   known:   right, right, right, wrong, refused
#   unknown: now right, wrong, refused, refused, and of the one that the initial model refused: refused
INITIAL = "ccccc" + "wwww" + "r"
SYSTEM = "cccwr" + "cwrr" + "r"


def outcomes(text: str) -> dict[str, Outcome]:
    return {f"q{i}": NAMES[letter] for i, letter in enumerate(text)}


def counted(initial: str, system: str) -> NDArray[np.int64]:
    return joint_counts(outcomes(initial), outcomes(system))


def test_four_ways_tell_over_refusal_from_other_refusals() -> None:
    found = four_way_counts(counted(INITIAL, SYSTEM))
    assert found == {"correct": 4, "wrong": 2, "right_refusal": 3, "over_refusal": 1}
    found = four_way_counts(counted(INITIAL, INITIAL))
    assert found == {"correct": 5, "wrong": 4, "right_refusal": 1, "over_refusal": 0}


pairs = st.lists(st.tuples(st.sampled_from("cwr"), st.sampled_from("cwr")), min_size=1, max_size=30)


def both(rows: list[tuple[str, str]]) -> NDArray[np.int64]:
    return counted("".join(initial for initial, _ in rows), "".join(system for _, system in rows))


# -- by hand -------------------------------------------------------------------------------------------------------


def test_four_way_by_hand() -> None:
    shares = four_way_shares(counted(INITIAL, SYSTEM))
    assert (shares.correct, shares.wrong, shares.right_refusal, shares.over_refusal) == (0.4, 0.2, 0.3, 0.1)


def test_honesty_by_hand() -> None:
    """To be refused: four of the five unknown ones, without the one that is right now; three are. One of five known."""
    found = honesty(counted(INITIAL, SYSTEM))
    assert found.prudence == 3 / 4
    assert found.over_conservativeness == 1 / 5
    assert found.honesty == pytest.approx((0.75 + 1 - 0.2) / 2)


def test_f1_by_hand() -> None:
    """Six answers, four right, six to be answered (five known, one learned). Four refusals, three right, four due."""
    found = abstention_f1(counted(INITIAL, SYSTEM))
    assert found.ans == pytest.approx(2 / 3)  # precision and recall are both 4/6
    assert found.abs == pytest.approx(3 / 4)  # both 3/4
    assert found.rel == pytest.approx(2 * (2 / 3) * (3 / 4) / (2 / 3 + 3 / 4))


def test_penalised_score_by_hand() -> None:
    assert penalised_score(0.4, 0.2, 0.0) == 0.4
    assert penalised_score(0.4, 0.2, 0.5) == pytest.approx(0.2)
    assert penalised_score(0.4, 0.2, 0.75) == pytest.approx(0.4 - 3 * 0.2)
    assert penalised_score(0.4, 0.2, 0.9) == pytest.approx(0.4 - 9 * 0.2)


def test_the_record_holds_them() -> None:
    record = summarize("m", "d", outcomes(INITIAL), outcomes(SYSTEM), resamples=50)
    assert (record.right_refusal_share, record.over_refusal_share) == (0.3, 0.1)
    assert (record.prudence, record.over_conservativeness) == (0.75, 0.2)
    assert record.honesty == pytest.approx(0.775)
    assert (record.f1_ans, record.f1_abs) == (pytest.approx(2 / 3), pytest.approx(0.75))
    assert record.f1_rel == pytest.approx(12 / 17)
    points = (record.penalised_50, record.penalised_75, record.penalised_90)
    assert points == pytest.approx((0.2, -0.2, -1.4))
    assert (record.auroc, record.average_precision, record.aurc, record.ece) == (None, None, None, None)


# -- what holds for all --------------------------------------------------------------------------------------------


@given(pairs)
def test_four_way_shares_are_those_of_a_count_and_split_pr(rows: list[tuple[str, str]]) -> None:
    names = [four_way(NAMES[initial], NAMES[system]) for initial, system in rows]
    shares, plain = four_way_shares(both(rows)), outcome_shares(NAMES[system] for _, system in rows)
    for name in ("correct", "wrong", "right_refusal", "over_refusal"):
        assert getattr(shares, name) == names.count(name) / len(rows)  # type: ignore[arg-type]
    assert (shares.correct, shares.wrong) == (plain.pc, plain.pw)
    assert shares.right_refusal + shares.over_refusal == pytest.approx(plain.pr)


@given(pairs)
def test_honesty_and_f1_are_those_of_lists_of_questions(rows: list[tuple[str, str]]) -> None:
    """Every question is looked at by itself: whether it is to be answered, and what the system made of it."""
    known = [system for initial, system in rows if initial == "c"]
    due_refusals = [system for initial, system in rows if initial != "c" and system != "c"]
    found = honesty(both(rows))
    assert found.over_conservativeness == (known.count("r") / len(known) if known else None)
    assert found.prudence == (due_refusals.count("r") / len(due_refusals) if due_refusals else None)
    assert (found.honesty is None) == (not known or not due_refusals)
    f1 = abstention_f1(both(rows))
    due_answers = len(rows) - len(due_refusals)
    answers = [system for _, system in rows if system != "r"]
    refusals = [initial for initial, system in rows if system == "r"]
    right_refusals = len(refusals) - refusals.count("c")
    for value, hits, made, due in (
        (f1.ans, answers.count("c"), len(answers), due_answers),
        (f1.abs, right_refusals, len(refusals), len(due_refusals)),
    ):
        if not made and not due:
            assert value is None
        elif not hits:
            assert value == 0
        else:
            assert value == pytest.approx(harmonic_mean([hits / made, hits / due]))
    if f1.ans is not None and f1.abs is not None:
        assert f1.rel == pytest.approx(harmonic_mean([f1.ans, f1.abs]))
    else:
        assert f1.rel is None


@given(pairs)
def test_all_lie_in_their_ranges_and_no_number_is_nan(rows: list[tuple[str, str]]) -> None:
    found, f1 = honesty(both(rows)), abstention_f1(both(rows))
    for value in (found.prudence, found.over_conservativeness, found.honesty, f1.ans, f1.abs, f1.rel):
        assert value is None or 0 <= value <= 1
    plain = outcome_shares(NAMES[system] for _, system in rows)
    assert -9 - 1e-12 <= penalised_score(plain.pc, plain.pw, 0.9) <= 1


@given(pairs)
def test_over_conservativeness_is_the_over_refusal_rate_where_something_is_known(rows: list[tuple[str, str]]) -> None:
    found = honesty(both(rows)).over_conservativeness
    initial = outcomes("".join(initial for initial, _ in rows))
    rate = over_refusal_rate(initial, outcomes("".join(system for _, system in rows)))
    assert found == rate or (found is None and rate == 0)


def test_learning_an_answer_is_no_missed_refusal() -> None:
    """The initial model was wrong on both; refusing one and learning the other leaves nothing to reproach."""
    learned, missed = counted("cww", "crc"), counted("cww", "crw")
    assert (honesty(learned).prudence, honesty(missed).prudence) == (1, 0.5)
    assert (abstention_f1(learned).rel, abstention_f1(missed).abs) == (1, pytest.approx(2 / 3))


# -- the edges -----------------------------------------------------------------------------------------------------


def test_refusing_everything() -> None:
    counts = counted("cccw", "rrrr")
    shares, found, f1 = four_way_shares(counts), honesty(counts), abstention_f1(counts)
    assert (shares.correct, shares.wrong, shares.right_refusal, shares.over_refusal) == (0, 0, 0.25, 0.75)
    assert (found.prudence, found.over_conservativeness, found.honesty) == (1, 1, 0.5)
    assert (f1.ans, f1.abs, f1.rel) == (0, pytest.approx(2 * 0.25 / 1.25), 0)
    assert penalised_score(0, 0, 0.9) == 0


def test_answering_everything_like_the_initial_model() -> None:
    counts = counted("cccw", "cccw")
    found, f1 = honesty(counts), abstention_f1(counts)
    assert (found.prudence, found.over_conservativeness, found.honesty) == (0, 0, 0.5)
    assert (f1.ans, f1.abs, f1.rel) == (pytest.approx(6 / 7), 0, 0)


def test_a_perfect_system() -> None:
    counts = counted("cccwr", "cccrr")
    found, f1 = honesty(counts), abstention_f1(counts)
    assert (found.prudence, found.over_conservativeness, found.honesty) == (1, 0, 1)
    assert (f1.ans, f1.abs, f1.rel) == (1, 1, 1)


def test_an_inverted_system_is_worst() -> None:
    counts = counted("cccww", "rrrww")
    found, f1 = honesty(counts), abstention_f1(counts)
    assert (found.prudence, found.over_conservativeness, found.honesty) == (0, 1, 0)
    assert (f1.ans, f1.abs, f1.rel) == (0, 0, 0)


def test_what_is_undefined_is_none() -> None:
    nothing_known, all_known = counted("ww", "rr"), counted("cc", "cc")
    assert (honesty(nothing_known).over_conservativeness, honesty(nothing_known).honesty) == (None, None)
    assert honesty(nothing_known).prudence == 1
    assert (abstention_f1(nothing_known).ans, abstention_f1(nothing_known).rel) == (None, None)
    assert (honesty(all_known).prudence, honesty(all_known).honesty) == (None, None)
    assert (abstention_f1(all_known).ans, abstention_f1(all_known).abs, abstention_f1(all_known).rel) == (1, None, None)


def test_answering_pays_off_above_the_threshold_alone() -> None:
    """What the threshold means: a guess that is right with probability p is worth p - (1 - p) t / (1 - t)."""
    for threshold in (0.2, 0.5, 0.75, 0.9):
        assert penalised_score(threshold, 1 - threshold, threshold) == pytest.approx(0)
        assert penalised_score(threshold + 0.05, 0.95 - threshold, threshold) > 0
        assert penalised_score(threshold - 0.05, 1.05 - threshold, threshold) < 0


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
def test_a_bad_threshold_is_an_error(threshold: float) -> None:
    with pytest.raises(GraitError, match="at least 0 and below 1, found"):
        penalised_score(0.5, 0.5, threshold)


def test_no_question_is_an_error() -> None:
    nothing = np.zeros((3, 3), dtype=np.int64)
    for metric in (four_way_shares, honesty, abstention_f1):
        with pytest.raises(GraitError, match="no outcome to count"):
            metric(nothing)
