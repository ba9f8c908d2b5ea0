"""Weighted tuning is the written formula, whatever the batches; with all weights 1 it is plain fine-tuning."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import ARCHITECTURES, ATTENTION, END, PAD, plain_loss, poison, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.config import LoraSection, OptimizerSection
from grait.errors import ConfigError, NonFiniteError
from grait.model import completions
from grait.model.common_prefix import SHORTEST
from grait.model.completions import IGNORED, TokenizedExample, collate, completion_losses
from grait.training import sft
from grait.training.examples import WeightedExample
from grait.training.road import training_road
from grait.training.sft import TrainingLog, add_adapter, n_steps, train

EXAMPLES = random_examples(19)
WEIGHTS = [0.25 * (index % 9) for index in range(19)]  # 0 to 2
WEIGHTED = [WeightedExample(example, weight) for example, weight in zip(EXAMPLES, WEIGHTS, strict=True)]


def settings(**changes: Any) -> OptimizerSection:
    plain: dict[str, Any] = {
        "learning_rate": 1e-2,
        "epochs": 1,
        "batch_size": 8,
        "micro_batch_size": 8,
        "scheduler": "constant",
        "warmup_ratio": 0.0,
        "max_grad_norm": 1.0,
    }
    return OptimizerSection(**(plain | changes))


def start() -> PeftModel:
    return with_lora(tiny_model(), ["q_proj", "down_proj"])


def run(
    examples: Sequence[WeightedExample], config: OptimizerSection, *, seed: int = 0, pad: int = PAD
) -> tuple[PeftModel, TrainingLog]:
    model = start()
    return model, train(model, examples, config, pad_token_id=pad, seed=seed)


def adapter(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def change(model: PeftModel) -> Tensor:
    """What training changed in the adapter that ``run`` starts from."""
    return flat(adapter(model)) - flat(adapter(start()))


def by_hand(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    step_loss: Callable[[list[Tensor]], Tensor],
    config: OptimizerSection,
    steps: int,
) -> tuple[list[float], torch.optim.AdamW]:
    """A training loop that shares no code with the package: every step takes all examples, one at a time."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=config.weight_decay
    )
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = step_loss([plain_loss(model, example) for example in examples])
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.stack([parameter.grad.norm() for parameter in parameters]).norm()  # type: ignore[union-attr]
        for parameter in parameters:
            parameter.grad *= min(1.0, config.max_grad_norm / float(norm))  # type: ignore[operator]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, optimizer


# -- the loss ---------------------------------------------------------------------------------------------------------


def test_completion_losses_are_plain_cross_entropy_of_the_completion() -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        model = tiny_model(dtype=dtype)
        expected = [float(plain_loss(model, example).detach()) for example in EXAMPLES]
        assert completion_losses(model, collate(EXAMPLES, PAD)).tolist() == pytest.approx(expected, rel=tolerance)


def test_prompt_tokens_and_padding_are_no_targets() -> None:
    targets = collate(EXAMPLES, PAD)["targets"]
    for row, example in zip(targets, EXAMPLES, strict=True):
        assert tuple(row[row != IGNORED].tolist()) == example.completion_ids


@pytest.mark.parametrize(("batch_size", "micro_batch_size"), [(20, 1), (20, 2), (20, 5), (19, 19)])
def test_logged_loss_is_the_weighted_sum_over_the_examples_of_the_step(batch_size: int, micro_batch_size: int) -> None:
    """(1/n) sum_i w_i l_i; accumulated over micro-batches it is also right when the last of them is smaller."""
    model = tiny_model()
    singles = torch.stack([plain_loss(model, example) for example in EXAMPLES]).double()
    expected = float((torch.tensor(WEIGHTS, dtype=torch.float64) * singles).sum() / len(EXAMPLES))
    fresh = add_adapter(model, LoraSection(r=4, target_modules=["q_proj"]), seed=0)  # B = 0: still the initial model
    log = train(
        fresh,
        WEIGHTED,
        settings(batch_size=batch_size, micro_batch_size=micro_batch_size),
        pad_token_id=PAD,
        seed=0,
    )
    assert log.losses == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("sizes", [{"micro_batch_size": 1}, {"micro_batch_size": 2}, {"micro_batch_size": 4}])
