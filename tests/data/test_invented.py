"""Invented names: there is nothing of the name in our facts, and they are always the same."""

import re
from collections import Counter

from grait.config import DataConfig
from grait.data import invented, worldfacts
from grait.data.load import load_questions


def test_no_name_is_one_of_ours_and_no_invented_word_stands_in_any_fact() -> None:
    rows = [row for split in worldfacts.SPLITS for row in worldfacts.load(split)]
    names = {name.casefold() for row in rows for name in (row.subject or "", *row.answers)}
    words = {word for row in rows for text in (row.question, *row.answers) for word in invented.words(text)}
    for question in invented.load():
        assert question.subject and question.subject.casefold() not in names
        longest = max(invented.words(question.subject), key=len)
        assert longest not in words and len(longest) >= 9


def test_each_is_asked_in_the_words_of_its_relation() -> None:
    templates = {
        (row.relation, row.question.replace(row.subject, "NAME"))
        for split in worldfacts.SPLITS
        for row in worldfacts.load(split)
        if row.subject
    }
    for question in invented.load():
        assert question.subject and question.question.count(question.subject) == 1
        assert (question.relation, question.question.replace(question.subject, "NAME")) in templates


def test_they_are_always_the_same_and_nobody_can_answer_them() -> None:
    questions = load_questions(DataConfig(path="invented"))
    assert questions == list(invented.load.__wrapped__())
    counts = Counter(question.relation for question in questions)
    assert dict(counts) == dict.fromkeys(invented.RELATIONS, invented.PER_RELATION)
    assert not any(question.answerable or question.answers for question in questions)
    assert len({question.subject for question in questions}) == len(questions)
    assert len({question.relation for question in questions[:12]}) > 6  # a limit keeps a fair sample
    assert all(re.fullmatch(r"[\w .,'()?-]+", question.question) for question in questions)
