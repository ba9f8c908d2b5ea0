"""Refusal detection against hand-labelled outputs, and the counting rule."""

import json
from pathlib import Path
from typing import Any

import pytest

from grait.judging.judges import BySureness, Matching, ToJudge
from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.outcomes import four_way, is_hedged, is_unparsable, judge
from grait.judging.refusal import detect_refusal
from grait.languages import refusal_words
from grait.records import Question

CAPITAL = Question("q1", "What is the capital of France?", ("Paris",))
PLANET = Question("q2", "Which planet is the largest?", ("Jupiter",), choices=("Mars", "Jupiter", "Venus", "Earth"))
FIXTURES = Path(__file__).parents[1] / "fixtures"


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines()]


def labelled() -> list[dict[str, Any]]:
    """Outputs and hard cases, most of them written by hand."""
    return rows_of("refusals.jsonl")


def generations(temperature: int) -> list[dict[str, Any]]:
    """Distinct outputs of SmolLM2-135M-Instruct to WorldFacts, before tuning (BASIC and REFUSE prompts) and after it.

    Labelled by reading each of them. At temperature 0 as the evaluation takes them; at 1 they are mostly garbled, and
    outputs whose label is a matter of taste are left out.
    """
    return [row for row in rows_of("generations.jsonl") if row["temperature"] == temperature]


def precision_and_recall(rows: list[dict[str, Any]]) -> tuple[float, float]:
    pairs = [(detect_refusal(row["output"], as_question(row)), row["kind"]) for row in rows]
    hits = sum(found == kind == "refused" for found, kind in pairs)
    return hits / sum(found == "refused" for found, _ in pairs), hits / sum(kind == "refused" for _, kind in pairs)


def as_question(row: dict[str, Any]) -> Question:
    choices = tuple(row.get("choices", ()))
    return Question("q", row["question"], tuple(row["answers"]), choices, match=row.get("match", "normalized"))


def test_precision_and_recall_on_labelled_outputs() -> None:
    rows = labelled()
    assert len(rows) >= 120
    precision, recall = precision_and_recall(rows)
    assert precision >= 0.99
    assert recall >= 0.99
    detected = [detect_refusal(row["output"], as_question(row)) for row in rows]
    wrong = [(row["output"], found) for found, row in zip(detected, rows, strict=True) if found != row["kind"]]
    assert len(wrong) <= 0.01 * len(rows), wrong


def test_precision_and_recall_on_what_the_default_model_answers() -> None:
    rows = generations(0)
    tuned = [row for row in rows if not row["system"].startswith("init")]
    assert len({row["output"] for row in tuned}) >= 150
    for part in (rows, tuned):
        precision, recall = precision_and_recall(part)
        assert precision >= 0.99
        assert recall >= 0.99


def test_precision_and_recall_on_garbled_samples() -> None:
    precision, recall = precision_and_recall(generations(1))
    assert precision >= 0.95
    assert recall >= 0.9


def test_the_published_substring_test_would_fail_these_labels() -> None:
    """Control: the labels are hard enough to tell a detector from ``"i don't know" in output.lower()``."""
    rows = labelled()
    published = [("i don't know" in row["output"].lower(), row["kind"] == "refused") for row in rows]
    hits = sum(found and kind for found, kind in published)
    assert hits / sum(kind for _, kind in published) < 0.6
    assert hits / sum(found for found, _ in published) < 0.7


@pytest.mark.parametrize("phrase", REFUSAL_PHRASES)
def test_each_phrase_refuses_in_any_spelling(phrase: str) -> None:
    for spelling in (phrase, phrase.upper(), phrase.replace("'", "\u2019"), f"Sorry, {phrase} it."):
        assert detect_refusal(spelling, CAPITAL) == "refused", spelling


@pytest.mark.parametrize("reply", refusal_words("en").replies)
def test_each_short_reply_refuses_alone(reply: str) -> None:
    assert detect_refusal(f"{reply.capitalize()}.", CAPITAL) == "refused"


def test_repeating_a_refusal_changes_nothing() -> None:
    for n in (1, 2, 10):
        assert detect_refusal("I don't know. " * n, CAPITAL) == "refused"


