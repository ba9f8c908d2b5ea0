"""Loading a causal language model and its tokenizer from a hub id, a folder, or the embedded default."""

import importlib.util
import inspect
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from grait.config import ModelConfig
from grait.errors import ModelError, reason
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
    """``auto``: bfloat16 where the device has instructions for it, else float32; otherwise what is named.

    On a CPU without them bfloat16 is emulated: training is then many times slower than in float32.
    """
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
    source = resolve_name(config.name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
    except Exception as error:
        raise ModelError(not_found(config.name, source, error)) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{config.name}: its tokenizer has no end token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config: ModelConfig) -> PreTrainedModel:
    """The model on its device in its dtype, in evaluation mode, all weights frozen.

    Raises ModelError with one line when it cannot be found, or is no causal language model.
    """
    source = resolve_name(config.name)
    device = resolve_device(config.device)
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            revision=config.revision,
            dtype=resolve_dtype(config),
            quantization_config=quantization(config),
            device_map={"": device} if config.quantization != "none" else None,
            trust_remote_code=config.trust_remote_code,
        )
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(not_found(config.name, source, error)) from error
    check_forward(config.name, model)
    model.requires_grad_(False)
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()
    return model.eval() if config.quantization != "none" else model.to(device).eval()


def check_forward(name: str, model: PreTrainedModel) -> None:
    """Raise ModelError where the head cannot be run at some positions alone."""
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise ModelError(
            f"{name}: {type(model).__name__} is not supported: expected a causal language model whose forward takes "
            "logits_to_keep"
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


def not_found(name: str, source: str, error: Exception) -> str:
    """One line that says what was looked for and what to do."""
    if source == default.HUB_ID and name == default.NAME:
        return f"{name}: neither the package {default.PACKAGE} nor the hub ({source}) can give it: {default.INSTALL}"
    if Path(source).exists():
        return f"{source}: this folder holds no loadable causal language model: {reason(error)}"
    return f"{name}: no such folder, and the hub did not give it (offline, misspelt or gated?): {reason(error)}"
