"""On which side of a border between two sets a gradient lies, by all other gradients.

S, the difference of two mean cosines, is the projection on the line between the means of the two sets. It counts what
many gradients have in common as often as they have it. Ridge regression from the gradients to their set weighs by the
inverse of the gradients' second moments, as TRAK does (arXiv 2303.14186), so that a direction counts by what it tells.
With an ever larger ridge the order becomes that of S on centred gradients.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from grait.records import InfluenceScore, Label

RIDGE = 1.0
"""Added to the eigenvalues of the Gram matrix of the gradients, each of length 1."""


def left_out_margins(blocks: Callable[[], Iterator[Tensor]], targets: Tensor, ridge: float = RIDGE) -> Tensor:
    """The target of every row, as ridge regression on all the OTHER rows predicts it, [rows], fp64.

    ``blocks``: makes the rows [rows, dimensions] anew, in blocks; read two or three times. The rows are centred and
    made units first. ``targets`` [rows]: 1 for one set and -1 for the other; their mean, of all rows, is predicted
    where gradients say nothing. Exact by the formula for leaving one out (centring apart, which sees all rows).

    Cost, with m the smaller of rows and dimensions: m^3 + rows * dimensions * m operations, m^2 numbers of memory.
    """
    targets = targets.double()
    n = len(targets)
    centre = torch.stack([block.double().sum(0) for block in blocks()]).sum(0) / n
    centred = targets - targets.mean()

    def units() -> Iterator[Tensor]:
        for block in blocks():
            rows = block.double() - centre
            yield rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).eps)

    if n <= len(centre):
        rows = torch.cat(list(units()))
        kernel = rows @ rows.T + ridge * torch.eye(n, dtype=torch.float64)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
        return targets - (inverse @ centred) / inverse.diagonal()
    gram = ridge * torch.eye(len(centre), dtype=torch.float64)
    moment = torch.zeros_like(centre)
    start = 0
    for rows in units():
        gram += rows.T @ rows
        moment += rows.T @ centred[start : start + len(rows)]
        start += len(rows)
    factor = torch.linalg.cholesky(gram)
    direction = torch.cholesky_solve(moment[:, None], factor)[:, 0]
    fitted, leverage = [], []
    for rows in units():
        fitted.append(rows @ direction)
        leverage.append((rows * torch.cholesky_solve(rows.T, factor).T).sum(1))
    return targets - (centred - torch.cat(fitted)) / (1 - torch.cat(leverage))


def label_separation(scores: Iterable[InfluenceScore]) -> float | None:
    """``separation`` of the unknown questions' margins from those of the known ones; None without any of either."""
    margins: dict[Label, list[float]] = {"idk": [], "ik": [], "dropped": []}
    for row in scores:
        margins[row.label].append(row.left_out_margin)
    return separation(margins["idk"], margins["ik"]) if margins["idk"] and margins["ik"] else None


def separation(positive: Sequence[float], negative: Sequence[float]) -> float:
    """How well margins tell the two sets apart: AUROC, the share of pairs in which the positive one's is higher.

    Each margin comes from the other rows, so sets drawn at random have about 0.5. Margins depend on each other,
    and their AUROC varies by more than that of independent scores: with random sets, a fifth of the rows negative, its
    standard deviation is about 0.11 with 60 rows, 0.05 with 300, 0.04 with 1,000. Needs a margin on either side.
    """
    return float(mannwhitneyu(positive, negative).statistic) / (len(positive) * len(negative))
