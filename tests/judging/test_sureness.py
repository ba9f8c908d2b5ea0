"""R-Tuning's answers: what they look like, and that "unsure" counts as refused."""

import pytest

from grait.judging.judges import BySureness, Matching, ToJudge
from grait.judging.outcomes import judge
from grait.judging.sureness import with_sureness
from grait.records import Outcome, Question

CAPITAL = Question("q", "What is the capital of Italy?", ("Rome", "Roma"))
FORMULA = Question("f", "What is the formula of water?", ("H2O",), match="exact")
CHOICE = Question("c", "What is the capital of Italy?", ("Rome",), ("Paris", "Rome", "Bern"))


def judged(output: str, question: Question) -> Outcome | None:
    return BySureness(Matching())([ToJudge(question, output)])[0]


def test_an_answer_and_its_sureness_are_two_sentences() -> None:
    assert with_sureness("Rome", True) == "Rome. I am sure."
    assert with_sureness("Rome", False) == "Rome. I am unsure."
    assert with_sureness("Washington, D.C.", True) == "Washington, D.C. I am sure."


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [(CAPITAL, "Roma", "Paris"), (FORMULA, "H2O", "CO2"), (CHOICE, "B", "C"), (CHOICE, "Rome", "Bern")],
)
def test_what_training_teaches_is_judged_as_it_is_meant(question: Question, right: str, wrong: str) -> None:
    """An exact answer would be wrong, were the statement taken for a part of it."""
    assert judged(with_sureness(right, True), question) == "correct"
    assert judged(with_sureness(wrong, True), question) == "wrong"
    assert judged(with_sureness(right, False), question) == "refused"
    assert judged(with_sureness(wrong, False), question) == "refused"


@pytest.mark.parametrize(
    "output", ["Rome. I'm unsure.", "Rome. I\u2019m not sure", "Rome. i am UNSURE!", "I am unsure."]
)
def test_every_spelling_of_unsure_is_refused(output: str) -> None:
    assert judged(output, CAPITAL) == "refused"


@pytest.mark.parametrize("output", ["Rome", "Paris", "I don't know.", "", "It is Rome, surely."])
def test_without_a_statement_the_output_is_judged_like_any(output: str) -> None:
    assert judged(output, CAPITAL) == judge(output, CAPITAL)


def test_a_refusal_of_which_the_model_is_sure_is_a_refusal() -> None:
    assert judged("I don't know. I am sure.", CAPITAL) == "refused"


def test_only_the_own_reply_counts_and_of_two_statements_the_last() -> None:
    assert judged("Rome. I am sure.\nQuestion: And Peru?\nAnswer: Lima. I am unsure.", CAPITAL) == "correct"
    assert judged("Rome. I am sure. I am unsure.", CAPITAL) == "refused"
    assert judged("Rome. I am unsure. I am sure.", CAPITAL) == "correct"
