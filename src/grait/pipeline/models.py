"""The model of a run, loaded when it is first asked for: plain, with an adapter on, or in an engine that answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate.utils.memory import clear_device_cache
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from grait.config import Config
from grait.influence.gradients import loss_scale
from grait.influence.road import gradient_road
from grait.methods.catalog import needing_influence
from grait.model.adapters import load_adapter
from grait.model.engine import Engine, Road
from grait.model.inference import InferenceEngine
from grait.model.limits import limit_of
from grait.model.load import load_model, resolve_dtype
from grait.model.roads import Roads, inference_road, plain_gradients
from grait.model.vllm_engine import VllmModel, adapter_rank
from grait.pipeline.data import RunData
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint
from grait.training.road import training_road
from grait.training.sft import add_adapter, randomize
from grait.training.targets import linear_targets


class Models:
    """Holds the initial model of a config, and puts adapters on and takes them off. vLLM and the model that is trained
    are never in memory together: either is loaded again when it is asked for."""

    def __init__(self, data: RunData) -> None:
        """``served``: asked for what an adapter answers, in its place; ``alone``: held by threads that ask the model.

        Meets the other processes, if a launcher has started some; loads nothing."""
        self.config = data.config
        self._data = data
        self._vllm: VllmModel | None = None
        self._roads: Roads | None = None
        self.served: Engine | None = None
        self.alone = threading.Lock()
        processes.start(self.config.model.device)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._data.prompts.tokenizer

    @property
    def chat_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer for others to apply its chat template, as the config's arguments say."""
        prompts = self._data.prompts
        return prompts.template.with_defaults(prompts.tokenizer) if prompts.has_template else prompts.tokenizer

    @property
    def pad_token_id(self) -> int:
        """What batches are filled up with, masked: the end token, as the embedding of padding may be 0. Norms that take
        a root have no gradient there."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def initial(self) -> PreTrainedModel:
        """The initial model, frozen."""
        self._close_vllm()
        clear_device_cache(garbage_collection=True)  # cycles hold what is left of a sharded model
        progress.note(f"loading {self.config.model.name} ({_dtype(self.config)})")
        return load_model(self.config.model)

    @cached_property
    def inference_road(self) -> Road:
        """That of the initial model, for it and its adapters alike."""
        road = inference_road(self.initial, self.pad_token_id)
        if told := limit_of(self.initial.config.get_text_config(decoder=True)).told:
            progress.note(told)
        return road

    def roads(self) -> Roads:
        """Those of the initial model with the config's adapter on, found once, and before another adapter is on it. A
        note says which they are, and what the adapter leaves out. Raises ModelError where the model has none."""
        if self._roads is None:
            lora = self.config.lora
            if lora.target_modules == "all-linear":
                targets = linear_targets(self.initial, lora.target_parameters)
                if not targets.are_all:
                    progress.note(f"lora.target_modules: {targets}")
            inference, is_compiled = self.inference_road, self.config.model.compile
            model = add_adapter(self.initial, lora, self.config.seed)
            try:
                randomize(model)
                plain = plain_gradients(model, loss_scale(model))
                are_taken = needing_influence(self.config.training.methods)
                gradients = gradient_road(model, self.pad_token_id, plain) if are_taken else None
                trained = training_road(model, self.pad_token_id, is_compiled=is_compiled, plain=plain)
            finally:
                self.take_off(model)
            self._roads = Roads(inference, gradients, trained)
            progress.note(f"what prompts begin with, checked with two examples: {self._roads}")
        return self._roads

    @property
    def longest(self) -> int:
        """Most tokens that the initial model, as the config's engine runs it, attends to."""
        with self.engine(None) as engine:
            return engine.longest

    @contextmanager
    def engine(self, adapter: Stage | None) -> Iterator[Engine]:
        """The config's engine, for the model with a finished adapter on or, without one, the initial model. In a run
        vLLM is ready for the adapters that the run trains from the beginning on."""
        if adapter is not None and self.served is not None:
            yield self.served
            return
        if self.config.inference.engine == "transformers":
            road = self.inference_road
            with self.adapted(adapter) as model:
                yield InferenceEngine(model, self.pad_token_id, self.config.tokens_per_batch, road=road)
            return
        folder = adapter.folder if adapter else None
        rank = max(adapter_rank(folder) if folder else 0, self.config.lora.r if self._data.has_training else 0)
        if self._vllm is None or self._vllm.max_rank < rank:
            self.drop()
            progress.note(f"loading {self.config.model.name} ({_dtype(self.config)}) into vLLM")
            self._vllm = VllmModel(self.config.model, self.config.inference, rank)
        yield self._vllm.engine(folder)

    @contextmanager
    def adapted(self, adapter: Stage | None, is_trainable: bool = False) -> Iterator[PreTrainedModel | PeftModel]:
        """The model with a finished adapter on, which is taken off again; without one, the initial model."""
        if adapter is None:
            yield self.initial
            return
        model = load_adapter(self.initial, adapter.folder, is_trainable)
        try:
            yield model
        finally:
            self.take_off(model)

    def take_off(self, model: Any) -> None:
        """The initial model again, from one with an adapter on."""
        self.initial = model.unload()
        self.initial.requires_grad_(False)

    def drop(self) -> None:
        """Forget the loaded model, to make room for another one."""
        self.__dict__.pop("initial", None)
        self._close_vllm()
        clear_device_cache(garbage_collection=True)

    @contextmanager
    def releasing_vllm(self) -> Iterator[None]:
        """At the end of this context vLLM holds no GPU for this run."""
        try:
            yield
        finally:
            self._close_vllm()

    def _close_vllm(self) -> None:
        if self._vllm is not None:
            self._vllm.close()
            self._vllm = None


def model_key(config: Config) -> dict[str, Any]:
    """Names the model in stage keys; a folder by its files, too, so that other weights in it are another model."""
    key = config.model.model_dump(include={"name", "revision", "quantization"})
    if config.model.gguf_file is not None:
        key["gguf_file"] = config.model.gguf_file
    key["dtype"] = _dtype(config)
    folder = Path(config.model.name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        key["files"] = fingerprint([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    return key


def engine_key(config: Config) -> dict[str, Any]:
    """For the keys of stages that ask the model: engines differ in rounding. Nothing for the default one."""
    engine = config.inference.engine
    return {} if engine == "transformers" else {"engine": engine}


def _dtype(config: Config) -> str:
    return str(resolve_dtype(config.model)).removeprefix("torch.")
