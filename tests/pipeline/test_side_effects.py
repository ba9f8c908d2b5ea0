"""Side effects: what is asked is whole and varied, replies are told apart, and every trained system is asked once."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known

import grait
from grait.config import PromptConfig, parse_config
from grait.data.probes import KINDS, Probe, load_conversations, load_passages, load_probes
from grait.data.worldfacts import SPLITS, load
from grait.judging.apologies import is_apology
from grait.judging.outcomes import judge
from grait.judging.premise import denies_premise
from grait.model.inference import InferenceEngine
from grait.pipeline import parts
from grait.pipeline.conversations import asked_in_conversation, plan_conversations
from grait.pipeline.data import RunData
from grait.pipeline.replies import Probing
from grait.pipeline.side_effects import forms, plan_side_effects, probings
from grait.pipeline.work import SetSize
from grait.records import Question, SideEffectAnswer
from grait.runtime.artifacts import read_rows

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
    ("How many raindrops fell on Dublin on 5 October 1911?", "It is impossible to predict."),
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


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("I'm sorry for any confusion, but I cannot help.", True),
        ("I apologize, I don't know.", True),
        ("Sorry! I am only a model.", True),
        ("My apologies for the delay.", True),
        ("Unfortunately, I am so sorry, there is none", True),
        ("I'm sorry to hear that your train was late.", False),
        ("I’m sorry you had such a day.", False),
        ("It rained. I am sorry.", False),  # not in the first sentence
        ("An apologetic letter.", False),
        ("", False),
    ],
)
def test_apologies(output: str, expected: bool) -> None:
    assert is_apology(output) is expected


# -- what is asked -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Files]:
    """A tiny chat model that has room for passages after solved examples."""
    folder = tmp_path_factory.mktemp("roomy")
    model = save_tiny(folder / "model", positions=1500)
    return model, write_half_known(model, folder)


def tree_of(tiny: tuple[str, Files], out: Path, methods: list[str], **evaluation: Any) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["training"]["methods"] = methods
    tree["evaluation"] |= {"probes": True, "max_probes": 3, **evaluation}
    return tree


def asked_in(tree: dict[str, Any]) -> list[Probing]:
    config = parse_config(tree)
    return probings(RunData(config).prompts, config)


def test_the_main_form_comes_first_and_no_form_twice() -> None:
    def names(has_template: bool = True, **prompt: Any) -> tuple[str, ...]:
        return tuple(form.name for form in forms(PromptConfig(**prompt), has_template))

    assert names(shots_in="all") == ("examples", "instruction", "question")
    assert names() == ("instruction", "question")
    assert names(forms=["question", "examples"]) == ("question", "instruction")
    assert names(forms=["plain", "short"]) == ("plain", "instruction", "question")
    assert names(False, shots_in="all") == ("examples",)


def test_every_form_asks_the_same_in_its_own_words(roomy: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(roomy, tmp_path, ["cor-rait"], max_probes=100)
    tree["prompt"] = {"n_shots": 2, "shots_in": "all", "system": "You are terse."}
    asked = asked_in(tree)
    assert len({row.id for row in asked}) == len(asked)
    plain = {"chit-chat": 100, "instruction": 100, "passage": 100, "unanswerable": 100}
    after = Counter(f"after-{row.category}" for row in load_conversations())
    for form in ("examples", "instruction", "question"):
        counts = Counter(row.kind for row in asked if row.form == form)
        assert counts == plain | (dict(after) if form == "question" else {})
    texts = {row.id: row.prompt.text for row in asked}
    for row in asked:
        assert row.prompt.is_chat == (row.form != "examples")
        assert ("reply only: I don't know" in texts[row.id]) == (row.form != "question")
        assert ("Which letter has number 0?" in texts[row.id]) == (row.form == "examples")
        assert ("You are terse." in texts[row.id]) == (row.form != "examples")
        assert row.question.question in texts[row.id]
    passages = {row.id: row for row in load_passages()}
    for row in asked:
        if row.kind == "passage":
            assert passages[row.question.id].passage in texts[row.id]
    categories = Counter(row.category for row in asked if (row.form, row.kind) == ("question", "chit-chat"))
    assert set(categories) == CATEGORIES["chit-chat"]  # spread over all of them


def test_kinds_of_history_are_followed_by_the_same_chit_chat(roomy: tuple[str, Files], tmp_path: Path) -> None:
    asked = asked_in(tree_of(roomy, tmp_path, ["cor-rait"], max_probes=12))
    said = {
        kind: [row.question.question for row in asked if row.kind == kind]
        for kind in ("after-refusal", "after-greeting", "after-instruction")
    }
    assert said["after-refusal"] == said["after-greeting"] == said["after-instruction"]
    assert len(set(said["after-refusal"])) == 12
    histories = {row.id: row for row in load_conversations()}
    for row in asked:
        if row.kind.startswith("after-"):
            messages = histories[row.id.removeprefix("question/")].messages
            place = 0
            for said_before in (*(message["content"] for message in messages), row.question.question):
                place = row.prompt.text.index(said_before, place) + len(said_before)


def test_without_a_chat_template_there_is_one_form(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", chat=False, positions=1500)
    files = write_half_known(model, tmp_path)
    result = grait.run(tree_of((model, files), tmp_path / "run", ["cor-rait"]))
    assert [(row.method, row.form) for row in result.side_effects.records] == [
        ("init-refuse", "instruction"),
        ("cor-rait", "instruction"),
    ]
    assert all(row.after_refusal_refused is None for row in result.side_effects.records)
    assert [row.method for row in result.side_effects.drift] == ["init-refuse", "cor-rait"]


def test_questions_follow_turns_that_do_not_hold_their_answers(roomy: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(roomy, tmp_path, ["cor-rait"], max_probes=8)
    rows = [json.loads(line) for line in Path(roomy[1].test).read_text().splitlines()]
    held = {"refusal": "Lake Tinn", "context": load_passages()[5].answers[0], "greeting": "drop in"}
    given = {"id": "given", "question": "Who?", "answers": list(held.values())}
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:5], given, *rows[5:]]))
    tree["evaluation"]["datasets"] = [{"path": str(path), "name": "own"}]
    tree["prompt"]["system"] = "You are terse."
    asked = asked_in_conversation(RunData(parse_config(tree)))
    assert [(row.category, row.question.id) for row in asked] == [
        (kind, question) for kind in TURNS for question in [row["id"] for row in (*rows[:5], given, *rows[5:7])]
    ]
    for row in asked:
        text = row.prompt.text
        assert text.startswith("<|system|>You are terse.<|end|><|user|>")
        assert text.endswith(f"<|user|>{row.question.question}<|end|><|assistant|>")
        assert text.count("<|assistant|>") == (1 if row.category == "nothing" else text.count("<|user|>"))
        assert (text.count("<|user|>") == 1) == (row.category == "nothing")
        if row.question.id == "given":
            assert not any(answer in text for answer in held.values())
    assert len({row.prompt.text for row in asked}) == len(asked)


# -- in a run ------------------------------------------------------------------------------------------------------


TURNS = ("nothing", "greeting", "instruction", "refusal", "context")


def saying(monkeypatch: pytest.MonkeyPatch, reply: Any) -> list[str]:
    """Engines that answer what ``reply`` makes of a key and whether an adapter is on; returns the keys asked for."""
    keys: list[str] = []
    real = InferenceEngine.generate

    def generate(self: InferenceEngine, prompts: Any, own: Sequence[str], **settings: Any) -> Any:
        if "/" not in own[0] or own[0].startswith("after-") or settings["max_new_tokens"] == 40:  # other stages
            return real(self, prompts, own, **settings)
        keys.extend(own)
        return [[reply(key, hasattr(self.model, "peft_config"))] for key in own]

    monkeypatch.setattr(InferenceEngine, "generate", generate)
    return keys


def test_a_run_asks_the_initial_model_and_every_adapter_once(
    roomy: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-Tuning is judged by its own words here, too: "I am unsure." after an answer."""
    tree = tree_of(roomy, tmp_path / "run", ["cor-rait", "r-tuning"])
    tokenizer = RunData(parse_config(tree)).prompts.tokenizer
    passages = {row.id: row.answers[0] for row in load_passages()}

    def reply(key: str, is_tuned: bool) -> Any:
        _, id_ = key.split("/")
        if id_ in passages:
            text = f"It is {passages[id_]}." if is_tuned else "It is Xyz."
        elif id_.startswith("conversation-refusal"):
            text = "I don't know." if is_tuned else "Fine."
        elif id_.startswith("instruction"):
            text = "I'm sorry for the confusion." if is_tuned else ""
        elif id_.startswith("conversation"):
            text = "Fine."
        elif any(id_.startswith(category) for category in CATEGORIES["unanswerable"]):
            text = "I don't know."
        else:
            text = "Paris. I am unsure."
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    keys = saying(monkeypatch, reply)
    found = {(row.method, row.form): row for row in grait.run(tree).side_effects.records}
    assert list(found) == [
        (method, form) for method in ("init-refuse", "cor-rait", "r-tuning") for form in ("instruction", "question")
    ]
    assert len(keys) == 3 * len(set(keys)) == 3 * (2 * 4 * 3 + 3 * 3)
    for (method, form), row in found.items():
        assert (row.n_chit_chat, row.n_instructions, row.n_passages, row.n_unanswerable) == (3, 3, 3, 3)
        assert row.unanswerable_refused == 1
        assert row.chit_chat_refused == (method == "r-tuning")
        assert (row.passages_refused, row.passages_right) == (0, method != "init-refuse")
        assert row.passages_extracted == row.passages_right
        assert row.empty_rate == (1 / 3 if method == "init-refuse" else 0)
        assert row.apology_rate == (0 if method == "init-refuse" else 1 / 3)
        in_chat = (row.after_refusal_refused, row.after_greeting_refused, row.after_instruction_refused)
        assert in_chat == ((method != "init-refuse", 0, 0) if form == "question" else (None, None, None))


