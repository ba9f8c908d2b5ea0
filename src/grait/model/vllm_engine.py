"""The operations of ``Engine`` as requests to vLLM's offline ``LLM`` (extra ``vllm``): tokens in, tokens out.

vLLM shares what prompts begin with by itself (prefix caching) and puts adapters on by request. What is made of it:

- Every question has a seed of its own; vLLM adds the number of the sample to it.
- Log-probabilities are the model's own, before temperature. Each token of a completion has a request that ends before
  it, whose beginning is in the cache; tokens that follow the same ones, such as option letters, share it.
  vLLM's ``prompt_logprobs`` would take one request for a completion, but computes the whole prompt again, and fails
  where adapters are enabled (seen in 0.32 on a CPU: the head's adapter is sized for sampled positions only).
- The answer that may not begin with a certain token is the greedy one where that begins with another; else it begins
  with the second most probable token, and is the greedy answer to the prompt with that token.

Which rounding a request meets depends on the requests beside it, so equal runs may differ where two tokens are nearly
equally probable.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache

from grait.config import InferenceConfig, ModelConfig
from grait.errors import ModelError, reason
from grait.model.adapters import CONFIG, load_adapter
from grait.model.engine import Advance, BothWays, Tokens, check_length, silent
from grait.model.limits import limit_of, longest_sequence
from grait.model.load import model_class, read_config, resolve_dtype, resolve_name

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Greatest ranks of an adapter that vLLM takes (``vllm.config.lora.MaxLoRARanks``)."""

QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # what has to be known comes as an exception
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # results are printed to the other one
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables of vLLM, where the user has set no others."""


def load_vllm() -> Any:
    """The package vLLM. Raises ModelError with one line when it is not installed or cannot be loaded."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import vllm
    except ImportError as error:
        raise ModelError(
            f"inference.engine = vllm: vLLM cannot be loaded ({reason(error)}): pip install 'grait[vllm]'"
        ) from error
    return vllm


def check_vllm(n_processes: int) -> None:
    """Raise ModelError when vLLM is not installed, or asked for by several processes, before anything is loaded."""
    if importlib.util.find_spec("vllm") is None:
        raise ModelError("inference.engine = vllm: needs vLLM: pip install 'grait[vllm]'")
    if n_processes > 1:
        raise ModelError(
            f"inference.engine = vllm: expected one process, found {n_processes}; vLLM itself shares a model among "
            "GPUs by inference.tensor_parallel_size"
        )


def adapter_rank(folder: Path) -> int:
    """The greatest rank of any layer of a LoRA adapter. Raises ModelError when its config does not say."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / CONFIG}: expected the config of a LoRA adapter: {reason(error)}") from error


def check_adapter(model: ModelConfig, folder: Path) -> None:
    """Raise ModelError when the adapter does not fit: vLLM leaves weights of layers that are not there out in silence.
    The model is built without weights, on the meta device."""
    config = read_config(model)
    with torch.device("meta"):
        built = model_class(config).from_config(config, trust_remote_code=model.trust_remote_code)
    load_adapter(built, folder)


class VllmModel:
    """A model that vLLM holds on the GPUs until it is closed, ready for adapters up to ``max_rank``, 0 for none. Raises
    ModelError when vLLM is missing or does not start."""

    def __init__(self, model: ModelConfig, inference: InferenceConfig, max_rank: int) -> None:
        vllm = load_vllm()
        if max_rank > RANKS[-1]:
            raise ModelError(f"an adapter of rank {max_rank}: vLLM takes ranks up to {RANKS[-1]}")
        self.max_rank = min(rank for rank in (0, *RANKS) if rank >= max_rank)
        self._config = model
        lora = {"enable_lora": True, "max_lora_rank": self.max_rank} if max_rank else {}
        limit = limit_of(read_config(model).get_text_config(decoder=True))  # vLLM has one set of rotary factors for all
        try:
            self._llm = vllm.LLM(
                model=resolve_name(model.name),
                revision=model.revision,
                trust_remote_code=model.trust_remote_code,
                dtype=str(resolve_dtype(model)).removeprefix("torch."),
                skip_tokenizer_init=True,
                max_model_len=limit.tokens if limit.why else -1,  # the model's, or as long as there is memory for
                enable_prefix_caching=True,
                tensor_parallel_size=inference.tensor_parallel_size,
                gpu_memory_utilization=inference.gpu_memory_utilization,
                **lora,
            )
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{model.name}: vLLM could not start it: {reason(error)}") from error
        config = self._llm.model_config
        self._longest = min(longest_sequence(config.hf_text_config), int(config.max_model_len))
        self._numbers: dict[Path, int] = {}

    def engine(self, adapter: Path | None) -> "VllmEngine":
        """The model as it is, or with the adapter in this folder. Raises ModelError when that does not fit."""
        return VllmEngine(self._llm, self._longest, None if adapter is None else self._lora_request(adapter))

    def close(self) -> None:
        """Give the GPUs' memory back."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        clear_device_cache(garbage_collection=True)

    def _lora_request(self, adapter: Path) -> Any:
        from vllm.lora.request import LoRARequest

        if adapter not in self._numbers:
            check_adapter(self._config, adapter)
            self._numbers[adapter] = len(self._numbers) + 1
        return LoRARequest(str(adapter), self._numbers[adapter], str(adapter))


