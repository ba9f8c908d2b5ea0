"""What holds for every method: how many are chosen, and what must not matter."""

import math

import pytest
from states import (
    ALL_UNKNOWN,
    AS_MANY_AS_KNOWN,
    BOTH,
    FLOW,
    KNOWN,
    LABELS,
    PLAIN,
    SCORES,
    SOFT,
    SPLIT,
    STATES,
    TRAINED,
    UNKNOWN,
    evidence,
    select_of,
    some_scores,
    state,
)

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.methods.catalog import METHODS
from grait.records import Label


@pytest.mark.parametrize("name", ALL_UNKNOWN)
@pytest.mark.parametrize(("n_ik", "n_idk"), [(5, 3), (1, 20), (len(KNOWN), len(UNKNOWN))])
def test_as_many_are_selected_as_asked_for_and_each_is_of_the_right_label(name: str, n_ik: int, n_idk: int) -> None:
    chosen = select_of(name)(evidence(), SelectionConfig(n_ik=n_ik, n_idk=n_idk), 0)
    known = [row.id for row in chosen if row.label == "ik"]
    unknown = [row.id for row in chosen if row.label == "idk" and not (name in SOFT and row.target == "answer")]
    assert (len(set(known)), len(set(unknown))) == (len(known), len(unknown)) == (n_ik, n_idk)
    assert set(known) <= KNOWN
    assert set(unknown) <= UNKNOWN
    if name not in SOFT:
        assert len(chosen) == n_ik + n_idk


@pytest.mark.parametrize("name", AS_MANY_AS_KNOWN)
def test_by_default_all_known_and_at_most_as_many_unknown_are_selected(name: str) -> None:
    chosen = select_of(name)(evidence(), PLAIN, 0)
    assert {row.id for row in chosen if row.label == "ik"} == KNOWN
    assert sum(row.label == "idk" for row in chosen) == min(len(KNOWN), len(UNKNOWN))
    mostly_unknown = [row for row in STATES if row.label != "ik" or row.id in sorted(KNOWN)[:4]]
    assert sum(row.label == "idk" for row in select_of(name)(evidence(mostly_unknown), PLAIN, 0)) == 4


@pytest.mark.parametrize("name", TRAINED)
def test_the_order_of_the_questions_does_not_matter(name: str) -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    backwards = evidence(STATES[::-1], SCORES[::-1], dict([*FLOW.items()][::-1]))
    first, second = select_of(name)(evidence(), config, 0), select_of(name)(backwards, config, 0)
    assert sorted(map(repr, first)) == sorted(map(repr, second))


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_set_and_no_question_twice(name: str) -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    first = select_of(name)(evidence(), config, 3)
    assert first == select_of(name)(evidence(), config, 3)
    assert len({(row.id, row.target) if name in (*SOFT, *BOTH) else row.id for row in first}) == len(first)
    assert all(row.label == LABELS[row.id] for row in first)
    assert all(math.isfinite(row.sample_weight) and row.sample_weight > 0 for row in first)


@pytest.mark.parametrize("name", SPLIT)
def test_questions_exactly_on_the_threshold_are_never_selected(name: str) -> None:
    dropped = {row.id for row in STATES if row.label == "dropped"}
    assert dropped
    assert not dropped & {row.id for row in select_of(name)(evidence(), PLAIN, 0)}


@pytest.mark.parametrize("name", SPLIT)
def test_the_target_is_that_of_the_label(name: str) -> None:
    of_methods = {
        "r-tuning": {"ik": "answer-sure", "idk": "answer-unsure"},
        "refusal-token": {"ik": "answer-respond", "idk": "refusal"},
    }
    taught = of_methods.get(name, {"ik": "answer", "idk": "refusal"})
    for row in select_of(name)(evidence(), PLAIN, 0):
        assert row.target == taught[row.label] or (name in SOFT and (row.label, row.target) == ("idk", "answer"))


@pytest.mark.parametrize("name", TRAINED)
def test_more_than_there_are_is_an_error_that_names_the_key(name: str) -> None:
    select = select_of(name)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_ik = 999: the training set has only {len(KNOWN)} such"):
        select(evidence(), SelectionConfig(n_ik=999), 0)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = 999: the training set has only {len(UNKNOWN)} such"):
        select(evidence(), SelectionConfig(n_idk=999), 0)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("side", ["ik", "idk"])
def test_an_empty_side_is_an_error_of_one_line(name: str, side: Label) -> None:
    with pytest.raises(KnowledgeError) as caught:
        select_of(name)(evidence([row for row in STATES if row.label != side]), PLAIN, 0)
    assert "\n" not in str(caught.value)
    assert f"found {0 if side == 'ik' else len(KNOWN)} known (ik) and {0 if side == 'idk' else len(UNKNOWN)}" in str(
        caught.value
    )


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_uses_only_the_evidence_that_it_says_it_needs(name: str) -> None:
    """Without flow, or without scores, a method gives the same set, or one clear error if it needs them."""
    method, config = METHODS[name], SelectionConfig(n_ik=7, n_idk=3)
    expected = select_of(name)(evidence(), config, 0)
    for needed, without in ((method.needs_flow, evidence(flow={})), (method.needs_influence, evidence(scores=[]))):
        if needed:
            with pytest.raises(KnowledgeError, match=f"none of {len(UNKNOWN)} unknown questions"):
                select_of(name)(without, config, 0)
        else:
            assert select_of(name)(without, config, 0) == expected


def test_the_papers_proportion_is_a_matter_of_counts() -> None:
    states = [state(f"q{index:03d}", index % 2, 0.5) for index in range(60)]
    scores, flow = some_scores(states), {row.id: 0.0 for row in states}
    for name in TRAINED:
        chosen = select_of(name)(evidence(states, scores, flow), SelectionConfig(n_ik=20, n_idk=5), 0)
        assert len({row.id for row in chosen}) == 25
        if name not in ("van-tuning", "r-tuning", "uniform"):
            assert [row.target for row in chosen].count("refusal") == 5
