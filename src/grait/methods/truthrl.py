"""TruthRL (arXiv 2509.25760): the model learns from its own samples: right ones count 1, refusals 0, wrong ones -1.

First the model is tuned as by Cor-RAIT: one that never refuses cannot learn that refusing is better. Then at each step
it answers some questions, G times each, and the step's loss is GRPO's (section 3.2), for each question

    -(1 / G) sum_i A_i (1 / |y_i|) sum_t log p(y_it | x, y_i<t),   A_i = (r_i - mean of r) / (deviation of r + 1e-6).

Its scripts take one step on each batch of samples. The ratio to the model that drew them is then 1, so that nothing is
clipped, and the gradient is that of weighted tuning with the weights A_i / G (``training/on_policy.py``). Where all
samples are of one kind they teach nothing.

Otherwise than there: a LoRA adapter, not all weights; the run's judge, where they have a language model; no divergence
from where training began (0.001 there): replay, where the run has it, keeps the model near the initial one.

TIAR (arXiv 2605.25850) is the same with another advantage of refusals.
"""

from collections.abc import Sequence
from statistics import fmean, stdev

from grait.methods import cor_rait
from grait.records import Outcome

REWARDS: dict[Outcome, float] = {"correct": 1.0, "refused": 0.0, "wrong": -1.0}

SAMPLES = 8
"""G, as in the paper's scripts. Drawn at temperature 1: of other samples this would not be the gradient."""

LEARNING_RATE_SHARE = 0.1
"""Of the tuning's learning rate, as for preferences."""

select = cor_rait.select


def advantages(outcomes: Sequence[Outcome]) -> list[float]:
    """A_i of the samples of one question; their sum is 0, and all are 0 where no two differ."""
    rewards = [REWARDS[outcome] for outcome in outcomes]
    if len(set(rewards)) < 2:
        return [0.0] * len(rewards)
    mean, deviation = fmean(rewards), stdev(rewards)
    return [(reward - mean) / (deviation + 1e-6) for reward in rewards]


def tiar_advantages(outcomes: Sequence[Outcome]) -> list[float]:
    """The same with 1 - 2 p added to those of refusals; p: the share of right ones among answers.

    Refusing gains where fewer than half of the answers are right, and else loses. Nothing is added where none answers.
    """
    n_right, n_wrong = outcomes.count("correct"), outcomes.count("wrong")
    more = 1 - 2 * n_right / (n_right + n_wrong) if n_right + n_wrong else 0.0
    found = zip(advantages(outcomes), outcomes, strict=True)
    return [advantage + (more if outcome == "refused" else 0.0) for advantage, outcome in found]
