"""Figures: the numbers in a chart's own data are those that one counts by hand."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from report_data import ALL, made_up_comparison, made_up_forms, made_up_run

from grait.dial.curve import dial_curve
from grait.display import palette
from grait.display.figures import comparison as comparison_figures
from grait.display.figures import curves as curves_figures
from grait.display.figures import outcomes as outcomes_figures
from grait.display.figures import side_effects as side_effects_figures
from grait.display.figures import training as training_figures
from grait.display.pictures import file_svg, svg
from grait.display.tables import dialled_forms_tables, forms_tables, percent
from grait.evaluation.selective import RiskCoverage
from grait.methods.catalog import METHODS
from grait.methods.selection import Evidence
from grait.records import InfluenceScore, KnowledgeState, Outcome, Prediction, Question, Selected

INITIAL: dict[str, Outcome] = {
    "a": "correct", "b": "correct", "c": "correct",
    "d": "wrong", "e": "wrong", "f": "wrong", "g": "wrong", "h": "refused",
}  # fmt: skip
TUNED: dict[str, Outcome] = {
    "h": "refused", "a": "correct", "b": "refused", "c": "wrong",
    "d": "refused", "e": "refused", "f": "wrong", "g": "correct",
}  # fmt: skip


def rows_of(chart: Any, *names: str) -> list[dict[str, Any]]:
    """The rows of the chart's first data that has all these fields."""
    for rows in data_of(chart):
        if rows and all(name in rows[0] for name in names):
            return rows
    raise AssertionError(f"no data with {names}")


def data_of(chart: Any) -> list[list[dict[str, Any]]]:
    """The rows of each layer, as they stand in the chart's specification."""
    found = chart.to_dict()
    return [found["datasets"][part["data"]["name"]] for part in [found, *found.get("layer", [])] if "data" in part]


# -- outcomes ------------------------------------------------------------------------------------------------------


def test_flow_has_one_band_for_each_change_and_it_is_as_wide_as_its_count() -> None:
    chart = outcomes_figures.flow(INITIAL, TUNED, "grait")
    bands = rows_of(chart, "band", "count")
    found = {(row["before"], row["after"]): row["count"] for row in bands}
    assert found == {
        ("right", "right"): 1, ("right", "wrong"): 1, ("right", "refused"): 1, ("wrong", "right"): 1,
        ("wrong", "wrong"): 1, ("wrong", "refused"): 2, ("refused", "refused"): 1,
    }  # fmt: skip
    for row in bands:
        assert row["high"] - row["low"] == pytest.approx(row["count"], abs=0.02)
    bars = rows_of(chart, "side", "count")
    assert {(row["side"], row["outcome"]): row["count"] for row in bars} == {
        ("init-basic", "right"): 3, ("init-basic", "wrong"): 4, ("init-basic", "refused"): 1,
        ("grait", "right"): 2, ("grait", "wrong"): 2, ("grait", "refused"): 4,
    }  # fmt: skip


def test_bands_of_a_flow_fill_both_bars_without_overlap() -> None:
    chart = outcomes_figures.flow(INITIAL, TUNED, "grait")
    bars = rows_of(chart, "side", "count")
    bands = rows_of(chart, "band", "count")
    for side, at, end in (("init-basic", 0.04, "before"), ("grait", 0.96, "after")):
        for bar in (bar for bar in bars if bar["side"] == side):
            inside = sorted((row["low"], row["high"]) for row in bands if row["x"] == at and row[end] == bar["outcome"])
            assert inside[0][0] == pytest.approx(bar["low"], abs=0.02)
            assert inside[-1][1] == pytest.approx(bar["high"], abs=0.02)
            for (_, high), (low, _) in pairwise(inside):
                assert high == pytest.approx(low, abs=0.02)


def test_over_refusal_is_drawn_last_and_fullest() -> None:
    bands = rows_of(outcomes_figures.flow(INITIAL, TUNED, "grait"), "band", "count")
    assert (bands[-1]["before"], bands[-1]["after"]) == ("right", "refused")
    fullest = {(row["before"], row["after"]) for row in bands if row["opacity"] > 0.5}
    assert fullest == {("right", "refused")}


def test_bars_of_a_system_are_its_shares_end_to_end() -> None:
    rows = rows_of(
        outcomes_figures.outcome_bars({"init-basic": INITIAL, "grait": TUNED}, "init-basic"), "system", "share"
    )
    tuned = {row["way"]: row for row in rows if row["system"] == "grait"}
    assert {way: row["share"] for way, row in tuned.items()} == {
        "right": 0.25, "wrong": 0.25, "refused": 0.375, "over-refused": 0.125,
    }  # fmt: skip
    assert [tuned[way]["start"] for way in outcomes_figures.FOUR_WAYS.values()] == [0, 0.25, 0.5, 0.875]
    assert tuned["over-refused"]["end"] == 1


