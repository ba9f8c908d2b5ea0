"""What does teaching both the answer and the refusal of an unknown question bring, and at which weight of refusals?

``python -m research.teach_both.train configs/compare/worldfacts.yaml --variants grait,taught-30 --set
training.epochs=2`` trains on the evidence of one seed and measures on validation questions (``research/trials.py`` has
the options; methods are variants, too).
"""

from dataclasses import replace

from grait.methods import grait
from grait.records import Selected
from research.trials import Trial, Variant, main


def half_refusals(trial: Trial) -> list[Selected]:
    """``grait`` with refusals half as heavy as answers."""
    rows = grait.select(trial.evidence, trial.config.selection, trial.config.seed)
    return [replace(row, sample_weight=row.sample_weight / 2) if row.target == "refusal" else row for row in rows]


VARIANTS: dict[str, Variant] = {"taught-30": half_refusals}

if __name__ == "__main__":
    main(VARIANTS)
