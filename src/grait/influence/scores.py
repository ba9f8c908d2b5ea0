"""Influence as scores by example and set, and their sum over several checkpoints."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from grait.errors import DataError, NonFiniteError


@dataclass(frozen=True)
class Influence:
    """Scores by example id.

    ``scores``: set name -> id -> mean over the set of <u_i, u_j>, in [-1, 1]; an example of a set counts itself, too.
    ``gradient_norms``: id -> norm of the loss gradient.
    ``losses``: id -> mean completion loss (nats per token).
    ``non_finite``: ids left out of everything because loss or gradient was not finite.
    """

    scores: dict[str, dict[str, float]]
    gradient_norms: dict[str, float]
    losses: dict[str, float]
    non_finite: tuple[str, ...]

    @classmethod
    def of_columns(
        cls,
        ids: Sequence[str],
        scores: Mapping[str, Sequence[float]],
        *,
        norms: Sequence[float],
        losses: Sequence[float],
        left_out: Collection[str],
    ) -> "Influence":
        """From columns in the order of ``ids``; a row whose norm is NaN was not finite.

        ``left_out``: further ids that were not finite, in a set. Raises NonFiniteError when no row is left.
        """
        kept = [row for row, norm in enumerate(norms) if not math.isnan(norm)]
        if not kept:
            raise NonFiniteError(f"influence: none of {len(ids)} examples has a finite loss and gradient")
        bad = {name for name, norm in zip(ids, norms, strict=True) if math.isnan(norm)}
        return cls(
            scores={name: {ids[row]: column[row] for row in kept} for name, column in scores.items()},
            gradient_norms={ids[row]: norms[row] for row in kept},
            losses={ids[row]: losses[row] for row in kept},
            non_finite=tuple(sorted(bad | set(left_out))),
        )


def over_checkpoints(results: Iterable[tuple[float, Influence]]) -> Influence:
    """Influence over several warm-up checkpoints: the sum of their scores, each times its learning rate.

    LESS eq. 4, TracIn. ``results``: learning rate and influence at each checkpoint, of the same examples and sets; from
    a generator they are made one after the other, so that one checkpoint's weights are in memory at a time. Norms and
    losses are those of the last checkpoint; an example that was not finite at any of them is left out.
    """
    found = list(results)
    if not found:
        raise DataError("influence: no checkpoint to sum over")
    last = found[-1][1]
    non_finite = sorted({example_id for _, result in found for example_id in result.non_finite})
    kept = [example_id for example_id in last.gradient_norms if example_id not in set(non_finite)]
    for _, result in found:
        if result.scores.keys() != last.scores.keys() or not result.gradient_norms.keys() >= set(kept):
            raise DataError("influence: the checkpoints were not asked about the same examples and sets")
    return Influence(
        scores={
            name: {key: sum(rate * result.scores[name][key] for rate, result in found) for key in kept}
            for name in last.scores
        },
        gradient_norms={key: last.gradient_norms[key] for key in kept},
        losses={key: last.losses[key] for key in kept},
        non_finite=tuple(non_finite),
    )
