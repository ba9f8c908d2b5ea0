"""A random projection that keeps inner products, seeded and sparse: one pass over a gradient, no matrix.

Sparse Johnson-Lindenstrauss transform with one entry per coordinate (count sketch; Weinberger et al. 2009, Kane and
Nelson 2014): every coordinate is added to one of m places with a random sign. E<Px, Py> = <x, y>, with a variance of
about (|x|^2 |y|^2 + <x, y>^2) / m. Here the places of m neighbouring coordinates are a permutation, so that all are
filled alike. It costs as much as reading the gradient, where a dense projection costs m times that.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


class SparseProjection:
    """Projects the gradients of named layers to ``dimensions`` numbers in all.

    ``sizes``: number of weights of each layer. A layer's part depends on the seed, the dimensions and its name only,
    on any device. Memory: 5 bytes per weight.
    """

    def __init__(self, dimensions: int, seed: int, sizes: Mapping[str, int], device: torch.device) -> None:
        self.dimensions = dimensions
        self._places: dict[str, Tensor] = {}
        self._signs: dict[str, Tensor] = {}
        for name, size in sizes.items():
            digest = hashlib.sha256(f"{seed}\0{dimensions}\0{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            turns = -(-size // dimensions)
            places = torch.cat([torch.randperm(dimensions, generator=generator) for _ in range(turns)])[:size]
            signs = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8) * 2 - 1
            self._places[name] = places.to(device, torch.int32)
            self._signs[name] = signs.to(device)

    def add(self, sketch: Tensor, layer: str, gradients: Tensor) -> None:
        """Add the projection of ``gradients`` [batch, size] of a layer to ``sketch`` [batch, dimensions]."""
        sketch.index_add_(1, self._places[layer], gradients * self._signs[layer])
