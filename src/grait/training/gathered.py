"""The trained weights and the optimizer's moments in one piece, whether the model is sharded or not.

All processes have to call these functions, since each has a shard; all get everything, which is as large as the
adapter and its moments.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from grait.errors import ModelError, NonFiniteError
from grait.runtime import processes


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """By parameter name, on the CPU."""
    if processes.sharding() == "zero":
        from deepspeed.utils import safe_get_full_fp32_param

        return {name: _whole(safe_get_full_fp32_param(parameter)) for name, parameter in _trained(model)}
    return {name: _whole(parameter) for name, parameter in _trained(model)}


def moments(model: nn.Module, optimizer: Any, n_steps: int) -> dict[str, Tensor]:
    """exp_avg, exp_avg_sq and step of the optimizer by parameter name, on the CPU.

    ``n_steps``: taken so far, which DeepSpeed's optimizer does not keep by parameter. Raises NonFiniteError when no
    parameter has moments, since no step was taken, and ModelError when one alone has none.
    """
    found = {}
    for name, parameter in _trained(model):
        for key, value in _state(optimizer, name, parameter, n_steps).items():
            found[f"{name}.{key}"] = _whole(torch.as_tensor(value))
    return found


def _state(optimizer: Any, name: str, parameter: nn.Parameter, n_steps: int) -> dict[str, Any]:
    if processes.sharding() == "zero":
        from deepspeed.utils import safe_get_full_optimizer_state

        own = {key: safe_get_full_optimizer_state(parameter, key) for key in ("exp_avg", "exp_avg_sq")}
        return {**own, "step": float(n_steps)}
    if parameter not in optimizer.state:
        if optimizer.state:
            raise ModelError(
                f"training: {name} has no gradient: no loss depends on it; leave its layer out of lora.target_modules"
            )
        raise NonFiniteError("training: no step was taken: every gradient overflowed; lower learning_rate")
    return {key: optimizer.state[parameter][key] for key in ("exp_avg", "exp_avg_sq", "step")}


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _whole(tensor: Tensor) -> Tensor:
    whole = tensor.detach()
    if isinstance(whole, DTensor):
        whole = whole.full_tensor()
    return whole.to("cpu", copy=True).contiguous()
