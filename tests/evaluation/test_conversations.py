"""Questions after other turns, against the initial model in the same conversation and against the single question."""

import random
from collections.abc import Mapping

import pytest

from grait.evaluation.conversations import in_conversation
from grait.evaluation.metrics import summarize
from grait.records import ConversationKind, Outcome

Outcomes = Mapping[str, Outcome]


def drawn(seed: int, weights: tuple[int, int, int] = (3, 5, 2), n: int = 120) -> dict[str, Outcome]:
    outcomes: tuple[Outcome, ...] = ("correct", "wrong", "refused")
    return dict(zip((f"q{i}" for i in range(n)), random.Random(seed).choices(outcomes, weights, k=n), strict=True))


def refusing(initial: Outcomes) -> dict[str, Outcome]:
    """What a perfect refuser makes of it."""
    return {id_: "refused" if outcome == "wrong" else outcome for id_, outcome in initial.items()}


def test_each_kind_has_its_own_base_and_its_share_of_the_single_question() -> None:
    initial: dict[ConversationKind, dict[str, Outcome]] = {
        "nothing": drawn(0),
        "greeting": drawn(1),
        "refusal": drawn(2),
    }
    tuned = {"nothing": refusing(initial["nothing"]), "greeting": drawn(3, (2, 1, 7)), "refusal": initial["refusal"]}
    asked = {kind: {"init-refuse": own, "m": tuned[kind]} for kind, own in initial.items()}
    found = {(row.method, row.after): row for row in in_conversation("set", asked, "init-refuse", 500)}
    single = found["m", "nothing"]
    assert single.ths == pytest.approx(single.pc0)
    assert (single.of_single, single.of_single_low, single.of_single_high) == (1, 1, 1)
    for kind in initial:
        same = summarize("m", "set", initial[kind], tuned[kind], resamples=500)
        row = found["m", kind]
        assert (row.n, row.ths, row.ths_low, row.ths_high) == (same.n, same.ths, same.ths_low, same.ths_high)
        assert row.of_single == pytest.approx(same.ths / single.ths)
        assert found["init-refuse", kind].ths == pytest.approx(0)
        assert found["init-refuse", kind].of_single is None  # nothing to take a share of
    low, high = found["m", "greeting"].of_single_low, found["m", "greeting"].of_single_high
    assert low is not None and high is not None and low < (found["m", "greeting"].of_single or 0) < high


def test_a_share_of_what_may_be_nothing_has_no_interval() -> None:
    initial, tuned = drawn(0), drawn(5, (24, 60, 16))
    asked: dict[ConversationKind, dict[str, Outcomes]] = {
        kind: {"init-refuse": initial, "m": tuned} for kind in ("nothing", "context")
    }
    found = next(row for row in in_conversation("set", asked, "init-refuse", 500) if row.method == "m")
    assert found.ths is not None and found.ths_low is not None and found.ths_low < 0 < found.ths
    assert (found.of_single, found.of_single_low, found.of_single_high) == (1, None, None)


def test_questions_count_that_were_asked_after_all_turns() -> None:
    asked: dict[ConversationKind, dict[str, Outcomes]] = {
        "nothing": {"init-refuse": {"a": "wrong", "b": "wrong"}},
        "greeting": {"init-refuse": {"b": "wrong"}},
    }
    assert {row.n for row in in_conversation("set", asked, "init-refuse", 100)} == {1}
    assert in_conversation("set", asked | {"context": {"init-refuse": {}}}, "init-refuse", 100) == []
