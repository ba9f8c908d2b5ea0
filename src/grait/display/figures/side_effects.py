"""Refusals of all that is no short question of fact, before and after tuning, form by form."""

from collections.abc import Sequence

import altair as alt

from grait.display.figures.parts import Rows, data, layered, percent
from grait.display.palette import colour
from grait.records import SideEffectRecord

FORMS = {"examples": "after solved examples", "instruction": "with the instruction", "question": "bare, as in a chat"}
"""Names of forms for readers; other forms go by their names."""

KINDS = (
    ("chit-chat", "n_chit_chat", "chit_chat_refused"),
    ("ordinary instructions", "n_instructions", "instructions_refused"),
    ("questions with the text at hand", "n_passages", "passages_refused"),
    ("unanswerable questions", "n_unanswerable", "unanswerable_refused"),
)
"""Names of the kinds for readers, their fields of ``SideEffectRecord``; the last one alone should be refused."""

DUE, NOT_DUE = "rightly refused", "wrongly refused"
ROW, GAP, HEADING = 1.0, 0.5, 1.5
"""Heights: of one bar, between kinds, and of a form's name."""

PIXELS = 11
"""Height of one bar."""


def form_name(form: str) -> str:
    """As readers know it."""
    return FORMS.get(form, form)


def refused_before_and_after(records: Sequence[SideEffectRecord], systems: Sequence[str]) -> alt.LayerChart:
    """For each form and kind one bar for each of ``systems``, the initial model first and paler, with 95% intervals."""
    bars, texts, height = _laid_out(records, systems)
    x = alt.Scale(domain=[-0.72, 1.14], nice=False)
    axis = alt.Axis(title="refused", format="%", values=[0, 0.25, 0.5, 0.75, 1], titleAnchor="end", grid=False)
    y = alt.Scale(domain=[0, height], reverse=True, nice=False)
    colours = alt.Scale(domain=[NOT_DUE, DUE], range=[colour("wrong"), colour("right")])
    base = alt.Chart(data(bars))
    rectangles = base.mark_rect().encode(
        x=alt.X("start:Q", axis=axis, scale=x),
        x2="share:Q",
        y=alt.Y("y:Q", axis=None, scale=y),
        y2="y2:Q",
        color=alt.Color("is:N", scale=colours, legend=alt.Legend(title=None, orient="top")),
        opacity=alt.Opacity("opacity:Q", scale=None),
        description="says:N",
    )
    intervals = base.mark_rule(color=colour("ink"), strokeWidth=0.8).encode(
        x=alt.X("low:Q", scale=x), x2="high:Q", y=alt.Y("middle:Q", scale=y)
    )
    numbers = base.mark_text(align="left", dx=4, baseline="middle", fontSize=10).encode(
        x=alt.X("high:Q", scale=x), y=alt.Y("middle:Q", scale=y), text="label:N"
    )
    left = alt.Chart(data(texts)).encode(y=alt.Y("y:Q", scale=y), text="text:N")
    kinds = left.mark_text(align="right", baseline="middle", fontSize=11).encode(x=alt.datum(-0.02, scale=x))
    names = left.mark_text(align="left", baseline="middle", fontSize=12, fontWeight="bold").encode(
        x=alt.datum(-0.72, scale=x)
    )
    named = [kinds.transform_filter("!datum.is_form"), names.transform_filter("datum.is_form")]
    return layered([rectangles, intervals, numbers, *named], 60 + round(PIXELS * height))


def _laid_out(records: Sequence[SideEffectRecord], systems: Sequence[str]) -> tuple[Rows, Rows, float]:
    """Bars and names from top to bottom, and their height, in ``ROW``."""
    bars: Rows = []
    texts: Rows = []
    at = 0.0
    for form in dict.fromkeys(row.form for row in records):
        own = {row.method: row for row in records if row.form == form}
        texts.append({"text": form_name(form), "y": at + ROW / 2, "is_form": True})
        at += HEADING
        for kind, n_field, share_field in KINDS:
            first = at
            for system in systems:
                n, share = (getattr(own[system], field) for field in (n_field, share_field))
                if share is not None:
                    low, high = own[system].intervals[share_field]
                    bars.append(
                        {"form": form, "kind": kind, "system": system, "share": share, "n": n, "low": low, "high": high}
                        | {"is": DUE if kind == KINDS[-1][0] else NOT_DUE, "start": 0.0, "label": percent(share, 0)}
                        | {"y": at + 0.06, "y2": at + ROW - 0.06, "middle": at + ROW / 2}
                        | {"opacity": 0.4 if system == systems[0] and len(systems) > 1 else 0.95}
                        | {"says": f"{system}, {form_name(form)}: {kind}, {percent(share)} of {n} refused"}
                    )
                at += ROW
            texts.append({"text": kind, "y": (first + at) / 2, "is_form": False})
            at += GAP
        at += GAP
    return bars, texts, at
