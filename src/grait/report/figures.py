"""Figures: pure functions from records to Altair charts.

Each chart holds its data in its own specification (``chart.to_dict()``), already counted: what is drawn can be read
there. Shares are fractions in [0, 1] and shown in percent. A mark's ``says`` is what a reader is told who points at it.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from grait.evaluation.metrics import joint_counts
from grait.evaluation.selective import RiskCoverage
from grait.methods.selection import Evidence
from grait.records import ComparisonRecord, DifferenceRecord, KnowledgeState, Outcome, Question, Selected
from grait.report.palette import OUTCOMES, SHAPES, colour, style

Chart = alt.Chart | alt.LayerChart
Rows = list[dict[str, Any]]

WIDTH = 430
"""Of every figure, in pixels, legends and labels included: readable on a phone and in a column of a paper."""

MAX_POINTS = 3_000
"""Of the influence plane; more would make the page heavy without showing more."""

MAX_GROUPS = 60
"""Bars of ``outcomes_by_group``."""

FOUR_WAYS = ("right", "wrong", "refused", "over-refused")
"""A tuned model's answers against the initial model's: ``over-refused`` are refusals of what that answers right."""

OUTCOME_ORDER: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def percent(share: float, digits: int = 1) -> str:
    """``24.3%``"""
    return f"{100 * share:.{digits}f}%"


def shortened(text: str, limit: int = 90) -> str:
    """One line of at most ``limit`` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


# -- outcomes ------------------------------------------------------------------------------------------------------


def four_way_counts(initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome]) -> dict[str, int]:
    """Questions by what the tuned model does with them, in the order of ``FOUR_WAYS``; joined by id."""
    counts = joint_counts(initial, tuned)  # [3 initial, 3 tuned]
    correct, wrong, refused = counts.sum(axis=0).tolist()
    over_refused = int(counts[0, 2])
    return dict(zip(FOUR_WAYS, (correct, wrong, refused - over_refused, over_refused), strict=True))


def flow(initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome], tuned_name: str) -> alt.LayerChart:
    """What became of the initial model's right and wrong answers: bands from left to right, as wide as their counts.

    A band has the colour of the initial outcome; the band of over-refusal, from right to refused, is the fullest.
    """
    counts = joint_counts(initial, tuned)
    n = int(counts.sum())
    gap = 0.05 * n
    ends = {side: _stacked(counts.sum(axis=1 - side).tolist(), gap) for side in (0, 1)}  # side -> bottoms of the bars
    bands: Rows = []
    over_refused: Rows = []  # drawn last, so on top
    filled = {side: list(bottoms) for side, bottoms in ends.items()}
    steps = np.linspace(0, 1, 33)
    for i, before in enumerate(OUTCOME_ORDER):
        for j, after in enumerate(OUTCOME_ORDER):
            count = int(counts[i, j])
            if not count:
                continue
            left, right = filled[0][i], filled[1][j]
            filled[0][i] += count
            filled[1][j] += count
            says = f"{OUTCOMES[before]} before, {OUTCOMES[after]} after: {count} questions ({percent(count / n)})"
            drawn = over_refused if (before, after) == ("correct", "refused") else bands
            for x, bend in zip(steps, steps**2 * (3 - 2 * steps), strict=True):
                low = left + (right - left) * bend
                drawn.append(
                    {"band": f"{i}{j}", "before": OUTCOMES[before], "after": OUTCOMES[after], "count": count}
                    | {"x": round(0.04 + 0.92 * float(x), 4), "low": round(float(low), 2)}
                    | {"high": round(float(low) + count, 2), "says": says}
                    | {"opacity": 0.95 if drawn is over_refused else 0.4}
                )
    bars: Rows = []
    for side, name in ((0, "init-basic"), (1, tuned_name)):
        totals = counts.sum(axis=1 - side).tolist()
        labels = _spread([low + count / 2 for low, count in zip(ends[side], totals, strict=True)], 0.09 * n)
        for outcome, count, low, label in zip(OUTCOME_ORDER, totals, ends[side], labels, strict=True):
            if count:
                bars.append(
                    {"side": name, "outcome": OUTCOMES[outcome], "count": count, "share": count / n}
                    | {"x": 0.0 if side == 0 else 0.96, "x2": 0.04 if side == 0 else 1.0}
                    | {"low": low, "high": low + count, "label_y": label}
                    | {"label": f"{OUTCOMES[outcome]} {percent(count / n)}"}
                    | {"says": f"{name}: {OUTCOMES[outcome]}, {count} questions ({percent(count / n)})"}
                )
    top = max(row["high"] for row in bars)
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.36, 1.36], nice=False))
    bottom, middle = (
        alt.Y(f"{field}:Q", axis=None, scale=alt.Scale(domain=[-0.13 * top, 1.02 * top], nice=False, reverse=True))
        for field in ("low", "label_y")
    )
    ribbons = (
        alt.Chart(_data([*bands, *over_refused]))
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
        alt.Chart(_data(bars))
        .mark_rect()
        .encode(x=x, x2="x2:Q", y=bottom, y2="high:Q", color=_outcome_colour("outcome"), description="says:N")
    )
    sides = [(row | {"x": float(row["side"] != "init-basic")}) for row in bars]
    shares = alt.Chart(_data(sides)).encode(x=x, y=middle, text="label:N")
    texts = (
        shares.mark_text(align="right", dx=-7, baseline="middle", fontSize=12).transform_filter("datum.x == 0"),
        shares.mark_text(align="left", dx=7, baseline="middle", fontSize=12).transform_filter("datum.x == 1"),
    )
    names = (
        alt.Chart(
            _data(
                [{"x": at, "low": -0.05 * top, "name": name} for at, name in ((0.0, "init-basic"), (1.0, tuned_name))]
            )
        )
        .mark_text(baseline="bottom", fontWeight="bold", fontSize=12)
        .encode(x=x, y=bottom, text="name:N")
    )
    return _layered([ribbons, columns, *texts, names], 250)


