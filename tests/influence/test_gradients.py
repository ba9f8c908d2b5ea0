"""Per-example gradients from one batched pass are those of a batch-size-1 loop."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import ARCHITECTURES, ATTENTION, END, MLP, PAD, loop_gradients, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.config import ModelConfig
from grait.errors import ModelError
from grait.influence.gradients import Factors, gradient_factors, trainable_linears
from grait.model.common_prefix import for_gradients
from grait.model.completions import TokenizedExample, collate
from grait.model.load import load_model

EXAMPLES = random_examples(7)


def batched(
    model: nn.Module, examples: Sequence[TokenizedExample], pad: int = PAD
) -> tuple[Tensor, dict[str, Factors]]:
    return gradient_factors(model, trainable_linears(model), collate(examples, pad))


def flat(factors: dict[str, Factors]) -> Tensor:
    """[batch, parameters], in the layers' order."""
    return torch.cat([layer.gradients() for layer in factors.values()], dim=1)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def assert_equals_loop(model: nn.Module, tolerance: float) -> None:
    losses, factors = batched(model, EXAMPLES)
    expected_losses, expected = loop_gradients(model, EXAMPLES)
    assert losses.tolist() == pytest.approx(expected_losses, rel=tolerance)
    found = flat(factors)
    assert found.shape == (len(EXAMPLES), sum(p.numel() for p in model.parameters() if p.requires_grad))
    for row, gradient in enumerate(expected):
        assert gradient.norm() > 0
        assert relative_error(found[row], gradient) < tolerance


