"""What all prompts begin with runs once, and the gradients are those of every example run by itself."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from tiny import ARCHITECTURES, ATTENTION, MLP, PAD, loop_gradients, poison, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.influence import influence
from grait.influence.gradients import Factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.model.common_prefix import SHORTEST
from grait.model.completions import TokenizedExample

PREFIX = tuple(range(20, 20 + SHORTEST + 3))
EXAMPLES = [replace(row, prompt_ids=(*PREFIX, *row.prompt_ids)) for row in random_examples(7)]


def shared(model: nn.Module, examples: Sequence[TokenizedExample] = EXAMPLES) -> tuple[Tensor, dict[str, Factors]]:
    prefix = SharedPrefix.of(model, trainable_linears(model), examples)
    assert prefix is not None and prefix.token_ids == PREFIX
    return prefix.gradient_factors(prefix.collate(examples, PAD))


def assert_equals_loop(model: nn.Module, tolerance: float) -> None:
    losses, factors = shared(model)
    expected_losses, expected = loop_gradients(model, EXAMPLES)
    assert losses.tolist() == pytest.approx(expected_losses, rel=tolerance)
    found = torch.cat([layer.gradients() for layer in factors.values()], dim=1)
    for row, gradient in enumerate(expected):
        assert float((found[row] - gradient).norm() / gradient.norm()) < tolerance


@pytest.mark.parametrize("part", ["attention", "mlp"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_equal_a_loop_over_single_examples(architecture: str, part: str) -> None:
    targets = {"attention": ATTENTION, "mlp": MLP}[part][architecture]
    assert_equals_loop(with_lora(tiny_model(architecture, dtype=torch.float64), targets), 1e-9)


@pytest.mark.parametrize("changes", [{"layers_to_transform": [1]}, {"layers_to_transform": [0]}])
@pytest.mark.parametrize("target", ["q_proj", "k_proj", "down_proj"])
def test_gradients_equal_the_loop_when_only_some_layers_are_adapted(target: str, changes: dict[str, object]) -> None:
    """With the queries of the last layer alone, the prefix reaches no adapter on the way to an example's loss."""
    assert_equals_loop(with_lora(tiny_model(dtype=torch.float64), [target], **changes), 1e-9)