def outcome_bars(outcomes: Mapping[str, Mapping[str, Outcome]], initial: str) -> alt.Chart:
    """One bar for each system: shares right, wrong, refused and over-refused. ``outcomes``: system -> id -> outcome."""
    rows: Rows = []
    for system, own in outcomes.items():
        counts = four_way_counts(outcomes[initial], own)
        n, start = sum(counts.values()), 0
        for place, (way, count) in enumerate(counts.items()):
            says = f"{system}: {way}, {count} of {n} questions ({percent(count / n)})"
            rows.append(
                {"system": system, "way": way, "place": place, "count": count, "share": count / n, "says": says}
                | {"start": start / n, "end": (start + count) / n}
            )
            start += count
    return _finished(_bars(rows, "system", list(outcomes)), 60 + 20 * len(outcomes))


def outcomes_by_group(
    groups: Mapping[str, str], initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome]
) -> alt.LayerChart:
    """Bars as in ``outcome_bars``, one for each group of questions; a tick marks the initial model's right answers.

    ``groups``: id to group; ids without one are left out. Of more than ``MAX_GROUPS`` the largest are shown. Those
    with most right answers before come first.
    """
    members: dict[str, list[str]] = {}
    for id_ in initial:
        if id_ in groups:
            members.setdefault(groups[id_], []).append(id_)
    rows: Rows = []
    ticks: Rows = []
    for group, ids in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_GROUPS]:
        counts = four_way_counts({id_: initial[id_] for id_ in ids}, {id_: tuned[id_] for id_ in ids})
        n, start = len(ids), 0
        right_before = sum(initial[id_] == "correct" for id_ in ids)
        name = f"{shortened(group, 30)} ({n})"
        for place, (way, count) in enumerate(counts.items()):
            says = f"{group}: {way}, {count} of {n} questions ({percent(count / n)})"
            rows.append(
                {"group": name, "way": way, "place": place, "count": count, "share": count / n, "says": says}
                | {"start": start / n, "end": (start + count) / n}
            )
            start += count
        says = f"{group}: right before, {right_before} of {n} questions ({percent(right_before / n)})"
        ticks.append({"group": name, "right_before": right_before / n, "says": says})
    ticks.sort(key=lambda row: (-row["right_before"], row["group"]))
    order = [row["group"] for row in ticks]
    before = (
        alt.Chart(_data(ticks))
        .mark_tick(color=colour("ink"), thickness=2, size=13)
        .encode(x=_share_axis("right_before", None), y=_names("group", order), description="says:N")
    )
    return _layered([_bars(rows, "group", order), before], 34 + 16 * len(order))


