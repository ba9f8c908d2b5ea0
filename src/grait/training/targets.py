"""What ``lora.target_modules: all-linear`` means: the linear layers of the text decoder whose gradients are exact.

Left out are vision and audio towers, routers, and what a forward pass does not run as a linear layer on all tokens:
experts that are given some tokens only, and layers whose weight is used otherwise. Experts that are one tensor are no
layers; ``lora.target_parameters`` names them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer, _check_lora_target_modules_mamba
from peft.utils.transformers_weight_conversion import (
    convert_peft_adapter_state_dict_for_transformers,
    convert_peft_config_for_transformers,
)
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from grait.errors import ConfigError, ModelError, reason
from grait.model.common_prefix import keeping_modes
from grait.model.roads import name_of

ROWS, TOKENS = 2, 4
"""Of the text that is tried."""

OTHERS, ROUTERS = "not of the text decoder", "routers"
INEXACT, ELSEWHERE = "no gradients of single examples", "PEFT cannot adapt them in this model"
EXPERTS = "experts, which lora.target_parameters can name"
PARTED, FLAT = "experts that are given some tokens only", "experts that are rows of one matrix"


_NAMED = re.compile(r"(?:^|[._])(?:gate|router)$")


@dataclass(frozen=True, slots=True)
class Targets:
    """Names of layers. ``left_out``: why, and the last parts of their names, with how many where others are adapted."""

    adapted: list[str]
    left_out: dict[str, list[str]]

    @property
    def are_all(self) -> bool:
        """Whether PEFT's all-linear means the same."""
        return not self.left_out

    def __str__(self) -> str:
        named = "; ".join(f"{why}: {', '.join(names)}" for why, names in self.left_out.items())
        return f"all-linear: {', '.join(_last_parts(self.adapted))}" + (f"; left out: {named}" if named else "")


