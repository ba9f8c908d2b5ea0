"""One reply at one setting of the dial, as terminal and page show it: pure, no model is asked again."""

from dataclasses import dataclass

from grait.dial.threshold import ScoreName, passes, position, refusal_score, refuses
from grait.model.answers import BothAnswers
from grait.runtime.printable import printable as printable

BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Dialled:
    """``answer``: at the threshold; without one, the greedy answer. ``score``: in (0, 1]. ``says``: why, in words."""

    answer: str
    score: float
    says: str


def dialled(
    tuned: BothAnswers, refusal: str, score: ScoreName, threshold: float | None, gate: float | None = None
) -> Dialled:
    """The tuned model's answer at a threshold, None for no dial."""
    value = refusal_score(tuned, score)
    if threshold is None:
        return Dialled(tuned.output, value, f"refusal score {value:.4g}, no threshold set")
    if not passes(tuned, score, gate):
        return Dialled(tuned.output, value, "left alone: the model hardly thinks of refusing here, so the gate is shut")
    if refuses(value, threshold):
        return Dialled(refusal, value, f"refusal score {value:.4g} is above the threshold {threshold:.4g}: refused")
    says = f"refusal score {value:.4g} is not above the threshold {threshold:.4g}: answered"
    return Dialled(tuned.suppressed_output, value, says)


def bar(score: float, threshold: float | None) -> str:
    """The score as a bar of ``BAR_WIDTH`` cells on the dial's axis (log-odds), with a mark at the threshold."""
    filled = round(position(score) * BAR_WIDTH)
    cells = ["█" if cell < filled else "░" for cell in range(BAR_WIDTH)]
    if threshold is not None:
        cells.insert(round(position(threshold) * BAR_WIDTH), "┃")
    return "".join(cells)
