"""Which system is best, and which others its paired interval does not tell apart from it."""

from dataclasses import replace

from grait.evaluation.compare import compare, gather
from grait.evaluation.standings import by_dataset, standings
from grait.records import DifferenceRecord, Prediction


def test_the_best_of_each_data_set_and_those_level_with_it() -> None:
    rows = [Prediction("q", "", "wrong", "", "wrong", -1.0, -1.0, 0.0, False, False)]
    (record,), _ = compare(gather("d", {"init": {0: rows}}, "init"), resamples=2)
    records = [
        replace(record, method=method, dataset=dataset, ths=ths)
        for dataset, of_set in {"one": {"a": 0.1, "b": 0.3, "c": 0.2}, "two": {"a": 0.5, "b": 0.4}}.items()
        for method, ths in of_set.items()
    ]
    assert {name: [row.method for row in own] for name, own in by_dataset(records).items()} == {
        "one": ["b", "c", "a"], "two": ["a", "b"],
    }  # fmt: skip
    differences = [
        DifferenceRecord("b", "a", "one", 0.2, 0.01, 0.3),
        DifferenceRecord("b", "c", "one", 0.1, -0.01, 0.2),
        DifferenceRecord("a", "b", "one", -0.2, -0.3, -0.01),  # not of the best one
        DifferenceRecord("a", "b", "two", 0.1, 0.05, 0.2),
    ]
    found = standings(records, differences)
    assert [(row.dataset, row.best.method, row.level) for row in found] == [("one", "b", ("c",)), ("two", "a", ())]
    assert [row.level for row in standings(records, differences[:1])] == [("c",), ("b",)]  # not tested: not told
    assert standings(records[:1], []) == []


def test_the_best_beside_the_initial_model_is_held_against_the_others_too() -> None:
    """With the initial model best, and left out of a table, the best one there has its own paired differences."""

    def rows(right: int) -> list[Prediction]:
        outcomes = ["correct"] * right + ["wrong"] * (12 - right)
        return [Prediction(str(i), "", own, "", own, -1.0, -1.0, 0.0, False, False) for i, own in enumerate(outcomes)]

    cells = {"init": {0: rows(8)}, "a": {0: rows(6)}, "b": {0: rows(7)}}
    records, differences = compare(gather("d", cells, "init"), resamples=500)
    assert {(row.method, row.versus) for row in differences} == {
        ("init", "a"), ("init", "b"), ("b", "init"), ("b", "a"),
    }  # fmt: skip
    (found,) = standings([row for row in records if row.method != "init"], differences)
    assert (found.best.method, found.level) == ("b", ("a",))
