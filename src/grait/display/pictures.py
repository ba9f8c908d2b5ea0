"""From a chart to a picture: SVG that takes its colours from the page, and files that stand alone."""

import json
import re
from importlib import resources
from typing import Any

import vl_convert

from grait.display.figures.parts import Chart
from grait.display.palette import colour, in_light_colours
from grait.runtime.printable import printable

PNG_SCALE = 3
"""Pixels of a PNG for one of the page."""

THEME = json.loads(resources.files("grait.display").joinpath("templates", "theme.json").read_text("utf-8"))
"""Fonts, sizes and colours of every chart, as Vega-Lite's ``config``; colours are the page's variables."""


def svg(chart: Chart, name: str) -> str:
    """The picture for the page; its text is escaped. ``name`` makes its ids unique on the page."""
    specification = _drawable(chart.to_dict(validate=False)) | {"config": THEME}
    drawn = str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{name}-", drawn)


def _drawable(value: Any) -> Any:
    """A tree whose texts can stand in a picture, which takes no control characters."""
    if isinstance(value, dict):
        return {key: _drawable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_drawable(part) for part in value]
    return printable(value) if isinstance(value, str) else value


def file_svg(picture: str) -> str:
    """A picture of the page as a file that stands alone: light colours on white."""
    ground = f'<rect width="100%" height="100%" fill="{colour("paper")}"/>'
    return in_light_colours(re.sub(r"(<svg[^>]*>)", rf"\1{ground}", picture, count=1))


def file_png(picture: str) -> bytes:
    """The same as pixels."""
    return bytes(vl_convert.svg_to_png(file_svg(picture), scale=PNG_SCALE))
