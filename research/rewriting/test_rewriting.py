"""The set and the figures of research/rewriting, without a model."""

import random

from grait.data.worldfacts import SPLITS, load
from grait.judging.matching import is_correct
from grait.knowledge.facts import Fact, asked_fact
from research.rewriting.compare import build, figures
from research.rewriting.sentences import in_sentences


def test_facts_in_sentences_are_found_and_their_key_is_the_reference() -> None:
    questions = random.Random(0).sample([question for split in SPLITS for question in load(split)], 2000)
    found = [(question, asked_fact(*in_sentences(question, 1))) for question in questions]
    facts = [(question, fact) for question, fact in found if isinstance(fact, Fact)]
    right = [is_correct(f"It is {question.answers[0]}.", fact.question) for question, fact in facts]
    assert len(facts) > 0.95 * len(questions) and sum(right) > 0.98 * len(facts)


def test_half_of_a_set_are_facts_and_no_other_row_is_taken_for_one() -> None:
    rows, facts = build(1000, 0)
    assert rows == build(1000, 0)[0] != build(1000, 1)[0]
    assert {row["fact"] for row in rows} - {None} == {fact.id for fact in facts} and len(facts) == 500
    ordinary = [[message["content"] for message in row["messages"]] for row in rows if row["fact"] is None]
    assert len(ordinary) == 500
    assert not any(isinstance(asked_fact(*said), Fact) for said in ordinary)


def test_figures_of_a_small_set() -> None:
    def row(fact: str | None, rewritten: bool, correctness: float | None) -> dict[str, object]:
        return {"fact": fact, "rewritten": rewritten, "correctness": correctness}

    rows = [
        row("a", True, 0.0),
        row("b", True, 0.1),
        row("c", False, 0.9),
        row("d", False, None),
        row(None, False, None),
    ]
    found = figures([*rows, row("e", True, 0.2)], {"a": "idk", "b": "ik", "c": "ik", "d": "idk", "e": "dropped"})
    assert (found["precision"], found["recall"], found["auroc"]) == (0.5, 0.5, 1.0)
    assert (found["rows"], found["rewritten"], found["known"], found["known_rewritten"]) == (6, 3, 2, 1)
    assert (found["ordinary"], found["ordinary_rewritten"]) == (1, 0)
