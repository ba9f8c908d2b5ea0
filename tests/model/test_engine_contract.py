"""What the pipeline relies on in every inference engine, against plain forward passes over one sequence at a time.

Three times: transformers, vLLM in the place of a fake that answers by transformers (what is sent to vLLM, and what is
made of its answers), and vLLM itself, where it is installed with a device that it can use.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fake_vllm
import pytest
import torch
from scipy.stats import chisquare
from tiny import PAD, POSITIONS, tiny_model, with_lora
from transformers import PreTrainedModel

from grait.config import InferenceConfig, ModelConfig
from grait.errors import ModelError
from grait.model.adapters import load_adapter
from grait.model.engine import Engine
from grait.model.inference import InferenceEngine
from grait.model.load import load_model
from grait.model.vllm_engine import VllmModel

ENDS = frozenset(range(1, 25))
"""Many tokens end an answer, so that answers have different lengths."""
TOLERANCE = 1e-4

PREFIX = (7, 120, 33, 180, 45, 91, 28)
PROMPTS = [[*PREFIX, 30 + i, *((37 * i + 11 * j) % 170 + 25 for j in range(1 + 3 * i % 8))] for i in range(7)]
KEYS = [f"q{i}" for i in range(7)]


@dataclass(frozen=True)
class Loaded:
    """One engine's model as it is and with an adapter, and both as plain models."""

    base: Engine
    tuned: Engine
    plain: PreTrainedModel
    plain_tuned: PreTrainedModel


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, in sizes that vLLM's kernels take, and an adapter for it that changes its answers."""
    folder = tmp_path_factory.mktemp("contract")
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    model = tiny_model(intermediate_size=64, **sizes)
    model.save_pretrained(folder / "model")
    with_lora(model).save_pretrained(folder / "adapter")
    return folder / "model", folder / "adapter"


@pytest.fixture(scope="module", params=["transformers", "vllm faked", "vllm"])
def loaded(request: pytest.FixtureRequest, folders: tuple[Path, Path]) -> Iterator[Loaded]:
    folder, adapter = folders
    config = ModelConfig(name=str(folder), dtype="float32")
    on_cpu = config.model_copy(update={"device": "cpu"})
    plain, plain_tuned = load_model(on_cpu), load_adapter(load_model(on_cpu), adapter)
    if request.param == "transformers":
        base = InferenceEngine(load_model(on_cpu), PAD, 64)
        tuned = InferenceEngine(load_adapter(load_model(on_cpu), adapter), PAD, 64)
        yield Loaded(base, tuned, plain, plain_tuned)
    elif request.param == "vllm faked":
        with fake_vllm.installed():
            served = VllmModel(config, InferenceConfig(engine="vllm"), max_rank=4)
            yield Loaded(served.engine(None), served.engine(adapter), plain, plain_tuned)
            served.close()
    else:
        skip_without_vllm()
        served = VllmModel(config, InferenceConfig(engine="vllm", gpu_memory_utilization=0.3), max_rank=4)
        yield Loaded(served.engine(None), served.engine(adapter), plain, plain_tuned)
        served.close()


def skip_without_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: pip install 'grait[vllm]'")
    from vllm.platforms import current_platform

    if not (current_platform.is_cpu() or torch.cuda.is_available()):
        pytest.skip("vLLM is installed, but there is no GPU")


# -- the long way -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def next_logprobs(model: PreTrainedModel, tokens: Sequence[int]) -> torch.Tensor:
    """[vocabulary], fp64"""
    return model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0, -1].double().log_softmax(-1)


def plain_greedy(
    model: PreTrainedModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    ends: frozenset[int],
    not_first: int | None = None,
) -> list[int]:
    answer: list[int] = []
    while len(answer) < max_new_tokens:
        logprobs = next_logprobs(model, [*prompt, *answer])
        if not answer and not_first is not None:
            logprobs[not_first] = -torch.inf
        token = int(logprobs.argmax())
        if token in ends:
            break
        answer.append(token)
    return answer


