"""The parts and the figures of research/top_of_a_pool, without a model."""

from research.top_of_a_pool.compare import choices, drawn, interval


def test_targets_and_test_are_apart_from_the_pool_and_of_the_same_relations() -> None:
    parts = drawn(0)
    assert drawn(0) == parts != drawn(1)
    ids = {name: {own.id for own in rows} for name, rows in parts.items()}
    assert len(ids["pool"]) == 2000 and not ids["pool"] & (ids["targets"] | ids["test"]) | ids["targets"] & ids["test"]
    relations = {own.relation for own in parts["targets"]}
    assert {own.relation for own in parts["test"]} <= relations < {own.relation for own in parts["pool"]}
    assert len(relations) > 1


def test_every_way_chooses_as_many_rows_and_overlap_finds_the_relations() -> None:
    parts = drawn(2)
    top = [own.id for own in parts["pool"][:100]]
    found = choices(parts, top, 2)
    assert {len(set(ids)) for ids in found.values()} == {100} and found["influence"] == top
    relations = {own.relation for own in parts["targets"]}
    pool = {own.id: own for own in parts["pool"]}

    def share(name: str) -> int:
        return sum(pool[own].relation in relations for own in found[name])

    assert share("word overlap") > 2 * share("random")


def test_an_interval_holds_the_mean_of_paired_differences() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.0, 5.0])
    assert (mean, low <= mean <= high < 0) == (-0.75, True)
    assert interval([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 0.0)
