"""Weighted tuning on what the model itself answers: every step asks it, and trains on its samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from grait.training.examples import WeightedExample
from grait.training.trainer import WeightedTrainer

OnPolicy = Callable[[Any, Sequence[WeightedExample], int], tuple[list[WeightedExample], float | None]]
"""The model, the rows of a step and its number, from 0, to the rows that are trained on in their place, and the mean
reward, None where nothing was asked. It depends on nothing else, so that a killed training goes on with the same."""


class OnPolicyTrainer(WeightedTrainer):
    """The loss of a step is the weighted sum over what stands in the place of its rows, divided by the rows' number."""

    def __init__(self, *arguments: Any, on_policy: OnPolicy, micro_batch_size: int, **options: Any) -> None:
        """``micro_batch_size``: most rows of a forward and backward pass. All others as ``WeightedTrainer`` has them;
        the Trainer's own micro-batches are whole steps."""
        super().__init__(*arguments, **options)
        self.collator, self.data_collator = options["collator"], list
        self.on_policy, self.micro_batch_size = on_policy, micro_batch_size
        self.reward: float | None = None

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """One optimizer step, in parts, and its number of rows before they were replaced."""
        batches, _ = Trainer.get_batch_samples(self, epoch_iterator, num_batches, device)
        asked = [row for batch in batches for row in batch]
        rows, self.reward = self.on_policy(self.model, asked, self.state.global_step)
        rows = rows or [replace(asked[0], sample_weight=0.0)]  # nothing to learn: a step of momentum alone
        size = self.micro_batch_size
        parts = [self.collator(rows[start : start + size]) for start in range(0, len(rows), size)]
        return [{"parts": parts}], torch.tensor(len(asked), device=device)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Of all parts; the backward pass of the last one is the Trainer's."""
        *first, last = inputs["parts"]
        done = 0.0
        for part in first:
            loss = super().compute_loss(model, part, return_outputs, num_items_in_batch)
            self.accelerator.backward(loss)
            done += loss.detach()
        return done + super().compute_loss(model, last, return_outputs, num_items_in_batch)

    def log(self, logs: dict[str, float], *more: Any) -> None:
        """With the mean reward of the step's samples."""
        super().log(logs | ({"reward": self.reward} if "loss" in logs else {}), *more)
