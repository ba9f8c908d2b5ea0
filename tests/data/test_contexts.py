"""Questions that are asked with a text: how files say so, and whether the text holds the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from tiny_folder import write_jsonl

from grait.config import ColumnsConfig, DataConfig, parse_config
from grait.data.contexts import by_policy, closed_book, is_measured
from grait.data.load import load_questions, understand
from grait.errors import DataError
from grait.pipeline.data import RunData
from grait.records import Question

PASSAGES = ("The Po flows into the Adriatic Sea.", "The Elbe flows into the North Sea.")

SHAPES: dict[str, Any] = {
    "context": " ".join(PASSAGES),
    "contexts": list(PASSAGES),
    "passages": json.dumps(PASSAGES),
    "retrieved_contexts": list(PASSAGES),
    "ctxs": [{"id": 3, "text": text, "score": 0.5} for text in PASSAGES],
    "documents": [{"page_content": text, "metadata": {"source": "a"}} for text in PASSAGES],
    "retrieved": {"passage_text": list(PASSAGES), "is_selected": [0, 1]},
    "Passage": PASSAGES[0],
}


@pytest.mark.parametrize("column", SHAPES)
def test_texts_are_read_by_the_names_that_people_use(tmp_path: Path, column: str) -> None:
    row = {"question": "Where does the Po end?", "answer": "Adriatic Sea", column: SHAPES[column]}
    path = write_jsonl(tmp_path / "own.jsonl", [row, {**row, "answer": "Black Sea"}, {**row, column: None}])
    held, not_held, plain = load_questions(DataConfig(path=path))
    assert " ".join(held.context) == " ".join(PASSAGES) or held.context == PASSAGES[:1]
    assert (held.holds_answer, not_held.holds_answer) == (True, False)
    assert (plain.context, plain.holds_answer) == ((), None)


def test_titles_stand_before_their_texts(tmp_path: Path) -> None:
    hotpot = {"title": ["Po", "Elbe"], "sentences": [["It is long.", "It is in Italy."], ["It is in Germany."]]}
    rows = [
        {"question": "Q1?", "answer": "a", "context": hotpot},
        {"question": "Q2?", "answer": "a", "context": [["Po", ["It is long.", "It is in Italy."]]]},
        {
            "question": "Q3?",
            "answer": "a",
            "ctxs": [{"title": "Po", "text": "Po is long."}, {"title": "A", "text": "B"}],
        },
    ]
    one, two, three = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", rows)))
    assert one.context == ("Po\nIt is long. It is in Italy.", "Elbe\nIt is in Germany.")
    assert two.context == ("Po It is long. It is in Italy.",)
    assert three.context == ("Po is long.", "A\nB")


def test_a_log_of_ragas_is_read(tmp_path: Path) -> None:
    row = {
        "user_input": "Q?",
        "retrieved_contexts": list(PASSAGES),
        "response": "It is a sea.",
        "reference": "North Sea",
    }
    (found,) = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", [row])))
    assert (found.question, found.context, found.answers, found.holds_answer) == ("Q?", PASSAGES, ("North Sea",), True)


def squad(path: Path) -> str:
    """SQuAD 2's own file: nested, a question without an answer in each paragraph."""
    paragraphs = [
        {
            "context": text,
            "qas": [
                {"id": f"a{n}", "question": f"Sea {n}?", "answers": [{"text": sea, "answer_start": 0}] * 2,
                 "is_impossible": False},
                {"id": f"b{n}", "question": f"Lake {n}?", "answers": [], "is_impossible": True,
                 "plausible_answers": [{"text": sea, "answer_start": 0}]},
            ],
        }
        for n, (text, sea) in enumerate(zip(PASSAGES, ("Adriatic Sea", "North Sea"), strict=True))
    ]  # fmt: skip
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Rivers", "paragraphs": paragraphs}]}))
    return str(path)


