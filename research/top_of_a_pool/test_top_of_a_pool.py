"""The parts and the figures of research/top_of_a_pool, without a model."""

import pytest

from research.top_of_a_pool.compare import Row, choices, drawn, drawn_by_relation, interval


def ids_of(rows: list[Row]) -> set[str]:
    return {own["id"] for own in rows}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_targets_and_test_are_of_the_wanted_task_which_few_rows_of_the_pool_have(seed: int) -> None:
    parts = drawn(seed)
    assert drawn(seed) == parts != drawn(seed + 3)
    assert len(ids_of(parts["pool"])) == len(parts["pool"]) == 1000
    assert not ids_of(parts["pool"]) & (ids_of(parts["targets"]) | ids_of(parts["test"]))
    assert not ids_of(parts["targets"]) & ids_of(parts["test"])
    [wanted] = {own["task"] for own in (*parts["targets"], *parts["test"])}
    assert sum(own["task"] == wanted for own in parts["pool"]) == 50


def test_by_relation_five_have_as_many_targets_each() -> None:
    parts = drawn_by_relation(0)
    relations = [own["relation"] for own in parts["targets"]]
    assert len(set(relations)) == 5 and {relations.count(own) for own in relations} == {6}
    assert {own["relation"] for own in parts["test"]} == set(relations) < {own["relation"] for own in parts["pool"]}
    assert not ids_of(parts["pool"]) & (ids_of(parts["targets"]) | ids_of(parts["test"]))


def test_every_way_chooses_as_many_rows() -> None:
    parts = drawn(2)
    top = [own["id"] for own in parts["pool"][:50]]
    found = choices(parts, top, 2)
    assert {len(set(ids)) for ids in found.values()} == {50} and found["influence"] == top


def test_an_interval_holds_the_mean_of_paired_differences() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.0, 5.0])
    assert (mean, low <= mean <= high < 0) == (-0.75, True)
    assert interval([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 0.0)