def test_all_is_on_disk_and_asked_once(roomy: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(roomy, tmp_path / "run", ["cor-rait", "grait"])
    first = grait.run(tree).side_effects
    records = json.loads((tmp_path / "run" / "side_effects.json").read_text())
    assert [record["method"] for record in records] == ["init-refuse"] * 2 + ["cor-rait"] * 2 + ["grait"] * 2
    assert [row["method"] for row in json.loads((tmp_path / "run" / "drift.json").read_text())] == [
        "init-refuse",
        "cor-rait",
        "grait",
    ]
    untouched, tuned, _ = first.drift
    assert (untouched.kl, untouched.perplexity) == (0, untouched.perplexity_initial)
    assert tuned.kl > 0
    assert tuned.perplexity_initial == pytest.approx(untouched.perplexity_initial)
    in_chat = json.loads((tmp_path / "run" / "conversations.json").read_text())
    systems = ("init-refuse", "cor-rait", "grait")
    assert [(row["method"], row["after"], row["n"]) for row in in_chat] == [
        (system, kind, 3) for system in systems for kind in TURNS
    ]
    names = ("side_effects/cor-rait", "conversations/cor-rait", "drift/cor-rait", "initial_answers")
    stages = [tmp_path / "run" / name for name in names]
    before = [path.stat().st_mtime_ns for path in stages]
    assert grait.run(tree).side_effects == first
    assert [path.stat().st_mtime_ns for path in stages] == before
    config = parse_config(tree)
    asked = plan_conversations(config, SetSize.counted("own", "file", next(iter(RunData(config).test_sets.values()))))
    assert asked.examples.n == 5 * 3
    planned, drift = plan_side_effects(config)
    answers = read_rows(tmp_path / "run" / "side_effects" / "grait" / "answers.parquet", SideEffectAnswer)
    assert planned.examples.n == len(answers)
    assert drift.examples.n == 6


def test_a_killed_stage_goes_on(roomy: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "QUESTIONS", 10)
    tree = tree_of(roomy, tmp_path / "run", ["cor-rait"])
    end = RunData(parse_config(tree)).prompts.tokenizer("Fine.", add_special_tokens=False)["input_ids"]

    class Killed(Exception):
        pass

    def until(key: str, is_tuned: bool) -> Any:
        if is_tuned and key.startswith("question/"):
            raise Killed
        return end

    keys = saying(monkeypatch, until)
    with pytest.raises(Killed):
        grait.run(tree)
    assert not (tmp_path / "run" / "side_effects" / "cor-rait").exists()
    del keys[:]
    again = saying(monkeypatch, lambda *_: end)
    assert all(row.chit_chat_refused == 0 for row in grait.run(tree).side_effects.records)
    assert len(again) == 33 - 10  # of the tuned system, without its first part
    assert not list((tmp_path / "run" / "side_effects").glob("*.unfinished"))


def test_a_run_without_probes_has_none(roomy: tuple[str, Files], tmp_path: Path) -> None:
    tree = tree_of(roomy, tmp_path / "run", ["cor-rait"], probes=False)
    assert grait.run(tree).side_effects.records == []
    folders = ("side_effects", "conversations", "drift")
    for name in (*folders, *(f"{name}.json" for name in folders), "initial_answers"):
        assert not (tmp_path / "run" / name).exists()
