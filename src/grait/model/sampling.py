"""Batches of similar length, and tokens drawn so that a sample depends on the seed and its question's id alone."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def by_length(lengths: Sequence[int], tokens_per_batch: int, width: int = 0) -> Iterator[list[int]]:
    """Positions in batches of similar length, longest first, each at most ``tokens_per_batch`` tokens when padded.
    ``width``: tokens that each row adds later (its samples), counted into the budget."""
    order = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // (lengths[order[start]] + width))
        yield order[start : start + rows]
        start += rows


def uniforms(seed: int, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in [0, 1) that depend on the seed and the key only."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32)).random(shape)


def noise_of(keys: Sequence[str], seed: int, max_new_tokens: int, n: int, temperature: float) -> Tensor:
    """What the ``n`` samples of each key draw by, [keys, new tokens, samples]; zeros for greedy ones."""
    shape = (max_new_tokens, n)
    if temperature == 0:
        return torch.zeros((len(keys), *shape), dtype=torch.float64)
    return torch.from_numpy(np.stack([uniforms(seed, key, shape) for key in keys]))


def choose(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """Token ids [rows, samples] from logits [rows, samples, vocabulary]: the mode, or by inverse distribution.
    ``draws`` in [0, 1): the token is the first whose cumulative probability exceeds the draw."""
    if temperature == 0:
        return logits.argmax(-1)
    cumulative = (logits / temperature).softmax(-1).cumsum(-1)
    below_one = 1 - torch.finfo(cumulative.dtype).eps / 2  # a draw close to 1 must not round to it
    draws = draws.to(cumulative.dtype).clamp(max=below_one) * cumulative[..., -1]  # the sum may be a little off 1, too
    return torch.searchsorted(cumulative, draws[..., None], right=True)[..., 0]
