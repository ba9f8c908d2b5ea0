"""Means over seeds, intervals and paired differences: against loops over the plain metrics and cases by hand."""

import numpy as np
import pytest

from grait.errors import GraitError
from grait.evaluation import compare as module
from grait.evaluation.abstention import four_way_shares
from grait.evaluation.compare import METRICS, Answers, bootstrap, compare, gather, interval, measure
from grait.evaluation.metrics import (
    joint_counts,
    outcome_shares,
    over_refusal_rate,
    refusal_auroc,
    summarize,
    truthful_helpfulness_score,
)
from grait.evaluation.selective import aurc
from grait.records import Outcome, Prediction

NAMES: dict[str, Outcome] = {"c": "correct", "w": "wrong", "r": "refused"}


def rows(outcomes: str, scores: list[float] | None = None) -> list[Prediction]:
    """``"cw"``: question 0 correct, question 1 wrong."""
    scores = scores or [0.0] * len(outcomes)
    return [
        Prediction(f"q{i}", "", NAMES[o], "", "wrong", s - 1, -1.0, 0.0, False, False)
        for i, (o, s) in enumerate(zip(outcomes, scores, strict=True))
    ]


def answers(**systems: list[str]) -> Answers:
    """One text for each seed; the first system is the initial model."""
    cells = {name: {seed: rows(text) for seed, text in enumerate(texts)} for name, texts in systems.items()}
    return gather("d", cells, next(iter(systems)))


def drawn_answers(n: int = 40, seeds: int = 3, systems: int = 4, seed: int = 0) -> Answers:
    """Random ones, with many equal scores."""
    generator = np.random.default_rng(seed)
    outcomes = generator.integers(3, size=(systems, seeds, n))
    scores = -generator.integers(8, size=outcomes.shape).astype(float)
    names = tuple(f"m{i}" for i in range(systems))
    return Answers("d", names, tuple(range(seeds)), outcomes, scores)


# -- one resample --------------------------------------------------------------------------------------------------


def looped(found: Answers, counts: list[int], seed_counts: list[int]) -> dict[str, list[float]]:
    """Each metric of each system, by copying questions and asking ``metrics``; nothing is vectorised."""
    codes: list[Outcome] = ["correct", "wrong", "refused"]
    ids = [(question, copy) for question, times in enumerate(counts) for copy in range(times)]
    result: dict[str, list[float]] = {name: [] for name in METRICS}
    for system in range(len(found.methods)):
        per_seed: list[dict[str, float]] = []
        for seed, times in enumerate(seed_counts):
            initial = {f"{q}/{copy}": codes[found.outcomes[0, seed, q]] for q, copy in ids}
            tuned = {f"{q}/{copy}": codes[found.outcomes[system, seed, q]] for q, copy in ids}
            scores = {f"{q}/{copy}": float(found.refusal_scores[system, seed, q]) for q, copy in ids}
            base, shares = outcome_shares(initial.values()), outcome_shares(tuned.values())
            values = {
                "pc": shares.pc,
                "pw": shares.pw,
                "pr": shares.pr,
                "right_refusal_share": four_way_shares(joint_counts(initial, tuned)).right_refusal,
                "over_refusal_rate": over_refusal_rate(initial, tuned),
                "ths": truthful_helpfulness_score(shares.pc, shares.pw, base.pc, base.pw),
                "auroc": refusal_auroc(scores, initial),
                "aurc": aurc([initial[id_] == "correct" for id_ in scores], list(scores.values())),
            }
            per_seed += [values] * times
        for name in METRICS:
            result[name].append(sum(values[name] for values in per_seed) / len(per_seed))
    return result


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_resamples_are_those_of_a_loop_over_copied_questions(seed: int) -> None:
    found = drawn_answers(seed=seed)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(found.n, np.full(found.n, 1 / found.n), size=5)
    seed_counts = generator.multinomial(3, np.full(3, 1 / 3), size=5)
    measured = measure(found, counts.astype(float), seed_counts.astype(float))
    for b in range(5):
        expected = looped(found, counts[b].tolist(), seed_counts[b].tolist())
        for name in METRICS:
            assert getattr(measured, name)[b] == pytest.approx(expected[name], abs=1e-12)


