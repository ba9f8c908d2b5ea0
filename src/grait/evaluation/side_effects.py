"""Side effects of tuning, on all that is no short question of fact: shares of replies, drift from the initial model."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from grait.evaluation.estimates import Share, share_estimate
from grait.judging.apologies import is_apology
from grait.records import DriftRecord, DriftSums, SideEffectAnswer, SideEffectOutcome, SideEffectRecord

ANSWERABLE = ("chit-chat", "instruction", "passage")
"""Kinds that must not be refused, outside of conversations."""

COUNTED = {
    "chit-chat": "chit_chat",
    "instruction": "instructions",
    "passage": "passages",
    "unanswerable": "unanswerable",
    "after-refusal": "after_refusal",
    "after-greeting": "after_greeting",
    "after-instruction": "after_instruction",
}
"""Kinds, and what the fields of a record call them."""


def summarize_side_effects(
    method: str, answers: Sequence[SideEffectAnswer], extracted: Collection[str] = ()
) -> list[SideEffectRecord]:
    """One record for each form, in the order in which the answers have them. ``extracted``: ids of the right answers to
    passages that do not only repeat them."""
    forms = dict.fromkeys(row.form for row in answers)
    return [_of_form(method, form, [row for row in answers if row.form == form], extracted) for form in forms]


def _of_form(
    method: str, form: str, answers: Sequence[SideEffectAnswer], extracted: Collection[str]
) -> SideEffectRecord:
    rows: dict[str, list[SideEffectAnswer]] = {}
    for row in answers:
        rows.setdefault(row.kind, []).append(row)

    def of(kind: str, outcome: SideEffectOutcome = "refused") -> Iterator[bool]:
        return (row.outcome == outcome for row in rows.get(kind, ()))

    outputs = [row.output for row in answers if row.kind in ANSWERABLE]
    figures = {
        "chit_chat_refused": of("chit-chat"),
        "instructions_refused": of("instruction"),
        "passages_refused": of("passage"),
        "passages_right": of("passage", "right"),
        "passages_extracted": (row.id in extracted for row in rows.get("passage", ())),
        "unanswerable_refused": of("unanswerable"),
        "unanswerable_corrected": of("unanswerable", "corrected"),
        "after_refusal_refused": of("after-refusal"),
        "after_greeting_refused": of("after-greeting"),
        "after_instruction_refused": of("after-instruction"),
        "apology_rate": map(is_apology, outputs),
        "empty_rate": (not output.strip() for output in outputs),
    }
    shares = {name: _share(holds) for name, holds in figures.items()}
    columns: dict[str, Any] = {f"n_{name}": len(rows.get(kind, ())) for kind, name in COUNTED.items()}
    columns |= {name: None if share is None else share.value for name, share in shares.items()}
    return SideEffectRecord(
        method=method,
        form=form,
        **columns,
        intervals={name: (share.low, share.high) for name, share in shares.items() if share is not None},
    )


def _share(holds: Iterable[bool]) -> Share | None:
    found = list(holds)
    return share_estimate(sum(found), len(found)) if found else None


def summarize_drift(method: str, rows: Sequence[DriftSums]) -> DriftRecord:
    """Means over all tokens of all answers; ``rows`` may not be empty."""
    n = sum(row.n_tokens for row in rows)
    return DriftRecord(
        method=method,
        n_tokens=n,
        kl=sum(row.kl for row in rows) / n,
        perplexity=math.exp(sum(row.loss for row in rows) / n),
        perplexity_initial=math.exp(sum(row.initial_loss for row in rows) / n),
    )
