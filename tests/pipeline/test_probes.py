"""The probes: what ships is whole and varied, replies are told apart, and every trained system is asked."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, tiny_tree

import grait
from grait.data.probes import KINDS, Probe, load_probes
from grait.data.worldfacts import SPLITS, load
from grait.evaluation.probes import summarize_probes
from grait.judging.outcomes import judge
from grait.judging.phrases import REFUSAL_PHRASES
from grait.judging.premise import denies_premise
from grait.pipeline import evaluation
from grait.records import Prediction, ProbeAnswer, ProbeOutcome, Question

CATEGORIES = {
    "unanswerable": {"false-premise", "invented-entity", "future", "private", "unknowable"},
    "chit-chat": {
        "greeting", "thanks", "small-talk", "rewriting", "arithmetic", "translation", "writing", "opinion", "advice",
    },
}  # fmt: skip


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", text.casefold()))


# -- what ships ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_of_each_kind_and_category(kind: str) -> None:
    own = [probe for probe in load_probes() if probe.kind == kind]
    assert len(own) >= 120
    counts = Counter(probe.category for probe in own)
    assert set(counts) == CATEGORIES[kind]
    assert min(counts.values()) >= 10


def test_ids_are_unique_and_texts_are_clean() -> None:
    probes = load_probes()
    assert len({probe.id for probe in probes}) == len(probes)
    for probe in probes:
        assert probe.text == " ".join(probe.text.split())
        assert 5 <= len(probe.text) <= 120
        if probe.kind == "unanswerable":
            assert probe.text.endswith("?")


def test_no_probe_nearly_repeats_another_or_a_question_of_worldfacts() -> None:
    probes = load_probes()
    own = {probe.id: words(probe.text) for probe in probes}
    for a, b in itertools.combinations(own, 2):
        shared = len(own[a] & own[b]) / len(own[a] | own[b])
        assert shared < 0.6, (a, b)
    asked = {words(question.question) for split in SPLITS for question in load(split)}
    assert not asked & set(own.values())


def test_invented_names_stand_in_no_question_or_answer_of_worldfacts() -> None:
    known = {
        word
        for split in SPLITS
        for question in load(split)
        for text in (question.question, *question.answers)
        for word in words(text)
    }
    for probe in load_probes():
        if probe.category == "invented-entity":
            assert words(probe.text) - known, probe.text


# -- judging -------------------------------------------------------------------------------------------------------

DENIALS = [
    ("Who was the king of France in 1995?", "There was no king of France in 1995."),
    ("Who was the king of France in 1995?", "France had no king in 1995."),
    ("Which moon of Venus is the largest?", "Venus has no moons."),
    ("What is the last digit of pi?", "Pi has no last digit."),
    ("What is the capital of the country of Zhuvembrak?", "There is no country called Zhuvembrak."),
    ("What is the capital of the country of Zhuvembrak?", "Zhuvembrak doesn’t exist."),
    ("What is the capital of the country of Zhuvembrak?", "Zhuvembrak is a fictional country."),
    ("Who won the Battle of Snerghollow Bridge?", "No such battle ever took place."),
    ("Who won the Battle of Snerghollow Bridge?", "That battle never happened."),
    ("Who will win the men's football World Cup in 2078?", "I cannot predict the future."),
    ("Who will win the men's football World Cup in 2078?", "It has not happened yet."),
    ("What did Confucius eat on the day that he turned thirty?", "Nobody knows."),
    ("What did Confucius eat on the day that he turned thirty?", "It was not recorded."),
    ("How many raindrops fell on Dublin on 5 October 1911?", "The number of raindrops is unknown."),
    ("How many raindrops fell on Dublin on 5 October 1911?", "It is impossible to know."),
]
OTHERS = [
    ("Who was the king of France in 1995?", "Louis XX."),
    ("Who was the king of France in 1995?", "There is no doubt that it was Louis XX."),
    ("Who was the king of France in 1995?", "Jacques Chirac, who has no crown."),
    ("Which moon of Venus is the largest?", "Titan, the unknown giant."),
    ("What did I have for breakfast this morning?", "Eggs, with no salt."),
    ("What will the first child born on Mars be called?", "A Martian baby."),
    ("Which composer wrote it?", "He wrote it in 1803.\nQuestion: Who?\nThere was no king."),  # another question's
    ("Which song will be at the top?", ""),
]


@pytest.mark.parametrize(("question", "output"), DENIALS)
def test_replies_that_deny_the_premise_are_found_and_are_no_refusals(question: str, output: str) -> None:
    assert denies_premise(output, question)
    assert judge(output, Question("", question, ("",))) == "wrong"  # not refused


@pytest.mark.parametrize(("question", "output"), OTHERS)
def test_other_replies_are_not(question: str, output: str) -> None:
    assert not denies_premise(output, question)


@pytest.mark.parametrize(
    ("text", "output", "is_refused"),
    [
        ("Hello!", "I'm not sure.", True),
        ("Turn this into a question: You like coffee.", "I don't know.", True),
        ("How can I fall asleep more easily?", "I'm unable to give medical advice.", True),
        ("Hello!", "Hello, how can I help you?", False),
        ("Hi there, how are you today?", "As an AI, I don't have feelings, but I'm here to help.", False),
        ("What is your view on early mornings?", "I don't have personal opinions, but many people like them.", False),
        ("My train was late again this morning.", "I'm sorry to hear that.", False),
        ("Which do you like better, tea or coffee?", "I can't choose, both are lovely.", False),
        ("Write a birthday message for my friend Paul.", "Dear Paul, I don't know how you got so old!", False),
    ],
)
def test_replies_to_what_is_no_question(text: str, output: str, is_refused: bool) -> None:
    assert (judge(output, Probe("", "chit-chat", "", text).question) == "refused") == is_refused


def answer(kind: str, outcome: ProbeOutcome) -> ProbeAnswer:
    return ProbeAnswer("", kind, "", "", outcome, -1.0)


def test_each_kind_has_its_own_shares() -> None:
    rows = [
        answer("unanswerable", "refused"),
        answer("unanswerable", "refused"),
        answer("unanswerable", "corrected"),
        answer("unanswerable", "answered"),
        answer("chit-chat", "refused"),
        *[answer("chit-chat", "answered")] * 4,
    ]
    record = summarize_probes("m", rows)
    assert (record.unanswerable_refused, record.unanswerable_corrected, record.chit_chat_refused) == (0.5, 0.25, 0.2)
    assert (record.n_unanswerable, record.n_chit_chat) == (4, 5)
    assert summarize_probes("m", rows[:4]).chit_chat_refused is None


# -- in a run ------------------------------------------------------------------------------------------------------


def tree_of(tiny: tuple[str, Files], out: Path, methods: list[str]) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["training"]["methods"] = methods
    tree["evaluation"]["probes"] = True
    return tree


def test_a_run_asks_the_initial_model_and_all_trained_ones(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-Tuning is judged by its own words here, too: "I am unsure." after an answer."""
    says = {"unanswerable": "I don't know.", "chit-chat": "Paris. I am unsure."}
    kinds = {probe.id: probe.kind for probe in load_probes()}
    asked_texts: list[str] = []

    def predict(
        _: Any, prompts: Any, questions: Sequence[Question], asked: str, own_judge: Any, **__: Any
    ) -> list[Prediction]:
        if questions[0].id not in kinds:
            return real(_, prompts, questions, asked, own_judge, **__)
        assert asked == "refuse"
        asked_texts.extend(question.question for question in questions)
        return [
            Prediction(
                row.id, text, own_judge(text, row, REFUSAL_PHRASES), text, "wrong", -1.0, -1.0, 0.0, False, False
            )
            for row in questions
            if (text := says[kinds[row.id]])
        ]

    real = evaluation.predict
    monkeypatch.setattr(evaluation, "predict", predict)
    result = grait.run(tree_of(tiny, tmp_path / "run", ["cor-rait", "r-tuning"]))
    shares = {row.method: (row.unanswerable_refused, row.chit_chat_refused) for row in result.probes}
    assert shares == {"init-refuse": (1.0, 0.0), "cor-rait": (1.0, 0.0), "r-tuning": (1.0, 1.0)}
    assert set(asked_texts) == {probe.text for probe in load_probes()}


def test_probes_are_on_disk_and_asked_once(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(tiny, tmp_path / "run", ["cor-rait"])
    first = grait.run(tree)
    assert [row.method for row in first.probes] == ["init-refuse", "cor-rait"]
    for row in first.probes:
        assert (row.n_unanswerable, row.n_chit_chat) == tuple(
            sum(probe.kind == kind for probe in load_probes()) for kind in KINDS
        )
    records = json.loads((tmp_path / "run" / "probes.json").read_text())
    assert [record["method"] for record in records] == ["init-refuse", "cor-rait"]
    before = (tmp_path / "run" / "probes" / "cor-rait").stat().st_mtime_ns
    assert grait.run(tree).probes == first.probes
    assert (tmp_path / "run" / "probes" / "cor-rait").stat().st_mtime_ns == before


def test_a_run_without_probes_has_none(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(tiny, tmp_path / "run", ["cor-rait"])
    tree["evaluation"]["probes"] = False
    assert grait.run(tree).probes == []
    assert not (tmp_path / "run" / "probes.json").exists()
    assert not (tmp_path / "run" / "probes").exists()