def test_training_does_not_depend_on_how_a_step_is_split_into_micro_batches(sizes: dict[str, int]) -> None:
    """19 examples in steps of 8: the last step of an epoch has 3, padded among themselves in every other way."""
    whole, expected = run(WEIGHTED, settings(epochs=2))
    split, log = run(WEIGHTED, settings(epochs=2, **sizes))
    assert len(log.losses) == len(expected.losses) == 6
    assert log.losses == pytest.approx(expected.losses, rel=1e-5)
    assert log.losses[0] == pytest.approx(expected.losses[0], rel=1e-6)
    moved = change(whole)
    assert float((change(split) - moved).norm() / moved.norm()) < 1e-3


PREFIX = tuple(range(20, 20 + SHORTEST))
BEHIND_PREFIX = [
    WeightedExample(replace(row.example, prompt_ids=(*PREFIX, *row.example.prompt_ids)), row.sample_weight)
    for row in WEIGHTED
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_common_beginning_runs_once_and_changes_nothing(architecture: str) -> None:
    """Every row alone in a batch of its own, and all of them behind keys and values of what they begin with."""
    seen: list[tuple[int, ...]] = []

    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if architecture == "gpt2" else {}

    def fresh() -> PeftModel:
        return with_lora(tiny_model(architecture, **no_dropout), ATTENTION[architecture])

    def trained(micro_batch_size: int) -> tuple[TrainingLog, dict[str, Tensor]]:
        model = fresh()
        model.register_forward_pre_hook(
            lambda _, __, given: seen.append(tuple(given["input_ids"].shape)), with_kwargs=True
        )
        config = settings(learning_rate=1e-3, epochs=2, micro_batch_size=micro_batch_size)
        return train(model, BEHIND_PREFIX, config, pad_token_id=PAD, seed=0, road=road), adapter(model)

    road = training_road(fresh(), PAD)
    assert road == "shared prefix"
    shared, found = trained(8)
    assert seen[::2] == [(1, SHORTEST)] * 6  # steps; in between, the examples' own tokens
    road = "no sharing"
    plain, expected = trained(1)
    assert shared.losses == pytest.approx(plain.losses, rel=1e-4)
    difference = flat(found) - flat(expected)
    begun = flat(adapter(fresh()))
    assert float(difference.norm() / (flat(expected) - begun).norm()) < 1e-2


def test_with_dropout_a_common_beginning_runs_for_every_row() -> None:
    """Every row has its own noise."""
    seen: list[int] = []
    for dropout in (0.0, 0.1):
        model = add_adapter(tiny_model(), LoraSection(r=2, dropout=dropout, target_modules=["q_proj"]), seed=0)
        road = training_road(model, PAD)
        model.register_forward_pre_hook(lambda _, __, given: seen.append(len(given["input_ids"])), with_kwargs=True)
        train(model, BEHIND_PREFIX[:8], settings(), pad_token_id=PAD, seed=0, road=road)
    assert seen == [1, 8, 8]


def test_a_smaller_last_step_is_divided_by_its_own_examples() -> None:
    """19 equal examples: every step then has the same loss, but for the change of the adapter."""
    same = [WeightedExample(replace(EXAMPLES[0], id=f"e{index}"), 1.0) for index in range(19)]
    expected = float(plain_loss(start(), EXAMPLES[0]).detach())
    for micro_batch_size in (1, 8):
        _, log = run(same, settings(learning_rate=1e-9, micro_batch_size=micro_batch_size))
        assert log.losses == pytest.approx([expected] * 3, rel=1e-5)


def test_a_step_is_the_weighted_sum_of_its_single_examples() -> None:
    config = settings(batch_size=19, micro_batch_size=19, epochs=4)
    weights = torch.tensor(WEIGHTS)
    model, log = run(WEIGHTED, config)
    hand = start()
    losses, _ = by_hand(hand, EXAMPLES, lambda singles: (weights * torch.stack(singles)).sum() / 19, config, steps=4)
    assert log.losses == pytest.approx(losses, rel=1e-5)
    moved = change(hand)
    assert float((change(model) - moved).norm() / moved.norm()) < 1e-3


# -- special weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micro_batch_size", [3, 18])
def test_all_weights_one_is_plain_fine_tuning(micro_batch_size: int) -> None:
    examples = EXAMPLES[:18]
    config = settings(batch_size=18, micro_batch_size=micro_batch_size, epochs=5, weight_decay=0.1)
    model, log = run([WeightedExample(example, 1.0) for example in examples], config)
    hand = start()
    losses, optimizer = by_hand(hand, examples, lambda singles: torch.stack(singles).mean(), config, steps=5)
    assert log.losses == pytest.approx(losses, rel=1e-5)
    moved = change(hand)
    assert float((change(model) - moved).norm() / moved.norm()) < 1e-3
    trained = {name: parameter for name, parameter in hand.named_parameters() if parameter.requires_grad}
    assert set(log.moments) == {f"{name}.{key}" for name in trained for key in ("exp_avg", "exp_avg_sq", "step")}
    for name, parameter in trained.items():
        state = optimizer.state[parameter]
        assert float(log.moments[f"{name}.step"]) == 5
        for key in ("exp_avg", "exp_avg_sq"):
            found = log.moments[f"{name}.{key}"]
            assert float((found - state[key]).norm() / state[key].norm()) < 1e-3


def test_all_weights_zero_leave_the_adapter_as_it_was() -> None:
    model, log = run([WeightedExample(example, 0.0) for example in EXAMPLES], settings(epochs=2))
    assert log.losses == [0.0] * 6
    assert not change(model).any()
    assert not any(tensor.any() for name, tensor in log.moments.items() if "exp_avg" in name)


def test_an_example_of_weight_zero_teaches_nothing() -> None:
    """What it says does not matter: only its place in the batch counts."""
    other = random_examples(19, seed=7)
    zero = [replace(row, sample_weight=0.0) if index % 3 == 0 else row for index, row in enumerate(WEIGHTED)]
    swapped = [replace(row, example=other[index]) if index % 3 == 0 else row for index, row in enumerate(zero)]
    one, _ = run(zero, settings(micro_batch_size=1))
    two, _ = run(swapped, settings(micro_batch_size=1))
    assert torch.equal(change(one), change(two))


def test_doubling_all_weights_doubles_the_loss() -> None:
    double = [replace(row, sample_weight=2 * row.sample_weight) for row in WEIGHTED]
    _, one = run(WEIGHTED, settings(learning_rate=1e-9))
    _, two = run(double, settings(learning_rate=1e-9))
    assert two.losses == pytest.approx([2 * loss for loss in one.losses], rel=1e-5)


# -- what must not matter, and what must ------------------------------------------------------------------------------


def test_the_same_seed_gives_identical_adapters_and_another_seed_another() -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        model = add_adapter(tiny_model(), LoraSection(r=4, dropout=0.1), seed)
        train(model, WEIGHTED, settings(epochs=2), pad_token_id=PAD, seed=seed)
        return adapter(model)

    first, again, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_the_padding_token_does_not_matter() -> None:
    one, _ = run(WEIGHTED, settings(), pad=PAD)
    two, _ = run(WEIGHTED, settings(), pad=150)
    assert torch.equal(change(one), change(two))


def test_only_the_adapter_is_trained() -> None:
    model = tiny_model()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    adapted = add_adapter(model, LoraSection(r=4), seed=0)
    train(adapted, WEIGHTED, settings(), pad_token_id=PAD, seed=0)
    after = dict(adapted.unload().named_parameters())
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_log_has_a_loss_for_every_step_and_progress_is_told_of_each() -> None:
    for epochs, expected in ((1, 3), (2, 6), (0.34, 1)):
        config = settings(epochs=epochs)
        told: list[int] = []
        model = with_lora(tiny_model(), ["q_proj"])
        log = train(model, WEIGHTED, config, pad_token_id=PAD, seed=0, advance=told.append)
        assert len(log.losses) == n_steps(19, config) == sum(told) == expected
        assert not model.training


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "gemma3"])
def test_other_architectures_train(architecture: str) -> None:
    model = add_adapter(tiny_model(architecture), LoraSection(r=4), seed=0)
    log = train(model, WEIGHTED, settings(epochs=4), pad_token_id=PAD, seed=0)
    assert log.losses[-3] < log.losses[0]


