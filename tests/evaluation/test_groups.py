"""Questions by group and by rank."""

from grait.evaluation.groups import by_rank, counts_by_group
from grait.records import Outcome

INITIAL: dict[str, Outcome] = {"a": "correct", "b": "correct", "c": "wrong", "d": "correct", "e": "refused"}
TUNED: dict[str, Outcome] = {"a": "refused", "b": "correct", "c": "refused", "d": "wrong", "e": "correct"}


def test_groups_are_counted_apart_the_best_known_first() -> None:
    first, second = counts_by_group({"a": "x", "b": "x", "c": "x", "d": "y"}, INITIAL, TUNED, most=9)  # e has none
    assert (first.group, first.n, first.n_known) == ("y", 1, 1)
    assert (second.group, second.n, second.n_known) == ("x", 3, 2)
    assert second.four_ways == {"correct": 1, "wrong": 0, "right_refusal": 1, "over_refusal": 1}


def test_of_many_groups_the_largest_stay() -> None:
    groups = {"a": "one", "b": "two", "c": "two", "d": "also one", "e": "two"}
    assert [row.group for row in counts_by_group(groups, INITIAL, TUNED, most=2)] == ["also one", "two"]


def test_parts_go_from_the_lowest_rank_to_the_highest_and_ties_by_id() -> None:
    ranks = {"d": 0.2, "a": 0.9, "c": 0.2, "b": 0.1, "e": 0.5}
    assert by_rank(ranks, 2) == [["b", "c", "d"], ["e", "a"]]
    assert by_rank({"a": 0.5}, 5) == [["a"]]
    assert by_rank({}, 5) == []