def test_a_case_by_hand() -> None:
    """Initial model: 1 of 4 right. The tuned one keeps it, refuses two of the three wrong ones."""
    initial, tuned = rows("cwww", [-9, -3, -3, -3]), rows("crrw", [-3, -1, -4, -3])
    (base, record), differences = compare(
        gather("d", {"init": {0: initial}, "m": {0: tuned}}, "init"), resamples=100, differences_of=["m"]
    )
    assert (record.pc, record.pw, record.pr, record.over_refusal_rate) == (0.25, 0.25, 0.5, 0)
    assert record.ths == pytest.approx(0.25 - 0.25 * 0.25 / 0.75)
    assert record.auroc == pytest.approx((1 + 0 + 0.5) / 3)  # -1 above -3, -4 below it, -3 equal to it
    # Least refused first: wrong (-4), then one of the two at -3, right or wrong, then both, then wrong (-1).
    assert record.aurc == pytest.approx((1 + 1.5 / 2 + 2 / 3 + 3 / 4) / 4)
    assert (base.right_refusal_share, record.right_refusal_share) == (0, 0.5)
    assert (base.pc, base.pw, base.pr, base.ths, base.auroc) == (0.25, 0.75, 0, 0, 1)
    (difference,) = differences
    assert (difference.method, difference.versus, difference.dataset) == ("m", "init", "d")
    assert difference.ths_difference == record.ths


def test_means_over_seeds_are_means_of_the_metrics_and_not_metrics_of_the_means() -> None:
    """By hand: with seed 0 the initial model has THS base 1/3, with seed 1 base 1; the tuned model is the same."""
    _, record = compare(answers(init=["cwww", "ccww"], m=["cwrr", "cwrr"]), resamples=50)[0]
    assert record.seeds == (0, 1)
    assert record.ths == pytest.approx(((0.25 - 0.25 / 3) + (0.25 - 0.25)) / 2)
    assert record.over_refusal_rate == 0
    _, record = compare(answers(init=["cwww", "ccww"], m=["rwww", "rcww"]), resamples=50)[0]
    assert record.over_refusal_rate == pytest.approx((1 + 0.5) / 2)


def test_with_one_seed_the_numbers_are_those_of_summarize() -> None:
    found = drawn_answers(n=300, seeds=1)
    records, _ = compare(found, resamples=10_000)
    codes: list[Outcome] = ["correct", "wrong", "refused"]
    outcomes = [{f"q{q}": codes[code] for q, code in enumerate(found.outcomes[i, 0])} for i in range(4)]
    for i, record in enumerate(records):
        scores = {f"q{q}": float(score) for q, score in enumerate(found.refusal_scores[i, 0])}
        expected = summarize(found.methods[i], "d", outcomes[0], outcomes[i], refusal_log_odds=scores)
        for name in ("method", "dataset", "n", *METRICS):
            assert getattr(record, name) == pytest.approx(getattr(expected, name))
        # The same distribution, drawn in another way.
        assert (record.ths_low, record.ths_high) == pytest.approx((expected.ths_low, expected.ths_high), abs=0.01)


# -- intervals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_hold_the_mean_and_have_a_width(seeds: int) -> None:
    records, _ = compare(drawn_answers(n=200, seeds=seeds), resamples=500)
    for record in records:
        for name in METRICS:
            low, value, high = (getattr(record, f"{name}{end}") for end in ("_low", "", "_high"))
            assert low <= value <= high
            is_fixed = record.method == "m0" and name in ("ths", "over_refusal_rate")
            assert (low < high) != is_fixed


