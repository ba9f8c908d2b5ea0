"""Side effects of tuning, on all that is no short question of fact: shares of replies, drift from the initial model."""

import math
from collections.abc import Iterable, Sequence

from grait.judging.apologies import is_apology
from grait.records import DriftRecord, DriftSums, SideEffectAnswer, SideEffectOutcome, SideEffectRecord

ANSWERABLE = ("chit-chat", "instruction", "passage")
"""Kinds that must not be refused, outside of conversations."""


def summarize_side_effects(method: str, answers: Sequence[SideEffectAnswer]) -> list[SideEffectRecord]:
    """One record for each form, in the order in which the answers have them."""
    forms = dict.fromkeys(row.form for row in answers)
    return [_of_form(method, form, [row for row in answers if row.form == form]) for form in forms]


def _of_form(method: str, form: str, answers: Sequence[SideEffectAnswer]) -> SideEffectRecord:
    kinds: dict[str, list[SideEffectOutcome]] = {}
    for row in answers:
        kinds.setdefault(row.kind, []).append(row.outcome)

    def share(kind: str, outcome: SideEffectOutcome = "refused") -> float | None:
        return _share(found == outcome for found in kinds.get(kind, ()))

    outputs = [row.output for row in answers if row.kind in ANSWERABLE]
    return SideEffectRecord(
        method=method,
        form=form,
        n_chit_chat=len(kinds.get("chit-chat", ())),
        chit_chat_refused=share("chit-chat"),
        n_instructions=len(kinds.get("instruction", ())),
        instructions_refused=share("instruction"),
        n_passages=len(kinds.get("passage", ())),
        passages_refused=share("passage"),
        passages_right=share("passage", "right"),
        n_unanswerable=len(kinds.get("unanswerable", ())),
        unanswerable_refused=share("unanswerable"),
        unanswerable_corrected=share("unanswerable", "corrected"),
        after_refusal_refused=share("after-refusal"),
        after_greeting_refused=share("after-greeting"),
        after_instruction_refused=share("after-instruction"),
        apology_rate=_share(map(is_apology, outputs)),
        empty_rate=_share(not output.strip() for output in outputs),
    )


def _share(holds: Iterable[bool]) -> float | None:
    found = list(holds)
    return sum(found) / len(found) if found else None


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
