"""Parts of charts of all kinds: their size, axes, colours of systems, texts."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from grait.display.palette import colour, style
from grait.runtime.printable import printable

Chart = alt.Chart | alt.LayerChart
Rows = list[dict[str, Any]]

WIDTH = 430
"""Width of every figure, in pixels, legends and labels included: readable on a phone and in a column of a paper."""


def percent(share: float, digits: int = 1) -> str:
    """``24.3%``"""
    return f"{100 * share:.{digits}f}%"


def shortened(text: str, limit: int = 90) -> str:
    """One line of at most ``limit`` characters that can be shown."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def data(rows: Rows) -> dict[str, Any]:
    return {"values": rows}  # not InlineData, which checks every value against the schema, in seconds


def names_axis(field: str, order: Sequence[str]) -> alt.Y:
    return alt.Y(
        f"{field}:N",
        sort=list(order),
        axis=alt.Axis(title=None, labelLimit=210, grid=False, ticks=False, domain=False, labelPadding=6),
    )


def share_axis(field: str, title: str | None) -> alt.X:
    return alt.X(f"{field}:Q", axis=alt.Axis(title=title, format="%"), scale=alt.Scale(domain=[0, 1]))


def system_colour(systems: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
    scale = alt.Scale(domain=list(systems), range=[colour(style(name)[0]) for name in systems])
    return alt.Color("system:N", scale=scale, legend=legend)


def finished(chart: alt.Chart, height: int) -> alt.Chart:
    return chart.properties(width=WIDTH, height=height)


def layered(charts: Sequence[alt.Chart], height: int) -> alt.LayerChart:
    """The charts on one another, the last on top."""
    return alt.LayerChart(layer=list(charts), width=WIDTH, height=height)
