"""How large a model and its adapter are, from the model's config alone: no weights, no memory, seconds.

The model is built on torch's meta device, where tensors have shapes and no values. Nothing is fetched or written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, DynamicCache
from transformers.pytorch_utils import Conv1D

from grait.config import LoraSection, ModelConfig
from grait.errors import ModelError
from grait.influence.curvature import LARGEST_BASIS
from grait.influence.experts import adapted_experts
from grait.influence.gradients import trainable_linears
from grait.model import default
from grait.model.limits import limit_of
from grait.model.load import check_folder, check_forward, model_class, not_found, resolve_dtype
from grait.model.roads import check_room
from grait.training.sft import add_adapter
from grait.training.targets import adapted_layers


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model with its fresh adapter, counted on the meta device: exact, but for ``activation_bytes``.

    ``parameters``: all of the model's own. ``body``: those that every token is multiplied with, so without embeddings
    and head. ``packed``: weights that nf4 stores in 4 bits. ``head``: weights of the output layer, tied or not.
    ``adapter``: trainable parameters; ``largest_layer``: most of them in one layer. ``factor_width``: inputs and
    outputs of all trainable layers together; ``on_experts``: trainable parameters of fused experts, which are no such
    layers. ``eigenbases``: numbers of those of curvature. ``activation_bytes``: what autograd keeps of one token in
    training; ``checkpoint_bytes``: the same with gradient checkpointing, but for the one layer that is run again.
    ``cache_bytes``: keys and values of one token. ``targets``: adapted layers by the last part of their name; with
    all-linear also those that a forward pass would leave out. ``limited``: ``Limit.told``.
    """

    parameters: int
    body: int
    packed: int
    head: int
    vocabulary: int
    layers: int
    adapter: int
    largest_layer: int
    factor_width: int
    on_experts: int
    eigenbases: int
    activation_bytes: float
    checkpoint_bytes: float
    cache_bytes: float
    targets: dict[str, int]
    limited: str = ""


class SizeUnknownError(ModelError):
    """The model's config is not on this machine; a dry run fetches nothing."""


def model_size(model: ModelConfig, lora: LoraSection, *, has_room: bool = False) -> ModelSize:
    """Sizes of the model with a fresh adapter. ``has_room``: ModelError where no question fits (``check_room``).

    SizeUnknownError when the config is neither in a folder nor in the hub's cache; ModelError or ConfigError when it
    is there, but no causal language model, or without the layers that ``lora.target_modules`` names.
    """
    config = _model_config(model)
    dtype = resolve_dtype(model)
    loader = model_class(config)
    try:
        with torch.device("meta"):
            built = loader.from_config(config, dtype=dtype, trust_remote_code=model.trust_remote_code)
    except Exception as error:
        raise ModelError(not_found(model.name, model.name, error)) from error
    check_forward(model.name, built)
    if has_room:
        check_room(built)
    built.requires_grad_(False)
    head = built.get_output_embeddings()
    embeddings = built.get_input_embeddings().weight
    linears = [module for module in built.modules() if isinstance(module, nn.Linear | Conv1D) and module is not head]
    parameters = sum(parameter.numel() for parameter in built.parameters())
    tables = {id(weight): weight.numel() for weight in (embeddings, head.weight)}
    text = built.config.get_text_config(decoder=True)
    with torch.device("meta"):
        adapted = add_adapter(built, lora, 0)
    trainable = trainable_linears(adapted)
    on_experts = tuple(f"{name}." for name in adapted_experts(adapted))
    run_as_layers = [layer for name, layer in trainable.items() if not name.startswith(on_experts)]
    n_adapter = sum(layer.weight.numel() for layer in trainable.values())
    return ModelSize(
        parameters=parameters,
        body=parameters - sum(tables.values()),
        packed=sum(module.weight.numel() for module in linears),
        head=head.weight.numel(),
        vocabulary=text.vocab_size,
        layers=text.num_hidden_layers,
        adapter=n_adapter,
        largest_layer=max(layer.weight.numel() for layer in trainable.values()),
        factor_width=sum(layer.in_features + layer.out_features for layer in run_as_layers),
        on_experts=n_adapter - sum(layer.weight.numel() for layer in run_as_layers),
        eigenbases=sum(side**2 for layer in trainable.values() for side in layer.weight.shape if side <= LARGEST_BASIS),
        activation_bytes=_activation_bytes(adapted, dtype.itemsize),
        checkpoint_bytes=text.num_hidden_layers * embeddings.shape[1] * dtype.itemsize,
        cache_bytes=_cache_bytes(built, dtype.itemsize),
        targets=adapted_layers(adapted),
        limited=limit_of(text).told,
    )