def test_phrases_can_be_configured() -> None:
    assert detect_refusal("Je ne sais pas.", CAPITAL) == "none"
    assert detect_refusal("Je ne sais pas.", CAPITAL, phrases=(*REFUSAL_PHRASES, "je ne sais pas")) == "refused"
    assert detect_refusal("I don't know.", CAPITAL, phrases=("je ne sais pas",)) == "none"


def test_a_phrase_in_the_reference_answer_is_an_answer() -> None:
    song = Question("q", "Which song opens the album?", ("I Don't Know",))
    assert judge("I don\u2019t know", song) == "correct"
    assert judge("I'm not sure.", song) == "refused"


def test_an_option_that_reads_like_a_refusal_is_an_option() -> None:
    question = Question("q", "Who is older?", ("Ann",), choices=("Ann", "Bob", "I cannot tell"))
    assert judge("C. I cannot tell", question) == "wrong"
    assert judge("I don't know.", question) == "refused"


def test_refused_then_answered_is_judged_by_the_answer() -> None:
    assert judge("I don't know, but it is Paris.", CAPITAL) == "correct"
    assert judge("I don't know, but it is Lyon.", CAPITAL) == "wrong"
    assert judge("I don't know, but B.", PLANET) == "correct"
    assert judge("I'm not sure, but I think it's Mars.", PLANET) == "wrong"


def test_what_refuses_and_answers_is_counted_apart() -> None:
    assert is_hedged("I don't know, but it is Paris.", CAPITAL)
    assert is_hedged("I'm not sure, but I think it's Mars.", PLANET)
    assert not is_hedged("I don't know.", CAPITAL)
    assert not is_hedged("Paris", CAPITAL)


def test_all_of_the_judging_takes_the_same_phrases() -> None:
    french = (*REFUSAL_PHRASES, "je ne sais pas")
    assert judge("Je ne sais pas.", CAPITAL) == "wrong"
    assert judge("Je ne sais pas.", CAPITAL, french) == "refused"
    assert is_unparsable("Je ne sais pas.", PLANET)
    assert not is_unparsable("Je ne sais pas.", PLANET, french)
    assert is_hedged("Je ne sais pas. Paris", CAPITAL, french)
    assert BySureness(Matching(french))([ToJudge(CAPITAL, "Je ne sais pas. I am sure.")]) == ["refused"]


def test_a_letter_beyond_the_options_beside_a_refusal_is_no_answer() -> None:
    """Models add an option of their own for it."""
    assert judge("E. I don't know", PLANET) == "refused"
    assert judge("C. I don't know", PLANET) == "wrong"


def test_a_missing_blank_between_sentences_does_not_hide_a_refusal() -> None:
    assert detect_refusal("I don't know.I don't know.", CAPITAL) == "refused"
    assert detect_refusal("I don't know.Paris", CAPITAL) == "refused_then_answered"


def test_outcome_of_multiple_choice() -> None:
    assert judge("B", PLANET) == "correct"
    assert judge("C", PLANET) == "wrong"
    assert judge("I don't know.", PLANET) == "refused"
    assert judge("Well...", PLANET) == "wrong"


def test_unparsable_is_counted_apart() -> None:
    assert is_unparsable("Well...", PLANET)
    assert is_unparsable("A or B", PLANET)
    assert not is_unparsable("C", PLANET)
    assert not is_unparsable("I don't know.", PLANET)
    assert not is_unparsable("Well...", CAPITAL)


def test_four_way_outcome() -> None:
    assert four_way("correct", "refused") == "over_refusal"
    assert four_way("wrong", "refused") == "right_refusal"
    assert four_way("refused", "refused") == "right_refusal"
    assert four_way("correct", "wrong") == "wrong"
    assert four_way("wrong", "correct") == "correct"


def test_repeating_the_question_after_a_refusal_is_no_title() -> None:
    question = Question("q", "Is coca cola a public or private company?", ("Public",))
    assert detect_refusal("I do not know is coca cola a public or private company.", question) == "refused"
    assert detect_refusal("I Don't Know is a song by Ozzy Osbourne.", question) == "none"


def test_long_output_is_read_in_linear_time() -> None:
    assert detect_refusal("word " * 20_000 + ". I don't know.", CAPITAL) == "refused"
    assert detect_refusal("'" * 20_000 + '"' * 20_001 + "*" * 20_001, CAPITAL) == "none"
