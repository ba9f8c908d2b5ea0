"""Several processes of one run, as ``accelerate launch`` and ``torchrun`` start them.

All run the same program. Work is dealt out by position, the i-th thing to process i mod n, and results come together in
the order of the things; files are written by the main process alone. Without a launcher there is one process, and
nothing here does anything.
"""

import importlib.util
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor, distributed

from grait.errors import ConfigError

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=7)
"""Longest wait of one process for another: parts of hours are uneven by minutes. The launcher notices a dead one."""

Sharding = Literal["none", "fsdp", "zero"]
"""How the model is sharded in training: not where each process has all of it (DDP), else by FSDP 2 or DeepSpeed."""

SUPPORTED = {
    "fsdp_version": ("FSDP_VERSION", "2", "version 1 is not supported"),
    "fsdp_state_dict_type": ("FSDP_STATE_DICT_TYPE", "FULL_STATE_DICT", "its checkpoints are pickled"),
    "fsdp_cpu_ram_efficient_loading": (
        "FSDP_CPU_RAM_EFFICIENT_LOADING",
        "false",
        "all stages but training need the model's weights in every process",
    ),
    "fsdp_activation_checkpointing": (
        "FSDP_ACTIVATION_CHECKPOINTING",
        "false",
        "set model.gradient_checkpointing of the run's own config",
    ),
}
"""Settings that an accelerate config needs for FSDP: the variable that tells of it, its value, and the reason."""


def start(device: str) -> None:
    """Meet the other processes, if a launcher has started some. ``device``: of the model, as in the config. Raises
    ConfigError when the launcher asks for a way to train that is not supported."""
    _check_launcher()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def sharding() -> Sharding:
    """The sharding that the launcher asks for."""
    if _is_set("ACCELERATE_USE_FSDP"):
        return "fsdp"
    return "zero" if _is_set("ACCELERATE_USE_DEEPSPEED") else "none"


def count() -> int:
    """How many there are."""
    return distributed.get_world_size() if _started() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return distributed.get_rank() if _started() else 0


def is_main() -> bool:
    """Whether this process writes files and talks to the user."""
    return rank() == 0


def own(things: Sequence[T]) -> list[T]:
    """The things that this process has to do; may be none."""
    return list(things[rank() :: count()])


def of_each(value: T) -> list[T]:
    """The value that each process has, in the order of the processes; in every process."""
    return [value] if count() == 1 else cast(list[T], gather_object([value]))


def gathered(results: Sequence[T]) -> list[T]:
    """The results of all processes for their ``own`` things, in the order of the things; in every process."""
    parts = of_each(list(results))
    return [parts[position % len(parts)][position // len(parts)] for position in range(sum(map(len, parts)))]


def from_main(value: T) -> T:
    """The main process' ``value``, in every process."""
    return value if count() == 1 else cast(list[T], broadcast_object_list([value]))[0]


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, in every process."""
    return tensor if count() == 1 else cast(Tensor, reduce(tensor, reduction="sum"))


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        PartialState().wait_for_everyone()


def _started() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() == "true"


def _check_launcher() -> None:
    """The variables by which ``accelerate launch`` hands its config on."""
    if sharding() == "fsdp":
        for key, (variable, expected, reason) in SUPPORTED.items():
            found = os.environ.get(variable, "not set")
            if found.lower() != expected.lower():
                raise ConfigError(f"accelerate's config: {key}: expected {expected}, found {found}: {reason}")
    if sharding() == "zero":
        if importlib.util.find_spec("deepspeed") is None:
            raise ConfigError(
                "accelerate's config: distributed_type: DEEPSPEED needs DeepSpeed: pip install deepspeed; or take "
                "FSDP, as in configs/accelerate/fsdp.yaml"
            )
        may_be_3 = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3" or (
            "ACCELERATE_DEEPSPEED_CONFIG_FILE" in os.environ
        )
        if may_be_3 and os.environ.get("ACCELERATE_DEEPSPEED_ZERO3_INIT", "true") != "false":
            raise ConfigError(
                "accelerate's config: zero3_init_flag: expected false: all stages but training need the model's "
                "weights in every process"
            )
    for variable, name in (
        ("ACCELERATE_USE_MEGATRON_LM", "MEGATRON_LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "parallelism_config"),
    ):
        if _is_set(variable):
            raise ConfigError(f"accelerate's config: {name} is not supported; expected DDP, FSDP or DeepSpeed ZeRO")