def _model_config(model: ModelConfig) -> Any:
    """The model's own config, from this machine only."""
    source, gguf = model.name, model.gguf_file
    if model.name == default.NAME:
        source, gguf = _default_source()
    check_folder(source, gguf)
    try:
        return AutoConfig.from_pretrained(
            source,
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            local_files_only=True,
            **({"gguf_file": gguf} if gguf else {}),
        )
    except Exception as error:
        if Path(source).exists():
            raise ModelError(not_found(model.name, source, error)) from error
        raise SizeUnknownError(
            f"{model.name}: size unknown: its config is neither in a folder of this name nor in the hub's cache, and a "
            f"dry run fetches nothing. Fetch it (1 kB, no weights) with `hf download {source} config.json`, or "
            "name a folder that holds the config.json of such a model: --set model.name=FOLDER"
        ) from error


def _default_source() -> tuple[str, str | None]:
    """Folder or hub id of the embedded default, and its GGUF file where it was not converted yet."""
    packed = default.find_gguf()
    if packed is None:
        return default.HUB_ID, None
    folder = default.cache_folder() / f"{default.NAME}-{default.GGUF_SHA256[:12]}"
    return (str(folder), None) if default.is_complete(folder) else (str(packed.parent), packed.name)


_TOKENS_TRIED = 16


def _attempts(model: Any, tokens: int) -> Iterator[dict[str, Any]]:
    """One row on the meta device, as a model may run there.

    A mask of four dimensions is taken as it is: none of its values is looked at. Models without attention take none.
    Mixtures of experts run there in bfloat16 only, so the model is that in the end.
    """
    for dtype in dict.fromkeys((model.dtype, torch.bfloat16)):
        model.to(dtype)
        mask = torch.zeros((1, 1, tokens, tokens), dtype=dtype, device="meta")
        for given in (mask, None):
            yield {
                "input_ids": torch.zeros((1, tokens), dtype=torch.long, device="meta"),
                "attention_mask": given,
                "logits_to_keep": 1,
            }


def _activation_bytes(model: Any, itemsize: int) -> float:
    """Bytes that autograd keeps of each token: every tensor saved by a forward pass on the meta device, once.

    Weights are not counted, nor the head, which runs at answer positions only. Of a model that does not run there:
    twice the inputs and outputs of its linear layers. ``itemsize``: of the model's own dtype.
    """
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used again

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    model.train()
    for inputs in _attempts(model, _TOKENS_TRIED):
        kept.clear()
        weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        try:
            with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                model(**inputs, use_cache=False)
        except Exception:  # whatever a model raises where no values are
            continue
        nbytes = sum(storage.nbytes() for storage in kept.values())
        return float(nbytes * itemsize / model.dtype.itemsize / _TOKENS_TRIED)
    widths = [sum(module.weight.shape) for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    return 2.0 * itemsize * sum(widths)


def _cache_bytes(model: Any, itemsize: int) -> float:
    """Keys and values of each token; of a model that does not run here, as many as its config has heads.

    What is kept of a whole row is not counted, as a recurrent state.
    """
    text = model.config.get_text_config(decoder=True)
    for inputs in _attempts(model, 1):
        cache = DynamicCache(config=text)
        try:
            with torch.device("meta"), torch.no_grad():
                model(**inputs, past_key_values=cache, use_cache=True)
        except Exception:  # as above
            continue
        layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
        nbytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        return float(nbytes * itemsize / model.dtype.itemsize)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return float(2 * itemsize * text.num_hidden_layers * heads * size)