def linear_targets(model: PreTrainedModel, experts: Sequence[str] = ()) -> Targets:
    """The layers that all-linear adapts. Raises ModelError when there are none.

    ``experts``: ends of the names of those weights that are adapted, too, and so not left out.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    if decoder is head:  # a head that is named decoder
        decoder = model.base_model
    inside = {id(module) for module in decoder.modules()}
    of_decoder = next(name for name, module in model.named_modules() if module is decoder)
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    routers = _routers(model, linears)
    fused = fused_experts(model)
    ran = _that_run(model, linears, _owners(model, fused))
    adapted: list[str] = []
    left_out: dict[str, list[str]] = {}
    for name, module in linears.items():
        if module is head:
            continue
        why = _reason(model, name, id(module) in inside, routers, ran)
        if why is None:
            adapted.append(name)
        else:
            left_out.setdefault(why, []).append(_tower(name, of_decoder) if why == OTHERS else name)
    taken = _not_for_peft(model, adapted)
    adapted = [name for name in adapted if name not in taken]
    left_out |= {ELSEWHERE: [*left_out.get(ELSEWHERE, []), *taken]} if taken else {}
    for name in fused:
        is_able = _can_be_adapted(name, ran)
        if not (is_able and f".{name}".endswith(tuple(f".{end}" for end in experts))):
            left_out.setdefault(EXPERTS if is_able else PARTED, []).append(name)
    if flat := _flat_experts(model):
        left_out[FLAT] = flat
    if not adapted:
        raise ModelError(
            f"{type(model).__name__}: no linear layer of it can be adapted; name some (lora.target_modules)"
        )
    of_experts = (EXPERTS, PARTED, FLAT)
    named = {
        why: _last_two(names) if why in of_experts else _counted(names, adapted) for why, names in left_out.items()
    }
    if ROUTERS in left_out:  # layer says nothing, router.layer does
        parts = [name.split(".") for name in left_out[ROUTERS]]
        named[ROUTERS] = list(
            dict.fromkeys(".".join(own[-1:] if _NAMED.search(own[-1]) else own[-2:]) for own in parts)
        )
    return Targets(adapted, named)


def adapted_layers(adapted: PeftModel) -> dict[str, int]:
    """How many layers, or tensors of experts, the adapter changes, by the last part of their name."""
    found: Counter[str] = Counter()
    for name, module in adapted.named_modules():
        if isinstance(module, BaseTunerLayer):
            last = name.replace(".base_layer", "").rpartition(".")[2]
            found[f"{last}.{module.parameter_name}" if isinstance(module, ParamWrapper) else last] += 1
    return dict(found)


def fused_experts(model: PreTrainedModel) -> list[str]:
    """The names of weights of experts that are one tensor, [experts, ...].

    Beside weights of as many experts as the config says others may have more: those of experts that do nothing.
    """
    numbers = _numbers_of_experts(model)
    weights = {name: len(weight) for name, weight in model.named_parameters() if weight.dim() == 3}
    owners = {name.rpartition(".")[0] for name, n in weights.items() if n in numbers}
    return [name for name in weights if name.rpartition(".")[0] in owners]


def _flat_experts(model: PreTrainedModel) -> list[str]:
    """The names of weights of experts that are one matrix, [experts * rows, ...], of no linear layer."""
    numbers = _numbers_of_experts(model)
    return [
        f"{name}.{own}"
        for name, module in model.named_modules()
        if "experts" in name.split(".") and not isinstance(module, nn.Linear | Conv1D)
        for own, weight in module.named_parameters(recurse=False)
        if weight.dim() == 2 and any(len(weight) > n > 1 and len(weight) % n == 0 for n in numbers)
    ]


def check_experts(model: PreTrainedModel, ends: Sequence[str]) -> None:
    """Raise ConfigError where one of ``lora.target_parameters`` is no weight of experts, which PEFT would pass over, or
    one whose gradients cannot be parted by example.
    """
    if not ends:
        return
    names, flat = fused_experts(model), _flat_experts(model)
    ran = _that_run(model, {}, _owners(model, names))
    able = [name for name in names if _can_be_adapted(name, ran)]
    for end in ends:
        found = [name for name in (*names, *flat) if f".{name}".endswith(f".{end}")]
        if not found or not set(found) <= set(able):
            why = FLAT if set(found) & set(flat) else PARTED
            what = f"is of {why} in this model" if found else "is no weight of fused experts of this model"
            has = f"it has {', '.join(_last_two(able))}" if able else "it has none to adapt; take this key out"
            raise ConfigError(f"lora.target_parameters: {end!r} {what}; {has}")


def _owners(model: PreTrainedModel, names: Sequence[str]) -> dict[str, nn.Module]:
    """The modules that these weights are of, by name."""
    return {owner: model.get_submodule(owner) for owner in dict.fromkeys(name.rpartition(".")[0] for name in names)}


def _can_be_adapted(weight: str, ran: set[str] | None) -> bool:
    return ran is None or weight.rpartition(".")[0] in ran


def check_layers(model: PreTrainedModel, names: Sequence[str]) -> None:
    """Raise ConfigError where one of ``lora.target_modules`` names no layer, which PEFT would pass over, what is no
    linear layer, or the output layer where its weights are those of the input embeddings: merged, the adapter would
    change these, too.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    is_tied = getattr(head, "weight", None) is getattr(embeddings, "weight", head)
    setting = f"lora.target_modules = {list(names)!r}"
    for end in names:
        found = [module for name, module in model.named_modules() if f".{name}".endswith(f".{end}")]
        if not found:
            linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
            has = ", ".join(_last_parts(linears))
            raise ConfigError(f"{setting}: {end!r} is no layer of this model; it has {has}")
        is_linear = [
            isinstance(module, Conv1D) or hasattr(module, "in_features") for module in found
        ]  # packed ones, too
        if not all(is_linear):
            other = found[is_linear.index(False)]
            raise ConfigError(
                f"{setting}: {end!r} is a {type(other).__name__} in this model, expected linear layers; name some of "
                "them, or all-linear"
            )
        if is_tied and any(module is head for module in found):
            raise ConfigError(
                f"{setting}: {end!r} is the output layer, whose weights are the input embeddings', too, so the adapter "
                "cannot be merged without changing both; take it out"
            )


def _last_two(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in names))


def _reason(model: PreTrainedModel, name: str, is_text: bool, routers: set[str], ran: set[str] | None) -> str | None:
    """Why a layer is left out; None for one that is adapted."""
    last = name.rpartition(".")[2]
    if not is_text:
        return OTHERS
    if name in routers:
        return ROUTERS
    if ran is not None and name not in ran:
        return INEXACT
    try:
        _check_lora_target_modules_mamba(LoraConfig(), model, last)
    except ValueError:
        return ELSEWHERE
    return None


def _tower(name: str, of_decoder: str) -> str:
    """The part of a layer's path that leads away from the decoder: ``vision_tower``."""
    parts, others = name.split("."), of_decoder.split(".")
    return next((part for part, other in zip(parts, others, strict=False) if part != other), parts[0])


def _not_for_peft(model: PreTrainedModel, names: list[str]) -> list[str]:
    """Those that PEFT would take for experts of before transformers 5, or not find again in a saved adapter."""
    config = LoraConfig(target_modules=names)
    convert_peft_config_for_transformers(config, model, None)
    weights = {f"base_model.model.{name}.lora_A.weight": torch.empty(1, 1) for name in names}
    lost = [key.removeprefix("base_model.model.").removesuffix(".lora_A.weight") for key in lost_keys(model, weights)]
    kept = set(config.target_modules or ()) - set(lost)
    return [name for name in names if name not in kept]


