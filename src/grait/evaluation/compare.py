"""Systems side by side on one data set: means over seeds, 95% intervals and paired differences of THS.

The intervals come from a bootstrap of two levels. Each resample draws the questions anew, with replacement; the draw is
the same for all systems and all seeds, so that differences between systems are paired: easy questions are easy for
both. With more than one seed it then draws the seeds anew, too, again the same for all systems. What a resample gives
is the mean over its seeds of each seed's metric on its questions; low and high are the 2.5% and 97.5% quantiles.

With one seed the intervals say how far the numbers depend on the test questions, and nothing about another training
run. With a few seeds they say something: resampled seeds spread by (S - 1) / S of the seeds' own variance, which is
too little (2/3 of it for 3 seeds).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grait.errors import GraitError
from grait.evaluation.estimates import UNDEFINED, Array, Estimate, interval
from grait.evaluation.metrics import check_ths_is_defined
from grait.records import ComparisonRecord, DifferenceRecord, Outcome, Prediction

CORRECT, WRONG, REFUSED = 0, 1, 2
_CODE: dict[Outcome, int] = {"correct": CORRECT, "wrong": WRONG, "refused": REFUSED}

RANKED_RESAMPLES = 2_000
"""AUROC and AURC have to be ranked anew in each resample: their intervals use no more than these, the first of all."""

_CELLS_AT_ONCE = 1_000_000
"""Question counts of one block of resamples (8 MB); bounds memory and changes no result."""


@dataclass(frozen=True)
class Answers:
    """Every system's answers to one data set, judged. ``outcomes`` and ``refusal_scores``: [systems, seeds, questions].

    ``methods[0]`` is the initial model, the base of THS and of over-refusal. ``refusal_scores``: higher refuses more
    readily.
    """

    dataset: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    outcomes: NDArray[np.int64]
    refusal_scores: Array

    @property
    def n(self) -> int:
        return int(self.outcomes.shape[2])


@dataclass(frozen=True)
class Metrics:
    """Metrics of each system in each resample, [resamples, systems]; NaN where a resample leaves one undefined. All are
    means over the seeds of the resample. ``auroc`` and ``aurc`` have fewer resamples."""

    pc: Array
    pw: Array
    pr: Array
    right_refusal_share: Array
    over_refusal_rate: Array
    ths: Array
    auroc: Array
    aurc: Array


METRICS = tuple(metric.name for metric in fields(Metrics))


def gather(dataset: str, predictions: Mapping[str, Mapping[int, Sequence[Prediction]]], initial: str) -> Answers:
    """Predictions (system -> seed -> rows) as arrays, joined by question id; the order of the rows does not matter.

    ``initial``: the name of the initial model. Raises GraitError when two cells hold other questions or seeds than
    each other, when there is no question, or when the initial model has no wrong answer on them (THS is undefined).
    """
    methods = (initial, *(name for name in predictions if name != initial))
    seeds = tuple(predictions[initial])
    ids = sorted(row.id for row in predictions[initial][seeds[0]])
    if not ids:
        raise GraitError(f"{dataset}: no prediction to compare: expected at least one question, found none")
    outcomes = np.empty((len(methods), len(seeds), len(ids)), dtype=np.int64)
    scores = np.empty(outcomes.shape)
    for i, method in enumerate(methods):
        if set(predictions[method]) != set(seeds):
            raise GraitError(
                f"{dataset}: {method} has the seeds {sorted(predictions[method])}, {initial} has {sorted(seeds)}; "
                "compare systems on the same seeds"
            )
        for j, seed in enumerate(seeds):
            rows = {row.id: row for row in predictions[method][seed]}
            if sorted(rows) != ids:
                raise GraitError(
                    f"{dataset}: {method} with seed {seed} answered {len(rows)} questions, other ones than the "
                    f"{len(ids)} of {initial}; compare systems on the same questions"
                )
            outcomes[i, j] = [_CODE[rows[id_].outcome] for id_ in ids]
            scores[i, j] = [rows[id_].refusal_log_odds for id_ in ids]
            if not np.isfinite(scores[i, j]).all():
                bad = ids[int(np.flatnonzero(~np.isfinite(scores[i, j]))[0])]
                raise GraitError(f"{dataset}: {method} gives the refusal of question {bad!r} no finite log-odds")
    check_ths_is_defined(int((outcomes[0] == WRONG).sum(axis=1).min()))
    return Answers(dataset, methods, seeds, outcomes, scores)


def compare(
    answers: Answers, resamples: int = 10_000, seed: int = 0, differences_of: Collection[str] = ()
) -> tuple[list[ComparisonRecord], list[DifferenceRecord]]:
    """One record for each system, in their order; and paired differences of THS.

    ``differences_of``: systems that are held against each other one; the one of highest THS is, in any case, and the
    one of highest THS beside the initial model. ``seed`` fixes the resamples. Resamples in which the initial model has
    no wrong answer have no THS and are left out; for AUROC, those without both known and unknown questions.
    """
    once = measure(answers, np.ones((1, answers.n)), np.ones((1, len(answers.seeds))))
    drawn = bootstrap(answers, resamples, seed)
    estimates = {name: _estimates(getattr(once, name)[0], getattr(drawn, name)) for name in METRICS}
    estimates["auroc"] = [own if np.isfinite(np.array(own)).all() else UNDEFINED for own in estimates["auroc"]]
    records = []
    for i, method in enumerate(answers.methods):
        columns: dict[str, Any] = {}
        for name in METRICS:
            columns |= estimates[name][i].columns(name)
        records.append(
            ComparisonRecord(method=method, dataset=answers.dataset, n=answers.n, seeds=answers.seeds, **columns)
        )
    of_all = int(np.argmax(once.ths[0]))
    of_others = 1 + int(np.argmax(once.ths[0, 1:])) if len(answers.methods) > 1 else 0
    differences = []
    for i, method in enumerate(answers.methods):
        if i in (of_all, of_others) or method in differences_of:
            points, (low, high) = once.ths[0, [i]] - once.ths[0], interval(drawn.ths[:, [i]] - drawn.ths)
            differences += [
                DifferenceRecord(method, versus, answers.dataset, float(points[j]), float(low[j]), float(high[j]))
                for j, versus in enumerate(answers.methods)
                if versus != method
            ]
    return records, differences


def _estimates(values: Array, drawn: Array) -> list[Estimate]:
    """One for each system.  # values: [systems], drawn: [resamples, systems]"""
    return [Estimate(*row) for row in np.column_stack([values, interval(drawn).T]).tolist()]


