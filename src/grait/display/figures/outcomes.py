"""Questions by outcome: right, wrong, refused, over-refused; of one system, of all, by group, by popularity."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from grait.display.figures.parts import Rows, data, finished, layered, names_axis, percent, share_axis, shortened
from grait.display.palette import OUTCOMES, colour
from grait.evaluation.abstention import four_way_counts
from grait.evaluation.groups import by_rank, counts_by_group
from grait.evaluation.metrics import joint_counts
from grait.judging.outcomes import FourWayOutcome, four_way
from grait.records import FormRecord, Outcome

MAX_GROUPS = 60
"""Bars of ``outcomes_by_group``."""

FOUR_WAYS: dict[FourWayOutcome, str] = {
    "correct": "right",
    "wrong": "wrong",
    "right_refusal": "refused",
    "over_refusal": "over-refused",
}
"""A tuned model's answers against the initial model's, as the figures call them."""

COLUMN = 0.04
"""Width of the columns of ``flow``, in shares of the way between them."""


def flow(initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome], tuned_name: str) -> alt.LayerChart:
    """Outcomes before and after: bands from left to right, as wide as their counts. A band has the colour of the
    initial outcome; the band of over-refusal, from right to refused, is the fullest."""
    counts = joint_counts(initial, tuned)
    names = ("init-basic", tuned_name)
    bottoms = [_stacked(counts.sum(axis=1 - side).tolist(), 0.05 * int(counts.sum())) for side in (0, 1)]
    bars = [row for side in (0, 1) for row in _column(side, names[side], counts.sum(axis=1 - side), bottoms[side])]
    top = max(row["high"] for row in bars)
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.36, 1.36], nice=False))
    bottom, middle = (
        alt.Y(f"{field}:Q", axis=None, scale=alt.Scale(domain=[-0.13 * top, 1.02 * top], nice=False, reverse=True))
        for field in ("low", "label_y")
    )
    ribbons = (
        alt.Chart(data(_bands(counts, bottoms)))
        .mark_area(interpolate="monotone")
        .encode(
            x=x,
            y=bottom,
            y2="high:Q",
            detail="band:N",
            opacity=alt.Opacity("opacity:Q", scale=None),
            color=_outcome_colour("before"),
            description="says:N",
        )
    )
    columns = (
        alt.Chart(data(bars))
        .mark_rect()
        .encode(x=x, x2="x2:Q", y=bottom, y2="high:Q", color=_outcome_colour("outcome"), description="says:N")
    )
    sides = [(row | {"x": float(row["side"] != "init-basic")}) for row in bars]
    shares = alt.Chart(data(sides)).encode(x=x, y=middle, text="label:N")
    texts = (
        shares.mark_text(align="right", dx=-7, baseline="middle", fontSize=12).transform_filter("datum.x == 0"),
        shares.mark_text(align="left", dx=7, baseline="middle", fontSize=12).transform_filter("datum.x == 1"),
    )
    heads: Rows = [{"x": float(side), "low": -0.05 * top, "name": names[side]} for side in (0, 1)]
    titles = (
        alt.Chart(data(heads))
        .mark_text(baseline="bottom", fontWeight="bold", fontSize=12)
        .encode(x=x, y=bottom, text="name:N")
    )
    return layered([ribbons, columns, *texts, titles], 250)


def _bands(counts: NDArray[np.int64], bottoms: Sequence[Sequence[float]]) -> Rows:
    """Points along each band; the band of over-refusal comes last, so that it is drawn on top."""
    n = int(counts.sum())
    bands: Rows = []
    over_refused: Rows = []
    filled = [list(side) for side in bottoms]
    steps = np.linspace(0, 1, 33)
    for i, before in enumerate(OUTCOMES):
        for j, after in enumerate(OUTCOMES):
            count = int(counts[i, j])
            if not count:
                continue
            left, right = filled[0][i], filled[1][j]
            filled[0][i] += count
            filled[1][j] += count
            says = f"{OUTCOMES[before]} before, {OUTCOMES[after]} after: {count} questions ({percent(count / n)})"
            drawn = over_refused if four_way(before, after) == "over_refusal" else bands
            for x, bend in zip(steps, steps**2 * (3 - 2 * steps), strict=True):
                low = left + (right - left) * bend
                drawn.append(
                    {"band": f"{i}{j}", "before": OUTCOMES[before], "after": OUTCOMES[after], "count": count}
                    | {"x": round(COLUMN + (1 - 2 * COLUMN) * float(x), 4), "low": round(float(low), 2)}
                    | {"high": round(float(low) + count, 2), "says": says}
                    | {"opacity": 0.95 if drawn is over_refused else 0.4}
                )
    return [*bands, *over_refused]


def _column(side: int, name: str, totals: NDArray[np.int64], bottoms: Sequence[float]) -> Rows:
    """The bars of one side, 0 for the left one, with the places of their labels."""
    n = int(totals.sum())
    left = side * (1 - COLUMN)
    labels = _spread([low + count / 2 for low, count in zip(bottoms, totals.tolist(), strict=True)], 0.09 * n)
    return [
        {"side": name, "outcome": OUTCOMES[outcome], "count": count, "share": count / n}
        | {"x": left, "x2": left + COLUMN, "low": low, "high": low + count, "label_y": label}
        | {"label": f"{OUTCOMES[outcome]} {percent(count / n)}"}
        | {"says": f"{name}: {OUTCOMES[outcome]}, {count} questions ({percent(count / n)})"}
        for outcome, count, low, label in zip(OUTCOMES, totals.tolist(), bottoms, labels, strict=True)
        if count
    ]


def outcome_bars(outcomes: Mapping[str, Mapping[str, Outcome]], initial: str) -> alt.Chart:
    """One bar for each system: shares right, wrong, refused and over-refused. ``outcomes``: system -> id -> outcome."""
    rows: Rows = []
    for system, own in outcomes.items():
        counts = four_way_counts(joint_counts(outcomes[initial], own))
        rows += [{"system": system} | part for part in _parts(counts, system)]
    return finished(_bars(rows, "system", list(outcomes)), 60 + 20 * len(outcomes))


def outcomes_by_group(
    groups: Mapping[str, str], initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome]
) -> alt.LayerChart:
    """Bars as in ``outcome_bars``, one for each group of questions; a tick marks the initial model's right answers.

    ``groups``: id to group; ids without one are left out. Of more than ``MAX_GROUPS`` the largest are shown. Those
    with most right answers before come first.
    """
    rows: Rows = []
    ticks: Rows = []
    for found in counts_by_group(groups, initial, tuned, MAX_GROUPS):
        name = f"{shortened(found.group, 30)} ({found.n})"
        rows += [{"group": name} | part for part in _parts(found.four_ways, found.group)]
        share = found.n_known / found.n
        says = f"{found.group}: right before, {found.n_known} of {found.n} questions ({percent(share)})"
        ticks.append({"group": name, "right_before": share, "says": says})
    order = [row["group"] for row in ticks]
    return layered([_bars(rows, "group", order), _right_before(ticks, "group", order)], 34 + 16 * len(order))


def outcomes_by_form(records: Sequence[FormRecord]) -> alt.LayerChart:
    """Bars as in ``outcome_bars``, one for each form; a tick marks what the initial model answers right in it. Of one
    system on one data set."""
    rows: Rows = []
    ticks: Rows = []
    for record in records:
        right, wrong, over = (
            round(share * record.n) for share in (record.pc, record.pw, record.over_refusal_rate * record.pc0)
        )
        counts = dict(zip(FOUR_WAYS, (right, wrong, record.n - right - wrong - over, over), strict=True))
        rows += [{"form": record.form} | part for part in _parts(counts, record.form)]
        says = f"{record.form}: right before, {percent(record.pc0)} of {record.n} questions"
        ticks.append({"form": record.form, "right_before": record.pc0, "says": says})
    order = [record.form for record in records]
    return layered([_bars(rows, "form", order), _right_before(ticks, "form", order)], 60 + 20 * len(order))


def outcomes_by_popularity(
    popularity: Mapping[str, float], outcomes: Mapping[str, Mapping[str, Outcome]], initial: str, n_bins: int = 5
) -> alt.Chart:
    """For fifths of the questions from the rarest to the best known: shares of the four ways, one column each system.
    ``popularity``: id to a rank in [0, 1]. Ties at a border go by id."""
    rows: Rows = []
    bins = by_rank({id_: rank for id_, rank in popularity.items() if id_ in outcomes[initial]}, n_bins)
    for number, ids in enumerate(bins, 1):
        name = "rarest" if number == 1 else "best known" if number == len(bins) else str(number)
        for system, own in outcomes.items():
            counts = four_way_counts(joint_counts({i: outcomes[initial][i] for i in ids}, {i: own[i] for i in ids}))
            rows += [{"fifth": name, "system": system} | part for part in _parts(counts, f"{system}, {name}")]
    fifths = list(dict.fromkeys(row["fifth"] for row in rows))
    chart = (
        alt.Chart(data([row for row in rows if row["count"]]))
        .mark_bar(stroke=colour("paper"), strokeWidth=0.6)
        .encode(
            x=alt.X("fifth:N", sort=fifths, axis=alt.Axis(title="popularity of the subject", labelAngle=0)),
            xOffset=alt.XOffset("system:N", sort=list(outcomes), scale=alt.Scale(paddingInner=0.15)),
            y=alt.Y("start:Q", axis=alt.Axis(title="share of questions", format="%"), scale=alt.Scale(domain=[0, 1])),
            y2="end:Q",
            color=_way_colour(),
            description="says:N",
        )
    )
    return finished(chart, 230)


def _stacked(counts: Sequence[int], gap: float) -> list[float]:
    """Bottoms of bars that stand on each other with gaps; empty ones leave no gap."""
    bottoms, at = [], 0.0
    for count in counts:
        bottoms.append(at)
        at += count + gap if count else 0.0
    return bottoms


def _spread(places: Sequence[float], least: float) -> list[float]:
    """Rising places moved up so that neighbours are at least ``least`` apart."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    return moved


