"""From a chart to a picture: SVG that takes its colours from the page, and files that stand alone."""

import re

import vl_convert

from grait.display.figures import Chart
from grait.display.palette import colour, in_light_colours

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"

PNG_SCALE = 3
"""Pixels of a PNG for one of the page."""

_INK, _SOFT = colour("ink"), colour("soft")

THEME = {
    "autosize": {"type": "fit", "contains": "padding"},
    "background": None,
    "font": FONT,
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _SOFT,
        "titleColor": _INK,
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": colour("line"),
        "tickColor": colour("line"),
        "gridColor": colour("grid"),
        "tickSize": 4,
        "tickCount": 6,
    },
    "axisY": {"domain": False, "ticks": False},
    "legend": {
        "labelColor": _INK,
        "labelFontSize": 11,
        "labelOffset": 5,
        "symbolSize": 80,
        "columnPadding": 12,
        "rowPadding": 3,
        "offset": 10,
    },
    "text": {"color": _INK},
    "line": {"strokeCap": "butt", "strokeJoin": "round"},
}


def svg(chart: Chart, name: str) -> str:
    """The picture for the page; its text is escaped. ``name`` makes its ids unique on the page."""
    specification = chart.to_dict(validate=False) | {"config": THEME}
    drawn = str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{name}-", drawn)


def file_svg(picture: str) -> str:
    """A picture of the page as a file that stands alone: light colours on white."""
    ground = f'<rect width="100%" height="100%" fill="{colour("paper")}"/>'
    return in_light_colours(re.sub(r"(<svg[^>]*>)", rf"\1{ground}", picture, count=1))


def file_png(picture: str) -> bytes:
    """The same as pixels."""
    return bytes(vl_convert.svg_to_png(file_svg(picture), scale=PNG_SCALE))
