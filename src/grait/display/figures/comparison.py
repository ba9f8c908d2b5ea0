"""Systems against each other, over all seeds, with their intervals."""

from collections.abc import Sequence

import altair as alt

from grait.display.figures.parts import Rows, data, layered, names_axis, percent, system_colour
from grait.display.palette import SHAPES, colour, style
from grait.records import ComparisonRecord, DifferenceRecord


def ths_forest(records: Sequence[ComparisonRecord], main: str) -> alt.LayerChart:
    """THS of each system with its 95% interval, highest first; 0 is the initial model. Of one data set."""
    rows = [
        {"system": row.method, "value": row.ths, "low": row.ths_low, "high": row.ths_high}
        for row in sorted(records, key=lambda row: -row.ths)
    ]
    return _forest(rows, "THS", main)


def difference_forest(differences: Sequence[DifferenceRecord]) -> alt.LayerChart:
    """THS of one method minus THS of each other, paired, with its 95% interval, largest first. Of one data set."""
    rows = [
        {"system": row.versus, "value": row.ths_difference, "low": row.low, "high": row.high}
        for row in sorted(differences, key=lambda row: -row.ths_difference)
    ]
    return _forest(rows, f"THS of {differences[0].method} minus THS of the system", None)


def trade_off(records: Sequence[ComparisonRecord], main: str) -> alt.LayerChart:
    """Over-refusal rate against the share answered wrong, with 95% intervals: the ideal is the lower left corner. Of
    one data set."""
    rows: Rows = [
        {"system": row.method, "pw": row.pw, "pw_low": row.pw_low, "pw_high": row.pw_high}
        | {"over": row.over_refusal_rate}
        | {"over_low": row.over_refusal_rate_low, "over_high": row.over_refusal_rate_high}
        | {"says": f"{row.method}: {percent(row.pw)} answered wrong, {percent(row.over_refusal_rate)} over-refused"}
        for row in records
    ]
    systems = [row["system"] for row in rows]
    legend = alt.Legend(title=None, orient="bottom", columns=3, labelLimit=130, symbolOpacity=1)
    shapes = alt.Scale(domain=systems, range=[SHAPES[style(name)[1]] for name in systems])
    base = alt.Chart(data(rows)).encode(
        x=alt.X(
            "pw:Q", axis=alt.Axis(title="answered wrong (Pw)", format="%"), scale=alt.Scale(zero=False, padding=14)
        ),
        y=alt.Y("over:Q", axis=alt.Axis(title="over-refusal", format="%"), scale=alt.Scale(zero=True)),
        color=system_colour(systems, legend),
        description="says:N",
    )
    across = base.mark_rule(opacity=0.4).encode(x="pw_low:Q", x2="pw_high:Q")
    up = base.mark_rule(opacity=0.4).encode(y="over_low:Q", y2="over_high:Q")
    dots = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.Shape("system:N", scale=shapes, legend=legend),
        size=alt.condition(alt.datum.system == main, alt.value(150), alt.value(60)),
    )
    return layered([across, up, dots], 370)


def _forest(rows: Rows, title: str, main: str | None) -> alt.LayerChart:
    rows = [{"system": row["system"]} | {name: 100 * row[name] for name in ("value", "low", "high")} for row in rows]
    for row in rows:
        row["says"] = f"{row['system']}: {row['value']:.1f}, 95% interval {row['low']:.1f} to {row['high']:.1f}"
    order = [row["system"] for row in rows]
    base = alt.Chart(data(rows)).encode(y=names_axis("system", order), color=system_colour(order), description="says:N")
    zero = alt.Chart(data([{"zero": 0}])).mark_rule(color=colour("soft"), strokeDash=[4, 3]).encode(x="zero:Q")
    lines = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", axis=alt.Axis(title=f"{title}, points"), scale=alt.Scale(zero=False)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, opacity=1).encode(
        x="value:Q", size=alt.condition(alt.datum.system == main, alt.value(110), alt.value(60))
    )
    return layered([zero, lines, dots], 50 + 20 * len(rows))
