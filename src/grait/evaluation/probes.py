"""What the answers to the probes amount to."""

from collections.abc import Sequence

from grait.records import ProbeAnswer, ProbeOutcome, ProbeRecord


def summarize_probes(method: str, answers: Sequence[ProbeAnswer]) -> ProbeRecord:
    """Shares refused of each kind, and corrected of the unanswerable ones; each kind on its own."""
    unanswerable = [row.outcome for row in answers if row.kind == "unanswerable"]
    chit_chat = [row.outcome for row in answers if row.kind == "chit-chat"]
    return ProbeRecord(
        method=method,
        n_unanswerable=len(unanswerable),
        unanswerable_refused=_share(unanswerable, "refused"),
        unanswerable_corrected=_share(unanswerable, "corrected"),
        n_chit_chat=len(chit_chat),
        chit_chat_refused=_share(chit_chat, "refused"),
    )


def _share(outcomes: Sequence[ProbeOutcome], outcome: ProbeOutcome) -> float | None:
    return outcomes.count(outcome) / len(outcomes) if outcomes else None
