"""Training on a model's own samples: its gradient is the policy gradient, it learns what is rewarded, and goes on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import END, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.config import OptimizerSection
from grait.methods.truthrl import advantages
from grait.model.inference import InferenceEngine
from grait.records import Outcome
from grait.training.examples import WeightedExample
from grait.training.on_policy import OnPolicy
from grait.training.sft import TrainingLog, train

NEW_TOKENS = 3
ASKED = [
    WeightedExample(replace(one, completion_ids=(0,) * NEW_TOKENS), 1.0)
    for one in random_examples(6, prompt=(4, 9), seed=3)
]
OTHER = WeightedExample(random_examples(1, prefix="other")[0], 0.7)
"""A row that is trained on as it is."""

pytestmark = pytest.mark.usefixtures("one_thread")


def start() -> PeftModel:
    return with_lora(tiny_model())


def likeliest(model: nn.Module) -> dict[str, int]:
    """The most probable first token of each reply: here that is how a refusal begins."""
    return {row.example.id: int(first_logprobs(model, row).argmax()) for row in ASKED}


def first_logprobs(model: nn.Module, row: WeightedExample) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([row.example.prompt_ids])).logits[0, -1]
    return logits.log_softmax(-1)


def judged_by(refusals: dict[str, int], otherwise: Outcome, seen: list[Any] | None = None) -> OnPolicy:
    """Samples of what is asked: a refusal, by its first token, or else always the same. ``seen``: gets all."""

    def on_policy(model: Any, rows: Sequence[WeightedExample], step: int) -> tuple[list[WeightedExample], float | None]:
        model.eval()
        engine, found = InferenceEngine(model, END), [row for row in rows if row.example.id == OTHER.example.id]
        for row in rows:
            if row.example.id == OTHER.example.id:
                continue
            one = row.example
            (samples,) = engine.generate(
                [one.prompt_ids], [f"{one.id} {step}"], n=8, temperature=1, max_new_tokens=NEW_TOKENS,
                end_token_ids=frozenset({END}),
            )  # fmt: skip
            ended = [(*own, *([END] if len(own) < NEW_TOKENS else [])) for own in samples]
            outcomes: list[Outcome] = ["refused" if own[0] == refusals[one.id] else otherwise for own in ended]
            for own, advantage in zip(ended, advantages(outcomes), strict=True):
                if advantage:
                    found.append(replace(row, example=replace(one, completion_ids=own), sample_weight=advantage / 8))
        if seen is not None:
            seen.append((step, list(rows), found))
        return found, float(step)

    return on_policy


def tuned(
    model: PeftModel,
    on_policy: OnPolicy,
    folder: Path | None = None,
    advance: Callable[[int], None] | None = None,
    rows: Sequence[WeightedExample] = ASKED,
    **changes: Any,
) -> TrainingLog:
    settings: dict[str, Any] = {
        "learning_rate": 0.01, "epochs": 6, "batch_size": 3, "micro_batch_size": 3,
        "warmup_ratio": 0, "max_grad_norm": 1e9,
    }  # fmt: skip
    config = OptimizerSection(**(settings | changes))
    return train(
        model, rows, config, pad_token_id=END, seed=2, resume=folder, advance=advance, road="no sharing",
        on_policy=on_policy,
    )  # fmt: skip


def policy_gradient(model: PeftModel, rows: Sequence[WeightedExample], n: int) -> dict[str, Tensor]:
    """Of (1 / n) sum_i A_i (1 / |y_i|) sum_t -log p(y_it), the long way: one sample after the other."""
    total = torch.tensor(0.0)
    for row in rows:
        sequence = torch.tensor([[*row.example.prompt_ids, *row.example.completion_ids]])
        logprobs = model(input_ids=sequence).logits[0].log_softmax(-1)
        place = len(row.example.prompt_ids)
        tokens = enumerate(row.example.completion_ids)
        total = total - row.sample_weight * torch.stack([logprobs[place + t - 1, token] for t, token in tokens]).mean()
    named = {name: own for name, own in model.named_parameters() if own.requires_grad}
    return dict(zip(named, torch.autograd.grad(total / n, list(named.values())), strict=True))


@pytest.mark.parametrize("micro_batch_size", [1, 7])
def test_the_gradient_of_a_step_is_the_policy_gradient_beside_other_rows(micro_batch_size: int) -> None:
    seen: list[Any] = []
    rows = [*ASKED, OTHER]
    log = tuned(
        start(), judged_by(likeliest(start()), "wrong", seen), rows=rows, epochs=1, batch_size=len(rows),
        micro_batch_size=micro_batch_size,
    )  # fmt: skip
    ((step, asked, found),) = seen
    assert step == 0 and {row.example.id for row in asked} == {row.example.id for row in rows}
    assert (
        any(row.example == OTHER.example for row in found)
        and len({row.sample_weight > 0 for row in found}) == 2
        and len(found) > 10
    )
    expected = policy_gradient(start(), found, len(rows))
    for name, gradient in expected.items():
        assert torch.allclose(log.moments[f"{name}.exp_avg"] / 0.1, gradient, rtol=1e-3, atol=1e-6)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3


def mean_probability(model: nn.Module, tokens: dict[str, int]) -> float:
    probabilities = [float(first_logprobs(model, row)[tokens[row.example.id]].exp()) for row in ASKED]
    return sum(probabilities) / len(probabilities)


def test_refusing_becomes_likelier_where_answers_are_wrong_and_rarer_where_they_are_right() -> None:
    refusals = likeliest(start())
    before = mean_probability(start(), refusals)
    after = {}
    for outcome in ("wrong", "correct"):
        model = start()
        log = tuned(model, judged_by(refusals, outcome), epochs=2)
        after[outcome] = mean_probability(model.eval(), refusals)
        assert log.rewards == [0, 1, 2, 3]  # what was told of each step
    assert after["correct"] < 0.8 * before < 1.2 * before < after["wrong"]


def test_where_nothing_differs_nothing_is_learned() -> None:
    def same(_: Any, rows: Sequence[WeightedExample], __: int) -> tuple[list[WeightedExample], float | None]:
        return [], None

    model = start()
    log = tuned(model, same)
    assert log.losses == [0] * 12 and log.rewards == [None] * 12
    for (name, own), (_, first) in zip(model.named_parameters(), start().named_parameters(), strict=True):
        assert torch.equal(own, first), name


def test_plain_training_has_no_rewards() -> None:
    model, rows = start(), [WeightedExample(one, 1.0) for one in random_examples(4)]
    assert train(model, rows, OptimizerSection(epochs=1), pad_token_id=END, seed=0, road="no sharing").rewards == []


class Killed(BaseException):
    pass


def test_killed_at_any_step_it_ends_with_the_same_adapter(tmp_path: Path, checkpoint_after_every_step: None) -> None:
    refusals = likeliest(start())
    expected = tuned(start(), judged_by(refusals, "wrong"), epochs=3)
    for killed in (2, 5):
        done = 0

        def advance(n: int, killed: int = killed) -> None:
            nonlocal done
            done += n
            if done == killed:
                raise Killed

        folder, seen = tmp_path / str(killed), list[Any]()
        with pytest.raises(Killed):
            tuned(start(), judged_by(refusals, "wrong"), folder, advance, epochs=3)
        found = tuned(start(), judged_by(refusals, "wrong", seen), folder, epochs=3)
        assert [step for step, _, _ in seen] == list(range(killed - 1, 6))  # those before are not asked again
        assert found.losses == expected.losses and found.rewards == expected.rewards == list(range(6))
        assert all(torch.equal(own, expected.adapter[name]) for name, own in found.adapter.items())
    other = tuned(start(), judged_by(refusals, "correct"), epochs=3)
    assert not all(torch.equal(own, expected.adapter[name]) for name, own in other.adapter.items())