class VllmEngine:
    """Samples, greedy answers and log-probabilities of completions by vLLM. ``adapter``: of every request."""

    def __init__(self, llm: Any, longest: int, adapter: Any | None) -> None:
        self._llm = llm
        self._adapter = adapter
        self.longest = longest

    def generate(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[str],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        seed: int = 0,
        advance: Advance = silent,
    ) -> list[list[list[int]]]:
        """As ``Engine`` says. ``temperature``: 0, or from 0.01 to 2."""
        check_length(max(map(len, prompts)) + max_new_tokens, self.longest)
        common = {"n": n, "temperature": temperature, **_until(end_token_ids, max_new_tokens)}
        outputs = self._outputs(prompts, [{**common, "seed": request_seed(seed, key)} for key in keys])
        advance(len(prompts))
        return [[_without_end(sample.token_ids, end_token_ids) for sample in output.outputs] for output in outputs]

    def completion_logprobs(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]], *, advance: Advance = silent
    ) -> list[list[list[float]]]:
        """As ``Engine`` says: one request for each token."""
        check_length(
            max(len(prompt) + max(map(len, own)) for prompt, own in zip(prompts, completions, strict=True)),
            self.longest,
        )
        following: dict[tuple[int, tuple[int, ...]], set[int]] = {}  # by prompt and what of a completion comes before
        for row, own in enumerate(completions):
            for completion in own:
                for place, token in enumerate(completion):
                    following.setdefault((row, tuple(completion[:place])), set()).add(token)
        outputs = self._outputs(
            [[*prompts[row], *before] for row, before in following],
            [{"temperature": 0, "max_tokens": 1, "logprob_token_ids": sorted(tokens)} for tokens in following.values()],
        )
        found = {at: output.outputs[0].logprobs[0] for at, output in zip(following, outputs, strict=True)}
        advance(len(prompts))
        return [
            [
                [float(found[row, tuple(completion[:place])][token].logprob) for place, token in enumerate(completion)]
                for completion in own
            ]
            for row, own in enumerate(completions)
        ]

    def answers_both_ways(
        self,
        prompts: Sequence[Tokens],
        completions: Sequence[Tokens],
        *,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        advance: Advance = silent,
    ) -> list[BothWays]:
        """As ``Engine`` says."""
        outputs = self._greedy(prompts, max_new_tokens, end_token_ids)
        scored = self.completion_logprobs(prompts, [[completion] for completion in completions])
        found = [
            BothWays(
                answer := _without_end(output.token_ids, end_token_ids), answer, of_completion, _own_logprobs(output)
            )
            for output, (of_completion,) in zip(outputs, scored, strict=True)
        ]
        begun = []  # prompts that go on after their second most probable token
        for row, (output, completion) in enumerate(zip(outputs, completions, strict=True)):
            if output.token_ids[0] == completion[0]:
                second = _most_probable(output.logprobs[0], completion[0])
                suppressed = _without_end([second], end_token_ids)
                found[row] = replace(
                    found[row], suppressed=suppressed, suppressed_logprobs=[_logprob(output.logprobs[0], second)]
                )
                if suppressed and max_new_tokens > 1:
                    begun.append(row)
        longer = [[*prompts[row], *found[row].suppressed] for row in begun]
        for row, output in zip(begun, self._greedy(longer, max_new_tokens - 1, end_token_ids), strict=True):
            found[row].suppressed.extend(_without_end(output.token_ids, end_token_ids))
            found[row].suppressed_logprobs.extend(_own_logprobs(output))
        advance(len(prompts))
        return found

    def _greedy(self, prompts: Sequence[Tokens], max_new_tokens: int, end_token_ids: frozenset[int]) -> list[Any]:
        """vLLM's ``CompletionOutput`` of each prompt, with the log-probabilities of the best two tokens everywhere."""
        if not prompts:
            return []
        check_length(max(map(len, prompts)) + max_new_tokens, self.longest)
        wanted = {"temperature": 0, "logprobs": 2, **_until(end_token_ids, max_new_tokens)}
        return [output.outputs[0] for output in self._outputs(prompts, [wanted] * len(prompts))]

    def _outputs(self, prompts: Sequence[Tokens], wanted: Sequence[Mapping[str, Any]]) -> list[Any]:
        """vLLM's ``RequestOutput`` of each prompt. ``wanted``: what each asks for, as ``SamplingParams``.

        Requests with ``logprobs`` and with ``logprob_token_ids`` must not run together: vLLM's first model runner gives
        the former no more than the sampled token's then.
        """
        from vllm import SamplingParams, TokensPrompt

        try:
            outputs = self._llm.generate(
                [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts],
                [SamplingParams(detokenize=False, **own) for own in wanted],
                use_tqdm=False,
                lora_request=self._adapter,
            )
        except Exception as error:
            raise ModelError(f"vLLM could not answer: {reason(error)}") from error
        return list(outputs)


def request_seed(seed: int, key: str) -> int:
    """A seed that depends on the run's seed and the question's key only, below 2**62: samples count on from it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8]) >> 2


def _until(end_token_ids: frozenset[int], max_new_tokens: int) -> dict[str, Any]:
    """Where answers end; the end tokens that the model's own files name do not count."""
    return {"max_tokens": max_new_tokens, "stop_token_ids": sorted(end_token_ids), "ignore_eos": True}


def _without_end(token_ids: Sequence[int], end_token_ids: frozenset[int]) -> list[int]:
    """vLLM gives the token that ended an answer, too."""
    return list(token_ids[:-1] if token_ids[-1] in end_token_ids else token_ids)


def _logprob(position: Mapping[int, Any], token: int) -> float:
    """vLLM's log-probability of a token at one position, at most 0."""
    return min(float(position[token].logprob), 0.0)


def _own_logprobs(output: Any) -> list[float]:
    """The log-probability of every token of an answer, the end token among them."""
    return [_logprob(position, token) for token, position in zip(output.token_ids, output.logprobs, strict=True)]


def _most_probable(position: Mapping[int, Any], but: int) -> int:
    """The most probable token but one, from vLLM's log-probabilities of the best two; of equal ones the first."""
    return min((token for token in position if token != but), key=lambda token: (-position[token].logprob, token))
