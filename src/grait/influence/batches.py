"""One pass over examples: their gradients batch by batch, as exact influence and the sketch both need them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grait.errors import DataError
from grait.influence.gradients import Factors, Whole, gradient_factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.influence.road import gradient_road
from grait.influence.transforms import AdamTransform, Curvature
from grait.model.common_prefix import for_gradients
from grait.model.completions import TokenizedExample, collate
from grait.model.engine import Road
from grait.model.sampling import by_length
from grait.runtime.artifacts import fingerprint
from grait.runtime.unfinished import digest_of_weights

Transform = Callable[[str, Tensor], Tensor]
"""From a layer's name and its gradients [batch, out * in] to what is compared instead, of the same shape."""


@dataclass(frozen=True)
class Batch:
    """``positions`` of its rows among the examples, their ``losses`` [rows], and gradient factors by layer.

    ``at_prefix``: None where the factors hold everything; else they are those of the examples' own tokens alone, and
    these are the gradients at ``SharedPrefix.reached``, [rows, heads, tokens, size].
    """

    positions: list[int]
    losses: Tensor
    factors: dict[str, Factors | Whole]
    at_prefix: list[Tensor] | None = None


@dataclass(frozen=True)
class GradientPass:
    """One pass over examples: the model with its trainable layers, and how examples are put into batches.

    ``label_seed``: None for losses of the completions; else their labels are drawn from the model (``drawn_labels``).
    """

    model: nn.Module
    linears: dict[str, nn.Linear]
    pad_token_id: int
    tokens_per_batch: int
    advance: Callable[[int], None]
    transform: Transform | None = None
    prefix: SharedPrefix | None = None
    label_seed: int | None = None

    @property
    def device(self) -> torch.device:
        return next(iter(self.linears.values())).weight.device

    def gradients(self, name: str, layer: Factors | Whole) -> Tensor:
        """Every example's gradient of one layer, transformed, [batch, out * in]."""
        gradients = layer.gradients()
        return self.transform(name, gradients) if self.transform else gradients

    def weighted_sum(self, name: str, layer: Factors | Whole, coefficients: Tensor) -> Tensor:
        """Their sum for each row of ``coefficients`` [sums, batch]; [sums, out * in]."""
        if self.transform is None:
            return layer.weighted_sum(coefficients)
        return coefficients @ self.gradients(name, layer)

    def batches(
        self,
        examples: Sequence[TokenizedExample],
        is_done: Callable[[int, list[int]], bool] | None = None,
        stop_at_prefix: bool = False,
    ) -> Iterator[Batch]:
        """The examples in batches of similar length. Those that are done, by number and positions, are only counted.

        ``stop_at_prefix``: gradients need not go through the prefix, which there must be.
        """
        lengths = [example.n_tokens for example in examples]
        for number, positions in enumerate(by_length(lengths, self.tokens_per_batch)):
            if is_done is None or not is_done(number, positions):
                yield self._batch(positions, [examples[position] for position in positions], stop_at_prefix)
            self.advance(len(positions))

    def _batch(self, positions: list[int], rows: list[TokenizedExample], stop_at_prefix: bool) -> Batch:
        make = self.prefix.collate if self.prefix else collate
        batch = make(rows, self.pad_token_id)
        if self.label_seed is not None:
            batch["draws"] = draws(rows, batch["targets"].shape[1], self.label_seed)
        batch = {key: value.to(self.device) for key, value in batch.items()}
        if not self.prefix:
            return Batch(positions, *gradient_factors(self.model, self.linears, batch))
        if stop_at_prefix:
            return Batch(positions, *self.prefix.own_factors(batch))
        return Batch(positions, *self.prefix.gradient_factors(batch))


def draws(examples: Sequence[TokenizedExample], n_targets: int, seed: int) -> Tensor:
    """Numbers in [0, 1) by seed, example id and place in its completion, [examples, n_targets], padded as targets."""
    found = torch.zeros(len(examples), n_targets)
    for row, example in zip(found, examples, strict=True):
        digest = hashlib.sha256(f"{seed}\0{example.id}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        row[n_targets - len(example.completion_ids) :] = torch.rand(len(example.completion_ids), generator=generator)
    return found


def _check_tokens(model: nn.Module, examples: Sequence[TokenizedExample]) -> None:
    """DataError for the first example with a token that the model does not have."""
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    size = embedding.num_embeddings
    for example in examples:
        token = next((token for token in (*example.prompt_ids, *example.completion_ids) if not 0 <= token < size), None)
        if token is not None:
            raise DataError(f"influence: example {example.id}: the token {token} is none of the model's {size}")


@contextmanager
def gradient_pass(
    model: nn.Module,
    examples: Sequence[TokenizedExample],
    pad_token_id: int,
    tokens_per_batch: int,
    transform: Transform | None,
    advance: Callable[[int], None] | None,
    road: Road | None = None,
) -> Iterator[GradientPass]:
    """Passes over any of ``examples``, whose prompts' common beginning runs once. No dropout within.

    ``road``: as ``road.gradient_road`` finds it; None to find it here.
    """
    _check_tokens(model, examples)
    linears = trainable_linears(model)
    road = road or gradient_road(model, pad_token_id)
    with for_gradients(model):
        yield GradientPass(
            model,
            linears,
            pad_token_id,
            tokens_per_batch,
            advance or (lambda _: None),
            transform,
            SharedPrefix.of(model, linears, examples, road),
        )


def settings_of(run: GradientPass, examples: Mapping[str, Sequence[TokenizedExample]]) -> dict[str, Any]:
    """All that decides the numbers of a pass, to tell whether kept results may be used: JSON values.

    Weights count by their content (adapter) or by a sample of it (the frozen model), examples by their tokens.
    """
    return {
        "torch": torch.__version__.split("+")[0],
        "device": run.device.type,
        "frozen_model": digest_of_weights(run.model, is_trainable=False),
        "adapter": digest_of_weights(run.model, is_trainable=True),
        "transform": _transform_settings(run.transform),
        "tokens_per_batch": run.tokens_per_batch,
        **{name: digest_of_examples(members) for name, members in examples.items()},
    }


def digest_of_examples(members: Sequence[TokenizedExample]) -> str:
    """Tells examples apart by ids and tokens, in their order."""
    return fingerprint([asdict(member) for member in members])


def _transform_settings(transform: Transform | None) -> Any:
    if transform is None:
        return "none"
    digest = hashlib.sha256()
    if isinstance(transform, Curvature):
        # The first row of a basis tells the signs of its vectors.
        parts = {**transform.eigenvalues, **{name: basis[0] for name, basis in transform.bases.items()}}
        for name, part in parts.items():
            digest.update(name.encode() + part.cpu().numpy().tobytes())
        return {"curvature": digest.hexdigest(), "damping": transform.damping}
    if not isinstance(transform, AdamTransform):
        return getattr(transform, "__qualname__", type(transform).__qualname__)
    for name, moments in transform.moments.items():
        digest.update(f"{name} {moments.step}".encode())
        digest.update(moments.exp_avg.cpu().numpy().tobytes() + moments.exp_avg_sq.cpu().numpy().tobytes())
    return {"adam": transform.form, "betas": list(transform.betas), "eps": transform.eps, "moments": digest.hexdigest()}