def test_squad_2_says_of_each_question_whether_its_text_holds_the_answer(tmp_path: Path) -> None:
    path = squad(tmp_path / "dev-v2.0.json")
    found = load_questions(DataConfig(path=path))
    assert [(row.id, row.context, row.answers, row.holds_answer) for row in found] == [
        ("a0", PASSAGES[:1], ("Adriatic Sea",), True),
        ("b0", PASSAGES[:1], (), False),
        ("a1", PASSAGES[1:], ("North Sea",), True),
        ("b1", PASSAGES[1:], (), False),
    ]
    assert all(row.answerable and is_measured(row) for row in found)
    assert load_questions(DataConfig(path="squad_v2", split="dev", folder=str(tmp_path))) == found
    closed = load_questions(DataConfig(path="squad2", split="dev", folder=str(tmp_path)))
    assert [(row.context, row.answerable) for row in closed] == [((), True), ((), False)] * 2


@pytest.mark.parametrize(
    "said",
    [
        {"answers": {"text": [], "answer_start": []}},
        {"answers": [], "is_impossible": True},
        {"answer": "I don't know."},
        {"answer": None, "answerable": False},
    ],
)
def test_a_text_without_an_answer_is_not_what_nobody_can_answer(tmp_path: Path, said: dict[str, Any]) -> None:
    rows = [{"question": "Who?", "context": "Nothing.", **said}, {"question": "Who?", "context": "", **said}]
    with_text, without = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", rows)))
    assert (with_text.answerable, with_text.holds_answer, is_measured(with_text)) == (True, False, True)
    assert (without.answerable, without.holds_answer, is_measured(without)) == (False, None, False)


def test_what_a_column_says_goes_before_what_the_words_say(tmp_path: Path) -> None:
    rows = [
        {"question": "Is it long?", "answer": "yes", "context": "The Po has 652 km.", "holds_answer": True},
        {"question": "Is it long?", "answer": "yes", "context": "It is called so, yes.", "holds_answer": False},
    ]
    held, not_held = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", rows)))
    assert (held.holds_answer, held.answers) == (True, ("yes",))
    assert (not_held.holds_answer, not_held.answers) == (False, ("yes",))  # what the model may know by itself


def test_columns_name_texts_and_can_leave_them_out(tmp_path: Path) -> None:
    row = {"question": "Who?", "answer": "Ann", "context": "Bob.", "hint": "It was Ann.", "more": ["Or Eve."]}
    path = write_jsonl(tmp_path / "own.jsonl", [row])
    (named,) = load_questions(DataConfig(path=path, columns=ColumnsConfig(context=["hint", "more"])))
    assert (named.context, named.holds_answer) == (("It was Ann.", "Or Eve."), True)
    (left_out,) = load_questions(DataConfig(path=path, columns=ColumnsConfig(context=[])))
    assert left_out.context == ()
    with pytest.raises(DataError, match="has no column `hunt`"):
        load_questions(DataConfig(path=path, columns=ColumnsConfig(context=["hunt"])))


def test_a_cell_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [{"question": "Who?", "answer": "Ann", "contexts": [{"score": 1}]}])
    with pytest.raises(
        DataError, match=r"line 1: `contexts` is an object without a text .*`text` and `title` are read"
    ):
        load_questions(DataConfig(path=path))


def test_data_show_counts_texts_and_says_where_the_answer_is(tmp_path: Path, command: Call) -> None:
    path = squad(tmp_path / "own.json")
    assert understand(DataConfig(path=path)).notes == [
        "4 of 4 questions are asked with a text",
        "2 of these texts hold the answer, as the file says or by the words of a reference",
        "2 questions have a text and no answer in it, as the file says: the text does not say",
    ]
    code, out, _ = command("data", "show", path)
    assert code == 0
    assert "2 whose text holds the answer, 2 whose text does not hold the answer" in out
    assert f"text: {PASSAGES[0]}" in out and "right: not in the text" in out


HELD = Question("q", "Where?", ("Adriatic Sea",), context=PASSAGES, holds_answer=True)
NOT_HELD = Question("q", "Where?", ("Black Sea",), context=PASSAGES, holds_answer=False)
PLAIN = Question("q", "Where?", ("Black Sea",))


