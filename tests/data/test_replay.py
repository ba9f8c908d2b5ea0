"""The replay prompts and the probes of what must not be refused: the shipped files, which share nothing."""

import gzip
import json
import re
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grait.config import ReplayConfig
from grait.data.probes import load_conversations, load_instructions, load_passages, load_probes
from grait.data.replay import BUILTIN, draw_replay, load_replay, load_unanswerable
from grait.data.worldfacts import load
from grait.errors import DataError
from grait.judging.matching import is_correct
from replay import build, probes, unanswerable
from replay.build import forbidden
from replay.draft import Draft, fill
from replay.rules import Forbidden, normalised
from replay.style import AS_TYPED
from replay.words import WORDS

PACKED = resources.files("grait.data").joinpath("replay/prompts.jsonl.gz").read_bytes()
ROWS: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(PACKED).decode().splitlines()]


@cache
def drafts() -> list[Draft]:
    return build.drafts()


def user_turns() -> list[str]:
    return [message["content"] for row in ROWS for message in row["messages"] if message["role"] == "user"]


# Replay


def test_the_file_has_the_promised_size() -> None:
    assert len(ROWS) >= 2_500
    assert len(PACKED) <= 400_000
    counts = Counter(row["kind"] for row in ROWS)
    assert len(counts) >= 20
    assert min(counts.values()) >= 30


def test_rows_are_conversations_that_await_an_answer() -> None:
    for row in ROWS:
        assert set(row) == {"id", "kind", "messages"}
        roles = [message["role"] for message in row["messages"]]
        if roles[0] == "system":
            roles = roles[1:]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], row["id"]
        assert len(roles) <= 7
        assert all(message["content"].strip() for message in row["messages"]), row["id"]
        assert (len(roles) > 1) == (row["kind"] == "several-turns"), row["id"]


def test_no_row_occurs_twice() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    said = [tuple(m["content"].lower() for m in row["messages"] if m["role"] == "user") for row in ROWS]
    assert len(set(said)) == len(ROWS)


def test_no_place_of_a_template_is_left_open() -> None:
    for row in ROWS:
        if not row["kind"].startswith("code"):
            for message in row["messages"]:
                assert not re.search(r"\{[a-z]+\d?\}", message["content"]), row["id"]


def test_no_family_of_templates_rules() -> None:
    families = Counter(draft.family for draft in drafts())
    assert max(families.values()) <= build.MAX_SHARE * len(drafts())
    assert len(families) >= 40


def test_the_file_is_what_the_builder_makes() -> None:
    assert build.rows(drafts()) == ROWS
    assert gzip.decompress(build.packed(ROWS)) == gzip.decompress(PACKED)


def test_another_seed_gives_other_rows() -> None:
    others = {draft.messages for draft in build.drafts(build.SEED + 7)}
    assert len(others & {draft.messages for draft in drafts()}) < len(others) / 2


def test_some_rows_have_system_messages_and_some_are_typed_carelessly() -> None:
    systems = [row["messages"][0]["content"] for row in ROWS if row["messages"][0]["role"] == "system"]
    assert 0.05 <= len(systems) / len(ROWS) <= 0.2
    assert len(set(systems)) >= 20
    last = [row["messages"][-1]["content"] for row in ROWS if row["kind"] not in AS_TYPED]
    assert 0.1 <= sum(text == text.lower() for text in last) / len(last) <= 0.3


def test_conversations_go_on_after_a_refusal() -> None:
    after = [
        row
        for row in ROWS
        for turn in row["messages"][:-1]
        if turn["role"] == "assistant" and turn["content"] == "I don't know."
    ]
    assert len(after) >= 200


def test_passages_hold_what_is_asked() -> None:
    texts = [row["messages"][-1]["content"] for row in ROWS if row["kind"] == "passage"]
    assert len(texts) >= 300
    assert all("?" in text or text == text.lower() for text in texts)
    assert sum(len(text.split()) >= 20 for text in texts) >= 0.9 * len(texts)