def _parts(counts: Mapping[FourWayOutcome, int], of: str) -> Rows:
    """The parts of a bar, one for each way, in their order: from ``start`` to ``end``, in shares of all."""
    rows: Rows = []
    n, start = sum(counts.values()), 0
    for place, (way, count) in enumerate(counts.items()):
        says = f"{of}: {FOUR_WAYS[way]}, {count} of {n} questions ({percent(count / n)})"
        rows.append(
            {"way": FOUR_WAYS[way], "place": place, "count": count, "share": count / n, "says": says}
            | {"start": start / n, "end": (start + count) / n}
        )
        start += count
    return rows


def _bars(rows: Rows, name: str, order: Sequence[str]) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(data([row for row in rows if row["count"]]))
        .mark_bar(stroke=colour("paper"), strokeWidth=0.6)
        .encode(
            x=share_axis("start", "share of questions"),
            x2="end:Q",
            y=names_axis(name, order),
            color=_way_colour(),
            description="says:N",
        )
    )
    return chart


def _right_before(rows: Rows, name: str, order: Sequence[str]) -> alt.Chart:
    """Ticks over bars, at the initial model's share of right answers."""
    ticks: alt.Chart = (
        alt.Chart(data(rows))
        .mark_tick(color=colour("ink"), thickness=2, size=13)
        .encode(x=share_axis("right_before", None), y=names_axis(name, order), description="says:N")
    )
    return ticks


def _outcome_colour(field: str) -> alt.Color:
    names = [*OUTCOMES.values()]
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=[colour(name) for name in names]), legend=None)


def _way_colour() -> alt.Color:
    scale = alt.Scale(domain=[*FOUR_WAYS.values()], range=[colour(name) for name in FOUR_WAYS.values()])
    return alt.Color("way:N", scale=scale, legend=alt.Legend(title=None, orient="top"))
