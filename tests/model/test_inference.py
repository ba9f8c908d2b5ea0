"""Inference that shares what prompts have in common gives what plain inference gives."""

import math
import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from tiny import ARCHITECTURES, PAD, POSITIONS, tiny_model, with_lora
from tiny_engine import ENDS, MAX_NEW_TOKENS, engine_of, random_prompts
from transformers import GenerationConfig, PreTrainedModel

from grait.errors import ModelError
from grait.model.common_prefix import common_prefix_length
from grait.model.inference import InferenceEngine
from grait.model.sampling import by_length, choose, uniforms


def names(n: int) -> list[str]:
    return [f"q{index}" for index in range(n)]


def greedy(
    engine: InferenceEngine, prompts: Sequence[Sequence[int]], max_new_tokens: int = MAX_NEW_TOKENS
) -> list[list[int]]:
    answers = engine.generate(
        prompts, names(len(prompts)), n=1, temperature=0, max_new_tokens=max_new_tokens, end_token_ids=ENDS
    )
    return [own[0] for own in answers]


def sampled(
    engine: InferenceEngine,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    *,
    n: int = 4,
    seed: int = 0,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> dict[str, list[list[int]]]:
    answers = engine.generate(
        prompts, keys, n=n, temperature=0.7, max_new_tokens=max_new_tokens, end_token_ids=ENDS, seed=seed
    )
    return dict(zip(keys, answers, strict=True))


def library_greedy(model: PreTrainedModel, prompt: Sequence[int]) -> list[int]:
    """The answer by transformers' own generate, without its end token."""
    config = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS, do_sample=False, eos_token_id=sorted(ENDS), pad_token_id=PAD
    )
    ids = torch.tensor([list(prompt)])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    answer = output[0, len(prompt) :].tolist()
    return answer[:-1] if answer[-1] in ENDS else answer