def test_prompts_are_short() -> None:
    lengths = sorted(sum(len(m["content"].split()) for m in row["messages"]) for row in ROWS)
    assert lengths[-1] <= 140
    assert lengths[len(lengths) // 2] <= 30


# Nothing in common


def test_no_probe_occurs_in_replay() -> None:
    banned = build.forbidden()
    assert [(text, found) for text in user_turns() if (found := banned.found(text))] == []


def test_every_kind_of_the_probes_is_in_replay() -> None:
    kinds = {row["kind"] for row in ROWS}
    assert {row.category for row in load_instructions()} <= kinds
    assert {probe.category for probe in load_probes() if probe.kind == "chit-chat"} <= kinds
    assert {"passage", "several-turns"} <= kinds


def test_replay_asks_for_no_opposite_that_is_tested() -> None:
    # "What is the opposite of hot?" is too unlike WorldFacts' own wording for the rule to notice.
    tested = {question.subject for question in load("test_ood") if question.relation == "antonym"}
    for text in user_turns():
        for word in re.findall(r"opposite(?: of|:) [\"']?(\w+)", text.lower()):
            assert word not in tested


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("Name three rivers in Spain, please", True),  # the same but for signs and case
        ("Name 5 rivers in Spain", False),
        ("Could you name three rivers in Spain, please?", True),  # nearly
        ("Take 20 from 90.", True),  # the same but for the numbers
        ("Name three hats", False),
        ("", False),
    ],
)
def test_the_rule_catches_probes_and_what_is_nearly_one(text: str, caught: bool) -> None:
    banned = Forbidden(["Name three rivers in Spain, please!", "Take 18 from 63."])
    assert (banned.found(text) is not None) == caught


def test_templates_are_filled_in_english() -> None:
    class First:
        def choice(self, words: list[str]) -> str:
            return words[0]

    first: Any = First()
    assert fill("{fruit}, {fruit2} and {fruit}", first) == "Apple, banana and apple"
    assert fill("a {fruit} and a {fruit2}", first) == "an apple and a banana"
    assert fill("Look! {person} is here.", first) == f"Look! {WORDS['person'][0].capitalize()} is here."


# The probes


def test_instructions_have_the_promised_size() -> None:
    rows = load_instructions()
    assert len(rows) >= 120
    assert len({row.category for row in rows}) >= 15
    assert len({row.id for row in rows}) == len({normalised(row.text) for row in rows}) == len(rows)
    assert not {row.text for row in rows} & {probe.text for probe in load_probes()}


def test_no_template_of_replay_gives_an_instruction() -> None:
    # Rows of one template begin alike, or differ in their words only here and there.
    starts = {tuple(normalised(text).split()[:4]) for text in user_turns()}
    for row in load_instructions():
        words = normalised(row.text).split()
        assert len(words) < 4 or tuple(words[:4]) not in starts, row.text


def test_passages_hold_their_answer_once() -> None:
    rows = load_passages()
    facts = {fact.id: fact for split in ("test_id", "test_ood") for fact in load(split)}
    assert len(rows) >= 120
    assert len({row.relation for row in rows}) >= 10
    assert len({row.id for row in rows}) == len({row.fact for row in rows}) == len(rows)
    assert {row.place for row in rows} == {"before", "after"}
    for row in rows:
        fact = facts[row.fact]
        assert (row.question, row.answers, row.relation) == (fact.question, fact.answers, fact.relation)
        assert row.text == "\n\n".join(
            (row.passage, row.question) if row.place == "before" else (row.question, row.passage)
        )
        sentences = re.split(r"(?<! [A-Z]\.)(?<=[.\"])\s+(?=[A-Z+0-9])", row.passage)  # "W. Meissner" is one name
        assert 2 <= len(sentences) <= 4, row.passage
        assert is_correct(row.passage, fact), row.passage
        assert not is_correct(row.question, fact), row.question
        assert sum(is_correct(sentence, fact) for sentence in sentences) == 1, row.passage


def test_passages_are_what_the_builder_makes() -> None:
    made = probes.passages()
    assert [{**row, "answers": tuple(row["answers"])} for row in made] == [
        {
            "id": row.id,
            "relation": row.relation,
            "fact": row.fact,
            "passage": row.passage,
            "question": row.question,
            "answers": row.answers,
            "place": row.place,
        }
        for row in load_passages()
    ]


