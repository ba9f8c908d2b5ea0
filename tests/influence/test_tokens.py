"""Influence by token: the shares are those of the tokens' own gradients, and sum to the example's influence."""

from dataclasses import replace

import pytest
import torch
from tiny import ARCHITECTURES, ATTENTION, END, PAD, loop_gradients, random_examples, tiny_model, with_lora

from grait.errors import ModelError
from grait.influence import TokenizedExample, influence, token_influence

EXAMPLES = random_examples(6, completion=(2, 6))
SETS = {"one": random_examples(3, seed=5), "other": [*EXAMPLES[:2], *random_examples(2, seed=6, prefix="o")]}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shares_sum_to_exact_influence(architecture: str) -> None:
    model = with_lora(tiny_model(architecture, dtype=torch.float64), ATTENTION[architecture])
    expected = influence(model, EXAMPLES, SETS, pad_token_id=PAD)
    shares = token_influence(model, EXAMPLES, SETS, pad_token_id=PAD, tokens_per_batch=30)
    for name, scores in expected.scores.items():
        for example in EXAMPLES:
            own = shares[name][example.id]
            assert len(own) == len(example.completion_ids)
            assert sum(own) == pytest.approx(scores[example.id], abs=1e-7)


def test_a_share_is_the_product_of_the_tokens_own_gradient() -> None:
    """A token alone is an example whose prompt holds all that stands before it."""
    model = with_lora(tiny_model(dtype=torch.float64))
    example = EXAMPLES[0]
    own = token_influence(model, [example], SETS, pad_token_id=PAD)["one"][example.id]
    tokens = [
        TokenizedExample(str(i), (*example.prompt_ids, *example.completion_ids[:i]), (token,))
        for i, token in enumerate(example.completion_ids)
    ]
    gradients = loop_gradients(model, [example, *tokens])[1]
    targets = loop_gradients(model, SETS["one"])[1]
    direction = torch.stack([row / row.norm() for row in targets]).mean(0)
    expected = [float(row @ direction) / len(tokens) / float(gradients[0].norm()) for row in gradients[1:]]
    assert own == pytest.approx(expected, abs=1e-7)
    assert max(own) - min(own) > 1e-3


def test_shares_do_not_depend_on_the_batch() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    whole, single = (
        token_influence(model, EXAMPLES, SETS, pad_token_id=PAD, tokens_per_batch=n)["other"] for n in (4096, 1)
    )
    for name, own in whole.items():
        assert own == pytest.approx(single[name], abs=1e-7)


def test_shares_behind_a_common_beginning_sum_up_too() -> None:
    model = with_lora(tiny_model(dtype=torch.float64))
    shared = [replace(example, prompt_ids=(*range(20, 32), *example.prompt_ids)) for example in EXAMPLES]
    sets = {"end": [replace(shared[0], id="t", completion_ids=(9, END))]}
    expected = influence(model, shared, sets, pad_token_id=PAD).scores["end"]
    for name, own in token_influence(model, shared, sets, pad_token_id=PAD)["end"].items():
        assert sum(own) == pytest.approx(expected[name], abs=1e-7)


def test_gradient_checkpointing_is_refused() -> None:
    model = with_lora(tiny_model())
    model.activation_checkpointing_enable()
    with pytest.raises(ModelError, match=r"gradient_checkpointing: false"):
        token_influence(model, EXAMPLES, SETS, pad_token_id=PAD)