def test_weighted_sums_and_chosen_rows_hold_the_prefix_too() -> None:
    _, factors = shared(with_lora(tiny_model(dtype=torch.float64)))
    coefficients = torch.randn(3, len(EXAMPLES), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    keep = torch.tensor([True, False, True, True, False, False, True])
    assert any(layer.prefix_inputs is not None for layer in factors.values())
    for layer in factors.values():
        gradients = layer.gradients()
        torch.testing.assert_close(layer.weighted_sum(coefficients), coefficients @ gradients, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(layer.rows(keep).gradients(), gradients[keep], rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_products_with_directions_need_no_backward_pass_through_the_prefix(architecture: str) -> None:
    """Tangents of keys and values against every example's own gradient in full."""
    model = with_lora(tiny_model(architecture, dtype=torch.float64))
    linears = trainable_linears(model)
    prefix = SharedPrefix.of(model, linears, EXAMPLES)
    assert prefix is not None
    generator = torch.Generator().manual_seed(0)
    directions = {
        name: torch.randn(3, layer.weight.numel(), dtype=torch.float64, generator=generator)
        for name, layer in linears.items()
    }
    batch = prefix.collate(EXAMPLES, PAD)
    _, factors = prefix.gradient_factors(batch)
    expected = torch.stack([factors[name].gradients() @ directions[name].T for name in linears]).sum(0)
    _, own, at_reached = prefix.own_factors(batch)
    found = torch.stack([own[name].gradients() @ directions[name].T for name in linears]).sum(0)
    assert float((found - expected).norm() / expected.norm()) > 0.1  # what goes through the prefix is not nothing
    for gradient, tangent in zip(at_reached, prefix.tangents(directions), strict=True):
        found += gradient.flatten(1) @ tangent.flatten(1).T
    in_float64 = architecture in ("gpt2", "gpt_neox")  # norms of the others round to float32
    torch.testing.assert_close(found, expected, rtol=1e-9 if in_float64 else 1e-5, atol=1e-12 if in_float64 else 1e-7)


@pytest.mark.parametrize("n_members", [4, 7])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj"]])
def test_influence_with_a_common_beginning_is_that_of_the_matrix_of_all_pairs(
    n_members: int, targets: str | list[str]
) -> None:
    """With all examples in a set their norms are known in the second pass, which then stops at the prefix."""
    changes = {"layers_to_transform": [1]} if targets == ["q_proj"] else {}
    model = with_lora(tiny_model(dtype=torch.float64), targets, **changes)
    units = torch.stack([gradient / gradient.norm() for gradient in loop_gradients(model, EXAMPLES)[1]])
    sets = {"set": EXAMPLES[:n_members], "other": EXAMPLES[2:4]}
    found = influence(model, EXAMPLES, sets, pad_token_id=PAD, tokens_per_batch=64)
    for name, members in sets.items():
        chosen = [EXAMPLES.index(row) for row in members]
        expected = (units @ units[chosen].T).mean(1)
        tolerance = 1e-6 if n_members == len(EXAMPLES) else 1e-9  # Llama's norms, differentiated twice, in float32
        assert [found.scores[name][row.id] for row in EXAMPLES] == pytest.approx(expected.tolist(), rel=tolerance)


def test_non_finite_examples_are_left_out_where_the_second_pass_stops_at_the_prefix() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    bad = replace(EXAMPLES[0], id="bad", prompt_ids=(*PREFIX, 5, 199, 9))
    clean = [row for row in EXAMPLES if 199 not in row.prompt_ids]
    expected = influence(model, clean, {"set": clean}, pad_token_id=PAD)
    poison(model, 199)
    found = influence(model, [*clean, bad], {"set": [bad, *clean]}, pad_token_id=PAD)
    assert found.non_finite == ("bad",)
    assert found.scores["set"] == pytest.approx(expected.scores["set"], rel=1e-6)


def test_the_company_in_a_batch_does_not_matter() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    sets = {"set": EXAMPLES[:4]}
    alone = influence(model, EXAMPLES, sets, pad_token_id=PAD, tokens_per_batch=1)
    shuffled = random.Random(0).sample(EXAMPLES, len(EXAMPLES))
    together = influence(model, shuffled, sets, pad_token_id=5, tokens_per_batch=10_000)
    assert together.scores["set"] == pytest.approx(alone.scores["set"], rel=1e-12)
    assert together.gradient_norms == pytest.approx(alone.gradient_norms, rel=1e-12)


def test_half_precision_models_differ_by_rounding_only() -> None:
    model = with_lora(tiny_model(dtype=torch.bfloat16))
    found = torch.cat([layer.gradients() for layer in shared(model)[1].values()], dim=1)
    assert found.dtype == torch.float32
    exact = with_lora(tiny_model(dtype=torch.float64))
    with torch.no_grad():
        for parameter, rounded in zip(exact.parameters(), model.parameters(), strict=True):
            parameter.copy_(rounded)
    expected = torch.stack(loop_gradients(exact, EXAMPLES)[1])
    cosines = torch.nn.functional.cosine_similarity(found.double(), expected)
    assert float(cosines.min()) > 0.998


def test_a_short_common_beginning_and_gradient_checkpointing_share_nothing() -> None:
    model = with_lora(tiny_model())
    linears = trainable_linears(model)
    assert SharedPrefix.of(model, linears, random_examples(7)) is None
    model.get_base_model().activation_checkpointing_enable()
    assert SharedPrefix.of(model, linears, EXAMPLES) is None


def test_a_sliding_window_shorter_than_the_examples_shares_nothing_and_a_longer_one_does() -> None:
    """Padding between the prefix and the own tokens would fill the window."""
    longest = max(example.n_tokens for example in EXAMPLES)
    for window, shares in ((longest - 1, False), (longest, True)):
        model = with_lora(tiny_model("gemma3", dtype=torch.float64, sliding_window=window))
        assert (SharedPrefix.of(model, trainable_linears(model), EXAMPLES) is not None) == shares
    assert_equals_loop(model, 1e-9)


def test_the_attention_implementation_is_left_as_it_was() -> None:
    model = with_lora(tiny_model())
    before = model.config._attn_implementation
    shared(model)
    assert model.config._attn_implementation == before