def test_conversations_end_with_the_assistant() -> None:
    rows = load_conversations()
    assert len(rows) >= 40
    assert len({row.id for row in rows}) == len({str(row.messages) for row in rows}) == len(rows)
    counts = Counter(row.category for row in rows)
    assert set(counts) == {"greeting", "instruction", "refusal"}
    assert min(counts.values()) >= 10
    for row in rows:
        roles = [message["role"] for message in row.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert (row.messages[-1]["content"] == "I don't know.") == (row.category == "refusal")


# A user's own prompts


def own(tmp_path: Path, *rows: object) -> str:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_the_built_in_prompts_are_those_of_the_file() -> None:
    found = load_replay("builtin")
    assert [(row.id, row.kind, list(row.messages)) for row in found] == [
        (row["id"], row["kind"], row["messages"]) for row in ROWS
    ]


def test_own_prompts_are_text_messages_or_conversations(tmp_path: Path) -> None:
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    path = own(
        tmp_path,
        {"prompt": " Hi ", "completion": "not used"},
        {"prompt": [user], "completion": [assistant]},
        {"id": 7, "kind": "talk", "messages": [user, assistant, user, assistant]},
    )
    found = load_replay(path)
    assert [row.messages for row in found] == [(user,), (user,), (user, assistant, user)]
    assert [(row.id, row.kind) for row in found] == [("own-1", "own"), ("own-2", "own"), ("7", "talk")]
    assert [row.is_single for row in found] == [True, True, False]


def test_own_prompts_may_be_parquet(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"Say {i}"}], "other": 1} for i in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    assert [row.messages[0]["content"] for row in load_replay(str(tmp_path / "own.parquet"))] == [
        "Say 0",
        "Say 1",
        "Say 2",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "line 1: has no `messages` and no `prompt`; found question"),
        ({"prompt": "  "}, "line 1: `prompt` is blank"),
        ({"prompt": 3.5}, "`prompt` has to be text or a list of messages, found a decimal number"),
        ({"messages": "Hi"}, "line 1: `messages` has to be a list of messages, found text"),
        ({"messages": []}, "line 1: has no user turn in `messages`"),
        ({"messages": [{"role": "system", "content": "Be kind"}]}, "line 1: has no user turn"),
        ({"messages": [{"role": "tool", "content": "1"}]}, "line 1, message 1: the role 'tool' is none of system"),
        ({"messages": [{"role": "user"}]}, "line 1, message 1: has no `content`; found role"),
        ({"messages": [{"role": "user", "content": ""}]}, "line 1, message 1: `content` is blank"),
        ({"messages": ["Hi"]}, "line 1, message 1: expected an object with `role` and `content`"),
        (["Hi"], "line 1: expected an object with `messages` or `prompt`, found a list"),
    ],
)
def test_bad_rows_are_one_line(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(DataError) as error:
        load_replay(own(tmp_path, row))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_replay(str(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="already used in line 1"):
        load_replay(own(tmp_path, {"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}))
    (tmp_path / "own.csv").write_text("prompt\nHi\n", encoding="utf-8")
    with pytest.raises(DataError, match="are no CSV"):
        load_replay(str(tmp_path / "own.csv"))
    pq.write_table(pa.table({"text": ["Hi"]}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match="has no column `messages` or `prompt`; found text"):
        load_replay(str(tmp_path / "own.parquet"))


def test_prompts_are_drawn_by_the_seed() -> None:
    config = ReplayConfig(path="builtin", n=50)
    found = [row.id for row in draw_replay(config, 1)]
    assert len(set(found)) == 50
    assert found == [row.id for row in draw_replay(config, 1)] != [row.id for row in draw_replay(config, 2)]
    assert draw_replay(ReplayConfig(), 1) == []
    assert len(draw_replay(ReplayConfig(path="builtin", n=100_000), 1)) == len(ROWS)


def test_the_draw_is_half_short_questions_and_a_fifth_passages() -> None:
    drawn = draw_replay(ReplayConfig(path=BUILTIN, n=200), 3)
    assert len({prompt.id for prompt in drawn}) == 200
    assert sum(prompt.is_short_question for prompt in drawn) >= 100
    assert 40 <= sum(prompt.kind == "passage" for prompt in drawn) < 80
    everything = load_replay(BUILTIN)
    assert {prompt.id for prompt in draw_replay(ReplayConfig(path=BUILTIN, n=10**6), 3)} == {p.id for p in everything}


# -- questions that nobody can answer ----------------------------------------------------------------------------------


def test_unanswerable_questions_are_what_the_builder_makes_and_no_probe() -> None:
    made = unanswerable.rows()
    assert len(made) >= 250 and len({row["question"] for row in made}) == len(made)
    assert load_unanswerable(10**6, 0) and {q.id for q in load_unanswerable(10**6, 0)} == {row["id"] for row in made}
    banned = forbidden()
    assert not [row["question"] for row in made if banned.found(row["question"])]
    assert load_unanswerable(9, 1) == load_unanswerable(9, 1) != load_unanswerable(9, 2)