def plain_logprobs(model: PreTrainedModel, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    return [
        float(next_logprobs(model, [*prompt, *completion[:place]])[token]) for place, token in enumerate(completion)
    ]


def greedy(
    engine: Engine, prompts: Sequence[Sequence[int]], max_new_tokens: int = 8, ends: frozenset[int] = ENDS
) -> list[list[int]]:
    keys = [str(row) for row in range(len(prompts))]
    answers = engine.generate(
        prompts, keys, n=1, temperature=0, max_new_tokens=max_new_tokens, end_token_ids=ends, seed=0
    )
    return [answer for (answer,) in answers]


def sampled(
    engine: Engine, prompts: Sequence[Sequence[int]], keys: Sequence[str], n: int = 3, seed: int = 0
) -> dict[str, list[list[int]]]:
    answers = engine.generate(prompts, keys, n=n, temperature=0.7, max_new_tokens=5, end_token_ids=ENDS, seed=seed)
    return dict(zip(keys, answers, strict=True))


# -- answers ----------------------------------------------------------------------------------------------------------


def test_greedy_answers_take_the_most_probable_token_up_to_an_end_token(loaded: Loaded) -> None:
    expected = [plain_greedy(loaded.plain, prompt, 8, ENDS) for prompt in PROMPTS]
    assert len({len(answer) for answer in expected}) > 2
    assert greedy(loaded.base, PROMPTS) == expected
    assert greedy(loaded.base, PROMPTS[::-1]) == expected[::-1]


def test_only_the_given_tokens_end_an_answer(loaded: Loaded) -> None:
    """Not the end token of the model's own config either: plain-text answers end at line breaks."""
    endless = greedy(loaded.base, PROMPTS, 8, frozenset())
    assert {len(answer) for answer in endless} == {8}
    end = loaded.plain.config.eos_token_id
    first = [int(next_logprobs(loaded.plain, [end_prompt]).argmax()) for end_prompt in range(200)]
    ending = [[prompt] for prompt, token in enumerate(first) if token == end]
    assert ending
    assert all(len(answer) == 2 for answer in greedy(loaded.base, ending, 2, frozenset()))
    assert greedy(loaded.base, ending, 2, frozenset([end])) == [[]] * len(ending)


def test_samples_depend_on_seed_and_key_only(loaded: Loaded) -> None:
    first = sampled(loaded.base, PROMPTS, KEYS)
    assert {len(own) for own in first.values()} == {3}
    assert len({tuple(sample) for own in first.values() for sample in own}) > 10
    assert sampled(loaded.base, PROMPTS[::-1], KEYS[::-1]) == first
    assert sampled(loaded.base, PROMPTS[2:4], KEYS[2:4]) == {key: first[key] for key in KEYS[2:4]}
    assert sampled(loaded.base, PROMPTS, KEYS, seed=1) != first
    assert sampled(loaded.base, PROMPTS[:1], ["another"])["another"] != first["q0"]
    assert not any(token in ENDS for own in first.values() for sample in own for token in sample)
    assert max(len(sample) for own in first.values() for sample in own) == 5


def test_samples_follow_the_distribution_at_their_temperature(loaded: Loaded) -> None:
    n, temperature = 1000, 0.7
    (samples,) = loaded.base.generate(
        PROMPTS[:1], ["q"], n=n, temperature=temperature, max_new_tokens=1, end_token_ids=frozenset(), seed=3
    )
    counts = torch.bincount(torch.tensor(samples)[:, 0], minlength=200).double()
    expected = n * (next_logprobs(loaded.plain, PROMPTS[0]) / temperature).softmax(-1)
    common = expected >= 5
    observed = [*counts[common].tolist(), float(counts[~common].sum())]
    assert common.sum() > 20
    assert chisquare(observed, [*expected[common].tolist(), float(expected[~common].sum())]).pvalue > 1e-4


# -- log-probabilities ------------------------------------------------------------------------------------------------

COMPLETIONS = [
    [[40], [41], [42]],  # as option letters
    [[3, 60], [3, 61], [3, 62]],  # as letters that a blank precedes
    [[9, 8, 7, 6, 5], [9], [100, 9, 8]],
    [[77]],
    [[25, 26, 27], [25, 26, 28], [25, 26]],
    [[199] * 6],
    [[1, 2], [2, 1]],
]


def test_logprobs_are_those_of_a_plain_forward_pass(loaded: Loaded) -> None:
    found = loaded.base.completion_logprobs(PROMPTS, COMPLETIONS)
    for prompt, completions, own in zip(PROMPTS, COMPLETIONS, found, strict=True):
        for completion, logprobs in zip(completions, own, strict=True):
            assert logprobs == pytest.approx(plain_logprobs(loaded.plain, prompt, completion), abs=TOLERANCE)
    assert loaded.base.completion_logprobs(PROMPTS[2:3], COMPLETIONS[2:3])[0][2] == pytest.approx(
        found[2][2], abs=TOLERANCE
    )


# -- both ways --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_new_tokens", [1, 6])
def test_the_second_answer_does_not_begin_with_the_refusal(loaded: Loaded, max_new_tokens: int) -> None:
    """Where the greedy answer does: its first token is then the next most probable one; later ones are free."""
    firsts = [plain_greedy(loaded.plain, prompt, 1, frozenset())[0] for prompt in PROMPTS]
    refusals = [[first if row % 2 else 199, 50, 2] for row, first in enumerate(firsts)]
    end = firsts[0]
    found = loaded.base.answers_both_ways(
        PROMPTS, refusals, max_new_tokens=max_new_tokens, end_token_ids=frozenset([end])
    )
    for prompt, refusal, both in zip(PROMPTS, refusals, found, strict=True):
        free = plain_greedy(loaded.plain, prompt, max_new_tokens, frozenset([end]))
        suppressed = plain_greedy(loaded.plain, prompt, max_new_tokens, frozenset([end]), not_first=refusal[0])
        assert (both.answer, both.suppressed) == (free, suppressed)
        assert (suppressed == free) == (free[:1] != refusal[:1])
        ended = suppressed if len(suppressed) == max_new_tokens else [*suppressed, end]
        for text, logprobs in ((refusal, both.completion_logprobs), (ended, both.suppressed_logprobs)):
            assert logprobs == pytest.approx(plain_logprobs(loaded.plain, prompt, text), abs=TOLERANCE)
            assert max(logprobs) <= 0
    begins = [both.answer[:1] == refusal[:1] for both, refusal in zip(found, refusals, strict=True)]
    assert True in begins and False in begins
    # The first tokens' odds say how the greedy answer begins.
    assert begins == [both.completion_logprobs[0] > both.suppressed_logprobs[0] for both in found]


def test_the_second_answer_may_be_empty(loaded: Loaded) -> None:
    """The token after the refusal's ends the answer."""
    best, second = next_logprobs(loaded.plain, PROMPTS[0]).topk(2).indices.tolist()
    (both,) = loaded.base.answers_both_ways(
        PROMPTS[:1], [[best, 50]], max_new_tokens=4, end_token_ids=frozenset([second])
    )
    assert both.answer[0] == best
    assert both.suppressed == []
    assert both.suppressed_logprobs == pytest.approx(plain_logprobs(loaded.plain, PROMPTS[0], [second]), abs=TOLERANCE)


# -- adapters ---------------------------------------------------------------------------------------------------------


def test_an_adapter_answers_as_the_adapted_model(loaded: Loaded) -> None:
    expected = [plain_greedy(loaded.plain_tuned, prompt, 8, ENDS) for prompt in PROMPTS]
    before = greedy(loaded.base, PROMPTS)
    assert expected != before
    assert greedy(loaded.tuned, PROMPTS) == expected
    found = loaded.tuned.completion_logprobs(PROMPTS, COMPLETIONS)
    for prompt, completions, own in zip(PROMPTS, COMPLETIONS, found, strict=True):
        assert own[0] == pytest.approx(plain_logprobs(loaded.plain_tuned, prompt, completions[0]), abs=TOLERANCE)
    assert greedy(loaded.base, PROMPTS) == before


# -- limits -----------------------------------------------------------------------------------------------------------


def test_prompts_and_answers_may_be_as_long_as_the_model_attends_to(loaded: Loaded) -> None:
    assert loaded.base.longest == POSITIONS
    prompt = [50 + row % 40 for row in range(POSITIONS - 3)]
    assert len(greedy(loaded.base, [prompt], 3, frozenset())[0]) == 3
    ((logprobs,),) = loaded.base.completion_logprobs([prompt], [[[60, 61, 62]]])
    assert logprobs == pytest.approx(plain_logprobs(loaded.plain, prompt, [60, 61, 62]), abs=TOLERANCE)


def test_what_is_longer_is_one_line(loaded: Loaded) -> None:
    prompt = [50] * (POSITIONS - 3)
    with pytest.raises(
        ModelError, match=f"^{POSITIONS + 1} tokens of prompt and answer exceed the {POSITIONS} "
    ) as one:
        greedy(loaded.base, [[60], prompt], 4)
    with pytest.raises(ModelError, match=f"^{POSITIONS + 1} tokens of prompt and answer exceed the {POSITIONS} "):
        loaded.base.completion_logprobs([[60], prompt], [[[1]], [[1], [60, 61, 62, 63]]])
    assert "\n" not in str(one.value)


def test_every_prompt_is_told_of_once(loaded: Loaded) -> None:
    told: list[int] = []
    completions = [own[0] for own in COMPLETIONS]
    loaded.base.generate(
        PROMPTS, KEYS, n=2, temperature=1, max_new_tokens=2, end_token_ids=ENDS, seed=0, advance=told.append
    )
    loaded.base.completion_logprobs(PROMPTS, COMPLETIONS, advance=told.append)
    loaded.base.answers_both_ways(PROMPTS, completions, max_new_tokens=2, end_token_ids=ENDS, advance=told.append)
    assert sum(told) == 3 * len(PROMPTS)
