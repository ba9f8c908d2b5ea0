"""Weighted examples: their order in training, and batches of them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from grait.model.completions import TokenizedExample, collate
from grait.model.teacher import Teacher
from grait.runtime.artifacts import fingerprint

NOTHING = ""
"""The id of an example that only fills up a batch."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Tokens that the model is to choose among, and what each costs; no other token is a target."""

    token_ids: tuple[int, ...]
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WeightedExample:
    """An example and the factor of its loss.

    ``form``: how it is put; prompts of one form share a beginning. ``teacher``: what the initial model would write;
    the loss is then the divergence from it, not cross-entropy. ``first_token_weight``: how many times the loss of the
    completion's first token counts. ``choice``: of the completion, which is one of its tokens; the loss is then the
    cost to be expected. ``place``: among the examples of a training, which ``Examples`` says.
    """

    example: TokenizedExample
    sample_weight: float
    form: str = ""
    teacher: Teacher | None = None
    first_token_weight: float = 1.0
    choice: Choice | None = None
    place: int = -1

    @property
    def content(self) -> dict[str, Any]:
        """All of it as JSON values, a teacher by its SHA-256; without what only some examples have."""
        found: dict[str, Any] = {"example": asdict(self.example), "sample_weight": self.sample_weight}
        if self.form:
            found["form"] = self.form
        if self.teacher is not None:
            parts = (self.teacher.token_ids, self.teacher.logprobs)
            found["teacher"] = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
        if self.first_token_weight != 1.0:
            found["first_token_weight"] = self.first_token_weight
        if self.choice is not None:
            found["choice"] = asdict(self.choice)
        return found


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
            return replace(self.examples[index], place=index)
        first = self.examples[0]
        return replace(first, example=replace(first.example, id=NOTHING), sample_weight=0.0)


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


@dataclass(frozen=True, slots=True)
class WeightedCollator:
    """Rows of a micro-batch as batches, each of one form or of all forms that share no beginning.

    ``beginnings``: by form, the tokens with which all its prompts begin and that are to run once. ``is_whole``: one
    batch of all rows, for models that all processes have to run equally often; there are no beginnings then.
    """

    pad_token_id: int
    beginnings: Mapping[str, tuple[int, ...]]
    is_whole: bool = False

    def __call__(self, rows: Sequence[WeightedExample]) -> dict[str, Any]:
        """``batches``: as of ``collate``, with their ``form``, None for no beginning.

        ``ids``, ``places``, ``sample_weight``: [rows].

        Rows with a teacher, whose completions are long, are in batches of their own: the head runs at the longest
        completion's positions for all rows of a batch.
        """
        parts: dict[tuple[str | None, bool], list[WeightedExample]] = {}
        for row in rows:
            form = row.form if row.form in self.beginnings else None
            parts.setdefault((form, row.teacher is not None and not self.is_whole), []).append(row)
        # Batches of one form after each other.
        ordered = sorted(parts.items(), key=lambda part: [form for form, _ in parts].index(part[0][0]))
        in_order = [row for _, own in ordered for row in own]
        return {
            "batches": [self._batch(form, own) for (form, _), own in ordered],
            "sample_weight": torch.tensor([row.sample_weight for row in in_order], dtype=torch.float32),
            "ids": [row.example.id for row in in_order],
            "places": [row.place for row in in_order],
        }

    def _batch(self, form: str | None, rows: Sequence[WeightedExample]) -> dict[str, Any]:
        n_shared = 0 if form is None else len(self.beginnings[form])
        batch: dict[str, Any] = collate([row.example for row in rows], self.pad_token_id, n_shared)
        if any(row.teacher is not None for row in rows):
            batch |= _teachers([row.teacher for row in rows], batch["targets"].shape[1])
        if any(row.first_token_weight != 1.0 for row in rows):
            batch["first_token_weight"] = torch.tensor([row.first_token_weight for row in rows])
        if any(row.choice is not None for row in rows):
            batch |= _choices([row.choice for row in rows])
        return batch | {"form": form}


def _choices(choices: Sequence[Choice | None]) -> dict[str, Tensor]:
    """``choice_ids`` and ``choice_costs`` [rows, k]; where there is no choice the ids are -1. All have k tokens."""
    (k,) = {len(choice.token_ids) for choice in choices if choice is not None}
    nothing = Choice((-1,) * k, (0.0,) * k)
    given = [choice or nothing for choice in choices]
    return {
        "choice_ids": torch.tensor([choice.token_ids for choice in given]),
        "choice_costs": torch.tensor([choice.costs for choice in given]),
    }


def _teachers(teachers: Sequence[Teacher | None], n_targets: int) -> dict[str, Tensor]:
    """``teacher_ids`` [rows, answer tokens, k] and ``teacher_logprobs`` [rows, answer tokens, k + 1].

    As the targets, they end at the last position. Where there is no teacher the ids are -1.
    """
    given = [teacher for teacher in teachers if teacher is not None]
    k = given[0].token_ids.shape[1]
    token_ids = torch.full((len(teachers), n_targets, k), -1, dtype=torch.int32)
    logprobs = torch.zeros((len(teachers), n_targets, k + 1), dtype=given[0].logprobs.dtype)
    for row, teacher in enumerate(teachers):
        if teacher is not None:
            token_ids[row, n_targets - len(teacher.token_ids) :] = teacher.token_ids
            logprobs[row, n_targets - len(teacher.logprobs) :] = teacher.logprobs
    return {"teacher_ids": token_ids, "teacher_logprobs": logprobs}