def test_groups_are_counted_apart_and_the_best_known_come_first() -> None:
    groups = {"a": "x", "b": "x", "d": "x", "c": "y", "e": "z", "f": "z"}  # g and h have none
    chart = outcomes_figures.outcomes_by_group(groups, INITIAL, TUNED)
    found = {(row["group"], row["way"]): row["count"] for row in rows_of(chart, "group", "way")}
    assert found == {
        ("x (3)", "right"): 1, ("x (3)", "over-refused"): 1, ("x (3)", "refused"): 1,
        ("y (1)", "wrong"): 1, ("z (2)", "refused"): 1, ("z (2)", "wrong"): 1,
    }  # fmt: skip
    ticks = rows_of(chart, "right_before")
    assert [(row["group"], row["right_before"]) for row in ticks] == [("y (1)", 1), ("x (3)", 2 / 3), ("z (2)", 0)]


def test_of_many_groups_the_largest_are_shown() -> None:
    groups = {
        f"q{i}-{j}": f"group {i:03d}" for i in range(outcomes_figures.MAX_GROUPS + 5) for j in range(1 + (i >= 5))
    }
    outcomes: dict[str, Outcome] = dict.fromkeys(groups, "correct")
    shown = {
        row["group"] for row in rows_of(outcomes_figures.outcomes_by_group(groups, outcomes, outcomes), "right_before")
    }
    assert shown == {f"group {i:03d} (2)" for i in range(5, outcomes_figures.MAX_GROUPS + 5)}


def test_popularity_goes_from_the_rarest_fifth_to_the_best_known() -> None:
    popularity = {id_: place / 10 for place, id_ in enumerate("hgfedcba")}
    chart = outcomes_figures.outcomes_by_popularity(
        popularity, {"init-basic": INITIAL, "grait": TUNED}, "init-basic", n_bins=2
    )
    found = {(r["fifth"], r["way"]): r["count"] for r in rows_of(chart, "fifth") if r["system"] == "grait"}
    assert found == {
        ("rarest", "refused"): 2, ("rarest", "right"): 1, ("rarest", "wrong"): 1,
        ("best known", "refused"): 1, ("best known", "over-refused"): 1,
        ("best known", "right"): 1, ("best known", "wrong"): 1,
    }  # fmt: skip


# -- curves --------------------------------------------------------------------------------------------------------


def test_risk_is_read_at_its_coverage_and_averaged_over_seeds() -> None:
    coverage = np.arange(1, 101) / 100
    low, high = RiskCoverage(coverage, coverage / 2), RiskCoverage(coverage, coverage)
    rows = rows_of(curves_figures.risk_coverage_curves({"grait": [low, high], "cor-rait": [low]}, "grait"), "coverage")
    for row in rows:
        factor = 0.75 if row["system"] == "grait" else 0.5
        assert row["risk"] == pytest.approx(factor * row["coverage"])
    assert rows[-1]["system"] == "grait"  # on top
    assert {row["system"] for row in rows} == {"grait", "cor-rait"}


SAME_POINT = {"cor-rait": (0.25, 0.5), "grait": (0.1, 0.3)}


def test_operating_curves_have_the_fewest_wrong_answers_at_each_over_refusal() -> None:
    """Right answers of scores 1, 3 and wrong ones of 2, 4: refusing all above 3 costs nothing that was right."""
    kinds: tuple[Outcome, ...] = ("correct", "wrong", "correct", "wrong")
    system = [Prediction(f"q{i}", "", kind, "", kind, i - 9.0, -9.0, 0.0, False, False) for i, kind in enumerate(kinds)]
    points = dial_curve(system, {row.id: row.outcome for row in system}, "text")
    chart = curves_figures.operating_curves({"cor-rait": [points, points], "grait": [points]}, SAME_POINT, "grait")
    rows = [row for part in data_of(chart) for row in part]
    for name in SAME_POINT:
        own = [row for row in rows if row["system"] == name]
        line = {round(row["over"], 2): row["pw"] for row in own if "trained" not in row["says"]}
        assert len(line) == 101
        assert (line[0], line[0.49], line[0.5], line[0.99], line[1.0]) == (0.25, 0.25, 0.0, 0.0, 0.0)
        (dot,) = [row for row in own if "trained" in row["says"]]
        assert (dot["over"], dot["pw"]) == SAME_POINT[name]


