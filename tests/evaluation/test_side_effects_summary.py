"""What replies and log-probabilities amount to, by hand."""

import math

import pytest

from grait.evaluation.side_effects import summarize_drift, summarize_side_effects
from grait.records import (
    DriftRecord,
    DriftSums,
    SideEffectAnswer,
    SideEffectKind,
    SideEffectOutcome,
    SideEffectRecord,
)


def answer(
    kind: SideEffectKind, outcome: SideEffectOutcome, form: str = "question", output: str = "Fine."
) -> SideEffectAnswer:
    return SideEffectAnswer(output, form, kind, "", output, outcome)


def test_each_kind_has_its_own_shares() -> None:
    rows = [
        answer("unanswerable", "refused"),
        answer("unanswerable", "refused"),
        answer("unanswerable", "corrected"),
        answer("unanswerable", "answered", output="I'm sorry."),
        answer("chit-chat", "refused", output="I'm sorry, I don't know."),
        *[answer("chit-chat", "answered")] * 4,
        answer("instruction", "answered", output=" "),
        answer("instruction", "refused"),
        answer("passage", "right", output="Paris."),
        answer("passage", "right", output="The whole text."),
        answer("passage", "refused"),
        answer("after-refusal", "refused", output=""),
        answer("after-refusal", "answered"),
    ]
    (record,) = summarize_side_effects("m", rows, extracted={"Paris."})
    assert (record.method, record.form) == ("m", "question")
    assert (record.n_unanswerable, record.n_chit_chat, record.n_instructions, record.n_passages) == (4, 5, 2, 3)
    assert (record.unanswerable_refused, record.unanswerable_corrected, record.chit_chat_refused) == (0.5, 0.25, 0.2)
    assert record.instructions_refused == 0.5
    assert (record.passages_refused, record.passages_right, record.passages_extracted) == (1 / 3, 2 / 3, 1 / 3)
    assert (record.n_after_refusal, record.n_after_greeting) == (2, 0)
    assert (record.after_refusal_refused, record.after_greeting_refused) == (0.5, None)
    assert (record.apology_rate, record.empty_rate) == (0.1, 0.1)  # of the ten that should be answered
    shares = {name for name in SideEffectRecord.__dataclass_fields__ if name.endswith(("ed", "right", "rate"))}
    assert record.intervals.keys() == shares - {"after_greeting_refused", "after_instruction_refused"}
    for name, (low, high) in record.intervals.items():
        assert 0 <= low <= getattr(record, name) <= high <= 1 and low < high
    assert record.intervals["unanswerable_refused"] == pytest.approx((0.15, 0.85), abs=1e-3)  # Wilson's of 2 in 4


def test_forms_are_apart_and_in_order() -> None:
    rows = [
        answer("chit-chat", "refused", "b"),
        answer("chit-chat", "answered", "a"),
        answer("chit-chat", "refused", "b"),
    ]
    first, second = summarize_side_effects("m", rows)
    assert (first.form, first.n_chit_chat, first.chit_chat_refused) == ("b", 2, 1)
    assert (second.form, second.n_chit_chat, second.chit_chat_refused) == ("a", 1, 0)
    assert (second.passages_right, second.unanswerable_refused) == (None, None)
    assert summarize_side_effects("m", []) == []


def test_drift_counts_tokens_not_answers() -> None:
    rows = [DriftSums("a", 1, 0.6, math.log(8), math.log(2)), DriftSums("b", 2, 0.3, math.log(8), math.log(4))]
    expected = DriftRecord("m", 3, pytest.approx(0.3), pytest.approx(4), pytest.approx(2))
    assert summarize_drift("m", rows) == expected
