"""A training in rounds is one training: the same bit for bit without other weights, which hold from a step on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from tiny import PAD

from grait.errors import ConfigError
from grait.influence import sketch
from grait.training.trainer import Rounds, first_step
from tests.training.test_checkpoints import EXAMPLES, N_STEPS, Killed, Result, assert_same, equal, killer, start
from tests.training.test_checkpoints import run as run_with

pytestmark = pytest.mark.usefixtures("one_thread", "checkpoint_after_every_step")

Weigh = Callable[[int, PeftModel | None], Sequence[float]]

STATIC = [row.sample_weight for row in EXAMPLES]
N_ROUNDS = 3
FIRST = [first_step(number, N_ROUNDS, N_STEPS) for number in range(1, N_ROUNDS + 1)]
"""4 steps are an epoch: the second round begins with one, the third in the middle of another."""


def run(
    weigh: Weigh | None,
    folder: Path | None = None,
    advance: Callable[[int], None] | None = None,
    epochs: dict[int, Any] | None = None,
    *,
    n: int = N_ROUNDS,
    dropout: float = 0.0,
    **changes: Any,
) -> Result:
    rounds = Rounds(n, weigh) if weigh else None
    return run_with(folder, advance, epochs, model=start(dropout), rounds=rounds, **changes)


def test_rounds_share_the_steps() -> None:
    assert FIRST == [0, 4, 7]
    for n_steps in range(1, 30):
        for n_rounds in range(1, n_steps + 1):
            number = [1 + step * n_rounds // n_steps for step in range(n_steps)]
            lengths = [number.count(one) for one in range(1, n_rounds + 1)]
            assert sum(lengths) == n_steps and max(lengths) - min(lengths) <= 1
            assert [number.index(one) for one in range(1, n_rounds + 1)] == [
                first_step(one, n_rounds, n_steps) for one in range(1, n_rounds + 1)
            ]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_with_the_same_weights_it_is_the_training_without_rounds_bit_for_bit(dropout: float, tmp_path: Path) -> None:
    """Also though gradients of all examples are taken before each round: modes and random numbers stay as they are."""
    asked = []

    def weigh(number: int, model: PeftModel | None) -> list[float]:
        assert model is not None and model.training
        asked.append(number)
        sketch(model, [row.example for row in EXAMPLES], tmp_path / str(number), pad_token_id=PAD, dimensions=64)
        assert model.training
        return STATIC

    assert_same(run(weigh, dropout=dropout), run(None, dropout=dropout))
    assert asked == [2, 3]


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4])
def test_new_weights_hold_from_the_first_step_of_a_round_on(micro_batch_size: int) -> None:
    """Also in micro-batches that the loader made ahead of time: twice the weight, twice the loss."""
    changes: dict[str, Any] = {"micro_batch_size": micro_batch_size}
    static = run(None, **changes)[1].losses
    for number in (2, 3):
        before = FIRST[number - 1]
        twice = {number: [2 * weight for weight in STATIC]}
        losses = run(lambda now, _, new=twice: new.get(now, STATIC), **changes)[1].losses
        assert losses[:before] == static[:before]
        assert losses[before] == 2 * static[before] > 0


def test_examples_behind_those_that_are_weighed_keep_their_weight() -> None:
    some = run(lambda *_: [0.0] * 7)
    assert equal(some[0], run(lambda *_: [0.0] * 7 + STATIC[7:])[0])
    assert not equal(some[0], run(None)[0])
    none = run(lambda *_: [0.0] * len(STATIC))[1].losses
    assert all(none[: FIRST[1]]) and not any(none[FIRST[1] :])


def keeping(kept: dict[int, list[float]], asked: list[int]) -> Weigh:
    """Weights by the adapter of now, kept as a run keeps them."""

    def weigh(number: int, model: PeftModel | None) -> list[float]:
        if model is not None:
            asked.append(number)
            total = sum(weight.detach().abs().sum() for weight in model.parameters() if weight.requires_grad)
            kept[number] = [weight + float(total) % 1 for weight in STATIC]
        return kept[number]

    return weigh


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_killed_in_any_step_it_ends_with_the_same(dropout: float, tmp_path: Path) -> None:
    expected = run(keeping({}, []), dropout=dropout)
    assert not equal(expected[0], run(None, dropout=dropout)[0])
    for step in range(1, N_STEPS + 1):
        kept: dict[int, list[float]] = {}
        asked: list[int] = []
        epochs: dict[int, Any] = {}
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            run(keeping(kept, asked), folder, killer(step), epochs, dropout=dropout)
        assert_same(run(keeping(kept, asked), folder, None, epochs, dropout=dropout), expected)
        assert sorted(set(asked)) == [2, 3]  # in the middle of a round nothing is computed
        assert len(asked) == 2 + (step - 1 in FIRST[1:])  # a kill after its first step: asked with the same model again


def test_killed_while_weights_are_taken_it_ends_with_the_same(tmp_path: Path) -> None:
    expected = run(keeping({}, []))
    for killed in (2, 3):
        epochs: dict[int, Any] = {}
        weigh = keeping({}, [])

        def until(number: int, model: PeftModel | None, last: int = killed, weigh: Weigh = weigh) -> Sequence[float]:
            if number == last:
                raise Killed
            return weigh(number, model)

        with pytest.raises(Killed):
            run(until, tmp_path / str(killed), None, epochs)
        assert_same(run(weigh, tmp_path / str(killed), None, epochs), expected)


def test_more_rounds_than_steps_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^influence\.rounds = 11: this training has only 10 steps; lower it$"):
        run(lambda *_: STATIC, n=11)
    run(lambda *_: STATIC, n=10)