def test_only_the_main_system_shows_every_step() -> None:
    chart = curves_figures.loss_curves({"grait": [3.0, 1.0, 2.0], "cor-rait": [1.0, 1.0]}, "grait")
    raw = rows_of(chart, "loss")
    assert [(row["system"], row["step"], row["loss"]) for row in raw] == [
        ("grait", 1, 3.0), ("grait", 2, 1.0), ("grait", 3, 2.0),
    ]  # fmt: skip


# -- training ------------------------------------------------------------------------------------------------------

STATES = [
    KnowledgeState("a", "ik", 1.0, 1.0, None, ""),
    KnowledgeState("b", "ik", 1.0, 1.0, None, ""),
    KnowledgeState("c", "idk", 0.2, 0.4, None, ""),
    KnowledgeState("d", "idk", 0.0, None, None, ""),
]
SELECTED = [
    Selected("a", "ik", 1.0, "answer"),
    Selected("c", "idk", 2.5, "refusal"),
    Selected("e", "idk", 0.5, "refusal"),
]


def test_knowledge_counts_questions_at_one_place() -> None:
    rows = rows_of(training_figures.knowledge_map(STATES, SELECTED), "correctness")
    found = {(row["correctness"], row["certainty"], row["label"]): (row["count"], row["chosen"]) for row in rows}
    assert found == {(1.0, 1.0, "known"): (2, 1), (0.2, 0.4, "unknown"): (1, 1)}  # d has no certainty


def test_the_influence_plane_holds_scores_and_weights_as_they_are() -> None:
    scores = [
        InfluenceScore("a", "ik", 0.1, 0.3, -0.2, 0, 1, -0.1),
        InfluenceScore("c", "idk", 0.5, 0.2, 0.3, 0, 1, 0.8),
    ]
    evidence = Evidence(STATES, {}, {row.id: row for row in scores})
    chart = training_figures.influence_plane(evidence, SELECTED[1:], {"c": Question("c", "Who?", ("x",))})
    assert [(r["R"], r["O"], r["label"], r["weight"]) for r in rows_of(chart, "weight", "says")] == [
        (0.1, 0.3, "known", None)
    ]
    _, _, (disc,) = data_of(chart)
    assert (disc["R"], disc["O"], disc["label"], disc["weight"]) == (0.5, 0.2, "unknown", 2.5)
    assert disc["says"] == "Who?  R 0.5000, O 0.2000, S 0.3000, left-out margin 0.80, weight 2.50"


def test_the_weight_histogram_counts_refusals_only() -> None:
    chart = training_figures.weight_histogram(SELECTED, n_bins=2)
    assert [(row["from"], row["to"], row["count"]) for row in rows_of(chart, "from")] == [(0.5, 1.5, 1), (1.5, 2.5, 1)]
    assert [row["mean"] for row in rows_of(chart, "mean")] == [1.5]


# -- comparisons ---------------------------------------------------------------------------------------------------


def test_forests_hold_the_records_in_points_highest_first() -> None:
    comparison = made_up_comparison(40, (0, 1), ("init-basic", "init-refuse", "cor-rait", "grait"))
    records = [row for row in comparison.records if row.dataset == "in-domain"]
    rows = rows_of(comparison_figures.ths_forest(records, "grait"), "value", "low")
    assert [row["value"] for row in rows] == sorted((100 * row.ths for row in records), reverse=True)
    by_name = {row.method: row for row in records}
    for row in rows:
        assert (row["low"], row["high"]) == (
            100 * by_name[row["system"]].ths_low,
            100 * by_name[row["system"]].ths_high,
        )
    own = [row for row in comparison.differences if (row.dataset, row.method) == ("in-domain", "grait")]
    found = {row["system"]: row["value"] for row in rows_of(comparison_figures.difference_forest(own), "value", "low")}
    assert found == {row.versus: 100 * row.ths_difference for row in own}
    points = rows_of(comparison_figures.trade_off(records, "grait"), "pw", "over")
    assert {row["system"]: (row["pw"], row["over"]) for row in points} == {
        row.method: (row.pw, row.over_refusal_rate) for row in records
    }


# -- pictures ------------------------------------------------------------------------------------------------------


def test_every_method_has_a_line_of_its_own() -> None:
    assert {palette.style(name) for name in METHODS} == set(palette.STYLES.values())
    assert len(set(palette.STYLES.values())) == len(palette.STYLES) == len(METHODS)


