"""GRAIT: which unknown questions to refuse, and how much each counts, from gradient influence.

``select`` is this project's default, ``select_paper`` the definition of the paper (arXiv 2502.05911). The paper takes
the unknown questions of highest refusal influence R and weighs them by stable influence S. The default takes all: R is
mostly what all refusals have in common, and the questions of highest R are much alike (docs/results.md). It weighs them
by the left-out margin, which is S but for the weights of the directions (``influence.margins``) and tells more of known
and unknown, within a kind of question above all. The default also teaches the answers of all questions, those that the
model does not know with a small weight: see ``select``.

The published script computes weights of the opposite sign, overwrites them with 1 and discards its selection;
``select_released`` is the script up to its last correct step. All draw the unknown questions from those that have a
score.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence

from grait.config import SelectionConfig
from grait.errors import KnowledgeError
from grait.methods.selection import Counts, Evidence, answers_and_refusals, counts, most_correct, with_label
from grait.records import InfluenceScore, KnowledgeState, Selected

LEAST_ANSWER_WEIGHT = 0.3
"""Weight of the answer to a question that no sample gets right: the least of all. Chosen on validation questions
(research/teach_both)."""
PAPER_MEAN_WEIGHT = 1.0
PAPER_TAU = 0.05
RELEASED_MEAN_WEIGHT = 0.5
"""The mean weight of unknown questions that is written into the published script."""


def select(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Answers: the n_ik most correct known questions and the unknown ones below, weight mu, at least 0.3. Refusals: all
    unknown questions that have a score, weighted by ``softmax_weights`` of their left-out margins, where ``config.tau``
    is by default one standard deviation of these: how far they spread depends on the model, the prompt and the number
    of questions, and the paper's 0.05 is little for one and much for another.

    So an unknown question teaches both, the refusal and its answer. From the answers the model learns what answers of
    the kind look like. Where it does not know, its probability spreads over many of them, and none is as probable as
    the refusal; where it knows, one of them is. So it is the model's own sureness of an answer that decides, as in
    Chow's rule to reject (IEEE Trans. Information Theory 16, 1970), not only what kind of question it is.

    By default refusals weigh as much as answers, whatever their numbers. With ``config.n_idk`` so many random unknown
    questions are taken (by ``seed``, which has no other effect). An unknown question without a score (its gradient was
    not finite) is not taken.
    """
    return _covering(evidence, config, seed)


