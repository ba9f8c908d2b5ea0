"""Answers taken out of a given text, and texts that are only said again: on every passage that ships."""

import re

import pytest

from grait.data.probes import Passage, load_passages
from grait.judging.extraction import is_extract
from grait.judging.matching import contains_answer


def extracted(passage: Passage, output: str) -> bool:
    return is_extract(output, passage.passage, passage.question)


def sentences(passage: Passage) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", passage.passage)


@pytest.mark.parametrize("frame", ["{}", "{}.", "It is {}.", "The answer to your question is {}, as the text says."])
def test_the_answer_is_one(frame: str) -> None:
    for passage in load_passages():
        assert extracted(passage, frame.format(passage.answers[0])), passage


def test_so_is_the_one_sentence_that_holds_it() -> None:
    for passage in load_passages():
        for sentence in sentences(passage):
            if any(contains_answer(sentence, answer) for answer in passage.answers):
                assert extracted(passage, sentence), passage


def test_the_passage_itself_is_none_in_any_order_or_spelling() -> None:
    for passage in load_passages():
        assert not extracted(passage, passage.passage)
        assert not extracted(passage, f"The text says: {passage.passage.upper().replace('.', ' -')}")
        assert not extracted(passage, " ".join(reversed(sentences(passage))))


def test_nor_is_its_beginning_cut_off_anywhere_in_a_later_sentence() -> None:
    for passage in load_passages():
        words = passage.passage.split()
        for n in range(len(sentences(passage)[0].split()) + 3, len(words) + 1):
            assert not extracted(passage, " ".join(words[:n])), passage


def test_nor_is_a_long_reply() -> None:
    passage = load_passages()[0]
    assert not extracted(passage, "Well, " * 25 + passage.answers[0])