def test_both_themes_have_every_colour() -> None:
    assert palette.LIGHT.keys() == palette.DARK.keys()
    with pytest.raises(KeyError):
        palette.colour("mauve")


def test_a_file_has_real_colours_where_the_page_has_names() -> None:
    picture = svg(outcomes_figures.flow(INITIAL, TUNED, "grait"), "flow")
    assert "var(--right)" in picture
    assert "var(" not in file_svg(picture)
    assert palette.LIGHT["right"] in file_svg(picture)


def test_text_of_the_data_is_text_in_a_picture() -> None:
    bad = '</text><script>alert("1")</script>'
    picture = svg(outcomes_figures.outcomes_by_group({"a": bad, "d": "x"}, INITIAL, TUNED), "bad")
    assert "<script" not in picture
    assert "&lt;script&gt;" in picture


def test_refusals_before_and_after_stand_beside_each_other() -> None:
    records = made_up_run(20, {"in-domain": 20}, ("init-basic", "init-refuse", "cor-rait", "grait")).side_effects
    chart = side_effects_figures.refused_before_and_after(records, ["init-refuse", "grait"])
    bars = rows_of(chart, "share", "low")
    found = {(row["form"], row["kind"], row["system"]): row for row in bars}
    assert len(found) == len(bars) == 2 * 4 * 2
    for record in records:
        if record.method != "cor-rait":
            bar = found[record.form, "ordinary instructions", record.method]
            assert (bar["share"], bar["n"]) == (record.instructions_refused, record.n_instructions)
            assert bar["low"] < bar["share"] < bar["high"]
    assert {row["kind"] for row in bars if row["is"] == "rightly refused"} == {"unanswerable questions"}
    spans = sorted((row["y"], row["y2"]) for row in bars)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


def test_all_systems_at_once_can_be_drawn() -> None:
    run = made_up_run(30, {"in-domain": 20})
    outcomes = {name: {row.id: row.outcome for row in rows} for name, rows in run.predictions["in-domain"].items()}
    rows = rows_of(outcomes_figures.outcome_bars(outcomes, "init-basic"), "system")
    assert list(dict.fromkeys(row["system"] for row in rows)) == list(ALL)


def test_bars_by_form_are_the_shares_of_the_records() -> None:
    found, _ = made_up_forms(made_up_run(40, {"in-domain": 60}))
    records = [row for row in found if row.method == "grait"]
    chart = outcomes_figures.outcomes_by_form(records)
    bars, ticks = rows_of(chart, "way", "share"), rows_of(chart, "right_before")
    for row in records:
        own = {bar["way"]: bar["share"] for bar in bars if bar["form"] == row.form}
        shares = {"right": row.pc, "wrong": row.pw, "over-refused": row.over_refusal_rate * row.pc0}
        assert {way: own.get(way, 0.0) for way in shares} == pytest.approx(shares)
        assert sum(own.values()) == pytest.approx(1)
    assert [tick["right_before"] for tick in ticks] == [row.pc0 for row in records]


def test_the_table_by_form_has_a_row_for_each_system_and_form() -> None:
    records, _ = made_up_forms(made_up_run(40, {"in-domain": 60, "out-of-domain": 30}), untrained=["tutor"])
    tables = forms_tables(records)
    assert [table.row_count for table in tables] == [len(records) // 2] * 2
    assert list(tables[0].columns[0].cells).count("examples") == 1
    shown = [cell for cell in tables[0].columns[0].cells if cell]
    assert shown == ["examples", "instruction", "question", "all", "tutor, not trained", "all, not trained"]


def test_the_table_with_dials_has_both_beside_each_other_and_no_row_without_a_dial() -> None:
    records, _ = made_up_forms(made_up_run(40, {"in-domain": 60, "out-of-domain": 30}), untrained=["tutor"])
    own = [row for row in records if row.method == "grait" and row.form != "examples" and row.trained]
    dialled = [replace(row, method="grait + dial", ths=0.4321, share=None) for row in own]
    tables = dialled_forms_tables(records, dialled)
    assert [table.row_count for table in tables] == [3, 3]
    form, method, ths, with_dial, *_ = ([str(cell) for cell in column.cells] for column in tables[0].columns)
    assert (form, set(method), set(with_dial)) == (["instruction", "question", "all"], {"grait"}, {"43.2"})
    assert ths == [percent(row.ths) for row in own if row.dataset == "in-domain"]
    assert dialled_forms_tables(records, []) == []