@pytest.mark.parametrize("part", ["attention", "mlp"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_equal_a_loop_over_single_examples_in_float64(architecture: str, part: str) -> None:
    targets = {"attention": ATTENTION, "mlp": MLP}[part][architecture]
    assert_equals_loop(with_lora(tiny_model(architecture, dtype=torch.float64), targets), 1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_equal_a_loop_over_single_examples_in_float32(architecture: str) -> None:
    assert_equals_loop(with_lora(tiny_model(architecture)), 1e-5)


@pytest.mark.parametrize("changes", [{"layers_to_transform": [1]}, {"layers_to_transform": [0]}, {"use_rslora": True}])
def test_gradients_equal_the_loop_when_only_some_layers_are_adapted(changes: dict[str, object]) -> None:
    assert_equals_loop(with_lora(tiny_model(dtype=torch.float64), ["q_proj", "down_proj"], **changes), 1e-9)


def test_gradients_equal_the_loop_inside_a_sliding_window_shorter_than_the_examples() -> None:
    assert max(example.n_tokens for example in EXAMPLES) > 5
    assert_equals_loop(with_lora(tiny_model("gemma3", dtype=torch.float64, sliding_window=5)), 1e-9)


def test_gradients_do_not_depend_on_the_company_in_the_batch_nor_on_the_padding_token() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    together = flat(batched(model, EXAMPLES)[1])
    for pad in (0, 5, 199):
        backwards = flat(batched(model, EXAMPLES[::-1], pad)[1]).flip(0)
        assert relative_error(backwards, together) < 1e-12


def test_weighted_sum_is_the_sum_of_the_weighted_gradients() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    _, factors = batched(model, EXAMPLES)
    coefficients = torch.randn(3, len(EXAMPLES), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coefficients[0] = 0
    for layer in factors.values():
        gradients = layer.gradients()
        expected = torch.stack(
            [sum(c * g for c, g in zip(row, gradients, strict=True)) for row in coefficients.unbind()]  # type: ignore[misc]
        )
        torch.testing.assert_close(layer.weighted_sum(coefficients), expected, rtol=1e-10, atol=1e-12)


def test_gradients_of_half_precision_models_are_given_in_float32() -> None:
    model = with_lora(tiny_model(dtype=torch.bfloat16))
    losses, factors = batched(model, EXAMPLES)
    assert losses.dtype == torch.float32
    assert {layer.gradients().dtype for layer in factors.values()} == {torch.float32}


def test_gradient_checkpointing_changes_nothing_and_runs_layers_twice() -> None:
    model = with_lora(tiny_model(dtype=torch.float64), lora_dropout=0.3)
    expected_losses, expected = batched(model, EXAMPLES)
    runs: list[int] = []
    model.get_base_model().model.layers[0].input_layernorm.register_forward_hook(lambda *_: runs.append(1))
    model.get_base_model().activation_checkpointing_enable()
    model.train()
    with for_gradients(model):
        losses, factors = batched(model, EXAMPLES)
    assert len(runs) == 2
    assert model.training and all(module.training for module in model.modules())
    torch.testing.assert_close(losses, expected_losses, rtol=0, atol=1e-12)
    torch.testing.assert_close(flat(factors), flat(expected), rtol=0, atol=1e-12)


def test_gradients_of_fp16_models_do_not_vanish() -> None:
    """Without a scaled loss, gradients below 6e-8 are 0 in fp16: those of confident answers."""
    model = with_lora(tiny_model(dtype=torch.float16))
    exact = with_lora(tiny_model(dtype=torch.float64))
    with torch.no_grad():
        for parameter, rounded in zip(exact.parameters(), model.parameters(), strict=True):
            parameter.copy_(rounded)
        for half in (model, exact):  # a head so sure of token 1 that the loss of END is tiny
            half.get_base_model().lm_head.weight[END] += 0.5
    confident = [replace(example, completion_ids=(END,)) for example in EXAMPLES]
    losses, factors = batched(model, confident)
    found, expected = flat(factors).double(), torch.stack(loop_gradients(exact, confident)[1])
    assert losses.dtype == torch.float32
    cosines = nn.functional.cosine_similarity(found, expected)
    assert float(cosines.min()) > 0.99
    assert (found.norm(dim=1) / expected.norm(dim=1)).tolist() == pytest.approx([1] * len(EXAMPLES), rel=0.05)


def test_gradients_on_a_4_bit_model_equal_a_loop_over_single_examples(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    folder = tmp_path / "model"
    tiny_model(hidden_size=128, intermediate_size=128, num_key_value_heads=4, head_dim=32).save_pretrained(folder)
    config = ModelConfig(name=str(folder), quantization="nf4", dtype="bfloat16", device="cpu")
    model = with_lora(load_model(config))
    assert type(model.get_base_model().model.layers[0].mlp.up_proj.base_layer).__name__ == "Linear4bit"
    found, expected = flat(batched(model, EXAMPLES)[1]), torch.stack(loop_gradients(model, EXAMPLES)[1])
    assert float(nn.functional.cosine_similarity(found, expected.float()).min()) > 0.998


def test_layers_are_found_in_the_order_of_the_parameters() -> None:
    model = with_lora(tiny_model())
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert [f"{name}.weight" for name in trainable_linears(model)] == trainable


def test_trainable_biases_are_refused_by_name() -> None:
    model = with_lora(tiny_model("gpt_neox"), bias="lora_only")
    with pytest.raises(ModelError, match=r"layers\.0\.attention\.query_key_value\.base_layer\.bias: trainable"):
        trainable_linears(model)


def test_dora_is_refused_by_name() -> None:
    model = with_lora(tiny_model(), ["q_proj"], use_dora=True)
    with pytest.raises(ModelError, match=r"layers\.0\.self_attn\.q_proj\.lora_magnitude_vector.*trainable"):
        trainable_linears(model)


def test_trained_embeddings_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"embed_tokens\.lora_embedding_A.*trainable"):
        trainable_linears(with_lora(tiny_model(), ["q_proj", "embed_tokens"]))
    model = tiny_model()
    model.get_input_embeddings().requires_grad_(True)
    with pytest.raises(ModelError, match=r"embed_tokens\.weight: trainable"):
        trainable_linears(model)


def test_a_model_without_anything_trainable_is_refused() -> None:
    with pytest.raises(ModelError, match="no trainable linear layer"):
        trainable_linears(tiny_model())


def test_a_layer_that_runs_twice_has_the_sum_of_both_times() -> None:
    """As a block that Zamba 2 repeats."""
    model = with_lora(tiny_model(dtype=torch.float64), ["q_proj"])
    first, second = model.get_base_model().model.layers
    second.self_attn.q_proj = first.self_attn.q_proj
    found = torch.cat([layer.gradients() for layer in batched(model, EXAMPLES)[1].values()], dim=1)
    torch.testing.assert_close(found, torch.stack(loop_gradients(model, EXAMPLES)[1]), rtol=1e-9, atol=1e-12)


def test_a_layer_that_is_given_all_tokens_in_one_list_is_exact() -> None:
    """As the shared expert of a mixture."""
    model = with_lora(tiny_model(dtype=torch.float64), ["q_proj", "down_proj"])
    mlp = model.get_base_model().model.layers[0].mlp
    run = mlp.forward
    mlp.forward = lambda hidden: run(hidden.flatten(0, 1)).view_as(hidden)
    found = torch.cat([layer.gradients() for layer in batched(model, EXAMPLES)[1].values()], dim=1)
    torch.testing.assert_close(found, torch.stack(loop_gradients(model, EXAMPLES)[1]), rtol=1e-9, atol=1e-12)


def test_a_layer_that_is_given_some_tokens_is_refused_by_name() -> None:
    """As an expert of a mixture: which token is of which example is not known there."""
    model = with_lora(tiny_model(), ["q_proj", "down_proj"])
    mlp = model.get_base_model().model.layers[0].mlp
    run = mlp.forward
    mlp.forward = lambda hidden: torch.cat([run(hidden[:, :1].flatten(0, 1))[:, None], hidden[:, 1:]], dim=1)
    with pytest.raises(ModelError, match=r"layers\.0\.mlp\.down_proj\.lora_A\.default: runs on an input of shape"):
        batched(model, EXAMPLES)


def test_a_trainable_layer_that_does_not_run_is_refused_by_name() -> None:
    model = with_lora(tiny_model(), ["q_proj"])
    model.add_module("spare", nn.Linear(2, 2, bias=False))
    with pytest.raises(ModelError, match="spare: trainable, but not run"):
        batched(model, EXAMPLES)


def test_hooks_are_gone_after_the_pass_and_after_an_error() -> None:
    model = with_lora(tiny_model())
    batched(model, EXAMPLES)
    broken = collate(EXAMPLES, PAD)
    broken["input_ids"] = broken["input_ids"] + 10_000
    with pytest.raises(IndexError):
        gradient_factors(model, trainable_linears(model), broken)
    assert not any(module._forward_hooks for module in trainable_linears(model).values())