def select_known_answers(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Ablation: ``select`` without the answers of questions that no sample gets right; the others weigh mu."""
    return _covering(evidence, config, seed, least=0.0)


def select_stable_weights(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Ablation: ``select`` with stable influence S in the place of the left-out margin."""
    return _covering(evidence, config, seed, by=lambda score: score.stable_influence)


def select_equal_weights(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Ablation: the answers and refusals of ``select``; the refusals share their weight equally."""
    return _covering(evidence, config.model_copy(update={"tau": math.inf}), seed)


def select_paper(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Known: the n_ik most correct, weight 1. Unknown: the n_idk of highest refusal influence R (ties by id),
    weighted by ``softmax_weights`` of S with tau 0.05 and mean 1 unless configured. An unknown question without a score
    is not chosen.

    Nothing is random: the seed has no effect.
    """
    known, unknown, size = _sides(evidence, config)
    chosen = most_influential(unknown, size.n_idk)
    return _selected(known, chosen, _paper_weights(chosen, config))


def select_without_selection(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Ablation of the paper: n_idk random unknown questions, weighted as in ``select_paper``."""
    known, unknown, size = _sides(evidence, config)
    chosen = random.Random(seed).sample(sorted(unknown, key=lambda score: score.id), size.n_idk)
    return _selected(known, chosen, _paper_weights(chosen, config))


def select_without_weights(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """Ablation of the paper: its questions, all with weight 1, whatever ``config.mean_weight`` says."""
    known, unknown, size = _sides(evidence, config)
    chosen = most_influential(unknown, size.n_idk)
    return _selected(known, chosen, [1.0] * len(chosen))


def select_released(evidence: Evidence, config: SelectionConfig, seed: int) -> list[Selected]:
    """The paper's questions, weighted as the published script computes it: softmax(-S / tau), mean weight 0.5.

    Its Delta is over-refusal minus refusal influence, -S, so that it favours the questions that teach over-refusal.
    What it does next, overwriting these weights with 1 and the selection with the lowest-scored of the others, is left
    out. ``config.mean_weight`` has no effect.
    """
    known, unknown, size = _sides(evidence, config)
    chosen = most_influential(unknown, size.n_idk)
    weights = softmax_weights(
        [-score.stable_influence for score in chosen], config.tau or PAPER_TAU, RELEASED_MEAN_WEIGHT
    )
    return _selected(known, chosen, weights)


def most_influential(scores: Sequence[InfluenceScore], n: int) -> list[InfluenceScore]:
    """The n scores of highest refusal influence R; ties by id."""
    return sorted(scores, key=lambda score: (-score.refusal_influence, score.id))[:n]


def softmax_weights(scores: Sequence[float], tau: float, mean_weight: float) -> list[float]:
    """w_i = m * n * softmax(score / tau)_i: positive, with mean m; higher score, higher weight.

    Unchanged when a constant is added to all scores. GRAIT's weights where the scores are S.
    """
    highest = max(scores)
    factors = [math.exp((value - highest) / tau) for value in scores]
    total = sum(factors)
    return [mean_weight * len(factors) * factor / total for factor in factors]


def spread(scores: Sequence[float]) -> float:
    """Standard deviation; 1 where all are equal, as are their weights then at any tau."""
    return statistics.pstdev(scores) or 1.0


def _covering(
    evidence: Evidence,
    config: SelectionConfig,
    seed: int,
    *,
    by: Callable[[InfluenceScore], float] = lambda score: score.left_out_margin,
    least: float = LEAST_ANSWER_WEIGHT,
) -> list[Selected]:
    """``least``: weight of the answer of a question that no sample gets right; at 0 it is not taught.

    Refusals are together as heavy as the answers, unless a mean is configured.
    """
    known, unknown, _ = _sides(evidence, config)
    chosen = sorted(unknown, key=lambda score: score.id)
    if config.n_idk is not None:
        chosen = random.Random(seed).sample(chosen, config.n_idk)
    refused = {score.id for score in chosen}
    taught = refused - evidence.answerless
    others = sorted((state for state in evidence.states if state.id in taught), key=lambda state: state.id)
    weighed = [(state, max(state.correctness, least)) for state in [*known, *others]]
    answers = [Selected(state.id, state.label, weight, "answer") for state, weight in weighed if weight > 0]
    total = sum(row.sample_weight for row in answers)
    mean_weight = total / len(chosen) if config.mean_weight is None else config.mean_weight
    scores = [by(score) for score in chosen]
    weights = softmax_weights(scores, config.tau or spread(scores), mean_weight)
    return [*answers, *answers_and_refusals([], [score.id for score in chosen], weights)]


def _paper_weights(chosen: Sequence[InfluenceScore], config: SelectionConfig) -> list[float]:
    mean_weight = PAPER_MEAN_WEIGHT if config.mean_weight is None else config.mean_weight
    return softmax_weights([score.stable_influence for score in chosen], config.tau or PAPER_TAU, mean_weight)


def _sides(evidence: Evidence, config: SelectionConfig) -> tuple[list[KnowledgeState], list[InfluenceScore], Counts]:
    """The most correct known questions, already counted; all scored unknown ones; and the counts."""
    known, unknown = with_label(evidence.states, "ik"), with_label(evidence.states, "idk")
    scored = [evidence.influence[state.id] for state in unknown if state.id in evidence.influence]
    if unknown and not scored:
        raise KnowledgeError(
            f"GRAIT: none of {len(unknown)} unknown questions has an influence score; "
            "their gradients are not finite, or influence was not computed"
        )
    size = counts(config, len(known), len(scored))
    return most_correct(known, size.n_ik), scored, size


def _selected(
    known: Sequence[KnowledgeState], unknown: Sequence[InfluenceScore], weights: Sequence[float]
) -> list[Selected]:
    return answers_and_refusals([state.id for state in known], [score.id for score in unknown], weights)