def test_a_policy_takes_away_what_counts_and_the_closed_book_gives_it_back() -> None:
    assert (
        by_policy(PLAIN, "only") is PLAIN
        and by_policy(HELD, "only") is HELD
        and by_policy(NOT_HELD, "help") is NOT_HELD
    )
    refused = by_policy(NOT_HELD, "only")
    assert (refused.answers, refused.beyond) == ((), ("Black Sea",))
    assert by_policy(refused, "only") == refused
    assert closed_book(refused) == closed_book(NOT_HELD) == PLAIN
    assert closed_book(PLAIN) is PLAIN


@pytest.mark.parametrize(
    ("match", "answers", "text", "is_held"),
    [
        ({"match": "number", "tolerance": "1%"}, ["8,849 m"], "Climbed in 1953, Everest is 8850 metres high.", True),
        ({"match": "number"}, ["8,849 m"], "Everest is 8850 metres high.", False),
        ({"match": "number", "tolerance": "1%"}, ["1,950 m"], "It was first climbed in 1953.", False),
        ({"match": "number"}, ["5"], "In 1969 five men came.", True),
        ({"match": "date"}, ["1969-07-20"], "Built in 1961, it came down on 20 July 1969.", True),
        ({"match": "date"}, ["1969-07-20"], "They landed before 20 July 1969.", False),
        ({"match": "list"}, ["red|rouge", "green"], "Rouge is a colour. So is green, and blue.", True),
        ({"match": "list"}, ["red", "green"], "Only red here.", False),
        ({"match": "exact"}, ["Au"], "The symbol is Au now.", True),
    ],
)
def test_whether_a_text_holds_the_answer_goes_by_match(
    tmp_path: Path, match: dict[str, str], answers: list[str], text: str, is_held: bool
) -> None:
    row = {"question": "What is it?", "answers": answers, "context": ["Another text.", text], **match}
    (found,) = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", [row])))
    assert found.holds_answer is is_held


@pytest.mark.parametrize(
    "reference",
    ["The text does not say.", "not mentioned", "No Answer Present.", "CANNOTANSWER", "noanswer", "Not in the text",
     "The passage doesn\u2019t mention it."],
)  # fmt: skip
def test_a_reference_that_says_that_there_is_none_is_none(tmp_path: Path, reference: str) -> None:
    rows = [{"question": "Who?", "context": "Ann.", "answers": [reference]}, {"question": "Who?", "answer": reference}]
    with_text, without = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", rows)))
    assert (with_text.answers, with_text.holds_answer, is_measured(with_text)) == ((), False, True)
    assert (without.answers, without.answerable) == ((), False)


@pytest.mark.parametrize("answer", ["Not Guilty", "To be or not to be", "You can't take it with you", "Not proven"])
def test_a_negation_alone_is_no_refusal(tmp_path: Path, answer: str) -> None:
    row = {"question": "What?", "context": "It was another.", "answer": answer}
    (found,) = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", [row])))
    assert found.answers == (answer,)


def test_the_configured_refusals_as_references_are_none(tmp_path: Path) -> None:
    row = {"question": "Who?", "context": "Nothing.", "answer": "Keine Angabe im Dokument"}
    source = DataConfig(path=write_jsonl(tmp_path / "own.jsonl", [row]))
    config = parse_config(
        {"model": {"name": "m"}, "out": "o",
         "data": source.model_dump(), "evaluation": {"datasets": [source.model_dump()]},
         "prompt": {"refusal_phrases": ["keine angabe"]}, "context": {"refusal": "Keine Angabe im Dokument."}}
    )  # fmt: skip
    (found,) = RunData(config).read(source)
    assert (found.answers, found.holds_answer) == ((), False)


def test_what_is_said_of_the_text_goes_before_what_is_said_of_the_question(tmp_path: Path) -> None:
    row = {"question": "Who?", "answers": ["Ann"], "context": "Bob.", "is_impossible": True}
    rows = [row | {"holds_answer": True}, row, row | {"holds_answer": True, "answers": []}]
    held, said, empty = load_questions(DataConfig(path=write_jsonl(tmp_path / "own.jsonl", rows)))
    assert (held.answers, held.holds_answer) == (("Ann",), True)
    assert (said.answers, said.holds_answer) == (empty.answers, empty.holds_answer) == ((), False)