def test_the_interval_over_questions_has_the_width_of_theory() -> None:
    n, resamples = 400, 20_000
    drawn = bootstrap(answers(init=["w" * n], m=["c" * 100 + "r" * 300]), resamples, seed=0)
    assert drawn.pc[:, 1].mean() == pytest.approx(0.25, abs=0.001)
    assert drawn.pc[:, 1].std() == pytest.approx((0.25 * 0.75 / n) ** 0.5, rel=0.03)


def test_seeds_are_resampled_when_there_are_several() -> None:
    """All questions alike, so that only the seeds differ: two draws of two give 0, 1/2 or 1 at 1 : 2 : 1."""
    found = answers(init=["w" * 50] * 2, m=["c" * 50, "r" * 50])
    values, counts = np.unique(bootstrap(found, 20_000, seed=0).pc[:, 1], return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert counts / 20_000 == pytest.approx(np.array([0.25, 0.5, 0.25]), abs=0.015)


def test_two_equal_seeds_are_as_good_as_one() -> None:
    """All seeds are measured on the same draw of questions; drawn apart, two would look surer than one."""
    one = bootstrap(answers(init=["cwwwccww" * 10], m=["crrwrcwr" * 10]), 5_000, seed=0)
    two = bootstrap(answers(init=["cwwwccww" * 10] * 2, m=["crrwrcwr" * 10] * 2), 5_000, seed=1)
    assert two.ths[:, 1].std() == pytest.approx(one.ths[:, 1].std(), rel=0.05)


def test_quantiles_are_taken_of_each_column_without_what_is_undefined() -> None:
    column = np.arange(1001.0)
    with_gaps = np.where(np.arange(1001) % 2, np.nan, column)
    low, high = interval(np.stack([column, -column, with_gaps, np.full(1001, np.nan)], axis=1))
    assert low[:3] == pytest.approx([25, -975, 25])
    assert high[:3] == pytest.approx([975, -25, 975])
    assert np.isnan(low[3]) and np.isnan(high[3])


def test_a_resample_without_a_wrong_answer_of_the_initial_model_has_no_ths() -> None:
    found = answers(init=["cccw"], m=["ccrr"])
    drawn = bootstrap(found, 2_000, seed=0)
    is_undefined = np.isnan(drawn.ths[:, 1])
    assert is_undefined.mean() == pytest.approx(0.75**4, abs=0.03)  # the one wrong answer was never drawn
    record = compare(found, resamples=2_000)[0][1]
    assert record.ths_low == pytest.approx(np.quantile(drawn.ths[~is_undefined, 1], 0.025))


def test_memory_blocks_and_the_order_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {name: {0: rows(text, list(range(6)))} for name, text in (("init", "cwwccw"), ("m", "crwrcw"))}
    expected = compare(gather("d", cells, "init"), resamples=500, seed=3)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 6 * 7)
    turned = {name: {0: own[0][::-1]} for name, own in cells.items()}
    assert compare(gather("d", turned, "init"), resamples=500, seed=3) == expected
    assert compare(gather("d", cells, "init"), resamples=500, seed=4) != expected


def test_ranked_metrics_use_the_first_resamples_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn_answers()
    whole = bootstrap(found, 60, seed=0)
    monkeypatch.setattr(module, "RANKED_RESAMPLES", 25)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 40 * 20)
    part = bootstrap(found, 60, seed=0)
    assert part.auroc.shape == (25, 4)
    assert np.array_equal(part.auroc, whole.auroc[:25])
    assert np.array_equal(part.aurc, whole.aurc[:25])
    assert np.array_equal(part.ths, whole.ths)


# -- differences ---------------------------------------------------------------------------------------------------


def test_the_difference_of_equal_systems_is_exactly_zero() -> None:
    texts = ["crwwrcwc" * 9, "cwrcrccw" * 9]
    found = answers(init=["cwwcwccw" * 9] * 2, a=texts, b=texts)
    _, differences = compare(found, resamples=400, differences_of=["a", "b"])
    own = [row for row in differences if {row.method, row.versus} == {"a", "b"}]
    assert [(row.method, row.versus) for row in own] == [("a", "b"), ("b", "a")]
    assert {(row.ths_difference, row.low, row.high) for row in own} == {(0.0, 0.0, 0.0)}


