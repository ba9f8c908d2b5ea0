"""Training questions by knowledge, influence and weight."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from grait.display.figures.parts import Rows, data, layered, shortened
from grait.display.palette import colour
from grait.methods.selection import Evidence, by_question
from grait.records import KnowledgeState, Question, Selected

MAX_POINTS = 3_000
"""Most points of the influence plane; more would make the page heavy without showing more."""

LABELS = {"ik": "known", "idk": "unknown", "dropped": "on the threshold"}


def knowledge_map(states: Sequence[KnowledgeState], selected: Sequence[Selected]) -> alt.LayerChart:
    """Training questions by correctness and certainty: rings are all of them, discs those that are trained on. Areas
    are numbers of questions at one place (values of three decimals). States without a certainty are left out."""
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
    base = alt.Chart(data(rows)).encode(
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
    return layered([discs, rings], 300)


def influence_plane(
    evidence: Evidence, selected: Sequence[Selected], questions: Mapping[str, Question]
) -> alt.LayerChart:
    """Refusal influence R against over-refusal influence O: rings are all questions, discs those trained on.

    The area of a disc is its weight, up to a limit of 16 discs of weight 1. On the line R = O stable influence is 0;
    below it refusing the question teaches more about unknown questions than about known ones. Of more than
    ``MAX_POINTS`` questions a random sample is shown.
    """
    weights = {row.id: row.sample_weight for row in by_question(selected).values()}
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
                f"left-out margin {score.left_out_margin:.2f}, "
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
        alt.Chart(data([{"R": low, "O": low}, {"R": high, "O": high}]))
        .mark_line(color=colour("soft"), strokeDash=[4, 4], strokeWidth=1)
        .encode(x=x, y=y)
    )
    size = alt.Size("area:Q", scale=alt.Scale(domain=[0, 16], range=[0, 16 * 26]), legend=None)
    encoding: dict[str, Any] = {"x": x, "y": y, "color": _label_colour(rows), "size": size, "description": "says:N"}
    rings = (
        alt.Chart(data([row for row in rows if row["weight"] is None]))
        .mark_point(filled=False, strokeWidth=0.9, opacity=0.6)
        .encode(**encoding)
    )
    discs = (
        alt.Chart(data([row for row in rows if row["weight"] is not None]))
        .mark_point(filled=True, opacity=0.6, stroke=colour("paper"), strokeWidth=0.4)
        .encode(**encoding)
    )
    return layered([diagonal, rings, discs], 320)


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
        alt.Chart(data(rows))
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
        alt.Chart(data([{"mean": mean, "says": f"mean weight {mean:.2f}"}]))
        .mark_rule(color=colour("ink"), strokeDash=[4, 3])
        .encode(x="mean:Q", description="says:N")
    )
    return layered([bars, line], 230)


def _label_colour(rows: Rows) -> alt.Color:
    """Known as right, unknown as wrong: what the initial model makes of them."""
    colours = dict(zip(LABELS.values(), map(colour, ("right", "wrong", "refused")), strict=True))
    found = [label for label in colours if any(row["label"] == label for row in rows)]
    scale = alt.Scale(domain=found, range=[colours[label] for label in found])
    return alt.Color("label:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="circle"))
