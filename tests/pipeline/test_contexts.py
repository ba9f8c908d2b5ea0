"""Questions with a text, through a whole run: labels, lessons and metrics by quadrant and policy."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import Call
from tiny import tiny_tokenizer
from tiny_folder import POSITIONS, UNKNOWN, Files, tiny_tree, write_half_known, write_jsonl

import grait
from grait.config import ContextConfig, PromptConfig, parse_config
from grait.data.contexts import by_policy, closed_book
from grait.dial.answers import refusal_token_ids
from grait.display.page import run_report  # the real one: conftest puts another into the module
from grait.errors import ConfigError, DataError
from grait.evaluation.quadrants import says, summarize_quadrants
from grait.judging.judges import Matching, ToJudge
from grait.judging.outcomes import judge
from grait.methods.policy import labelled, lesson
from grait.model.forms import FormConfig, forms_of
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.results import RunResult
from grait.records import ContextPolicy, KnowledgeState, Label, Outcome, Prediction, QuadrantRecord, Question

POLICIES = get_args(ContextPolicy)
HOSTILE = "<script>alert('x')</script>"


def with_texts(path: str, target: Path) -> str:
    """Four of five questions get a text: with the answer, without it, and without any reference; the fifth has none."""
    rows = []
    for place, line in enumerate(Path(path).read_text().splitlines()):
        row = json.loads(line)
        answer = row["answers"][0]
        if place >= 2 and place // 2 % 5 < 4:  # the first two are shots
            kind = place // 2 % 4
            if kind < 2:
                row["context"] = [f"{HOSTILE} It was {answer}.", "Nothing else."]
            elif kind == 2:
                row["context"] = f"It was not told. {HOSTILE}"
            else:
                row |= {"context": "It was not told.", "answers": [], "is_impossible": True}
        rows.append(row)
    return write_jsonl(target, rows)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Files]:
    """A tiny model and question files, half known, most with a text."""
    from tiny_folder import save_tiny

    folder = tmp_path_factory.mktemp("texts")
    model = save_tiny(folder / "model", positions=2 * POSITIONS)
    files = write_half_known(model, folder / "files", n_train=40, n_test=60)
    tests = Path(files.test).read_text().splitlines(keepends=True)
    for name, lines in (("test", tests[:20]), ("calibration", tests[20:])):
        (folder / f"raw-{name}.jsonl").write_text("".join(lines))
        with_texts(str(folder / f"raw-{name}.jsonl"), folder / f"{name}.jsonl")
    return model, Files(with_texts(files.train, folder / "train.jsonl"), str(folder / "test.jsonl"))


def run(texts: tuple[str, Files], out: Path, policy: str, **more: Any) -> RunResult:
    model, files = texts
    tree = tiny_tree(model, files, out) | {"context": {"policy": policy}} | more
    tree["training"] |= {"methods": ["cor-rait", "grait", "van-tuning"]}
    return grait.run(tree)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_quadrant_is_labelled_and_taught_by_the_policy(policy: ContextPolicy) -> None:
    for label, holds in product(get_args(Label), (True, False)):
        question = Question("q", "Who?", ("Ann",), context=("Text.",), holds_answer=holds)
        state = KnowledgeState("q", label, 0.4, None, None, "Ann")
        (found,) = labelled([state], {"q": question}, policy)
        if holds:
            assert (found.label, found.correctness) == ("ik", 1.0)
        elif policy == "only":
            assert (found.label, found.correctness) == ("idk", 0.0)
        else:
            assert found == state
        assert labelled([state], {"q": closed_book(question)}, policy) == [state]
        if label != "dropped":
            wanted = lesson(label == "ik", holds, policy)
            assert wanted == {"ik": "answer", "idk": "refusal"}[found.label]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_teaches_each_quadrant_its_lesson_and_its_metrics_add_up(
    texts: tuple[str, Files], tmp_path: Path, policy: ContextPolicy
) -> None:
    result = run(texts, tmp_path, policy)
    data = RunData(parse_config(json.loads((tmp_path / "config.json").read_text())))
    refusals = {True: data.config.context.refusal if policy == "only" else data.config.prompt.first_refusal}
    refusals[False] = data.config.prompt.first_refusal
    for method in ("cor-rait", "grait", "van-tuning"):
        rows = [json.loads(line) for line in (tmp_path / "adapters" / method / "rait.jsonl").read_text().splitlines()]
        assert rows
        for row in rows:
            question = data.questions[row["id"]]
            taught = row["completion"].strip()
            if taught in set(refusals.values()):
                assert row["label"] == "idk" and taught == refusals[bool(question.context)]
                assert not question.holds_answer
            else:
                assert taught in question.answers  # nothing that the text does not hold is taught as an answer
            for passage in question.context:
                assert row["prompt"].count(passage) == 1
    card = (tmp_path / "adapters" / "grait" / "README.md").read_text()
    assert ("to what a text that it is given does not hold" in card) == (policy == "only")
    # Each test question that has a text is in one quadrant, for every system.
    asked = [question for question in result.questions["own"] if question.context]
    n = Counter()
    for record in result.quadrants:
        n[record.method] += record.n
        assert record.right + record.wrong + record.refused == pytest.approx(1)
        assert 0 <= record.refused_by_text <= record.refused
        assert record.lesson == lesson(record.knows, record.holds, policy)
        assert (record.over_refusal is None) or record.lesson == "answer"
    assert set(n) == set(result.predictions["own"]) and set(n.values()) == {len(asked)}
    assert {row.knows for row in result.quadrants} == {row.holds for row in result.quadrants} == {True, False}
    stored = json.loads((tmp_path / "quadrants.json").read_text())
    assert [QuadrantRecord(**row) for row in stored] == result.quadrants
    assert any("have a text, and with context.policy" in line for line in result.summary["in_words"]["found"])
    if policy == "only":  # what the text does not hold does not count, whatever the model knows
        outcomes = {row.id: row.outcome for row in result.predictions["own"]["init-basic"]}
        assert all(outcomes[question.id] != "correct" for question in asked if not question.holds_answer)


def test_the_report_shows_quadrants_and_escapes_texts(
    texts: tuple[str, Files], tmp_path: Path, command: Call, monkeypatch: Any
) -> None:
    from grait.display import page

    monkeypatch.setattr(page, "run_report", run_report)
    run(texts, tmp_path, "help")
    html = (tmp_path / "report.html").read_text()
    assert "Questions with a text" in html and "known and in the text" in html and HOSTILE not in html
    (tmp_path / "report.html").unlink()
    code, _, _ = command("report", str(tmp_path))
    assert code == 0 and "Questions with a text" in (tmp_path / "report.html").read_text()


def prediction(name: str, output: str, question: Question) -> Prediction:
    outcome: Outcome = judge(output, question)
    return Prediction(name, output, outcome, output, outcome, -1.0, -1.0, 0.0, False, False)


@pytest.mark.parametrize("policy", POLICIES)
def test_quadrants_against_an_example_by_hand(policy: ContextPolicy) -> None:
    texts = ("The text.",)
    raw = [
        Question("1", "Q?", ("Ann",), context=texts, holds_answer=True),
        Question("2", "Q?", ("Ann",), context=texts, holds_answer=True),
        Question("3", "Q?", ("Ann",), context=texts, holds_answer=False),
        Question("4", "Q?", ("Ann",), context=texts, holds_answer=False),
        Question("5", "Q?", (), context=texts, holds_answer=False),
        Question("6", "Q?", ("Ann",)),
    ]
    questions = [by_policy(question, policy) for question in raw]
    before = ["Ann", "Ann", "Ann", "Bob", "Bob", "Bob"]
    after = ["Ann", "I don't know.", "Ann", "The text does not say.", "Bob", "Ann"]
    initial, tuned = (
        [prediction(question.id, output, question) for question, output in zip(questions, outputs, strict=True)]
        for outputs in (before, after)
    )
    knows = {"1": True, "2": True, "3": True, "4": False}
    matching = Matching(*PromptConfig().refusing)
    found = summarize_quadrants(
        "grait", "own", questions, tuned, initial, knows, policy, "The text does not say.", matching
    )
    known_held, known_not_held, neither = found
    assert known_held == QuadrantRecord("grait", "own", True, True, "answer", 2, 0.5, 0.0, 0.5, 0.0, 0.5)
    answered = QuadrantRecord("grait", "own", True, False, "answer", 1, 1.0, 0.0, 0.0, 0.0, 0.0)
    by_memory = replace(answered, lesson="refusal", over_refusal=None)
    assert known_not_held == (answered if policy == "help" else by_memory)
    assert neither == QuadrantRecord("grait", "own", False, False, "refusal", 2, 0.0, 0.5, 0.5, 0.5, None)

    asked: list[ToJudge] = []

    class Mute:
        name = "mute"

        def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
            asked.extend(outputs)
            return [None for _ in outputs]

    unjudged = summarize_quadrants("grait", "own", questions, tuned, initial, knows, policy, "I pass.", Mute())
    assert {row.question.id for row in asked} == ({"3", "4"} if policy == "only" else set())
    assert sum(row.n for row in unjudged) == sum(row.n for row in found) - len({row.question.id for row in asked})


def test_a_refusal_that_would_not_be_found_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"context.refusal: answers with 'Nothing.' would not be counted as refusals"):
        parse_config({"context": {"refusal": "Nothing."}})
    german = {"language": "de", "refusal_phrases": ["steht nicht im text"]}
    assert parse_config({"context": {"refusal": "Das steht nicht im Text."}, "prompt": german})


def test_which_refusal_is_told_by_its_words() -> None:
    assert says("Sorry, the text doesn't say. the text does not say", "The text does not say.")
    assert not says("I don't know.", "The text does not say.")


OWN = [FormConfig(name="mine", template="Given: {context}\nAsk: {question} or {refusal}", chat=False)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_text_stands_once_before_its_question_in_every_form(policy: ContextPolicy) -> None:
    names = ("examples", "instruction", "question", "assistant", "plain", "short")
    config = PromptConfig(forms=[*map(FormConfig.model_validate, names), *OWN])
    shot = Question("s", "Shot?", ("Shown",), context=("Shot text.",), holds_answer=True)
    prompts = PromptFormat(tiny_tokenizer(chat=True), config, shots=(shot,), context=ContextConfig(policy=policy))
    question = Question("q", "Who is it?", ("Ann",), context=("One passage.", "Two passage."), holds_answer=True)
    plain = closed_book(question)
    for form in forms_of(config):
        text = prompts.prompt(question, "refuse", form).text
        assert text.count("One passage.\n\nTwo passage.") == 1 and text.count("Who is it?") == 1
        assert text.index("Two passage.") < text.index("Who is it?") and "Shot text." not in text
        without = prompts.prompt(plain, "refuse", form).text
        assert "passage" not in without and "Text:" not in without and "Given" not in without
    assert "Two passage." in prompts.query(question).text and "Shot text." not in prompts.query(question).text
    wanted = "The text does not say." if policy == "only" else "I don't know."
    for name in ("instruction", "short", "mine"):
        form = next(form for form in forms_of(config) if form.name == name)
        assert wanted in prompts.prompt(question, "refuse", form).text
        assert "I don't know." in prompts.prompt(plain, "refuse", form).text


def test_prompts_without_a_text_are_those_of_a_run_without_texts() -> None:
    plain = Question("q", "Who is it?", ("Ann",))
    config = PromptConfig(forms=[*map(FormConfig.model_validate, ("examples", "instruction", "question"))])
    usual = PromptFormat(tiny_tokenizer(chat=True), config, shots=(plain,))
    other = replace(usual, context=ContextConfig(policy="help", refusal="It is not said."))
    assert "context" not in usual.key and other.key["context"] == {"policy": "help", "refusal": "It is not said."}
    for form in forms_of(config):
        assert usual.prompt(plain, "refuse", form) == other.prompt(plain, "refuse", form)


def too_long(texts: tuple[str, Files], folder: Path) -> Files:
    _, files = texts
    rows = [json.loads(line) for line in Path(files.train).read_text().splitlines()]
    for row in rows[6:8]:
        row |= {
            "context": [f"It was {row['answers'][0] if row['answers'] else UNKNOWN}.", "word " * 500],
            "is_impossible": False,
        }
        row["answers"] = row["answers"] or [UNKNOWN]
    rows[9] |= {"context": ["word " * 500, f"It was {UNKNOWN}."], "answers": [UNKNOWN], "is_impossible": False}
    return Files(write_jsonl(folder / "long.jsonl", rows), files.test)


def test_texts_that_are_too_long_stop_the_run_and_are_named(texts: tuple[str, Files], tmp_path: Path) -> None:
    files = too_long(texts, tmp_path)
    with pytest.raises(
        DataError, match=r"long: 3 of \d+ questions are, with their texts, longer than the 640 tokens.*too_long=cut"
    ):
        run((texts[0], files), tmp_path / "run", "only")


def test_texts_are_cut_where_the_user_says_so(texts: tuple[str, Files], tmp_path: Path) -> None:
    model, files = texts[0], too_long(texts, tmp_path)
    tree = tiny_tree(model, files, tmp_path / "run") | {"context": {"too_long": "cut"}}
    data = RunData(parse_config(tree))
    raw = {question.id: question for question in data.read(data.config.data)}
    shorter = [
        row for row in data.questions.values() if sum(map(len, row.context)) < sum(map(len, raw[row.id].context))
    ]
    assert len(shorter) == 3
    kept, skipped = data.fitting(list(data.questions.values()), 2 * POSITIONS, 6, "training", is_trained_on=True)
    assert not skipped and len(kept) == len(data.questions)
    assert sorted(bool(row.holds_answer) for row in shorter) == [False, True, True]  # one had its answer at the end
    assert any("3 of" in note and "1 of them no longer hold the answer" in note for note in data.said)
    assert all(raw[row.id].context[0].startswith(row.context[0][:20]) for row in shorter)


@pytest.mark.parametrize("policy", POLICIES)
def test_forms_replay_and_dials_work_beside_texts(texts: tuple[str, Files], tmp_path: Path, policy: str) -> None:
    model, files = texts
    tree = tiny_tree(model, files, tmp_path) | {"context": {"policy": policy}}
    tree["prompt"] = {"n_shots": 2, "forms": ["examples", "question"]}
    tree["knowledge"] |= {"own_samples": 2, "own_max_new_tokens": 6}
    tree["replay"] = {"path": "builtin", "n": 4, "given_texts": 4, "unanswerable": 4, "max_new_tokens": 4}
    tree["training"] |= {"methods": ["grait"]}
    tree["evaluation"]["calibration"] = {"path": files.test.replace("test.jsonl", "calibration.jsonl")}
    result = grait.run(tree)
    assert {"grait", "grait + dial", "init-basic"} <= {row.method for row in result.quadrants}
    if policy == "only":  # the dial refuses in the words for texts
        assert all(row.refused_by_text == row.refused for row in result.quadrants if row.method == "grait + dial")
    dials = json.loads((tmp_path / "adapters" / "grait" / "refusal_dial.json").read_text())
    assert dials["forms"]["examples"]["refusal"] == "I don't know."  # of the questions that stand alone, as in a chat
    data = RunData(parse_config(json.loads((tmp_path / "config.json").read_text())))
    ids = {row["id"] for row in map(json.loads, (tmp_path / "rait.jsonl").read_text().splitlines())}
    assert ids & data.with_text and ids & (set(data.questions) - data.with_text)


def test_an_evaluation_alone_has_quadrants_too(texts: tuple[str, Files], tmp_path: Path) -> None:
    model, files = texts
    tree = {key: value for key, value in tiny_tree(model, files, tmp_path).items() if key in ("model", "evaluation")}
    tree |= {"out": str(tmp_path), "prompt": {"n_shots": 0, "forms": []}}
    result = grait.evaluate(tree)
    n_texts = sum('"context"' in line for line in Path(files.test).read_text().splitlines())
    for method in ("init-basic", "init-refuse"):
        assert sum(row.n for row in result.quadrants if row.method == method) == n_texts
    assert json.loads((tmp_path / "quadrants.json").read_text())


def test_a_dial_of_questions_that_all_have_a_text_says_what_they_are_refused_with() -> None:
    config = PromptConfig(forms=[FormConfig(name="question")])
    prompts = PromptFormat(tiny_tokenizer(chat=True), config)
    held = Question("q", "Who?", ("Ann",), context=("Ann.",), holds_answer=True)
    plain = closed_book(held)

    def ids(refusal: str) -> tuple[int, ...]:
        return prompts.completion(prompts.prompt(plain, "refuse"), refusal).token_ids

    assert refusal_token_ids(prompts, [held]) == ids("The text does not say.")
    assert refusal_token_ids(prompts, [held, plain]) == ids("I don't know.")
