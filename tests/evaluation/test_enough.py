"""The right sentence, early: few questions, one kind, long answers, rare labels, small or hopeless test sets."""

import pytest
from states import state

from grait.errors import KnowledgeError
from grait.evaluation.enough import (
    about_answers,
    about_labels,
    about_questions,
    about_test,
    check_both_sides,
    one_kind,
)
from grait.evaluation.metrics import Shares
from grait.records import Question

KINDS = ["Who wrote", "When did", "What is"]


def questions(n: int, **changes: object) -> list[Question]:
    return [Question(str(i), f"{KINDS[i % 3]} number {i}?", ("a",), **changes) for i in range(n)]  # type: ignore[arg-type]


def test_a_model_that_knows_all_or_nothing_has_no_boundary_to_learn() -> None:
    check_both_sides([state("a", 0.9), state("b", 0.1)], 0.5)
    with pytest.raises(KnowledgeError, match=r"knows 0 and does not know 2: nothing to keep\. Take a form .*stronger"):
        check_both_sides([state("a", 0.1), state("b", 0.1)], 0.5)
    with pytest.raises(KnowledgeError, match=r"knows 2 and does not know 0: nothing to refuse\. Add harder questions"):
        check_both_sides([state("a", 0.9), state("b", 0.9), state("c", 0.5)], 0.5)
    for correctness, same in ((0.1, r"wrong\. Take"), (0.9, r"right\. Add")):
        with pytest.raises(KnowledgeError, match=rf"\(judge\.by = python\) may be the cause: .* everything {same}"):
            check_both_sides([state("a", correctness)] * 2, 0.5, "python")


def test_questions_that_will_do_need_no_warning() -> None:
    assert about_questions(questions(300)) == []
    assert about_answers("training", questions(300), 0, 32) == []
    assert about_labels(100, 300) == []
    assert about_test("own", Shares(600, 0.23, 0.77, 0.0))[1] == []


def test_40_questions_are_few() -> None:
    (warning,) = about_questions(questions(40))
    assert warning.startswith("40 training questions are few")
    assert "200 at least" in warning


def test_one_relation_or_one_wording_is_one_kind() -> None:
    assert one_kind(questions(40, relation="capital")) == "capital"
    assert one_kind(questions(40)) is None
    same = [Question(str(i), f"What is the capital of {i}?", ("a",)) for i in range(300)]
    (warning,) = about_questions(same)
    assert "of one kind (What is the ...)" in warning
    mixed = [*same, *(Question(f"o{i}", f"Who is {i}?", ("a",)) for i in range(100))]
    assert one_kind(mixed) is None


def test_answers_of_50_words_are_no_references() -> None:
    long = [Question(str(i), "Why?", ("because " * 50,)) for i in range(20)]
    (warning,) = about_answers("training", long, 20, 32)
    assert warning.startswith(
        "training: of 20 reference answers 20 have more than 10 words, 20 have more than the 32 tokens"
    )
    (warning,) = about_answers("training", questions(20), 15, 2)
    assert warning.startswith("training: of 20 reference answers 15 have more than the 2 tokens of evaluation.max_new")
    assert "10 words" not in warning
    with_alias = [Question(row.id, row.question, (*row.answers, "because")) for row in long]
    assert about_answers("training", with_alias, 0, 32) == []
    options = [Question(row.id, row.question, row.answers, (*row.answers, "b")) for row in long]
    assert about_answers("training", options, 0, 32) == []


def test_a_rare_label_is_named() -> None:
    assert about_labels(16, 381)[0].startswith("only 16 of 397 training questions count as known")
    assert about_labels(381, 16)[0].startswith("only 16 of 397 training questions count as unknown")


def test_a_perfect_refusers_ths_is_said_and_too_small_a_set_is_named_with_what_is_enough() -> None:
    told, warnings = about_test("own", Shares(40, 0.2, 0.8, 0.0))
    assert "answers 20.0% of 40 questions right" in told
    assert "has THS 20.0" in told
    (warning,) = warnings
    enough = int(warning.rsplit(" ", 1)[1])
    assert 40 < enough < 400
    assert about_test("own", Shares(enough, 0.2, 0.8, 0.0))[1] == []
    assert about_test("own", Shares(enough - 10, 0.2, 0.8, 0.0))[1] != []


def test_hardly_a_right_answer_is_hardly_one_to_keep() -> None:
    for right in (0.0, 0.02):
        assert "hardly an answer to keep" in about_test("own", Shares(600, right, 1 - right, 0.0))[1][0]
