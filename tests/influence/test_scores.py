"""Influence from two passes is the naive pairwise form, has the right sign, and finds what is there to find."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny import END, PAD, loop_gradients, plain_loss, poison, random_examples, tiny_model, with_lora
from torch import Tensor

from grait.errors import DataError, ModelError, NonFiniteError
from grait.influence import GradientDatastore, Influence, influence, sketch
from grait.influence.batches import GradientPass
from grait.influence.engine import inner_products, mean_directions
from grait.influence.gradients import trainable_linears
from grait.model.completions import TokenizedExample

# Prompts of different lengths that all carry one completion, as the refusal text is.
REFUSAL = (17, 4, 130, END)
EXAMPLES = [replace(example, completion_ids=REFUSAL) for example in random_examples(14)]
SETS = {"idk": EXAMPLES[:8], "ik": EXAMPLES[8:]}
FLOAT64, FLOAT32 = torch.float64, torch.float32


def adapted(dtype: torch.dtype = FLOAT64, architecture: str = "llama") -> PeftModel:
    return with_lora(tiny_model(architecture, dtype=dtype))


def scores(
    model: PeftModel,
    examples: Sequence[TokenizedExample] = EXAMPLES,
    sets: Mapping[str, Sequence[TokenizedExample]] = SETS,
    tokens_per_batch: int = 64,
    memory: int = 0,
) -> Influence:
    return influence(model, examples, sets, pad_token_id=PAD, tokens_per_batch=tokens_per_batch, memory=memory)


def stable(found: Influence) -> dict[str, float]:
    """S = R - O by id."""
    return {key: found.scores["idk"][key] - found.scores["ik"][key] for key in found.scores["idk"]}


def units(model: PeftModel, examples: Sequence[TokenizedExample]) -> Tensor:
    """Unit gradients [examples, parameters] by the one-example loop."""
    return torch.stack([gradient / gradient.norm() for gradient in loop_gradients(model, examples)[1]])


def assert_same(found: Influence, expected: Influence, tolerance: float) -> None:
    assert found.non_finite == expected.non_finite
    for one, other in (
        (found.losses, expected.losses),
        (found.gradient_norms, expected.gradient_norms),
        *((found.scores[name], expected.scores[name]) for name in expected.scores),
    ):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance)


def test_a_transform_acts_on_every_gradient_before_it_is_made_a_unit() -> None:
    model = adapted()

    def root(gradients: Tensor) -> Tensor:
        return gradients.sign() * gradients.abs().sqrt()

    found = influence(model, EXAMPLES, SETS, pad_token_id=PAD, transform=lambda _, gradients: root(gradients))
    rows = torch.stack([root(gradient) / root(gradient).norm() for gradient in loop_gradients(model, EXAMPLES)[1]])
    for name, members in SETS.items():
        in_set = torch.tensor([example in members for example in EXAMPLES])
        expected = (rows @ rows.T)[:, in_set].mean(1).tolist()
        assert [found.scores[name][example.id] for example in EXAMPLES] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("architecture", "dtype", "tolerance"),
    [
        ("llama", FLOAT64, 1e-10),
        ("gpt2", FLOAT64, 1e-10),
        ("llama", FLOAT32, 1e-5),
        ("gpt_neox", FLOAT32, 1e-5),
        ("gemma3", FLOAT32, 1e-5),
    ],
)
def test_two_passes_equal_the_matrix_of_all_pairs(architecture: str, dtype: torch.dtype, tolerance: float) -> None:
    model = adapted(dtype, architecture)
    losses, gradients = loop_gradients(model, EXAMPLES)
    rows = units(model, EXAMPLES)
    pairs = rows @ rows.T
    in_idk = torch.tensor([example in SETS["idk"] for example in EXAMPLES])
    refusal, over_refusal = pairs[:, in_idk].mean(1), pairs[:, ~in_idk].mean(1)
    found = scores(model)
    ids = [example.id for example in EXAMPLES]
    assert [found.losses[key] for key in ids] == pytest.approx(losses, rel=tolerance)
    assert [found.gradient_norms[key] for key in ids] == pytest.approx(
        [float(g.norm()) for g in gradients], rel=tolerance
    )
    for name, expected in (("idk", refusal), ("ik", over_refusal)):
        error = torch.tensor([found.scores[name][key] for key in ids], dtype=dtype) - expected
        assert float(error.norm() / expected.norm()) < tolerance
    stable_influence = refusal - over_refusal
    error = torch.tensor([stable(found)[key] for key in ids], dtype=dtype) - stable_influence
    assert float(error.norm() / stable_influence.norm()) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(FLOAT64, 1e-12), (FLOAT32, 1e-5)])
def test_scores_do_not_depend_on_batch_size(dtype: torch.dtype, tolerance: float) -> None:
    model = adapted(dtype)
    alone = scores(model, tokens_per_batch=1)
    for tokens_per_batch in (20, 64, 10_000):
        assert_same(scores(model, tokens_per_batch=tokens_per_batch), alone, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(FLOAT64, 1e-12), (FLOAT32, 1e-5)])
def test_scores_do_not_depend_on_the_order_of_examples_and_members(dtype: torch.dtype, tolerance: float) -> None:
    model = adapted(dtype)
    expected = scores(model)
    generator = random.Random(0)
    for _ in range(3):
        shuffled = generator.sample(EXAMPLES, len(EXAMPLES))
        sets = {name: generator.sample(SETS[name], len(SETS[name])) for name in ("ik", "idk")}
        assert_same(scores(model, shuffled, sets), expected, tolerance)


def test_a_small_step_on_one_example_changes_the_loss_of_another_by_minus_lr_times_the_product() -> None:
    model = adapted(FLOAT64, "gpt2")  # its norms run in float64; those of Llama round to float32, which hides the rest
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in parameters]
    signs = set()
    for i, j in ((0, 1), (2, 9), (5, 5), (12, 3), (7, 10)):
        learned, watched = EXAMPLES[i], replace(random_examples(14, seed=3)[j], id="watched")
        found = influence(model, [learned, watched], {"set": [watched]}, pad_token_id=PAD, tokens_per_batch=1000)
        product = found.scores["set"][learned.id] * found.gradient_norms[learned.id] * found.gradient_norms["watched"]
        signs.add(product > 0)
        gradients = torch.autograd.grad(plain_loss(model, learned), parameters)
        before = float(plain_loss(model, watched).detach())
        rests = []
        for rate in (1e-4, 0.5e-4):
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= rate * gradient
                change = float(plain_loss(model, watched)) - before
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value)
            assert change == pytest.approx(-rate * product, rel=0.1)
            rests.append(change + rate * product)
        # What is left over is of second order: half the step, a quarter of the rest.
        assert rests[0] / rests[1] == pytest.approx(4, rel=0.1)
    assert signs == {True, False}


def test_scores_are_cosines() -> None:
    found = scores(adapted())
    assert all(-1 <= value <= 1 for by_id in found.scores.values() for value in by_id.values())


def test_self_influence_is_one() -> None:
    model = adapted()
    found = scores(model, sets={example.id: [example] for example in EXAMPLES})
    for example in EXAMPLES:
        assert found.scores[example.id][example.id] == pytest.approx(1, abs=1e-12)


def test_influence_of_a_set_on_itself_is_symmetric_and_positive_semidefinite() -> None:
    found = scores(adapted(), sets={example.id: [example] for example in EXAMPLES})
    ids = [example.id for example in EXAMPLES]
    matrix = torch.tensor([[found.scores[j][i] for j in ids] for i in ids], dtype=FLOAT64)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_sets_may_share_examples_and_each_is_run_once() -> None:
    model = adapted()
    both = {"idk": EXAMPLES[:9], "ik": EXAMPLES[6:], "all": EXAMPLES}
    steps: list[int] = []
    found = influence(model, EXAMPLES, both, pad_token_id=PAD, tokens_per_batch=64, advance=steps.append)
    assert sum(steps) == 2 * len(EXAMPLES)
    for name, members in both.items():
        alone = scores(model, sets={name: members})
        assert found.scores[name] == pytest.approx(alone.scores[name], abs=1e-12)


def test_gradients_that_fit_into_memory_are_not_taken_again_and_change_nothing() -> None:
    model = adapted()
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _inputs, options: rows.append(len(options["input_ids"])), with_kwargs=True
    )
    size = 8 * sum(layer.weight.numel() for layer in trainable_linears(model).values())
    sets = {"idk": EXAMPLES[:8], "ik": [*EXAMPLES[10:], replace(EXAMPLES[8], id="other", completion_ids=(50, END))]}
    n_in_sets = 12  # of the 14 examples
    told: list[int] = []
    expected, run = scores(model, sets=sets), {}
    for kept, memory in ((0, 0), (0, size - 1), (5, 5 * size + 3), (n_in_sets, 10**9)):
        rows.clear()
        told.clear()
        found = influence(
            model,
            EXAMPLES,
            sets,
            pad_token_id=PAD,
            tokens_per_batch=64,
            memory=memory,
            advance=told.append,
            road="no sharing",
        )
        assert_same(found, expected, 1e-12)
        run[memory] = sum(rows)
        assert run[0] - run[memory] == kept
        assert sum(told) == sum(map(len, sets.values())) + len(EXAMPLES)


def test_a_memory_below_0_is_one_line() -> None:
    with pytest.raises(DataError, match="memory is -1; expected"):
        scores(adapted(), memory=-1)


def test_one_id_may_carry_another_completion_in_a_set() -> None:
    """The known question with its answer against the same question with the refusal (retention influence)."""
    model = adapted()
    answers = [replace(example, completion_ids=(50, END)) for example in EXAMPLES]
    found = scores(model, sets={"answers": answers})
    expected = (units(model, EXAMPLES) @ units(model, answers).T).mean(1)
    assert [found.scores["answers"][example.id] for example in EXAMPLES] == pytest.approx(expected.tolist(), abs=1e-10)


POISON = 199


def poisoned_examples() -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """All examples, two of them with the poisoned token; and those without."""
    clean = [example for example in EXAMPLES if POISON not in example.prompt_ids]
    bad = [
        replace(clean[1], id="bad-1", prompt_ids=(5, POISON, 9, 12)),
        replace(clean[1], id="bad-0", prompt_ids=(POISON,)),
    ]
    return [clean[0], bad[0], *clean[1:], bad[1]], clean


@pytest.mark.parametrize("tokens_per_batch", [1, 64, 10_000])
def test_non_finite_examples_are_left_out_named_and_leave_the_others_alone(tokens_per_batch: int) -> None:
    model = adapted()
    examples, clean = poisoned_examples()
    expected = scores(model, clean, {"idk": clean[:6], "ik": clean[6:]})
    poison(model, POISON)
    bad = [example for example in examples if example not in clean]
    for memory in (0, 10**9):
        sets = {"idk": [bad[0], *clean[:6]], "ik": [*clean[6:], bad[1]]}
        found = scores(model, examples, sets, tokens_per_batch, memory)
        assert found.non_finite == ("bad-0", "bad-1")
        assert_same(replace(found, non_finite=()), expected, 1e-12)
        assert all(math.isfinite(value) for by_id in found.scores.values() for value in by_id.values())


def test_a_non_finite_example_of_a_set_only_is_named_too() -> None:
    model = adapted()
    examples, clean = poisoned_examples()
    poison(model, POISON)
    found = scores(model, clean, {"set": examples})
    assert found.non_finite == ("bad-0", "bad-1")
    assert_same(replace(found, non_finite=()), scores(model, clean, {"set": clean}), 1e-12)


def test_a_set_without_a_finite_example_is_an_error() -> None:
    model = adapted()
    examples, clean = poisoned_examples()
    poison(model, POISON)
    bad = [example for example in examples if example not in clean]
    with pytest.raises(NonFiniteError, match="no example of set ik has a finite"):
        scores(model, clean, {"idk": clean, "ik": bad})
    with pytest.raises(NonFiniteError, match="none of 2 examples"):
        scores(model, bad, {"idk": clean})


def test_empty_sets_and_ids_given_twice_are_errors_that_name_the_set() -> None:
    model = adapted()
    with pytest.raises(DataError, match="examples is empty"):
        scores(model, [])
    with pytest.raises(DataError, match="ik is empty"):
        scores(model, sets={"idk": EXAMPLES, "ik": []})
    with pytest.raises(DataError, match="examples holds an id twice: q03"):
        scores(model, [*EXAMPLES, EXAMPLES[3]])
    with pytest.raises(DataError, match="idk holds an id twice: q02"):
        scores(model, sets={"idk": [*EXAMPLES[:3], EXAMPLES[2]], "ik": EXAMPLES})


def test_a_model_that_cannot_be_covered_is_refused() -> None:
    with pytest.raises(ModelError, match="no trainable linear layer"):
        influence(tiny_model(), EXAMPLES, SETS, pad_token_id=PAD)


def test_dropout_plays_no_part_and_the_mode_of_the_model_is_kept() -> None:
    model = with_lora(tiny_model(dtype=FLOAT64), lora_dropout=0.5)
    expected = scores(model)
    model.train()
    assert_same(scores(model), expected, 0)
    assert model.training
    with pytest.raises(NonFiniteError):
        poison(model, EXAMPLES[0].prompt_ids[0])
        scores(model, EXAMPLES[:1], {"set": EXAMPLES[:1]})
    assert model.training


def test_weights_and_their_gradients_are_left_as_they_were() -> None:
    model = adapted()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    scores(model)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


# Two kinds of questions whose words have nothing in common: a boundary that influence must find.
def two_kinds() -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    def kind(words: range, prefix: str) -> list[TokenizedExample]:
        generator = random.Random(words.start)
        return [
            TokenizedExample(f"{prefix}{index}", tuple(generator.choices(words, k=generator.randint(4, 8))), REFUSAL)
            for index in range(20)
        ]

    return kind(range(20, 26), "u"), kind(range(100, 106), "k")


def separation(
    found: Mapping[str, float], unknown: Sequence[TokenizedExample], known: Sequence[TokenizedExample]
) -> float:
    """Mean S of the unknown less mean S of the known."""
    return sum(found[row.id] for row in unknown) / len(unknown) - sum(found[row.id] for row in known) / len(known)


def test_stable_influence_separates_two_kinds_and_shuffled_labels_do_not() -> None:
    unknown, known = two_kinds()
    model = adapted(FLOAT32)
    seen = unknown[:12] + known[:12]
    held_out = unknown[12:] + known[12:]
    sets: dict[str, list[TokenizedExample]] = {"idk": unknown[:12], "ik": known[:12]}
    generator = random.Random(0)
    for draw in range(10):  # both halves of a shuffle hold as many of each kind
        one, other = generator.sample(unknown[:12], 12), generator.sample(known[:12], 12)
        sets[f"idk-{draw}"], sets[f"ik-{draw}"] = one[:6] + other[:6], one[6:] + other[6:]
    assert all(row in seen for members in sets.values() for row in members)
    found = scores(model, held_out, sets).scores
    values = {row.id: found["idk"][row.id] - found["ik"][row.id] for row in held_out}
    assert min(values[row.id] for row in unknown[12:]) > max(values[row.id] for row in known[12:])
    true = separation(values, unknown[12:], known[12:])
    for draw in range(10):
        shuffled = {row.id: found[f"idk-{draw}"][row.id] - found[f"ik-{draw}"][row.id] for row in held_out}
        assert abs(separation(shuffled, unknown[12:], known[12:])) < true / 3


def test_random_directions_in_place_of_the_sets_gradients_separate_nothing() -> None:
    unknown, known = two_kinds()
    model = adapted(FLOAT32)
    run = GradientPass(model, trainable_linears(model), PAD, 512, lambda _: None)
    directions, _ = mean_directions(run, {"idk": unknown[:12], "ik": known[:12]})
    held_out = unknown[12:] + known[12:]

    def separation_by(given: dict[str, Tensor]) -> float:
        found = inner_products(run, held_out, given, ["idk", "ik"], {})
        return separation(stable(found), unknown[12:], known[12:])

    true = separation_by(directions)
    assert true > 0
    torch.manual_seed(0)
    for _ in range(5):
        noise = {name: torch.randn_like(direction) for name, direction in directions.items()}
        noise = {name: noise[name] * (directions[name].norm() / noise[name].norm()) for name in noise}
        assert abs(separation_by(noise)) < true / 3
    negated = {name: -direction for name, direction in directions.items()}
    assert separation_by(negated) == pytest.approx(-true, rel=1e-5)


def test_lists_of_tokens_and_paths_as_text_are_taken(tmp_path: Path) -> None:
    model = adapted()
    listed = [TokenizedExample(row.id, [*row.prompt_ids], [*row.completion_ids]) for row in EXAMPLES]  # type: ignore[arg-type]
    sets = {"idk": listed[:8], "ik": listed[8:]}
    expected = scores(model)
    found = influence(model, listed, sets, pad_token_id=PAD, memory=1e9, resume=str(tmp_path / "kept"))
    assert_same(found, expected, 1e-10)
    assert_same(influence(model, listed, sets, pad_token_id=PAD, memory=1e9), expected, 1e-10)
    made = sketch(model, listed, str(tmp_path / "store"), pad_token_id=PAD, dimensions=16)
    assert GradientDatastore.open(str(tmp_path / "store")).ids == made.ids


def test_what_no_pass_can_take_is_one_line(tmp_path: Path) -> None:
    model = adapted()
    beyond = [*EXAMPLES, TokenizedExample("far", (1, 10**6), (2,))]
    with pytest.raises(DataError, match="example far: the token 1000000 is none of the model's"):
        scores(model, beyond)
    with pytest.raises(DataError, match="dimensions is 0"):
        sketch(model, EXAMPLES, tmp_path / "store", pad_token_id=PAD, dimensions=0)
