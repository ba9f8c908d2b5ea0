"""TruthRL's rewards and advantages, and TIAR's."""

from collections.abc import Sequence
from itertools import product

import pytest

from grait.methods.truthrl import REWARDS, advantages, tiar_advantages
from grait.records import Outcome

KINDS: tuple[Outcome, ...] = ("correct", "wrong", "refused")


def test_right_is_over_refused_and_refused_over_wrong_by_as_much() -> None:
    assert REWARDS == {"correct": 1, "refused": 0, "wrong": -1}
    right, refused, wrong = advantages(["correct", "refused", "wrong"])
    assert right == pytest.approx(1, abs=1e-5)
    assert (refused, wrong) == (0, -right)


@pytest.mark.parametrize("outcomes", [*product(KINDS, repeat=4)])
def test_advantages_have_mean_0_and_deviation_1_or_are_all_0(outcomes: Sequence[Outcome]) -> None:
    found = advantages(outcomes)
    assert sum(found) == pytest.approx(0, abs=1e-9)
    spread = sum(value**2 for value in found) / 3  # of a sample
    assert spread == (0 if len(set(outcomes)) == 1 else pytest.approx(1, abs=1e-4))
    for one, other in product(range(4), repeat=2):
        by_reward = REWARDS[outcomes[one]] - REWARDS[outcomes[other]]
        assert (found[one] > found[other]) == (by_reward > 0)


def test_one_sample_and_none_teach_nothing() -> None:
    assert advantages(["wrong"]) == [0]
    assert advantages([]) == tiar_advantages([]) == []


def test_beside_wrong_answers_a_refusal_is_learned_and_beside_right_ones_unlearned() -> None:
    assert advantages(["refused", "wrong", "wrong"])[0] > 0
    assert advantages(["refused", "correct", "correct"])[0] < 0


@pytest.mark.parametrize("outcomes", [*product(KINDS, repeat=4)])
def test_tiar_moves_refusals_alone_by_the_share_of_right_answers(outcomes: Sequence[Outcome]) -> None:
    n_right, n_answers = outcomes.count("correct"), 4 - outcomes.count("refused")
    for outcome, plain, moved in zip(outcomes, advantages(outcomes), tiar_advantages(outcomes), strict=True):
        expected = 1 - 2 * n_right / n_answers if outcome == "refused" and n_answers else 0
        assert moved - plain == pytest.approx(expected)
