"""Several processes of one run, as ``accelerate launch`` and ``torchrun`` start them.

All run the same program. Work is dealt out by position, the i-th thing to process i mod n, and results come together in
the order of the things; files are written by the main process alone. Without a launcher there is one process, and
nothing here does anything.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor, distributed

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=7)
"""Of one process for another: parts of hours are uneven by minutes. A dead process is noticed by the launcher."""


def start(device: str) -> None:
    """Meet the other processes, if a launcher has started some. ``device``: of the model, as in the config."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=LONGEST_WAIT)


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
    """What this process has to do; may be nothing."""
    return list(things[rank() :: count()])


def of_each(value: T) -> list[T]:
    """The value that each process has, in the order of the processes; in every process."""
    return [value] if count() == 1 else cast(list[T], gather_object([value]))


def gathered(results: Sequence[T]) -> list[T]:
    """The results of all processes for their ``own`` things, in the order of the things; in every process."""
    parts = of_each(list(results))
    return [parts[position % len(parts)][position // len(parts)] for position in range(sum(map(len, parts)))]


def from_main(value: T) -> T:
    """What the main process has for ``value``, in every process."""
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