def lost_keys(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """The names in a saved adapter that PEFT takes for others when it loads them: of checkpoints of before."""
    found = convert_peft_adapter_state_dict_for_transformers(model, LoraConfig(), weights)
    return sorted(weights.keys() - found.keys())


def _routers(model: PreTrainedModel, linears: dict[str, nn.Module]) -> set[str]:
    """The layers that choose experts: what stands beside experts and ends in as many numbers as there are experts, or
    in one for a shared expert; and what is named gate or router, where it is as wide, or stands beside experts.
    """
    numbers = {1, *_numbers_of_experts(model)}
    experts = set(_owners(model, fused_experts(model)))
    experts |= {name for name, _ in model.named_modules() if name.rpartition(".")[2] == "experts"}

    def is_narrow(name: str) -> bool:
        return getattr(linears[name], "out_features", None) in numbers

    found = {name for name in linears if _NAMED.search(name) and is_narrow(name)}
    for mixture in {name.rpartition(".")[0] for name in experts}:
        beside: dict[str, list[str]] = {}
        for name in linears:
            if name.startswith(f"{mixture}."):
                beside.setdefault(name.removeprefix(f"{mixture}.").partition(".")[0], []).append(name)
        for child, names in beside.items():
            if f"{mixture}.{child}" not in experts and (is_narrow(names[-1]) or child in ("gate", "router")):
                found.update(names)
    return found


def _numbers_of_experts(model: PreTrainedModel) -> set[int]:
    return set(_experts_in(model.config.get_text_config(decoder=True).to_dict()))


def _experts_in(config: dict[str, Any]) -> Iterator[int]:
    """A number for all layers, or one for each; of all sections."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _experts_in(value)
        elif str(key).endswith("experts"):
            yield from (n for n in (value if isinstance(value, list | tuple) else [value]) if isinstance(n, int))


def _that_run(model: PreTrainedModel, linears: dict[str, nn.Module], experts: dict[str, nn.Module]) -> set[str] | None:
    """Those that a forward pass in training mode runs as layers, on all tokens, and that a gradient comes back to; and
    the experts all of whose inputs have a row for each token, or several.

    None where nothing runs, on the meta device. Raises ModelError with one line for a model that cannot be run.
    """
    if model.device.type == "meta":
        return None
    ran: dict[str, bool] = {}
    zeros: dict[str, Tensor] = {}  # added to what a layer gives

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Any], Tensor | None]:
        def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            is_whole = isinstance(output, Tensor) and inputs[0].shape[:-1].numel() == ROWS * TOKENS
            ran[name] = ran.get(name, True) and is_whole
            return output + zeros.setdefault(name, output.new_zeros((), requires_grad=True)) if is_whole else None

        return note

    by_token: set[str] = set()

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def note(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            if all(isinstance(part, Tensor) and _has_all_tokens(part) for part in (*inputs, *named.values())):
                by_token.add(name)

        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in linears.items()]
    handles += [module.register_forward_pre_hook(look(name), with_kwargs=True) for name, module in experts.items()]
    try:
        with keeping_modes(model), torch.enable_grad():
            model.train()
            token_ids = torch.arange(ROWS * TOKENS, device=model.device).view(ROWS, TOKENS)
            total = model(input_ids=token_ids, use_cache=False).logits.float().sum()
            found = torch.autograd.grad(total, list(zeros.values()), allow_unused=True) if zeros else ()
    except Exception as error:  # of a model that is run for the first time anything may go wrong
        raise ModelError(f"{name_of(model)}: not supported: it cannot run a short text: {reason(error)}") from error
    finally:
        for handle in handles:
            handle.remove()
    reached = {name for name, gradient in zip(zeros, found, strict=True) if gradient is not None}
    return {name for name in reached if ran[name]} | by_token


def _has_all_tokens(part: Tensor) -> bool:
    return part.shape[:2] == (ROWS, TOKENS) or (part.dim() > 0 and part.shape[0] % (ROWS * TOKENS) == 0)


def _counted(names: list[str], adapted: list[str]) -> list[str]:
    """The last parts of names, with how many of how many where others that end so are adapted."""
    own, others = (Counter(name.rpartition(".")[2] for name in part) for part in (names, adapted))
    return [f"{last} ({n} of {n + others[last]})" if others[last] else last for last, n in own.items()]


def _last_parts(names: list[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))
