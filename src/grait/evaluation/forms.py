"""A system's answers in each form of a question, against the initial model asked in the same form.

Means over forms and the differences between systems in them have intervals of a bootstrap over questions. A resample
draws the same questions for all systems and all forms, so that what is hard in one is hard in all.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from grait.evaluation.compare import question_draws
from grait.evaluation.estimates import Array, interval
from grait.evaluation.metrics import joint_counts, measure_outcomes, share_of_perfect
from grait.judging.apologies import is_apology
from grait.records import DifferenceRecord, FormRecord, Outcome, Prediction

ALL = "all"
"""The form of the mean over all forms that are trained, and of that over all that are not."""

MEANS = ("pc0", "pw0", "pr0", "pc", "pw", "pr", "over_refusal_rate", "empty_rate", "apology_rate")
"""Fields that are defined in every form."""

Form = TypeVar("Form", bound=str)
Rows = Sequence[Prediction]
Outcomes = Mapping[str, Outcome]
"""By question id."""

FormAnswers = Mapping[str, Mapping[str, Mapping[str, Rows]]]
"""Form -> data set -> system -> predictions."""


def summarize_form(
    method: str,
    dataset: str,
    form: str,
    initial: Rows,
    rows: Rows,
    resamples: int = 10_000,
    seed: int = 0,
    *,
    trained: bool,
) -> FormRecord:
    """One system in one form. ``initial``: the initial model asked in it; both hold the same questions, one at least.
    An answer that refuses does not count as an apology, whatever else it says."""
    before, after = ({row.id: row.outcome for row in own} for own in (initial, rows))
    measured = measure_outcomes(before, after, resamples=resamples, seed=seed)
    return FormRecord(
        method=method,
        dataset=dataset,
        form=form,
        **measured.columns,
        pr0=measured.base.pr,
        **share_of_perfect(joint_counts(before, after), resamples, seed).columns("share"),
        empty_rate=sum(not row.output.strip() for row in rows) / len(rows),
        apology_rate=sum(row.outcome != "refused" and is_apology(row.output) for row in rows) / len(rows),
        trained=trained,
    )


def by_form(
    answers: FormAnswers, initial: str, trained: Collection[str], main: str, resamples: int = 10_000, seed: int = 0
) -> tuple[list[FormRecord], list[DifferenceRecord]]:
    """By data set, every system in every trained form with its mean over them, then the same of the other forms.

    ``initial``: the name of the initial model among the systems; it has rows of its own, whose THS is 0. ``trained``:
    names of forms. The differences: THS of ``main`` less that of each other system but the initial one, of the means
    over trained forms. Of a form, questions that were too long for some system count for none.
    """
    records: list[FormRecord] = []
    differences: list[DifferenceRecord] = []
    for dataset in next(iter(answers.values()), {}):
        own = {form: _common(answers[form][dataset]) for form in answers}
        alone = [
            summarize_form(system, dataset, form, systems[initial], rows, resamples, seed, trained=form in trained)
            for form, systems in own.items()
            for system, rows in systems.items()
        ]
        for is_trained in (True, False):
            kept = {form: systems for form, systems in own.items() if (form in trained) is is_trained}
            drawn = _means(kept, initial, resamples, seed) if kept else {}
            for system, means in drawn.items():
                rows_of = [row for row in alone if (row.method, row.trained) == (system, is_trained)]
                records += [*rows_of, _mean(rows_of, means)]
            if is_trained:
                ths = {system: means["ths"] for system, means in drawn.items()}
                differences += _differences(records, ths, dataset, main, initial)
    return records, differences


def _common(systems: Mapping[str, Rows]) -> dict[str, Rows]:
    """The answers to those questions that all systems were asked."""
    ids = set.intersection(*({row.id for row in rows} for rows in systems.values()))
    return {name: [row for row in rows if row.id in ids] for name, rows in systems.items()}


def _mean(own: Sequence[FormRecord], drawn: Mapping[str, Array]) -> FormRecord:
    """The mean over forms; its THS and share are over the forms in which they are defined. ``n``: of one form.
    ``drawn``: means of both in each resample."""
    means: dict[str, Any] = {name: fmean(getattr(row, name) for row in own) for name in MEANS}
    for name, resampled in drawn.items():
        values = [value for row in own if (value := getattr(row, name)) is not None]
        low, high = _interval(resampled) if values else (None, None)
        means |= {name: fmean(values) if values else None, f"{name}_low": low, f"{name}_high": high}
    return replace(own[0], **means, form=ALL, n=max(row.n for row in own))


def _differences(
    records: Sequence[FormRecord], ths: Mapping[str, Array], dataset: str, main: str, initial: str
) -> list[DifferenceRecord]:
    """None where the main system is not there, or has no THS in any form. ``ths``: means in each resample."""
    means = {row.method: row.ths for row in records if (row.dataset, row.form, row.trained) == (dataset, ALL, True)}
    found = []
    for versus, other in means.items():
        if versus in (main, initial) or other is None or (own := means.get(main)) is None:
            continue
        low, high = _interval(ths[main] - ths[versus])
        if low is not None and high is not None:
            found.append(DifferenceRecord(main, versus, dataset, own - other, low, high))
    return found


def _interval(values: Array) -> tuple[float | None, float | None]:
    low, high = interval(values[:, None])[:, 0].tolist()
    return (None, None) if np.isnan(low) else (low, high)


def _means(
    answers: Mapping[str, Mapping[str, Rows]], initial: str, resamples: int, seed: int
) -> dict[str, dict[str, Array]]:
    """Of each system, the means over forms of THS and share in each resample; NaN where no form has any."""
    found: dict[str, dict[str, Array]] = {}
    outcomes = {
        form: {name: {row.id: row.outcome for row in rows} for name, rows in systems.items()}
        for form, systems in answers.items()
    }
    for name, values in zip(("ths", "share"), resampled(outcomes, initial, resamples, seed), strict=True):
        with np.errstate(invalid="ignore"):
            means = np.nansum(values, axis=1) / (~np.isnan(values)).sum(axis=1)
        for place, system in enumerate(next(iter(answers.values()))):
            found.setdefault(system, {})[name] = means[:, place]
    return found


def resampled(
    outcomes: Mapping[Form, Mapping[str, Outcomes]], initial: str, resamples: int, seed: int
) -> tuple[Array, Array]:
    """THS and share in each resample, NaN where undefined.  # [resamples, forms, systems] each

    ``outcomes``: form -> system -> question id -> outcome, of the same systems in every form. Resampled are the
    questions that were asked in every form.
    """
    systems = list(next(iter(outcomes.values())))
    every = [own[system] for own in outcomes.values() for system in systems]  # form by form
    ids = sorted(set.intersection(*(set(own) for own in every)))
    kinds = [np.array([[own[id_] == kind for id_ in ids] for own in every], float).T for kind in ("correct", "wrong")]
    place, parts = systems.index(initial), []
    for counts in question_draws(np.random.default_rng(seed), resamples, len(ids)):
        correct, wrong = ((counts @ kind).reshape(len(counts), len(outcomes), -1) for kind in kinds)
        correct0, wrong0 = correct[:, :, [place]], wrong[:, :, [place]]
        with np.errstate(invalid="ignore", divide="ignore"):
            ths = np.where(wrong0 > 0, (correct * wrong0 - wrong * correct0) / (len(ids) * wrong0), np.nan)
            parts.append((ths, np.where(correct0 > 0, ths * len(ids) / correct0, np.nan)))
    return np.concatenate([ths for ths, _ in parts]), np.concatenate([share for _, share in parts])
