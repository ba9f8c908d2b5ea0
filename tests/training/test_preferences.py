"""Preferences: which pairs a question gives, and that training on them moves the model the right way."""

import math

import pytest
import torch
from tiny import END, plain_loss, random_examples, tiny_model, with_lora

from grait.config import TrainingConfig
from grait.methods.dpo import Preference, preferences
from grait.training.preferences import Pair, margins, preference_losses, train_preferences

REFUSAL = "I don't know."


def pairs(n: int = 6) -> list[Pair]:
    """Prompts with two random completions each."""
    first, second = random_examples(n), random_examples(n, seed=9)
    return [Pair(one, type(one)(one.id, one.prompt_ids, two.completion_ids)) for one, two in zip(first, second)]  # noqa: B905


def test_right_is_over_refused_and_refused_over_wrong() -> None:
    def of(*outcomes: tuple[str, str]) -> list[Preference]:
        return preferences("q", [(text, outcome) for text, outcome in outcomes], REFUSAL)  # type: ignore[misc]

    right, wrong = Preference("q", "Rome", REFUSAL), Preference("q", REFUSAL, "Oslo")
    assert of(("Rome", "correct")) == [right]
    assert of(("Oslo", "wrong"), ("Oslo", "wrong"), ("Bern", "wrong")) == [wrong]
    assert of(("Oslo", "wrong"), ("Rome", "correct"), (REFUSAL, "refused")) == [right, wrong]
    assert of((REFUSAL, "refused"), ("", "wrong")) == []


def test_the_margin_is_that_of_whole_completions_one_by_one() -> None:
    model = tiny_model()
    for pair, margin in zip(pairs(), margins(model, pairs(), END).tolist(), strict=True):
        preferred, rejected = (
            -float(plain_loss(model, one)) * len(one.completion_ids) for one in (pair.preferred, pair.rejected)
        )
        assert margin == pytest.approx(preferred - rejected, rel=1e-4)


def test_the_loss_is_log_2_at_the_reference_and_its_gradient_is_weighed_by_doubt() -> None:
    reference = torch.tensor([3.0, -2.0])
    moved = (reference + torch.tensor([0.0, 5.0])).requires_grad_()
    losses = preference_losses(moved, reference, 0.1)
    first, second = losses.tolist()
    assert first == pytest.approx(math.log(2))
    assert second < first
    (gradient,) = torch.autograd.grad(losses.sum(), moved)
    assert gradient.tolist() == pytest.approx([-0.1 / (1 + math.exp(0.1 * by)) for by in (0.0, 5.0)])


def test_training_prefers_what_is_preferred_whatever_the_micro_batch() -> None:
    after = []
    for micro in (2, 6):
        model = with_lora(tiny_model())
        before = margins(model, pairs(), END).detach()
        config = TrainingConfig(learning_rate=3e-3, epochs=12, batch_size=6, micro_batch_size=micro)
        losses = train_preferences(model, pairs(), config, beta=0.1, pad_token_id=END, seed=0, advance=lambda _: None)
        assert losses[0] == pytest.approx(math.log(2), rel=1e-4)
        assert losses[-1] < losses[0] / 1.5
        after.append(margins(model, pairs(), END).detach())
        assert bool((after[-1] > before).all())
    assert torch.allclose(*after, rtol=1e-2)