# -- what goes wrong --------------------------------------------------------------------------------------------------

POISON = 199


def with_poison(sample_weight: float = 1.0) -> list[WeightedExample]:
    """All examples, with two in their midst that hold the poisoned token."""
    assert not any(POISON in (*example.prompt_ids, *example.completion_ids) for example in EXAMPLES)
    bad = [
        WeightedExample(TokenizedExample(name, (9, POISON, 8), (5, END)), sample_weight) for name in ("bad-1", "bad-0")
    ]
    return [*WEIGHTED[:5], bad[0], *WEIGHTED[5:17], bad[1]]


@pytest.mark.parametrize("micro_batch_size", [1, 2, 8])
def test_non_finite_examples_are_left_out_named_and_leave_the_others_alone(micro_batch_size: int) -> None:
    """They are as if of weight 0. The loss of such a row must not even be in the sum: 0 * NaN is NaN."""
    config = settings(epochs=2, micro_batch_size=micro_batch_size)
    healthy = start()
    expected = train(healthy, with_poison(sample_weight=0.0), config, pad_token_id=PAD, seed=0)
    model = start()
    poison(model, POISON)
    log = train(model, with_poison(), config, pad_token_id=PAD, seed=0)
    assert log.non_finite == ("bad-0", "bad-1")
    assert expected.non_finite == ()
    assert log.losses == pytest.approx(expected.losses, rel=1e-5)
    moved = change(healthy)
    assert float((change(model) - moved).norm() / moved.norm()) < 1e-3
    assert all(tensor.isfinite().all() for tensor in log.moments.values())


