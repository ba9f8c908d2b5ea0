"""Figures: pure functions from records to Altair charts.

Each chart holds its data in its own specification (``chart.to_dict()``), already counted: what is drawn can be read
there. Shares are fractions in [0, 1] and shown in percent. A mark's ``says`` is what a reader is told who points at it.
"""

from grait.display.figures.comparison import difference_forest, ths_forest, trade_off
from grait.display.figures.curves import dial_curves, loss_curves, operating_curves, risk_coverage_curves
from grait.display.figures.outcomes import (
    FOUR_WAYS,
    MAX_GROUPS,
    flow,
    outcome_bars,
    outcomes_by_form,
    outcomes_by_group,
    outcomes_by_popularity,
)
from grait.display.figures.parts import Chart, shortened
from grait.display.figures.side_effects import form_name, refused_before_and_after
from grait.display.figures.training import LABELS, MAX_POINTS, influence_plane, knowledge_map, weight_histogram

__all__ = [
    "FOUR_WAYS",
    "LABELS",
    "MAX_GROUPS",
    "MAX_POINTS",
    "Chart",
    "dial_curves",
    "difference_forest",
    "flow",
    "form_name",
    "influence_plane",
    "knowledge_map",
    "loss_curves",
    "operating_curves",
    "outcome_bars",
    "outcomes_by_form",
    "outcomes_by_group",
    "outcomes_by_popularity",
    "refused_before_and_after",
    "risk_coverage_curves",
    "shortened",
    "ths_forest",
    "trade_off",
    "weight_histogram",
]
