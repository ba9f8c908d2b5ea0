"""The weights of an export, in numbers and in words."""

from collections.abc import Sequence

from grait.formats.examples import Example, Share, WeightsAre
from grait.formats.resampling import largest_remainder, total_variation


def share_of(examples: Sequence[Example], weights_are: WeightsAre, n_rows: int | None = None) -> Share:
    """How many rows each example has, and how far that is from the weights.

    ``n_rows``: of a resampled file; default: as many as examples. A weight of 0 has no row where rows are unweighted:
    one that counts as 1 would teach what the run did not.
    """
    weights = [example.sample_weight for example in examples]
    if weights_are == "resampled":
        rows = largest_remainder(weights, len(weights) if n_rows is None else n_rows)
    elif weights_are == "left out":
        rows = [int(weight > 0) for weight in weights]
    else:
        rows = [1] * len(weights)
    unweighted = total_variation(weights, rows)
    return Share(weights_are, tuple(rows), 0.0 if weights_are == "carried" else unweighted, unweighted)


def in_words(tool: str, share: Share) -> str:
    """One line about the weights, for the terminal and the folder's README."""
    distance = f"{share.total_variation:.4f}"
    if share.weights_are == "resampled":
        left_out = f"; {share.n_left_out} of {len(share.rows)} examples have no row" if share.n_left_out else ""
        return f"{share.n_rows} rows in proportion to the weights: total variation distance {distance}{left_out}" + (
            f"; with R rows (--rows R) it is below {len(share.rows) / 2:g}/R" if share.total_variation else ""
        )
    if share.unweighted == 0:
        return "All weights are equal, so that nothing is lost where they are not used"
    if share.weights_are == "carried":
        return (
            f"{tool} ignores the weights (sample_weight) unless train_trl.py, or a trainer like it, uses them; "
            f"ignored, total variation distance {share.unweighted:.4f}"
        )
    return (
        f"{tool} takes no weights: rows are unweighted, total variation distance {distance} from the weights; "
        "--resample repeats rows in proportion to them"
    )
