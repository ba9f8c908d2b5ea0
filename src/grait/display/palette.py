"""The colours of figures and page, each named once: an outcome has the same colour everywhere.

Blue, orange and grey are told apart with every common colour vision deficiency, and in print by their lightness.
Figures are drawn with the names (``colour("right")``), so that one picture serves the light and the dark page; files
get the light colours.
"""

from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, MAIN
from grait.records import Outcome

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1f26",
    "soft": "#59636e",
    "line": "#d5dae0",
    "grid": "#eceff2",
    "tint": "#f5f7f9",
    "right": "#2f6db0",
    "wrong": "#dd7324",
    "refused": "#b4bbc4",
    "over-refused": "#626c78",
    "ours": "#8e3b8a",
    "published": "#c2456b",
    "craft": "#2c8a58",
    "other": "#a67c00",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e5e8ec",
    "soft": "#9aa4af",
    "line": "#3a424b",
    "grid": "#252b32",
    "tint": "#1b2026",
    "right": "#5c9bdc",
    "wrong": "#ee9a5c",
    "refused": "#606a75",
    "over-refused": "#b9c2cc",
    "ours": "#cb85c6",
    "published": "#ee8aa6",
    "craft": "#5fbd88",
    "other": "#d6ae3c",
}
"""``paper``, ``ink``, ``soft`` (secondary text), ``line`` (rules), ``grid`` and ``tint`` (faint areas); then what marks
mean. ``over-refused``: refused, of what the initial model answers right."""

OUTCOMES: dict[Outcome, str] = {"correct": "right", "wrong": "wrong", "refused": "refused"}
"""What readers are told an outcome is; also the name of its colour."""

SOLID: tuple[int, ...] = ()
DASHED, DOTTED, MIXED = (6, 3), (2, 2), (8, 3, 2, 3)

STYLES: dict[str, tuple[str, tuple[int, ...]]] = {
    INIT_BASIC: ("ink", SOLID),
    INIT_REFUSE: ("ink", DASHED),
    "van-tuning": ("other", MIXED),
    "cor-rait": ("other", SOLID),
    "r-tuning": ("other", DASHED),
    "random-idk": ("other", DOTTED),
    "craft": ("craft", SOLID),
    "corcer-rait": ("craft", MIXED),
    "craft-no-flow": ("craft", DASHED),
    "craft-no-certainty": ("craft", DOTTED),
    MAIN: ("ours", SOLID),
    "grait-equal-weights": ("ours", DASHED),
    "grait-stable-weights": ("ours", MIXED),
    "grait-known-answers": ("ours", DOTTED),
    "grait-paper": ("published", SOLID),
    "grait-no-selection": ("published", DASHED),
    "grait-no-weights": ("published", DOTTED),
    "grait-released": ("published", MIXED),
}
"""Colour and dashes of a system's line: the colour is its family, the dashes tell its members apart."""

SHAPES = {SOLID: "circle", DASHED: "square", DOTTED: "triangle-up", MIXED: "diamond"}
"""Of a system's point, by the dashes of its line."""


def colour(name: str) -> str:
    """How figures and page say a colour."""
    if name not in LIGHT:
        raise KeyError(name)
    return f"var(--{name})"


def style(system: str) -> tuple[str, tuple[int, ...]]:
    """Colour name and dashes of a system; those without an entry of their own are solid and of no family."""
    return STYLES.get(system, ("soft", SOLID))


def in_light_colours(svg: str) -> str:
    """A picture that stands alone, for a light background."""
    for name, value in LIGHT.items():
        svg = svg.replace(colour(name), value)
    return svg
