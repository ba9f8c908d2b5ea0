"""Gradients of a first pass in memory, so that a second one need not run their examples again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from grait.model.completions import TokenizedExample

MOST_BYTES = 1 << 30
"""Of gradients, by default: 145 examples of SmolLM2-135M with LoRA r = 16 on attention."""


@dataclass(frozen=True)
class Block:
    """Rows of one batch. ``losses``, ``norms`` [rows]; ``gradients``: by layer, [rows, out * in], in main memory."""

    members: list[TokenizedExample]
    losses: Tensor
    norms: Tensor
    gradients: dict[str, Tensor]

    def products(self, directions: Mapping[str, Tensor]) -> Tensor:
        """<g_i, direction> with each set's direction, [rows, sets]."""
        layers = ((own, directions[name]) for name, own in self.gradients.items())
        return torch.stack([own.to(direction.device) @ direction.to(own.dtype).T for own, direction in layers]).sum(0)


@dataclass
class KeptGradients:
    """Of the examples in ``wanted``, the first that fit into ``room`` bytes. ``size``: bytes of one example's."""

    wanted: Collection[TokenizedExample]
    room: int
    size: int
    blocks: list[Block] = field(default_factory=list)

    def rows(self, members: Sequence[TokenizedExample]) -> list[int]:
        """Which of a batch's are to be kept, as far as there is room."""
        found = [row for row, member in enumerate(members) if member in self.wanted]
        return found[: self.room // self.size]

    def add(self, block: Block) -> None:
        self.room -= self.size * len(block.members)
        self.blocks.append(block)
