"""Weighted examples: their order in training, and batches of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from grait.model.completions import TokenizedExample, collate
from grait.runtime.artifacts import fingerprint

NOTHING = ""
"""The id of an example that only fills up a batch."""


@dataclass(frozen=True, slots=True)
class WeightedExample:
    """An example and the factor of its loss. ``form``: how it is put; prompts of one form share a beginning."""

    example: TokenizedExample
    sample_weight: float
    form: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """All of it as JSON values, without what only some examples have."""
        found: dict[str, Any] = {"example": asdict(self.example), "sample_weight": self.sample_weight}
        return found | {"form": self.form} if self.form else found


def digest_of(examples: Sequence[WeightedExample]) -> str:
    """Fingerprint of the examples, for stage keys."""
    return fingerprint([row.content for row in examples])


class Examples(Dataset[WeightedExample]):
    """Position -1 is an example that counts for nothing."""

    def __init__(self, examples: Sequence[WeightedExample]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> WeightedExample:
        if index >= 0:
            return self.examples[index]
        return WeightedExample(replace(self.examples[0].example, id=NOTHING), 0.0)


class Order(Sampler[int]):
    """All positions in an order by seed and epoch, then -1 until there are as many for every process.

    The epoch, from 0, is asked for: of several processes that go on in the middle of one, accelerate does not tell it.
    """

    def __init__(self, n: int, multiple: int, seed: int, epoch: Callable[[], int]) -> None:
        self.n, self.multiple, self.seed, self.epoch = n, multiple, seed, epoch

    def __len__(self) -> int:
        return -(-self.n // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.epoch() + self.seed)
        yield from torch.randperm(self.n, generator=generator).tolist()
        yield from [-1] * (len(self) - self.n)


def collate_weighted(examples: Sequence[WeightedExample], pad_token_id: int, n_shared: int = 0) -> dict[str, Any]:
    """``collate``, with ids and sample_weight [batch]."""
    batch: dict[str, Any] = collate([row.example for row in examples], pad_token_id, n_shared)
    batch["sample_weight"] = torch.tensor([row.sample_weight for row in examples], dtype=torch.float32)
    batch["ids"] = [row.example.id for row in examples]
    return batch