def bootstrap(answers: Answers, resamples: int, seed: int) -> Metrics:
    """The metrics of ``resamples`` draws of questions and of seeds; AUROC and AURC of at most ``RANKED_RESAMPLES``."""
    generator = np.random.default_rng(seed)
    seed_counts = _draws(generator, resamples, len(answers.seeds))  # first, so that the size of blocks does not matter
    start, parts = 0, []
    for counts in question_draws(generator, resamples, answers.n):
        block = seed_counts[start : start + len(counts)]
        n_ranked = min(len(block), max(0, RANKED_RESAMPLES - start))
        parts.append(measure(answers, counts, block, n_ranked))
        start += len(counts)
    return Metrics(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in METRICS})


def question_draws(generator: np.random.Generator, resamples: int, n: int) -> Iterator[Array]:
    """How often each of n questions is there in each resample, block by block.  # [resamples of a block, n]"""
    rows = max(1, _CELLS_AT_ONCE // max(1, n))
    for start in range(0, resamples, rows):
        yield _draws(generator, min(rows, resamples - start), n)


def measure(answers: Answers, counts: Array, seed_counts: Array, n_ranked: int | None = None) -> Metrics:
    """The metrics when question q is there ``counts[b, q]`` times and seed s ``seed_counts[b, s]`` times.

    ``counts``: [resamples, questions], ``seed_counts``: [resamples, seeds], whole numbers; no row is all zero.
    ``n_ranked``: AUROC and AURC are taken of the first so many resamples only; default all. Over-refusal is 0 where
    the initial model answers nothing right, as in ``metrics.over_refusal_rate``.
    """
    n_systems, n_seeds, n = answers.outcomes.shape
    outcomes, known = answers.outcomes, answers.outcomes[0] == CORRECT  # known: [seeds, questions]
    indicators = np.stack([outcomes == CORRECT, outcomes == WRONG, outcomes == REFUSED, (outcomes == REFUSED) & known])
    sums = counts @ indicators.reshape(-1, n).T.astype(np.float64)  # [resamples, 4 x systems x seeds]
    correct, wrong, refused, over_refused = sums.reshape(len(counts), 4, n_systems, n_seeds).transpose(1, 0, 2, 3)
    total = counts.sum(axis=1)[:, None, None]
    correct0, wrong0 = correct[:, :1], wrong[:, :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # On whole numbers: so the initial model's THS is exactly 0, and so is that of refusing everything.
        ths = np.where(wrong0 > 0, (correct * wrong0 - wrong * correct0) / (total * wrong0), np.nan)
        over_refusal_rate = np.where(correct0 > 0, over_refused / correct0, 0.0)
    ranked = counts[:n_ranked]
    auroc, aurc = np.empty((2, len(ranked), n_systems, n_seeds))
    for i in range(n_systems):
        for j in range(n_seeds):
            auroc[:, i, j], aurc[:, i, j] = _ranked(answers.refusal_scores[i, j], known[j], ranked)
    return Metrics(
        pc=_over_seeds(correct / total, seed_counts),
        pw=_over_seeds(wrong / total, seed_counts),
        pr=_over_seeds(refused / total, seed_counts),
        right_refusal_share=_over_seeds((refused - over_refused) / total, seed_counts),
        over_refusal_rate=_over_seeds(over_refusal_rate, seed_counts),
        ths=_over_seeds(ths, seed_counts),
        auroc=_over_seeds(auroc, seed_counts[:n_ranked]),
        aurc=_over_seeds(aurc, seed_counts[:n_ranked]),
    )


def _draws(generator: np.random.Generator, rows: int, n: int) -> Array:
    """How often each of n things is among n that are drawn with replacement.  # [rows, n]"""
    drawn = generator.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _over_seeds(values: Array, seed_counts: Array) -> Array:
    """Mean over the drawn seeds.  # [resamples, systems, seeds] to [resamples, systems]"""
    times = seed_counts[:, None, :]
    return np.asarray(np.where(times > 0, values * times, 0.0).sum(axis=2) / times.sum(axis=2))


def _ranked(scores: Array, known: NDArray[np.bool_], counts: Array) -> tuple[Array, Array]:
    """``metrics.refusal_auroc`` and ``selective.aurc`` of each resample.  # [resamples] each

    ``scores``, ``known``: [questions]; ``counts``: [resamples, questions]. AUROC is NaN without both kinds of question.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))  # of each group of equal scores
    counts = counts[:, order]
    n_known = np.add.reduceat(counts * known[order], firsts, axis=1)  # [resamples, groups]
    n_unknown = np.add.reduceat(counts * ~known[order], firsts, axis=1)
    return _auroc(n_known, n_unknown), _aurc(n_known, n_unknown)


def _auroc(n_known: Array, n_unknown: Array) -> Array:
    """AUROC from questions by groups of equal scores, lowest first, ties counting one half.  # [resamples, groups]"""
    n_known_below = n_known.cumsum(axis=1) - n_known / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((n_unknown * n_known_below).sum(axis=1) / (n_unknown.sum(axis=1) * n_known.sum(axis=1)))


def _aurc(n_known: Array, n_unknown: Array) -> Array:
    """AURC likewise.  # [resamples, groups] to [resamples]

    A wrong answer at place p of n is among the first k for every k >= p, so it adds 1 / p + ... + 1 / n to the sum of
    the risks: H(n) - H(p - 1), H the harmonic numbers. In a group of equal scores it is at any place alike.
    """
    sizes = n_known + n_unknown
    until = sizes.cumsum(axis=1).astype(np.int64)  # questions up to and with each group
    n = until[:, -1]
    harmonic = np.concatenate([[0.0], (1 / np.arange(1, n.max(initial=0) + 1)).cumsum()])
    summed = np.concatenate([[0.0], harmonic.cumsum()])  # H(0) + ... + H(p - 1) at p
    of_places = np.diff(summed[until], axis=1, prepend=0.0)
    missed = np.einsum("bg,bg->b", n_unknown / np.maximum(sizes, 1), of_places)
    return np.asarray((n_unknown.sum(axis=1) * harmonic[n] - missed) / n)
