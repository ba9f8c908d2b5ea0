"""What is left of ``grait`` when gradients or labels are taken away?

``python -m research.controls.train CONFIG --seed 1 --set training.epochs=2`` trains the controls on the evidence of one
seed and measures them on validation questions (``research/trials.py`` has the options).
"""

from dataclasses import replace

import numpy as np

from grait.methods import grait
from grait.records import Selected
from research.gradients import evidence
from research.trials import Trial, Variant, main


def permuted_gradients(trial: Trial) -> list[Selected]:
    """``grait`` when every question has the gradient of another."""
    gradients = np.random.default_rng(trial.config.seed).permutation(trial.gradients)
    return grait.select(evidence(trial.states, gradients), trial.config.selection, trial.config.seed)


def shuffled_labels(trial: Trial) -> list[Selected]:
    """``grait`` when labels and correctness are dealt out to the questions at random."""
    others = np.random.default_rng(trial.config.seed).permutation(len(trial.states))
    shuffled = [
        replace(state, label=trial.states[other].label, correctness=trial.states[other].correctness)
        for state, other in zip(trial.states, others, strict=True)
    ]
    return grait.select(evidence(shuffled, trial.gradients), trial.config.selection, trial.config.seed)


def no_labels(trial: Trial) -> list[Selected]:
    """``grait`` without labels: the answer and the refusal of every question, all of weight 1."""
    return [
        *(Selected(state.id, state.label, 1.0, "answer") for state in trial.states),
        *(Selected(state.id, state.label, 1.0, "refusal") for state in trial.states),
    ]


VARIANTS: dict[str, Variant] = {
    "permuted-gradients": permuted_gradients,
    "shuffled-labels-grait": shuffled_labels,
    "no-labels": no_labels,
}

if __name__ == "__main__":
    main(VARIANTS)