def plain_logprobs(model: PreTrainedModel, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    """By one forward pass over prompt and completion, without padding or cache."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *completion]]), use_cache=False).logits[0]
    rows = logits.double().log_softmax(-1)[len(prompt) - 1 : -1]
    return [float(row[token]) for row, token in zip(rows, completion, strict=True)]


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [0, 7])
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_answers_are_those_of_the_library(architecture: str, shares: bool, shared: int) -> None:
    model = tiny_model(architecture)
    prompts = random_prompts(shared=shared)
    assert common_prefix_length(prompts) == shared
    expected = [library_greedy(model, prompt) for prompt in prompts]
    assert len({len(answer) for answer in expected}) > 2
    assert greedy(engine_of(model, shares=shares), prompts) == expected


def test_greedy_answers_through_an_adapter_are_those_of_the_library() -> None:
    model = with_lora(tiny_model())
    prompts = random_prompts()
    expected = [library_greedy(model, prompt) for prompt in prompts]
    assert expected != [library_greedy(tiny_model(), prompt) for prompt in prompts]
    assert greedy(engine_of(model), prompts) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_do_not_depend_on_batches_and_order(architecture: str) -> None:
    model = tiny_model(architecture)
    prompts = random_prompts()
    alone = [greedy(engine_of(model, tokens_per_batch=1), [prompt])[0] for prompt in prompts]
    for tokens_per_batch in (1, 40, 10_000):
        assert greedy(engine_of(model, tokens_per_batch=tokens_per_batch), prompts) == alone
        assert greedy(engine_of(model, tokens_per_batch=tokens_per_batch), prompts[::-1]) == alone[::-1]


def test_a_shorter_answer_is_the_beginning_of_a_longer_one() -> None:
    engine = engine_of(tiny_model())
    prompts = random_prompts()
    full = greedy(engine, prompts, MAX_NEW_TOKENS)
    for length in (1, 3):
        assert greedy(engine, prompts, length) == [answer[:length] for answer in full]


def test_end_tokens_are_not_part_of_an_answer() -> None:
    answers = greedy(engine_of(tiny_model()), random_prompts(30))
    assert not any(token in ENDS for answer in answers for token in answer)
    assert {len(answer) for answer in answers} >= {1, MAX_NEW_TOKENS}


def test_progress_is_told_of_every_prompt_once() -> None:
    told: list[int] = []
    prompts = random_prompts()
    engine_of(tiny_model()).generate(
        prompts, names(9), n=1, temperature=0, max_new_tokens=2, end_token_ids=ENDS, advance=told.append
    )
    assert sum(told) == 9
    assert len(told) > 1


# -- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_depend_on_seed_and_id_only(architecture: str) -> None:
    model = tiny_model(architecture)
    prompts, keys = random_prompts(), names(9)
    first = sampled(engine_of(model), prompts, keys)
    assert len({tuple(sample) for own in first.values() for sample in own}) > 20
    for tokens_per_batch, shares in ((1, True), (10_000, True), (64, False)):
        engine = engine_of(model, tokens_per_batch=tokens_per_batch, shares=shares)
        assert sampled(engine, prompts, keys) == first
    assert sampled(engine_of(model), prompts[::-1], keys[::-1]) == first
    few = sampled(engine_of(model), prompts[2:5], keys[2:5])
    assert few == {key: first[key] for key in keys[2:5]}
    assert sampled(engine_of(model), prompts, keys, seed=1) != first
    renamed = sampled(engine_of(model), prompts[:1], ["another id"])
    assert renamed["another id"] != first["q0"]


def test_samples_of_the_same_question_differ() -> None:
    own = sampled(engine_of(tiny_model()), random_prompts(1), ["q"], n=30)["q"]
    assert len({tuple(sample) for sample in own}) > 20


def test_samples_follow_the_distribution_of_the_model() -> None:
    """First and second token of many samples, each seeing its own first token only."""
    model = tiny_model(vocab_size=12, spread=0.3)
    prompt = [3, 8, 5, 2]
    temperature = 1.3
    n = 4000
    samples = InferenceEngine(model, PAD).generate(
        [prompt, [3, 8, 7, 7]],
        ["q", "other"],
        n=n,
        temperature=temperature,
        max_new_tokens=2,
        end_token_ids=frozenset(),
        seed=5,
    )[0]
    with torch.no_grad():
        first = (model(torch.tensor([prompt])).logits[0, -1].double() / temperature).softmax(-1)
        continued = torch.tensor([[*prompt, token] for token in range(12)])
        second = (model(continued).logits[:, -1].double() / temperature).softmax(-1)
    joint = (first[:, None] * second).flatten()
    counts = torch.zeros(12, 12, dtype=torch.float64)
    for one, two in samples:
        counts[one, two] += 1
    common = joint * n >= 5  # the test asks for enough of every kind; the rare ones are counted together
    observed = [*counts.flatten()[common].tolist(), float(counts.flatten()[~common].sum())]
    expected = [*(joint[common] * n).tolist(), float(joint[~common].sum() * n)]
    assert common.sum() > 20
    assert chisquare(observed, expected).pvalue > 1e-3


def test_choose_follows_the_distribution() -> None:
    logits = torch.randn(2, 1, 20, generator=torch.Generator().manual_seed(0)) * 2
    n = 20_000
    draws = torch.from_numpy(uniforms(0, "key", (2, n)))
    for temperature in (0.5, 1.0, 2.0):
        chosen = choose(logits.expand(-1, n, -1), draws, temperature)
        probabilities = (logits[:, 0].double() / temperature).softmax(-1)
        for row in range(2):
            counts = torch.bincount(chosen[row], minlength=20).double()
            rare = probabilities[row] * n < 5
            observed = [*counts[~rare].tolist(), *([float(counts[rare].sum())] if rare.any() else [])]
            expected = [
                *(probabilities[row][~rare] * n).tolist(),
                *([float(probabilities[row][rare].sum() * n)] if rare.any() else []),
            ]
            assert chisquare(observed, expected, sum_check=False).pvalue > 1e-3


def test_choose_is_the_inverse_distribution_and_never_takes_an_impossible_token() -> None:
    logits = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0]).log().expand(1, 6, 6)
    draws = torch.tensor([[0.0, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 2**-53]], dtype=torch.float64)
    assert choose(logits, draws, 1.0).tolist() == [[1, 1, 3, 3, 4, 4]]


def test_choose_without_temperature_takes_the_most_probable_token() -> None:
    logits = torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(logits, torch.rand(3, 4), 0), logits.argmax(-1))


def test_uniform_numbers_are_uniform_and_named_by_seed_and_key() -> None:
    numbers = uniforms(0, "a", (50, 100))
    assert ((numbers >= 0) & (numbers < 1)).all()
    counts = torch.histc(torch.from_numpy(numbers), bins=20, min=0, max=1)
    assert chisquare(counts.tolist()).pvalue > 1e-3
    assert (numbers == uniforms(0, "a", (50, 100))).all()
    assert not (numbers == uniforms(1, "a", (50, 100))).any()
    assert not (numbers == uniforms(0, "b", (50, 100))).any()


# -- log-probabilities ------------------------------------------------------------------------------------------------


def some_completions(n: int) -> list[list[list[int]]]:
    """One to four completions of one to five tokens for each prompt."""
    generator = random.Random(4)
    return [
        [[generator.randrange(1, 200) for _ in range(generator.randint(1, 5))] for _ in range(generator.randint(1, 4))]
        for _ in range(n)
    ]


@pytest.mark.parametrize("shared", [0, 7])
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logprobs_are_those_of_a_plain_forward_pass(architecture: str, shares: bool, shared: int) -> None:
    model = tiny_model(architecture)
    prompts = random_prompts(shared=shared)
    completions = some_completions(len(prompts))
    scored = engine_of(model, shares=shares).completion_logprobs(prompts, completions)
    for prompt, own, found in zip(prompts, completions, scored, strict=True):
        assert [len(tokens) for tokens in found] == [len(completion) for completion in own]
        for completion, tokens in zip(own, found, strict=True):
            assert tokens == pytest.approx(plain_logprobs(model, prompt, completion), abs=1e-5)
            assert all(value <= 0 for value in tokens)


def test_logprobs_of_a_model_that_caps_attention_scores_are_those_of_a_plain_forward_pass() -> None:
    """Gemma 2, with scores that are well beyond the cap."""
    prompts = random_prompts()
    completions = some_completions(len(prompts))
    found = {}
    for cap in (0.5, 1000.0):
        model = tiny_model("gemma2", attn_logit_softcapping=cap, query_pre_attn_scalar=1)
        scored = engine_of(model).completion_logprobs(prompts, completions)
        found[cap] = [value for own in scored for tokens in own for value in tokens]
        expected = [
            value
            for prompt, own in zip(prompts, completions, strict=True)
            for completion in own
            for value in plain_logprobs(model, prompt, completion)
        ]
        assert found[cap] == pytest.approx(expected, abs=1e-5)
    assert max(abs(one - other) for one, other in zip(found[0.5], found[1000.0], strict=True)) > 0.1


def test_logprobs_do_not_depend_on_batches_order_and_the_other_completions() -> None:
    model = tiny_model()
    prompts = random_prompts()
    completions = some_completions(len(prompts))
    expected = [value for own in engine_of(model).completion_logprobs(prompts, completions) for value in own]
    for tokens_per_batch in (1, 10_000):
        engine = engine_of(model, tokens_per_batch=tokens_per_batch)
        found = engine.completion_logprobs(prompts[::-1], [own[::-1] for own in completions[::-1]])
        again = [value for own in found[::-1] for value in own[::-1]]
        for one, other in zip(again, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-5)


def test_next_token_probabilities_sum_to_one() -> None:
    engine = engine_of(tiny_model())
    scored = engine.completion_logprobs(random_prompts(3), [[[token] for token in range(200)]] * 3)
    for own in scored:
        assert math.fsum(math.exp(tokens[0]) for tokens in own) == pytest.approx(1, abs=1e-5)


# -- batches and prefixes ---------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_common_prefix_is_the_longest_that_leaves_every_prompt_a_token(prompts: list[list[int]]) -> None:
    def is_common(length: int) -> bool:
        return all(len(prompt) > length and prompt[:length] == prompts[0][:length] for prompt in prompts)

    found = common_prefix_length(prompts)
    assert is_common(found)
    assert not is_common(found + 1)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 200), st.integers(0, 20))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int, width: int) -> None:
    batches = list(by_length(lengths, budget, width))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * (max(lengths[position] for position in batch) + width) <= budget
    flat = [lengths[position] for batch in batches for position in batch]
    assert flat == sorted(lengths, reverse=True)


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_prompts_longer_than_the_model_attends_to_are_a_model_error() -> None:
    prompts = [[5] * (POSITIONS - 9), [6]]
    engine = engine_of(tiny_model())
    greedy(engine, prompts, 9)
    with pytest.raises(ModelError, match=f"{POSITIONS + 1} tokens of prompt and answer exceed the {POSITIONS}"):
        greedy(engine, prompts, 10)
    with pytest.raises(ModelError, match=f"exceed the {POSITIONS}"):
        engine.completion_logprobs(prompts, [[[1] * 10], [[1]]])


@pytest.mark.parametrize("shared", [0, 30])
def test_beyond_a_sliding_window_answers_are_those_of_the_library(shared: int) -> None:
    """The window is not the context: what is further away than 8 tokens is seen by the other layers only."""
    model = tiny_model("gemma3", sliding_window=8)
    prompts = random_prompts(shared=shared)
    engine = engine_of(model)
    assert greedy(engine, prompts) == [library_greedy(model, prompt) for prompt in prompts]
    completions = [[[7, 8, 9], [7, 8, 10], [5]]] * len(prompts)
    for prompt, own in zip(prompts, engine.completion_logprobs(prompts, completions), strict=True):
        for completion, found in zip(completions[0], own, strict=True):
            assert found == pytest.approx(plain_logprobs(model, prompt, completion), abs=1e-4)
    both = engine.answers_both_ways(prompts, [[7, 8]] * len(prompts), max_new_tokens=4, end_token_ids=ENDS)
    wide = engine_of(tiny_model("gemma3", sliding_window=POSITIONS))
    assert [row.answer for row in both] != [answer[:4] for answer in greedy(wide, prompts)]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_models_own_attention_is_back_after_use_and_after_an_error(implementation: str) -> None:
    model = with_lora(tiny_model())
    model.set_attn_implementation(implementation)
    prompts = random_prompts()
    engine = engine_of(model)
    expected = greedy(engine, prompts)
    assert model.config._attn_implementation == implementation

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    handle = (
        model.get_base_model()
        .model.layers[1]
        .mlp.register_forward_hook(lambda *_: broken() if model.config._attn_implementation != implementation else None)
    )
    with pytest.raises(RuntimeError, match="broken"):
        greedy(engine, prompts)
    handle.remove()
    assert model.config._attn_implementation == implementation
    assert greedy(engine, prompts) == expected


@pytest.mark.parametrize("shared", [0, 7])
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_answers_are_those_of_passes_of_their_own(architecture: str, shares: bool, shared: int) -> None:
    """The scored completions leave no trace in the answers, nor one answer in the other."""
    model = tiny_model(architecture)
    prompts = random_prompts(shared=shared)
    completions = [own[-1] for own in some_completions(len(prompts))]
    engine = engine_of(model, shares=shares)
    ends, keys = frozenset([3]), [str(row) for row in range(len(prompts))]
    answers = [
        answer for (answer,) in engine.generate(prompts, keys, n=1, temperature=0, max_new_tokens=6, end_token_ids=ends)
    ]
    completions[::2] = [[*answer, 3] for answer in answers[::2]]  # so these begin as the greedy answer does
    found = engine.answers_both_ways(prompts, completions, max_new_tokens=6, end_token_ids=ends)
    assert [both.answer for both in found] == answers
    assert any(both.answer != both.suppressed for both in found)
    suppressed = [[*both.suppressed, 3][: len(both.suppressed_logprobs)] for both in found]
    logprobs = engine.completion_logprobs(prompts, [list(texts) for texts in zip(completions, suppressed, strict=True)])
    for both, (of_completion, of_suppressed) in zip(found, logprobs, strict=True):
        assert both.completion_logprobs == pytest.approx(of_completion, abs=1e-5)
        assert both.suppressed_logprobs == pytest.approx(of_suppressed, abs=1e-5)