def test_training_on_nothing_finite_is_an_error() -> None:
    model = with_lora(tiny_model(), ["q_proj"])
    poison(model, POISON)
    bad = [row for row in with_poison() if row.example.id.startswith("bad")]
    with pytest.raises(NonFiniteError, match="none of 2 examples has a finite loss"):
        train(model, bad, settings(), pad_token_id=PAD, seed=0)


def test_weights_that_stop_being_finite_are_an_error() -> None:
    """A finite loss can have a gradient that is not; a broken adapter must not be saved as if it were trained."""
    model = with_lora(tiny_model(), ["q_proj"])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trained[0].register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NonFiniteError, match="not finite after training; lower learning_rate"):
        train(model, WEIGHTED, settings(), pad_token_id=PAD, seed=0)


def test_target_modules_that_do_not_exist_are_a_config_error() -> None:
    for names in (["no_such"], ["q_proj", "no_such"], ["roj"]):  # PEFT passes over those that it does not find
        with pytest.raises(ConfigError, match=f"'{names[-1]}' is no layer of this model; it has .*q_proj"):
            add_adapter(tiny_model(), LoraSection(target_modules=names), seed=0)


def test_an_output_layer_that_is_the_input_embeddings_is_a_config_error() -> None:
    """Merged, an adapter on it would change the embeddings, too."""
    tied, untied = (tiny_model(tie_word_embeddings=is_tied) for is_tied in (True, False))
    with pytest.raises(ConfigError, match="'lm_head' is the output layer, whose weights are the input embeddings'"):
        add_adapter(tied, LoraSection(target_modules=["q_proj", "lm_head"]), seed=0)
    add_adapter(untied, LoraSection(target_modules=["q_proj", "lm_head"]), seed=0)


def test_gradients_of_float16_weights_are_kept_from_0_by_a_scaled_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is the Trainer's ``fp16``, which works on GPUs; weights of other types need none."""
    monkeypatch.setattr(PeftModel, "device", torch.device("cuda"), raising=False)
    given: list[bool] = []

    class Told(Exception):
        pass

    def arguments(**options: Any) -> None:
        given.append(options["fp16"])
        raise Told

    monkeypatch.setattr(sft, "TrainingArguments", arguments)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        with pytest.raises(Told):
            model = add_adapter(tiny_model(dtype=dtype), LoraSection(), seed=0)
            train(model, WEIGHTED, settings(), pad_token_id=PAD, seed=0)
    assert given == [True, False, False]


def test_float16_on_a_cpu_says_what_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    train(
        add_adapter(tiny_model(dtype=torch.float16), LoraSection(), seed=0),
        WEIGHTED,
        settings(),
        pad_token_id=PAD,
        seed=0,
    )
    assert "small gradients become 0" in capsys.readouterr().err


def test_the_launchers_mixed_precision_is_that_of_the_whole_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a head that runs in chunks, outside of the model's own forward pass."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    _, whole = run(WEIGHTED, settings())
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", 400)
    chunks = []
    run_head = completions._ChunkedHead._chunk
    monkeypatch.setattr(
        completions._ChunkedHead, "_chunk", lambda *given: chunks.append(run_head(*given)) or chunks[-1]
    )
    _, in_chunks = run(WEIGHTED, settings())
    assert len(chunks) > 10
    assert in_chunks.losses == pytest.approx(whole.losses, rel=1e-5)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")
    _, full = run(WEIGHTED, settings())
    assert full.losses != whole.losses and full.losses == pytest.approx(whole.losses, rel=2e-2)
