"""The colours of figures and page, each named once: an outcome has the same colour everywhere.

Blue, orange and grey are told apart with every common colour vision deficiency, and in print by their lightness.
Figures are drawn with the names (``colour("right")``), so that one picture serves the light and the dark page; files
get the light colours.
"""

from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, MAIN
from grait.records import Outcome

COLOURS = {
    "paper": ("#ffffff", "#14171b"),
    "ink": ("#1a1f26", "#e5e8ec"),
    "soft": ("#59636e", "#9aa4af"),
    "line": ("#d5dae0", "#3a424b"),
    "grid": ("#eceff2", "#252b32"),
    "tint": ("#f5f7f9", "#1b2026"),
    "right": ("#2f6db0", "#5c9bdc"),
    "wrong": ("#dd7324", "#ee9a5c"),
    "refused": ("#b4bbc4", "#606a75"),
    "over-refused": ("#626c78", "#b9c2cc"),
    "ours": ("#8e3b8a", "#cb85c6"),
    "published": ("#c2456b", "#ee8aa6"),
    "craft": ("#2c8a58", "#5fbd88"),
    "other": ("#a67c00", "#d6ae3c"),
    "scorer": ("#0d7a86", "#4dbdc9"),
    "rival": ("#6b5b4d", "#b8a492"),
}
"""On a light and on a dark page. ``paper``, ``ink``, ``soft`` (secondary text), ``line`` (rules), ``grid`` and ``tint``
(faint areas); then what marks mean. ``over-refused``: refused, of what the initial model answers right."""

LIGHT = {name: light for name, (light, _) in COLOURS.items()}
DARK = {name: dark for name, (_, dark) in COLOURS.items()}

OUTCOMES: dict[Outcome, str] = {"correct": "right", "wrong": "wrong", "refused": "refused"}
"""What readers are told an outcome is; also the name of its colour."""

SOLID: tuple[int, ...] = ()
DASHED, DOTTED, MIXED, LONG = (6, 3), (2, 2), (8, 3, 2, 3), (12, 4)

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
    "grait-dynamic": ("ours", LONG),
    "grait-paper": ("published", SOLID),
    "grait-no-selection": ("published", DASHED),
    "grait-no-weights": ("published", DOTTED),
    "grait-released": ("published", MIXED),
    "answer-probability": ("scorer", SOLID),
    "p-true": ("scorer", DASHED),
    "probe": ("scorer", MIXED),
    "text-floor": ("scorer", DOTTED),
    "conftuner": ("scorer", LONG),
    "uniform": ("rival", SOLID),
    "refusal-token": ("rival", DASHED),
    "dpo": ("rival", MIXED),
    "truthrl": ("rival", DOTTED),
    "tiar": ("rival", LONG),
}
"""Colour and dashes of a system's line: the colour is its family, the dashes tell its members apart."""

SHAPES = {SOLID: "circle", DASHED: "square", DOTTED: "triangle-up", MIXED: "diamond", LONG: "triangle-down"}
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
