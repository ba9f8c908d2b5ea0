"""Drift from the initial model: exact, the same in any batches, and nothing without an adapter that does something."""

import math
import random

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import tiny_model

from grait.model import drift as module
from grait.model.completions import TokenizedExample
from grait.model.drift import drift
from grait.records import DriftSums

EXAMPLES = [
    TokenizedExample(
        str(i),
        tuple(random.Random(i).choices(range(3, 200), k=3 + i)),
        tuple(random.Random(-i - 1).choices(range(3, 200), k=1 + i % 4)),
    )
    for i in range(7)
]


def adapted(scale: float) -> PeftModel:
    model = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = scale * torch.randn_like(parameter)
    return model.eval()


def measured(model: PeftModel, tokens_per_batch: int = 64) -> list[DriftSums]:
    return drift(model, EXAMPLES, 0, tokens_per_batch=tokens_per_batch, advance=lambda _: None)


def test_it_is_that_of_one_example_after_the_other() -> None:
    model = adapted(0.5)
    plain = tiny_model().eval()
    for example, found in zip(EXAMPLES, measured(model), strict=True):
        tokens = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        places = range(len(example.prompt_ids) - 1, tokens.shape[1] - 1)
        kl = loss = initial_loss = 0.0
        with torch.no_grad():
            tuned, initial = (one(input_ids=tokens).logits[0].double().log_softmax(-1) for one in (model, plain))
        for place in places:
            kl += float((initial[place].exp() * (initial[place] - tuned[place])).sum())
            loss -= float(tuned[place, tokens[0, place + 1]])
            initial_loss -= float(initial[place, tokens[0, place + 1]])
        assert (found.id, found.n_tokens) == (example.id, len(example.completion_ids))
        assert (found.kl, found.loss, found.initial_loss) == pytest.approx((kl, loss, initial_loss), rel=1e-3, abs=1e-5)
        assert kl > 1e-3


def test_batches_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(0.5)
    expected = measured(model, 10_000)
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 1)
    for one, other in zip(measured(model, 1), expected, strict=True):
        assert one.id == other.id
        assert (one.kl, one.loss) == pytest.approx((other.kl, other.loss), rel=1e-4, abs=1e-6)


def test_an_untouched_model_has_not_moved() -> None:
    for model in (tiny_model().eval(), adapted(0.0)):
        for row in measured(model):
            assert row.kl == pytest.approx(0, abs=1e-6)
            assert row.loss == pytest.approx(row.initial_loss)
            assert math.isfinite(row.loss)


def test_the_adapter_is_on_again_afterwards() -> None:
    model = adapted(0.5)
    tokens = torch.tensor([EXAMPLES[0].prompt_ids])
    with torch.no_grad():
        before = model(input_ids=tokens).logits
        measured(model)
        assert torch.equal(model(input_ids=tokens).logits, before)
