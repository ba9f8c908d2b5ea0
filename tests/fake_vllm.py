"""As much of vLLM as this package uses, over transformers: the same names, arguments, limits and results, on a CPU.

Written after vLLM 0.33.0. Arguments that vLLM does not know are errors here as they are there; every request is kept in
``LLM.calls``.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, TypedDict

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM


class TokensPrompt(TypedDict):
    prompt_token_ids: list[int]


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    max_tokens: int = 16
    logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    detokenize: bool = True

    def __post_init__(self) -> None:
        assert 0.01 <= self.temperature <= 2 or self.temperature == 0
        assert self.temperature > 0 or self.n == 1, "n must be 1 when using greedy sampling"
        assert self.max_tokens >= 1
        assert len(self.logprob_token_ids or []) <= 128
        assert (self.logprobs or 0) <= 20
        assert self.logprob_token_ids is None or self.logprobs in (None, len(self.logprob_token_ids))
        assert self.seed is None or 0 <= self.seed < self.seed + self.n < 2**63


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass(frozen=True)
class Logprob:
    logprob: float


@dataclass(frozen=True)
class Call:
    """One call of ``LLM.generate``."""

    prompts: list[list[int]]
    params: list[SamplingParams]
    lora_request: LoRARequest | None


class AdapterLogitsProcessor:
    """What a user's processors derive from: they give a function of a request's answer so far and its next logits."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None: ...

    def is_argmax_invariant(self) -> bool:
        raise NotImplementedError

    def new_req_logits_processor(self, params: SamplingParams) -> Callable[[list[int], Tensor], Tensor]:
        raise NotImplementedError


class LLM:
    """``running``: those that were not shut down."""

    started: ClassVar[list["LLM"]] = []
    running: ClassVar[list["LLM"]] = []

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        dtype: str = "auto",
        skip_tokenizer_init: bool = False,
        max_model_len: int = -1,
        enable_prefix_caching: bool = True,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.92,
        enable_lora: bool = False,
        max_lora_rank: int = 16,
        logits_processors: Sequence[type["AdapterLogitsProcessor"]] = (),
    ) -> None:
        assert max_lora_rank in (1, 8, 16, 32, 64, 128, 256, 320, 512)
        self.arguments = {name: value for name, value in locals().items() if name != "self"}
        self.calls: list[Call] = []
        self.max_lora_rank = max_lora_rank if enable_lora else 0
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype, dtype)).eval()
        self._processors = [kind(None, torch.device("cpu"), False) for kind in logits_processors]
        self._folder = model
        self._adapted: dict[int, PeftModel] = {}
        config = self._model.config
        self.model_config = SimpleNamespace(
            hf_text_config=config,
            max_model_len=config.max_position_embeddings if max_model_len == -1 else max_model_len,
        )
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shutdown))
        LLM.started.append(self)
        LLM.running.append(self)

    def _shutdown(self) -> None:
        LLM.running.remove(self)

    def generate(
        self,
        prompts: Sequence[TokensPrompt],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[Any]:
        assert self in LLM.running
        assert len(prompts) == len(sampling_params) > 0
        assert not (
            any(one.logprobs is not None for one in sampling_params)
            and any(one.logprob_token_ids for one in sampling_params)
        ), "in one batch, vLLM's first model runner gives the requests with logprobs the sampled token's only"
        asked = [list(prompt["prompt_token_ids"]) for prompt in prompts]
        self.calls.append(Call(asked, list(sampling_params), lora_request))
        model = self._model if lora_request is None else self._with(lora_request)
        return [self._output(model, prompt, params) for prompt, params in zip(asked, sampling_params, strict=True)]

    def _with(self, request: LoRARequest) -> PeftModel:
        """Adapters are known by their number, whatever comes to lie in their folder later."""
        if request.lora_int_id not in self._adapted:
            rank = PeftConfig.from_pretrained(request.lora_path).r
            if rank > self.max_lora_rank:
                raise ValueError(f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}.\nSee above.")
            fresh = AutoModelForCausalLM.from_pretrained(self._folder, dtype=self._model.dtype)
            self._adapted[request.lora_int_id] = PeftModel.from_pretrained(fresh, request.lora_path).eval()
        return self._adapted[request.lora_int_id]

    def _output(self, model: torch.nn.Module, prompt: list[int], params: SamplingParams) -> Any:
        if len(prompt) >= self.model_config.max_model_len:
            raise ValueError(f"The decoder prompt (length {len(prompt)}) is longer than the maximum model length")
        return SimpleNamespace(outputs=[self._sample(model, prompt, params, index) for index in range(params.n)])

    def _sample(self, model: torch.nn.Module, prompt: list[int], params: SamplingParams, index: int) -> Any:
        generator = torch.Generator()
        if params.seed is not None:
            generator.manual_seed(params.seed + index)
        token_ids: list[int] = []
        positions = []
        rules = [processor.new_req_logits_processor(params) for processor in self._processors]
        ends = {*params.stop_token_ids, *([] if params.ignore_eos else [self._model.config.eos_token_id])}
        while len(token_ids) < params.max_tokens and len(prompt) + len(token_ids) < self.model_config.max_model_len:
            row = _next_logprobs(model, [*prompt, *token_ids])
            sampled = row
            for rule in rules:
                sampled = rule(token_ids, sampled)
            if params.temperature == 0:
                token = int(sampled.argmax())
            else:
                token = int(torch.multinomial((sampled / params.temperature).softmax(-1), 1, generator=generator))
            shown = [token, *(params.logprob_token_ids or row.topk(params.logprobs or 0).indices.tolist())]
            positions.append({one: Logprob(float(row[one])) for one in shown})
            token_ids.append(token)
            if token in ends:
                break
        wants = params.logprobs is not None or params.logprob_token_ids is not None
        return SimpleNamespace(index=index, token_ids=token_ids, logprobs=positions if wants else None)


@torch.no_grad()
def _next_logprobs(model: torch.nn.Module, token_ids: list[int]) -> Tensor:
    """[vocabulary]"""
    logits: Tensor = model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0, -1]
    return logits.double().log_softmax(-1)


@contextmanager
def installed() -> Iterator[None]:
    """Within this context ``import vllm`` gives the names above, with nothing started yet."""
    names = ("vllm", "vllm.lora", "vllm.lora.request", "vllm.v1", "vllm.v1.sample", "vllm.v1.sample.logits_processor")
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
    for thing in (LLM, SamplingParams, TokensPrompt):
        setattr(modules["vllm"], thing.__name__, thing)
    modules["vllm.lora.request"].LoRARequest = LoRARequest  # type: ignore[attr-defined]
    modules["vllm.v1.sample.logits_processor"].AdapterLogitsProcessor = AdapterLogitsProcessor  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in modules}
    LLM.started, LLM.running = [], []
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
