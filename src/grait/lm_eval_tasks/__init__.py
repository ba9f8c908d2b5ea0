"""Tasks for lm-evaluation-harness: Pc, Pw, Pr and THS for its users, without a run of this package.

``lm-eval run --include_path "$(python -m grait.lm_eval_tasks)" --tasks grait_worldfacts_refuse ...``
docs/evaluation.md explains the tasks and their metadata.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""What the harness is given as include path."""
