"""The loss of a completion, with the head at answer positions only, in one piece or in chunks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import ARCHITECTURES, PAD, plain_loss, random_examples, tiny_model, with_lora
from torch import Tensor, nn
from transformers import GraniteConfig, GraniteForCausalLM, PreTrainedModel

from grait.influence.gradients import gradient_factors, trainable_linears
from grait.model import completions
from grait.model.completions import collate, completion_losses

EXAMPLES = random_examples(6, completion=(1, 9))
BATCH = collate(EXAMPLES, PAD)


def losses_and_gradients(model: nn.Module) -> tuple[Tensor, Tensor]:
    losses, factors = gradient_factors(model, trainable_linears(model), BATCH)
    return losses, torch.cat([layer.gradients() for layer in factors.values()], dim=1)


def granite() -> PreTrainedModel:
    """Divides its head's output by a number: something that only the model itself knows."""
    torch.manual_seed(0)
    config = GraniteConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, logits_scaling=3.0, initializer_range=0.2, pad_token_id=PAD,
    )  # fmt: skip
    model = GraniteForCausalLM(config).double().eval()
    model.requires_grad_(False)
    return model


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    **{name: lambda name=name: tiny_model(name, dtype=torch.float64) for name in ARCHITECTURES},  # type: ignore[misc]
    "tied head": lambda: tiny_model(dtype=torch.float64, tie_word_embeddings=True),
    "soft cap": lambda: tiny_model("gemma2", final_logit_softcapping=2.0),  # its attention rounds to fp32 anyhow
    "scaled logits": granite,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("logits_at_once", [1, 200 * 7])
def test_a_head_in_chunks_gives_the_same_losses_and_gradients(
    name: str, logits_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_lora(MODELS[name]())
    expected = losses_and_gradients(model)
    assert expected[0].tolist() == pytest.approx([float(plain_loss(model, row).detach()) for row in EXAMPLES], rel=1e-5)
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", logits_at_once)
    for found, whole in zip(losses_and_gradients(model), expected, strict=True):
        rtol, atol = (1e-10, 1e-12) if found.dtype == torch.float64 else (1e-4, 1e-5)
        torch.testing.assert_close(found, whole, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("name", "is_chunked"), [("llama", True), ("soft cap", True), ("scaled logits", False)])
def test_chunks_bound_the_logits_where_the_head_can_be_run_apart(
    name: str, is_chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[name]()
    head = model.get_output_embeddings()
    seen: list[int] = []
    head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.numel()))
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", 800)
    completion_losses(model, BATCH)
    assert (max(seen) <= 800) == is_chunked


def test_a_trained_head_runs_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_lora(tiny_model(dtype=torch.float64), ["q_proj", "lm_head"])
    expected = losses_and_gradients(model)
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", 1)
    for found, whole in zip(losses_and_gradients(model), expected, strict=True):
        torch.testing.assert_close(found, whole, rtol=0, atol=0)


def test_few_logits_run_the_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    calls: list[Any] = []
    model.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    completion_losses(model, BATCH)
    assert len(calls) == 1
