"""Putting an adapter on a model, only where it fits: PEFT leaves out in silence what the model has no place for."""

import hashlib
import re
import warnings
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from grait.errors import ModelError, reason

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_OTHER_SIZE = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)", re.DOTALL)
"""Of torch's message: the weight, its size in the file, and in the model."""


def find_adapter(name: str) -> Path:
    """The folder of an adapter in PEFT's format: ``name`` is a folder, or an id on the hub. Raises ModelError when
    there is none, or when its weights are not safetensors."""
    folder = Path(name)
    if not folder.exists():
        try:
            folder = Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS]))
        except Exception as error:
            raise ModelError(
                f"{name}: no such adapter folder, and the hub did not give it (offline, misspelt or gated?): "
                f"{reason(error)}"
            ) from error
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{name}: no adapter: expected {CONFIG} and {WEIGHTS}, as PEFT's save_pretrained writes them")
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{name}: has no {WEIGHTS}; other formats are not read: save it again with a present PEFT")
    return folder


def adapter_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the adapter's files, for stage keys."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (CONFIG, WEIGHTS)}


def load_adapter(model: PreTrainedModel, folder: Path, is_trainable: bool = False) -> PeftModel:
    """The model with the adapter of a folder on it, in evaluation mode.

    Raises ModelError when the adapter was made for another model: other layers, other sizes, or weights that would be
    left out; also for adapters that change the prompt or the model's own weights, which could not be taken off again.
    """
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(f"{folder / CONFIG}: not a readable adapter config: {reason(error)}") from error
    if config.is_prompt_learning:
        raise ModelError(
            f"{folder}: a {config.peft_type} adapter, which changes prompts; expected one that changes layers, as LoRA"
        )
    problem = f"{folder}: this adapter, made for {config.base_model_name_or_path}, does not fit {_name(model)}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # looked for below
            adapted = PeftModel.from_pretrained(
                model, str(folder), is_trainable=is_trainable, low_cpu_mem_usage=model.device.type == "meta"
            )
    except Exception as error:
        if sizes := _OTHER_SIZE.search(str(error)):
            name, own, wanted = sizes.groups()
            raise ModelError(f"{problem}: {name} has the size {own}, expected {wanted}") from error
        raise ModelError(f"{problem}: {reason(error)}") from error
    _check_weights(adapted, folder, problem)
    return adapted.eval()


def _check_weights(adapted: PeftModel, folder: Path, problem: str) -> None:
    """Raises ModelError when PEFT would have left weights out, lost their values, or overwritten the model's own."""
    try:
        saved = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / WEIGHTS}: not a readable safetensors file: {reason(error)}") from error
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    extra = sorted(saved.keys() - wanted.keys())
    own = set(adapted.state_dict())
    if full := [name for name in extra if name in own]:
        raise ModelError(
            f"{folder}: holds weights of the model itself, such as {full[0]}; merge it into the model with PEFT's "
            "merge_and_unload, and name the merged model"
        )
    if missing := sorted(wanted.keys() - saved.keys()):
        raise ModelError(f"{problem}: it has no weights for {len(missing)} places in it, such as {missing[0]}")
    if extra:
        raise ModelError(f"{problem}: {len(extra)} of its weights have no place in it, such as {extra[0]}")
    if wrong := [name for name in wanted if not bool(saved[name].isfinite().all())]:
        raise ModelError(f"{folder}: holds values that are not finite, such as in {wrong[0]}; train it again")
    found = {name: value.cpu() for name, value in wanted.items() if value.device.type != "meta"}
    if lost := [name for name, value in found.items() if not torch.equal(value, saved[name].to(value.dtype))]:
        raise ModelError(f"{problem}: PEFT does not put the file's values there, such as those of {lost[0]}")


def _name(model: PreTrainedModel) -> str:
    return str(model.config.name_or_path) or type(model).__name__
