"""The stages in order, and what they keep: the only package that knows what comes after what.

``order`` is the page to read first, ``comparison`` puts several such runs side by side; ``workbench`` is what the
stages share; each other module holds the stages of one part of the run. The work itself is done by plain functions
elsewhere, which know nothing of each other.
"""

from grait.machine import peak_memory_mb
from grait.pipeline.comparison import Comparison, compare
from grait.pipeline.evaluation import RunResult
from grait.pipeline.model_evaluation import ModelEvaluation, asked_as, evaluate_model, label
from grait.pipeline.order import run

__all__ = [
    "Comparison",
    "ModelEvaluation",
    "RunResult",
    "asked_as",
    "compare",
    "evaluate_model",
    "label",
    "peak_memory_mb",
    "run",
]
