"""A system's answers in each form of a question, against the initial model asked in the same form."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from grait.evaluation.metrics import measure_outcomes
from grait.judging.apologies import is_apology
from grait.records import FormRecord, Prediction

ALL = "all"
"""The form of the mean over all forms."""

MEANS = ("pc0", "pw0", "pr0", "pc", "pw", "pr", "over_refusal_rate", "empty_rate", "apology_rate")
"""Fields that are defined in every form."""


def summarize_form(
    method: str,
    dataset: str,
    form: str,
    initial: Sequence[Prediction],
    rows: Sequence[Prediction],
    resamples: int = 10_000,
    seed: int = 0,
) -> FormRecord:
    """One system in one form. ``initial``: the initial model asked in it; both hold the same questions, one at least.

    An answer that refuses does not count as an apology, whatever else it says.
    """
    before, after = ({row.id: row.outcome for row in own} for own in (initial, rows))
    measured = measure_outcomes(before, after, resamples=resamples, seed=seed)
    base, shares, ths = measured.base, measured.shares, measured.ths.value
    return FormRecord(
        method=method,
        dataset=dataset,
        form=form,
        **asdict(shares),
        pc0=base.pc,
        pw0=base.pw,
        pr0=base.pr,
        over_refusal_rate=measured.over_refusal_rate,
        **measured.ths.columns("ths"),
        share=None if ths is None or base.pc == 0 else ths / base.pc,
        empty_rate=sum(not row.output.strip() for row in rows) / len(rows),
        apology_rate=sum(row.outcome != "refused" and is_apology(row.output) for row in rows) / len(rows),
    )


def with_means(records: Sequence[FormRecord]) -> list[FormRecord]:
    """The records by data set and method, each followed by its mean over forms, which has no interval.

    ``n`` of a mean: questions of one form. Its THS and share are over the forms in which they are defined.
    """
    by_system: dict[tuple[str, str], list[FormRecord]] = {}
    for record in records:
        by_system.setdefault((record.dataset, record.method), []).append(record)
    found = []
    for own in by_system.values():
        found += [*own, _mean(own)]
    return found


def _mean(own: Sequence[FormRecord]) -> FormRecord:
    def where_defined(name: str) -> float | None:
        values = [value for row in own if (value := getattr(row, name)) is not None]
        return fmean(values) if values else None

    means: dict[str, Any] = {name: fmean(getattr(row, name) for row in own) for name in MEANS}
    return replace(
        own[0],
        **means,
        form=ALL,
        n=max(row.n for row in own),
        ths=where_defined("ths"),
        ths_low=None,
        ths_high=None,
        share=where_defined("share"),
    )


def by_form(
    answers: Mapping[str, Mapping[str, Mapping[str, Sequence[Prediction]]]],
    initial: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[FormRecord]:
    """Every system in every form with the means over forms. ``answers``: form -> data set -> system -> predictions.

    ``initial``: the name of the initial model among the systems; it has rows of its own, whose THS is 0.
    """
    records = [
        summarize_form(system, dataset, form, systems[initial], rows, resamples, seed)
        for form, datasets in answers.items()
        for dataset, systems in datasets.items()
        for system, rows in systems.items()
    ]
    return with_means(records)