def test_a_difference_is_paired() -> None:
    """One question better and nothing worse: never below 0, though each system's own interval is wide."""
    initial, a, b = "cwwcwccw" * 9, "crwcwcrw" * 9, list("crwcwcrw" * 9)
    b[2] = "r"  # a wrong answer less
    records, differences = compare(answers(init=[initial], a=[a], b=["".join(b)]), resamples=2_000, differences_of="a")
    forth = next(row for row in differences if (row.method, row.versus) == ("b", "a"))
    back = next(row for row in differences if (row.method, row.versus) == ("a", "b"))
    assert forth.low >= 0
    assert 0 < forth.ths_difference <= forth.high
    assert (back.ths_difference, back.low, back.high) == (-forth.ths_difference, -forth.high, -forth.low)
    assert records[2].ths_high - records[2].ths_low > 3 * (forth.high - forth.low)
    assert forth.ths_difference == records[2].ths - records[1].ths


def test_the_best_system_is_held_against_every_other_one_and_so_is_each_named_one() -> None:
    found = answers(init=["cwww" * 5], best=["crrr" * 5], worse=["crww" * 5])
    assert {(row.method, row.versus) for row in compare(found, 50)[1]} == {("best", "init"), ("best", "worse")}
    assert len(compare(found, 50, differences_of=["worse"])[1]) == 4
    assert len(compare(found, 50, differences_of=["best", "absent"])[1]) == 2


def test_the_initial_model_and_refusing_everything_have_ths_zero_in_every_resample() -> None:
    found = answers(init=["cwccwwc" * 7] * 2, silent=["r" * 49] * 2)
    drawn = bootstrap(found, 500, seed=0)
    assert np.array_equal(drawn.ths, np.zeros((500, 2)))
    base, silent = compare(found, 500)[0]
    assert (base.ths, base.ths_low, base.ths_high) == (silent.ths, silent.ths_low, silent.ths_high) == (0, 0, 0)
    assert (silent.pr, silent.over_refusal_rate) == (1, 1)
    assert silent.right_refusal_share == 3 / 7


# -- what cannot be compared ---------------------------------------------------------------------------------------


def test_no_wrong_answer_of_the_initial_model_is_an_error() -> None:
    with pytest.raises(GraitError, match="THS is undefined: the initial model gave no wrong answer"):
        answers(init=["ccww", "ccrr"], m=["cccc", "cccc"])


def test_other_questions_or_seeds_are_an_error() -> None:
    with pytest.raises(GraitError, match="m with seed 0 answered 3 questions, other ones than the 4 of init"):
        answers(init=["ccww"], m=["ccw"])
    with pytest.raises(GraitError, match=r"m has the seeds \[0\], init has \[0, 1\]"):
        answers(init=["ccww", "ccww"], m=["ccww"])
    with pytest.raises(GraitError, match="d: no prediction to compare"):
        answers(init=[""], m=[""])


def test_a_score_that_is_no_number_is_named() -> None:
    cells = {"init": {0: rows("cw")}, "m": {0: rows("cw", [0.0, float("nan")])}}
    with pytest.raises(GraitError, match="d: m gives the refusal of question 'q1' no finite log-odds"):
        gather("d", cells, "init")


def test_auroc_is_none_where_the_initial_model_answers_nothing_right() -> None:
    record = compare(answers(init=["wwww"], m=["wrrc"]), resamples=100)[0][1]
    assert (record.auroc, record.auroc_low, record.auroc_high) == (None, None, None)
    assert (record.aurc, record.aurc_low, record.aurc_high) == pytest.approx((1, 1, 1))  # all are wrong
    assert record.ths == 0.25