def outcomes_by_popularity(
    popularity: Mapping[str, float], outcomes: Mapping[str, Mapping[str, Outcome]], initial: str, n_bins: int = 5
) -> alt.Chart:
    """For fifths of the questions from the rarest to the best known: shares of the four ways, one column each system.

    ``popularity``: id to a rank in [0, 1]. Ties at a border go by id.
    """
    known = sorted((value, id_) for id_, value in popularity.items() if id_ in outcomes[initial])
    rows: Rows = []
    parts = [part for part in np.array_split(np.arange(len(known)), n_bins) if len(part)]
    for number, part in enumerate(parts, 1):
        ids = [known[place][1] for place in part]
        name = "rarest" if number == 1 else "best known" if number == len(parts) else str(number)
        for system, own in outcomes.items():
            counts = four_way_counts({i: outcomes[initial][i] for i in ids}, {i: own[i] for i in ids})
            start = 0
            for place, (way, count) in enumerate(counts.items()):
                says = f"{system}, {name}: {way}, {count} of {len(ids)} questions ({percent(count / len(ids))})"
                rows.append(
                    {"fifth": name, "system": system, "way": way, "place": place, "count": count, "says": says}
                    | {"share": count / len(ids), "start": start / len(ids), "end": (start + count) / len(ids)}
                )
                start += count
    fifths = list(dict.fromkeys(row["fifth"] for row in rows))
    chart = (
        alt.Chart(_data([row for row in rows if row["count"]]))
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
    return _finished(chart, 230)


# -- curves --------------------------------------------------------------------------------------------------------

COVERAGES = np.arange(5, 101) / 100
"""Where risk-coverage curves are drawn: below 5% of the questions they are noise."""


def risk_coverage_curves(curves: Mapping[str, Sequence[RiskCoverage]], main: str) -> alt.Chart:
    """The share of wrong answers among the questions that a system refuses least readily, by their share of all.

    ``curves``: by system, one for each seed; their mean is drawn. ``main`` is drawn thickest, and last.
    """
    rows: Rows = []
    for system, own in sorted(curves.items(), key=lambda item: item[0] == main):
        risks = np.mean([np.interp(COVERAGES, curve.coverage, curve.risk) for curve in own], axis=0)
        says = f"{system}: " + ", ".join(
            f"{percent(risks[np.searchsorted(COVERAGES, at - 1e-9)], 0)} wrong at {percent(at, 0)} answered"
            for at in (0.2, 0.5, 1.0)
        )
        rows += [
            {"system": system, "coverage": float(at), "risk": float(risk), "says": says}
            for at, risk in zip(COVERAGES, risks, strict=True)
        ]
    chart = (
        alt.Chart(_data(rows))
        .mark_line(interpolate="linear")
        .encode(
            x=_share_axis("coverage", "coverage: share of the questions that is answered"),
            y=alt.Y(
                "risk:Q", axis=alt.Axis(title="risk: share wrong of them", format="%"), scale=alt.Scale(zero=False)
            ),
            strokeWidth=alt.condition(alt.datum.system == main, alt.value(2.6), alt.value(1.4)),
            description="says:N",
            **_system_marks(list(curves)),
        )
    )
    return _finished(chart, 370)


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean over an odd ``window``, narrower at both ends, as long as ``values``."""
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    places = np.arange(len(values))
    reach = np.minimum(np.minimum(places, len(values) - 1 - places), half)
    return [float(mean) for mean in (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)]


def loss_curves(losses: Mapping[str, Sequence[float]], main: str) -> alt.LayerChart:
    """Training loss by optimizer step, a running mean over a tenth of the steps; of ``main`` every step, faintly.

    ``losses``: by adapter. Weighted losses of different training sets do not compare in height.
    """
    rows: Rows = []
    for system, own in sorted(losses.items(), key=lambda item: item[0] == main):
        means = smooth(own, max(1, len(own) // 10) | 1)
        for step, (mean, raw) in enumerate(zip(means, own, strict=True), 1):
            says = f"{system}: from {means[0]:.3f} to {means[-1]:.3f} in {len(own)} steps"
            rows.append({"system": system, "step": step, "mean": mean, "loss": raw, "says": says})
    x = alt.X("step:Q", axis=alt.Axis(title="optimizer step", tickMinStep=1), scale=alt.Scale(nice=False))
    lines = (
        alt.Chart(_data([{key: row[key] for key in ("system", "step", "mean", "says")} for row in rows]))
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("mean:Q", axis=alt.Axis(title="training loss"), scale=alt.Scale(zero=False)),
            strokeWidth=alt.condition(alt.datum.system == main, alt.value(2.6), alt.value(1.4)),
            description="says:N",
            **_system_marks(list(losses)),
        )
    )
    raw = (
        alt.Chart(_data([row for row in rows if row["system"] == main]))
        .mark_line(strokeWidth=0.8, opacity=0.4, color=colour(style(main)[0]))
        .encode(x=x, y="loss:Q", description="says:N")
    )
    return _layered([raw, lines], 320)


# -- what is trained on --------------------------------------------------------------------------------------------

LABELS = {"ik": "known", "idk": "unknown", "dropped": "on the threshold"}


def knowledge_map(states: Sequence[KnowledgeState], selected: Sequence[Selected]) -> alt.LayerChart:
    """Training questions by correctness and certainty: rings are all of them, discs those that are trained on.

    Areas are numbers of questions at one place (values of three decimals). States without a certainty are left out.
    """
    chosen = {row.id for row in selected}
    all_of: Counter[tuple[float, float, str]] = Counter()
    chosen_of: Counter[tuple[float, float, str]] = Counter()
    for state in states:
        if state.certainty is not None:
            place = (round(state.correctness, 3), round(state.certainty, 3), state.label)
            all_of[place] += 1
            chosen_of[place] += state.id in chosen
    rows: Rows = [
        {"correctness": place[0], "certainty": place[1], "label": LABELS[place[2]], "count": count}
        | {"chosen": chosen_of[place]}
        | {"says": f"{count} {LABELS[place[2]]} questions of correctness {place[0]:g} and certainty {place[1]:g}, "}
        for place, count in sorted(all_of.items())
    ]
    for row in rows:
        row["says"] += f"{row['chosen']} of them trained on"
    largest = max((row["count"] for row in rows), default=1)
    size = alt.Scale(domain=[0, largest], range=[0, 40 if largest == 1 else 500])
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "correctness:Q",
            axis=alt.Axis(title="correctness of the initial model"),
            scale=alt.Scale(domain=[-0.04, 1.04], nice=False),
        ),
        y=alt.Y("certainty:Q", axis=alt.Axis(title="certainty"), scale=alt.Scale(zero=False, padding=12)),
        color=_label_colour(rows),
        description="says:N",
    )
    rings = base.mark_point(filled=False, strokeWidth=1.1).encode(size=alt.Size("count:Q", scale=size, legend=None))
    discs = base.mark_point(filled=True, opacity=0.55).encode(size=alt.Size("chosen:Q", scale=size, legend=None))
    return _layered([discs, rings], 300)


def influence_plane(
    evidence: Evidence, selected: Sequence[Selected], questions: Mapping[str, Question]
) -> alt.LayerChart:
    """Refusal influence R against over-refusal influence O: rings are all questions, discs those trained on.

    The area of a disc is its weight, up to a limit of 16 discs of weight 1. On the line R = O stable influence is 0;
    below it refusing the question teaches more about unknown questions than about known ones. Of more than
    ``MAX_POINTS`` questions a random sample is shown.
    """
    weights = {row.id: row.sample_weight for row in selected}
    scores = sorted(evidence.influence.values(), key=lambda row: row.id)
    if len(scores) > MAX_POINTS:
        scores = random.Random(0).sample(scores, MAX_POINTS)
    rows: Rows = []
    for score in scores:
        weight = weights.get(score.id)
        found = questions.get(score.id)
        rows.append(
            {"R": round(score.refusal_influence, 5), "O": round(score.over_refusal_influence, 5)}
            | {"label": LABELS[score.label], "weight": weight, "area": min(weight, 16.0) if weight else 0.3}
            | {
                "says": f"{shortened(found.question) if found else score.id}  R {score.refusal_influence:.4f}, "
                f"O {score.over_refusal_influence:.4f}, S {score.stable_influence:.4f}, "
                + ("not trained on" if weight is None else f"weight {weight:.2f}")
            }
        )
    values = [row[name] for row in rows for name in ("R", "O")]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    x = alt.X(
        "R:Q", axis=alt.Axis(title="R: teaches refusing unknown questions"), scale=alt.Scale(zero=False, padding=8)
    )
    y = alt.Y("O:Q", axis=alt.Axis(title="O: teaches refusing known questions"), scale=alt.Scale(zero=False, padding=8))
    diagonal = (
        alt.Chart(_data([{"R": low, "O": low}, {"R": high, "O": high}]))
        .mark_line(color=colour("soft"), strokeDash=[4, 4], strokeWidth=1)
        .encode(x=x, y=y)
    )
    size = alt.Size("area:Q", scale=alt.Scale(domain=[0, 16], range=[0, 16 * 26]), legend=None)
    encoding: dict[str, Any] = {"x": x, "y": y, "color": _label_colour(rows), "size": size, "description": "says:N"}
    rings = (
        alt.Chart(_data([row for row in rows if row["weight"] is None]))
        .mark_point(filled=False, strokeWidth=0.9, opacity=0.6)
        .encode(**encoding)
    )
    discs = (
        alt.Chart(_data([row for row in rows if row["weight"] is not None]))
        .mark_point(filled=True, opacity=0.6, stroke=colour("paper"), strokeWidth=0.4)
        .encode(**encoding)
    )
    return _layered([diagonal, rings, discs], 320)


def weight_histogram(selected: Sequence[Selected], n_bins: int = 30) -> alt.LayerChart:
    """Sample weights of the refusal examples: how many lie in each of ``n_bins`` equal parts; a line marks the mean."""
    weights = [row.sample_weight for row in selected if row.target == "refusal"]
    counts, edges = np.histogram(weights, bins=n_bins)
    rows = [
        {"from": float(low), "to": float(high), "count": int(count)}
        | {"says": f"weights from {low:.2f} to {high:.2f}: {count} questions"}
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    bars = (
        alt.Chart(_data(rows))
        .mark_bar(color=colour("wrong"), opacity=0.75, stroke=colour("paper"), strokeWidth=0.5)
        .encode(
            x=alt.X(
                "from:Q",
                bin="binned",
                axis=alt.Axis(title="sample weight of a refusal"),
                scale=alt.Scale(nice=False, zero=False),
            ),
            x2="to:Q",
            y=alt.Y("count:Q", axis=alt.Axis(title="questions", tickMinStep=1)),
            description="says:N",
        )
    )
    mean = float(np.mean(weights))
    line = (
        alt.Chart(_data([{"mean": mean, "says": f"mean weight {mean:.2f}"}]))
        .mark_rule(color=colour("ink"), strokeDash=[4, 3])
        .encode(x="mean:Q", description="says:N")
    )
    return _layered([bars, line], 230)


# -- comparisons ---------------------------------------------------------------------------------------------------


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
    """Over-refusal rate against the share answered wrong, with 95% intervals: the ideal is the lower left corner.

    Of one data set.
    """
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
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "pw:Q", axis=alt.Axis(title="answered wrong (Pw)", format="%"), scale=alt.Scale(zero=False, padding=14)
        ),
        y=alt.Y("over:Q", axis=alt.Axis(title="over-refusal", format="%"), scale=alt.Scale(zero=True)),
        color=_system_colour(systems, legend),
        description="says:N",
    )
    across = base.mark_rule(opacity=0.4).encode(x="pw_low:Q", x2="pw_high:Q")
    up = base.mark_rule(opacity=0.4).encode(y="over_low:Q", y2="over_high:Q")
    dots = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.Shape("system:N", scale=shapes, legend=legend),
        size=alt.condition(alt.datum.system == main, alt.value(150), alt.value(60)),
    )
    return _layered([across, up, dots], 370)


def _forest(rows: Rows, title: str, main: str | None) -> alt.LayerChart:
    for row in rows:
        row["says"] = (
            f"{row['system']}: {100 * row['value']:.1f}, 95% interval {100 * row['low']:.1f} to {100 * row['high']:.1f}"
        )
        row["points"] = {name: 100 * row[name] for name in ("value", "low", "high")}
    flat = [{"system": row["system"], "says": row["says"], **row["points"]} for row in rows]
    order = [row["system"] for row in flat]
    base = alt.Chart(_data(flat)).encode(y=_names("system", order), color=_system_colour(order), description="says:N")
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(color=colour("soft"), strokeDash=[4, 3]).encode(x="zero:Q")
    lines = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", axis=alt.Axis(title=f"{title}, points"), scale=alt.Scale(zero=False)),
        x2="high:Q",
    )
    dots = base.mark_point(filled=True, opacity=1).encode(
        x="value:Q", size=alt.condition(alt.datum.system == main, alt.value(110), alt.value(60))
    )
    return _layered([zero, lines, dots], 50 + 20 * len(rows))


# -- parts ---------------------------------------------------------------------------------------------------------


def _data(rows: Rows) -> dict[str, Any]:
    return {"values": rows}  # not InlineData, which checks every value against the schema, in seconds


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


def _bars(rows: Rows, name: str, order: Sequence[str]) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(_data([row for row in rows if row["count"]]))
        .mark_bar(stroke=colour("paper"), strokeWidth=0.6)
        .encode(
            x=_share_axis("start", "share of questions"),
            x2="end:Q",
            y=_names(name, order),
            color=_way_colour(),
            description="says:N",
        )
    )
    return chart


def _names(field: str, order: Sequence[str]) -> alt.Y:
    return alt.Y(
        f"{field}:N",
        sort=list(order),
        axis=alt.Axis(title=None, labelLimit=210, grid=False, ticks=False, domain=False, labelPadding=6),
    )


def _share_axis(field: str, title: str | None) -> alt.X:
    return alt.X(f"{field}:Q", axis=alt.Axis(title=title, format="%"), scale=alt.Scale(domain=[0, 1]))


def _outcome_colour(field: str) -> alt.Color:
    names = [*OUTCOMES.values()]
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=[colour(name) for name in names]), legend=None)


def _way_colour() -> alt.Color:
    scale = alt.Scale(domain=list(FOUR_WAYS), range=[colour(name) for name in FOUR_WAYS])
    return alt.Color("way:N", scale=scale, legend=alt.Legend(title=None, orient="top"))


def _label_colour(rows: Rows) -> alt.Color:
    """Known as right, unknown as wrong: what the initial model makes of them."""
    colours = dict(zip(LABELS.values(), map(colour, ("right", "wrong", "refused")), strict=True))
    found = [label for label in colours if any(row["label"] == label for row in rows)]
    scale = alt.Scale(domain=found, range=[colours[label] for label in found])
    return alt.Color("label:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="circle"))


def _system_colour(systems: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
    scale = alt.Scale(domain=list(systems), range=[colour(style(name)[0]) for name in systems])
    return alt.Color("system:N", scale=scale, legend=legend)


def _system_marks(systems: Sequence[str]) -> dict[str, Any]:
    """Colour, dashes and legend of lines, one for each system."""
    legend = alt.Legend(title=None, orient="bottom", columns=3, symbolSize=400, symbolStrokeWidth=1.8, labelLimit=130)
    dashes = alt.Scale(domain=list(systems), range=[list(style(name)[1]) or [1, 0] for name in systems])
    return {
        "color": _system_colour(systems, legend),
        "strokeDash": alt.StrokeDash("system:N", scale=dashes, legend=legend),
        "detail": "system:N",
    }


def _finished(chart: alt.Chart, height: int) -> alt.Chart:
    return chart.properties(width=WIDTH, height=height)


def _layered(charts: Sequence[alt.Chart], height: int) -> alt.LayerChart:
    """The charts on one another, the last on top."""
    return alt.LayerChart(layer=list(charts), width=WIDTH, height=height)
