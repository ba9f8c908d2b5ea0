"""Lines, one for each system: risk by coverage, wrong answers by over-refusal, loss by step; by data set: the dial."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import altair as alt
import numpy as np

from grait.dial.curve import DialPoint, fewest_wrong
from grait.dial.stored import OperatingPoint
from grait.display.figures.parts import Rows, data, finished, layered, percent, share_axis, system_colour
from grait.display.palette import DASHED, DOTTED, MIXED, SOLID, colour, style
from grait.evaluation.curves import mean_risk, running_mean
from grait.evaluation.selective import RiskCoverage

COVERAGES = np.arange(5, 101) / 100
"""Where risk-coverage curves are drawn: below 5% of the questions they are noise."""


def risk_coverage_curves(curves: Mapping[str, Sequence[RiskCoverage]], main: str) -> alt.Chart:
    """The share of wrong answers among the questions that a system refuses least readily, by their share of all.
    ``curves``: by system, one for each seed; their mean is drawn. ``main`` is drawn thickest, and last."""
    rows: Rows = []
    for system, own in sorted(curves.items(), key=lambda item: item[0] == main):
        risks = mean_risk(own, COVERAGES)
        says = f"{system}: " + ", ".join(
            f"{percent(risks[np.searchsorted(COVERAGES, at - 1e-9)], 0)} wrong at {percent(at, 0)} answered"
            for at in (0.2, 0.5, 1.0)
        )
        rows += [
            {"system": system, "coverage": float(at), "risk": float(risk), "says": says}
            for at, risk in zip(COVERAGES, risks, strict=True)
        ]
    x = share_axis("coverage", "coverage: share of the questions that is answered")
    y = alt.Y("risk:Q", axis=alt.Axis(title="risk: share wrong of them", format="%"), scale=alt.Scale(zero=False))
    chart = alt.Chart(data(rows)).mark_line(interpolate="linear").encode(x=x, y=y, **_system_marks(list(curves), main))
    return finished(chart, 370)


OVER = share_axis("over", "over-refusal")
WRONG = alt.Y("pw:Q", axis=alt.Axis(title="answered wrong (Pw)", format="%"), scale=alt.Scale(zero=True))

OVER_REFUSALS = np.arange(0, 101) / 100
"""Where operating curves are drawn."""


def operating_curves(
    curves: Mapping[str, Sequence[Sequence[DialPoint]]], as_trained: Mapping[str, tuple[float, float]], main: str
) -> alt.LayerChart:
    """Fewest wrong answers by over-refusal, each system with its own answers and a threshold on its own refusal score.

    ``curves``: by system, one for each seed; their mean is drawn. ``as_trained``: over-refusal and Pw of each system
    without a threshold, a dot. The ideal is the lower left corner; ``main`` is drawn thickest, and last.
    """
    rows: Rows = []
    dots: Rows = []
    for system, own in sorted(curves.items(), key=lambda item: item[0] == main):
        wrong = fewest_wrong(own, OVER_REFUSALS)
        says = f"{system}: " + ", ".join(
            f"{percent(wrong[round(100 * at)], 0)} answered wrong at {percent(at, 0)} over-refused"
            for at in (0.1, 0.2, 0.5)
        )
        rows += [
            {"system": system, "over": float(at), "pw": float(pw), "says": says}
            for at, pw in zip(OVER_REFUSALS, wrong, strict=True)
        ]
        over, pw = as_trained[system]
        says = f"{system} as trained: {percent(pw)} answered wrong, {percent(over)} over-refused"
        dots.append({"system": system, "over": over, "pw": pw, "says": says})
    marks = _system_marks(list(curves), main)
    lines = alt.Chart(data(rows)).mark_line(interpolate="step-after").encode(x=OVER, y=WRONG, **marks)
    trained = (
        alt.Chart(data(dots))
        .mark_point(filled=True, opacity=1)
        .encode(
            x=OVER,
            y=WRONG,
            color=system_colour(list(curves)),
            size=alt.condition(alt.datum.system == main, alt.value(110), alt.value(60)),
            description="says:N",
        )
    )
    return layered([lines, trained], 370)


def dial_curves(
    curves: Mapping[str, Sequence[DialPoint]], chosen: Mapping[str, DialPoint], without: OperatingPoint
) -> alt.LayerChart:
    """Wrong answers against over-refusal at every threshold, by data set; the ideal is the lower left corner.
    ``chosen``: the calibrated threshold on each set, a disc. ``without``: no dial, on the first set, a ring."""
    names = list(curves)
    rows = [
        {"set": name, "over": point.over_refusal_rate, "pw": point.pw}
        for name, curve in curves.items()
        for point in curve
    ]
    discs = [
        {
            "set": name,
            "over": point.over_refusal_rate,
            "pw": point.pw,
            "says": f"{name}, threshold {point.threshold:.4g}: {percent(point.pw)} answered wrong, "
            f"{percent(point.over_refusal_rate)} over-refused",
        }
        for name, point in chosen.items()
    ]
    ring = {
        "over": without.over_refusal_rate,
        "pw": without.pw,
        "says": f"{names[0]}, no dial: {percent(without.pw)} answered wrong, "
        f"{percent(without.over_refusal_rate)} over-refused",
    }
    dashes = alt.Scale(
        domain=names,
        range=[list(dash) or [1, 0] for dash, _ in zip(cycle((SOLID, DASHED, DOTTED, MIXED)), names, strict=False)],
    )
    ink = colour("ours")
    lines = (
        alt.Chart(data(rows))
        .mark_line(interpolate="linear", color=ink)
        .encode(
            x=OVER,
            y=WRONG,
            order=alt.Order("over:Q"),
            strokeDash=alt.StrokeDash("set:N", scale=dashes, legend=_legend()),
            detail="set:N",
        )
    )
    dots = alt.Chart(data(discs)).mark_point(filled=True, opacity=1, size=90, color=ink)
    open_dot = alt.Chart(data([ring])).mark_point(filled=False, opacity=1, size=110, color=ink, strokeWidth=2)
    return layered([lines, *(mark.encode(x=OVER, y=WRONG, description="says:N") for mark in (dots, open_dot))], 370)


def loss_curves(losses: Mapping[str, Sequence[float]], main: str) -> alt.LayerChart:
    """Training loss by optimizer step, a running mean over a tenth of the steps; of ``main`` every step, faintly.
    ``losses``: by adapter. Weighted losses of different training sets do not compare in height."""
    rows: Rows = []
    for system, own in sorted(losses.items(), key=lambda item: item[0] == main):
        means = running_mean(own, max(1, len(own) // 10) | 1)
        for step, (mean, raw) in enumerate(zip(means, own, strict=True), 1):
            says = f"{system}: from {means[0]:.3f} to {means[-1]:.3f} in {len(own)} steps"
            rows.append({"system": system, "step": step, "mean": mean, "loss": raw, "says": says})
    x = alt.X("step:Q", axis=alt.Axis(title="optimizer step", tickMinStep=1), scale=alt.Scale(nice=False))
    y = alt.Y("mean:Q", axis=alt.Axis(title="training loss"), scale=alt.Scale(zero=False))
    means_alone = data([{key: row[key] for key in ("system", "step", "mean", "says")} for row in rows])
    lines = alt.Chart(means_alone).mark_line().encode(x=x, y=y, **_system_marks(list(losses), main))
    raw = (
        alt.Chart(data([row for row in rows if row["system"] == main]))
        .mark_line(strokeWidth=0.8, opacity=0.4, color=colour(style(main)[0]))
        .encode(x=x, y="loss:Q", description="says:N")
    )
    return layered([raw, lines], 320)


def _legend() -> alt.Legend:
    return alt.Legend(title=None, orient="bottom", columns=3, symbolSize=400, symbolStrokeWidth=1.8, labelLimit=130)


def _system_marks(systems: Sequence[str], main: str) -> dict[str, Any]:
    """Colour, dashes, width and legend of lines, one for each system; that of ``main`` is thickest."""
    legend = _legend()
    dashes = alt.Scale(domain=list(systems), range=[list(style(name)[1]) or [1, 0] for name in systems])
    return {
        "color": system_colour(systems, legend),
        "strokeDash": alt.StrokeDash("system:N", scale=dashes, legend=legend),
        "strokeWidth": alt.condition(alt.datum.system == main, alt.value(2.6), alt.value(1.4)),
        "detail": "system:N",
        "description": "says:N",
    }
