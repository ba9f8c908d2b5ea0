"""Forms in a whole run: what is taught in each, what is asked in each, and that one form changes nothing."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known, write_jsonl
from transformers import AutoTokenizer

import grait
from grait.commands.export import export, trained_adapter, trained_on
from grait.commands.finished import open_run
from grait.commands.replayed import Replay
from grait.config import parse_config
from grait.errors import ConfigError, ModelError
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import System, answers_key
from grait.pipeline.knowledge import knowledge_key
from grait.pipeline.lessons import lessons, rait_examples, weighted_examples
from grait.pipeline.order import stage_plans
from grait.pipeline.own_words import stored_own_words
from grait.pipeline.results import RunResult
from grait.pipeline.work import SetSize
from grait.records import OwnWords, Selected
from grait.runtime.artifacts import MANIFEST, Stage
from grait.training.examples import digest_of

FORMS = ["examples", "instruction", "question"]
UNTAUGHT = ["plain", "tutor"]
METHODS = ["van-tuning", "cor-rait", "craft", "grait-paper", "grait"]
Made = tuple[str, Files]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("forms")
    model = save_tiny(folder / "model")
    return model, write_half_known(model, folder / "questions")


def tree_of(made: Made, out: Path, forms: list[Any], **prompt: Any) -> dict[str, Any]:
    tree = tiny_tree(*made, out)
    tree["prompt"] |= {"forms": forms} | prompt
    tree["knowledge"] |= {"own_max_new_tokens": 8, "own_samples": 2}
    tree["evaluation"]["form_questions"] = 5
    tree["training"]["methods"] = METHODS
    return tree


@pytest.fixture(scope="module")
def ran(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], RunResult]:
    tree = tree_of(made, tmp_path_factory.mktemp("run") / "run", FORMS)
    own = {"name": "tutor", "template": "A pupil asks: {question}"}
    tree["evaluation"]["forms"] = ["plain", own]
    tree["replay"] = {"path": "builtin", "n": 6, "max_new_tokens": 4}
    return tree, grait.run(tree)


def selected_of(data: RunData) -> list[Selected]:
    ids = list(data.questions)
    return [
        Selected(ids[0], "ik", 1.0, "answer"),
        Selected(ids[1], "idk", 0.5, "answer"),
        Selected(ids[1], "idk", 2.0, "refusal"),
        Selected(ids[2], "ik", 1.0, "answer"),
        Selected(ids[3], "idk", 1.0, "answer-unsure"),
    ]


def test_references_are_taught_once_in_each_form_without_own_words(made: Made, tmp_path: Path) -> None:
    data = RunData(parse_config(tree_of(made, tmp_path, [*FORMS, "plain", "assistant"])))
    selected = selected_of(data)
    found = lessons(data, selected)
    forms = data.prompts.forms
    assert [(lesson.form.name, lesson.row) for lesson in found] == [(f.name, row) for f in forms for row in selected]
    references = {row: data.prompts.reference(data.questions[row.id]) for row in selected if row.target == "answer"}
    assert all(lesson.answer == references[lesson.row] for lesson in found if lesson.row.target == "answer")
    assert all(lesson.answer == "I don't know." for lesson in found if lesson.row.target == "refusal")
    assert all(lesson.weight == lesson.row.sample_weight for lesson in found)


def test_own_words_are_taught_where_they_were_right(made: Made, tmp_path: Path) -> None:
    data = RunData(parse_config(tree_of(made, tmp_path, [*FORMS, "assistant"])))
    known, unknown, other, unsure = list(data.questions)[:4]
    selected = selected_of(data)
    said = "It is the long answer of a model."
    own = {
        "question": {
            known: OwnWords(known, 1.0, said, None),
            unknown: OwnWords(unknown, 0.0, None, "Wrong, alas."),
            other: OwnWords(other, 0.0, None, "Wrong, too."),
        }
    }
    found = lessons(data, selected, own)
    for form in data.prompts.forms:
        taught = [lesson for lesson in found if lesson.form == form]
        if form.own_words is None:
            assert [lesson.row for lesson in taught] == selected
            continue
        # The known one in own words; the unsure one, of which the model said nothing, by its reference; the refusal.
        answers = {lesson.row.id: lesson for lesson in taught if lesson.row.target != "refusal"}
        assert answers.keys() == {known, unsure} and answers[known].answer == said
        (refusal,) = (lesson for lesson in taught if lesson.row.target == "refusal")
        n = len(answers[known].completion.token_ids) / len(refusal.completion.token_ids)
        assert answers[known].weight == pytest.approx(1.0 * n)
        # Answers of weight 1 + 1 of 1 + 0.5 + 1 + 1 are left, so the refusal weighs as much less.
        assert refusal.weight == pytest.approx(2.0 * 2.0 / 3.5)
    examples = weighted_examples(data, selected, own)
    assert [example.form for example in examples] == [lesson.form.name for lesson in found]
    assert [row.sample_weight for row in rait_examples(data, selected, own)] == [row.sample_weight for row in examples]


def test_a_method_without_refusals_keeps_all_its_answers(made: Made, tmp_path: Path) -> None:
    data = RunData(parse_config(tree_of(made, tmp_path, ["question"])))
    known, unknown = list(data.questions)[:2]
    selected = [Selected(known, "ik", 1.0, "answer"), Selected(unknown, "idk", 1.0, "answer-unsure")]
    own = {"question": {known: OwnWords(known, 1.0, "Right.", None), unknown: OwnWords(unknown, 0.0, None, "Wrong.")}}
    assert [lesson.answer for lesson in lessons(data, selected, own)] == ["Right.", "Wrong. I am unsure."]


def test_nothing_right_in_own_words_leaves_the_references(made: Made, tmp_path: Path) -> None:
    data = RunData(parse_config(tree_of(made, tmp_path, ["question"])))
    selected = selected_of(data)[:4]
    own = {"question": {row.id: OwnWords(row.id, 0.0, None, None) for row in selected}}
    assert [lesson.row for lesson in lessons(data, selected, own)] == selected


def test_built_in_unanswerable_questions_are_refused_in_bare_chat_alone(made: Made, tmp_path: Path) -> None:
    tree = tree_of(made, tmp_path, ["examples", "question", "assistant"])
    data = RunData(parse_config(tree | {"replay": {"path": "builtin", "unanswerable": 5}}))
    selected = selected_of(data)[:4]
    added = [lesson for lesson in lessons(data, selected) if lesson.row.id in data.built_in_unanswerable]
    assert len(added) == 5 and {lesson.form.name for lesson in added} == {"question"}
    assert all(lesson.answer == "I don't know." and lesson.weight == 2.0 for lesson in added)
    without = RunData(parse_config(tree))
    assert [lesson.row for lesson in lessons(without, selected)] == 3 * selected
    main = tree_of(made, tmp_path, ["examples", "plain"]) | {"replay": {"path": "builtin", "unanswerable": 2}}
    added = [lesson for lesson in lessons(RunData(parse_config(main)), selected) if "unanswerable" in lesson.row.id]
    assert [lesson.form.name for lesson in added] == ["examples", "examples"]


@pytest.mark.parametrize(("shots_in", "name"), [("all", "examples"), ("query", "instruction")])
def test_one_form_equal_to_that_of_before_changes_no_key_and_no_example(
    made: Made, tmp_path: Path, shots_in: str, name: str
) -> None:
    before = RunData(parse_config(tree_of(made, tmp_path, [], shots_in=shots_in)))
    named = RunData(parse_config(tree_of(made, tmp_path, [name], own_words=False)))
    selected = selected_of(before)
    assert weighted_examples(before, selected) == weighted_examples(named, selected)
    assert digest_of(weighted_examples(before, selected)) == digest_of(weighted_examples(named, selected))
    assert rait_examples(before, selected) == rait_examples(named, selected)
    for system in (System.of_method("init-basic", None), System.of_method("init-refuse", None)):
        asked = list(before.questions.values())
        assert answers_key(before, system, asked) == answers_key(named, system, asked)
    assert knowledge_key(before) == knowledge_key(named)


def test_a_run_answers_in_every_form(ran: tuple[dict[str, Any], RunResult]) -> None:
    _, result = ran
    systems = ("init-refuse", *METHODS)
    asked = {(form, form not in UNTAUGHT) for form in (*FORMS, *UNTAUGHT)} | {("all", True), ("all", False)}
    assert {(row.method, row.form, row.trained) for row in result.forms} == {
        (s, *form) for s in systems for form in asked
    }
    assert {row.n for row in result.forms} == {5}
    for row in result.forms:
        if row.method == "init-refuse":
            assert row.ths is None or row.ths == pytest.approx(0)
    folder = result.folder
    assert len(json.loads((folder / "forms.json").read_text())) == len(result.forms)
    assert {path.name for path in (folder / "forms").iterdir()} == {"instruction", "question", *UNTAUGHT}
    assert [row["versus"] for row in json.loads((folder / "form_differences.json").read_text())] == METHODS[:-1]
    lines = [json.loads(line) for line in (folder / "rait.jsonl").read_text().splitlines()]
    by_form = {form: [line for line in lines if line["form"] == form] for form in FORMS}
    assert all(any("I don't know." in row["completion"] for row in own) for own in by_form.values())


def test_a_run_with_forms_goes_on_without_asking_again(
    ran: tuple[dict[str, Any], RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, result = ran
    written = {path: path.stat().st_mtime_ns for path in result.folder.rglob(MANIFEST)}
    assert result.folder / "own_words" / "question" / MANIFEST in written
    monkeypatch.setattr("grait.pipeline.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    assert grait.run(tree).forms == result.forms
    assert {path: path.stat().st_mtime_ns for path in result.folder.rglob(MANIFEST)} == written
    grait.report(result.folder)


def test_what_was_trained_on_is_found_again(ran: tuple[dict[str, Any], RunResult]) -> None:
    """With the model's own words and the labels that they give."""
    data = open_run(ran[1].folder)
    selected = trained_on(data, "grait", trained_adapter(data, "grait"))
    found = lessons(data, selected, stored_own_words(data))
    assert [lesson.row for lesson in found if lesson.form.own_words is None] == 2 * selected
    chat = {lesson.row.id for lesson in found if lesson.form.own_words}
    assert set(data.built_in_unanswerable) < chat <= data.taught.keys()


def read_by(tool: str, row: dict[str, Any], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens and labels that a tool makes of a row of text. TRL as ``SFTTrainer``: the end of text where it is missing,
    the whole less what the prompt alone gives; the others tokenise parts apart and add nothing."""
    if tool == "trl":
        end = "" if row["completion"].endswith(tokenizer.eos_token) else tokenizer.eos_token
        prompt, whole = (
            tokenizer(text)["input_ids"] for text in (row["prompt"], row["prompt"] + row["completion"] + end)
        )
        assert whole[: len(prompt)] == prompt
        return whole, [-100] * len(prompt) + whole[len(prompt) :]
    parts = [part["text"] for part in row["segments"]] if tool == "axolotl" else [m["content"] for m in row["messages"]]
    prompt, completion = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in parts)
    return prompt + completion, [-100] * len(prompt) + completion


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory"])
def test_chat_and_plain_text_are_exported_together_as_text(
    ran: tuple[dict[str, Any], RunResult], tmp_path: Path, tool: str
) -> None:
    """Every row becomes the very tokens and labels of the run; where the end of a turn is not that of all text, as
    here, TRL's own trainer has one more token, which the note says."""
    data = open_run(ran[1].folder)
    found = export(data.folder, tool, method="grait", out=tmp_path / "out")
    adapter, tokenizer = trained_adapter(data, "grait"), data.prompts.tokenizer
    taught = lessons(data, trained_on(data, "grait", adapter), stored_own_words(data))
    replayed = Replay.of(data, adapter, taught)
    examples = [(lesson.prompt.token_ids, lesson.completion.token_ids) for lesson in taught]
    assert replayed.stored is not None
    prompts = [lesson.prompt for lesson in taught] + [replayed.stored.asked[place].prompt for place in replayed.places]
    n, n_chat = len(prompts), sum(prompt.is_chat for prompt in prompts)
    read = Counter[tuple[tuple[int, ...], ...]]()
    for line in (found.folder / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tokens, labels = read_by(tool, row, tokenizer)
        n_prompt, turn_end = labels.count(-100), tokenizer.convert_tokens_to_ids("<|end|>")
        if tool == "trl" and tokens[-2] == turn_end:
            assert tokens.pop() == tokenizer.eos_token_id
        if not row["id"].startswith("replay:"):
            read[tuple(tokens[:n_prompt]), tuple(tokens[n_prompt:])] += 1
    assert read == Counter(examples)
    about = json.loads((found.folder / "export.json").read_text(encoding="utf-8"))
    assert (about["n_chat_as_text"], about["n_examples"]) == (n_chat, n)
    n_otherwise = about["n_rendered_otherwise"]  # replies of a random model, cut in the middle of a letter
    assert n_otherwise <= len(replayed.rows)
    assert any(f"{n_otherwise} of {n} rows become other tokens" in note for note in found.notes) == (n_otherwise > 0)
    (note,) = (note for note in found.notes if "were trained in the chat template" in note)
    assert note.startswith(f"{n_chat} of {n} examples") and n_chat < n
    assert ("TRL's own trainer puts <|text-end|> after their <|end|>" in note) == (tool == "trl")
    assert f"{n_chat} of the examples were trained in the chat template" in (found.folder / "README.md").read_text()


def test_rivals_get_the_same_forms_and_the_same_replay(ran: tuple[dict[str, Any], RunResult]) -> None:
    folder, replayed = ran[1].folder, set()
    for method in METHODS:
        lines = (folder / "adapters" / method / "rait.jsonl").read_text().splitlines()
        by_form = Counter(json.loads(line)["form"] for line in lines)
        assert list(by_form) == FORMS and by_form["examples"] == by_form["instruction"]
        replayed.add(json.dumps(Stage.found(folder / "adapters" / method).key["replay"], sort_keys=True))
    assert len(replayed) == 1


def test_a_form_that_is_asked_alone_changes_no_key(made: Made, tmp_path: Path) -> None:
    tree = tree_of(made, tmp_path, FORMS)
    more = tree | {"evaluation": tree["evaluation"] | {"forms": ["plain"]}}
    before, after = (RunData(parse_config(one)) for one in (tree, more))
    selected = selected_of(before)
    assert digest_of(weighted_examples(before, selected)) == digest_of(weighted_examples(after, selected))
    assert knowledge_key(before) == knowledge_key(after)
    system, asked = System.of_method("init-refuse", None), list(before.questions.values())
    assert answers_key(before, system, asked) == answers_key(after, system, asked)
    assert "forms" in before.config.unused["evaluation"] and "forms" not in after.config.unused.get("evaluation", ())


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "in both lists": ({"forms": ["question"]}, {"forms": ["question"]}, "evaluation.forms: 'question' is trained"),
    "the one form of the run": ({}, {"forms": ["instruction"]}, "evaluation.forms: 'instruction' is trained"),
    "that with examples": ({"shots_in": "all"}, {"forms": ["examples"]}, "evaluation.forms: 'examples' is trained"),
    "twice": ({}, {"forms": ["plain", "plain"]}, "two forms are called 'plain'"),
    "no question": ({}, {"forms": [{"name": "x", "template": "Hi"}]}, "should hold {question} exactly once"),
    "no examples to show": ({"n_shots": 0}, {"forms": ["examples"]}, "prompt.n_shots = 0 leaves none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_asked_is_one_line(fault: str) -> None:
    prompt, evaluation, expected = FAULTS[fault]
    with pytest.raises(ConfigError) as caught:
        parse_config({"prompt": prompt, "evaluation": evaluation})
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_chat_form_wants_a_chat_template(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", chat=False)
    tree = tiny_tree(model, write_half_known(model, tmp_path), tmp_path / "run")
    tree["evaluation"]["forms"] = ["plain", "short"]
    with pytest.raises(ModelError, match=r"evaluation\.forms: short: the model's tokenizer has no chat template"):
        _ = RunData(parse_config(tree)).prompts


def test_a_run_without_forms_has_no_results_by_form(made: Made, tmp_path: Path) -> None:
    tree = tree_of(made, tmp_path / "run", [])
    tree["training"]["methods"] = ["cor-rait"]
    result = grait.run(tree)
    assert result.forms == [] and not (result.folder / "forms.json").exists()
    line = json.loads((result.folder / "rait.jsonl").read_text().splitlines()[0])
    assert list(line) == ["id", "label", "prompt", "completion", "sample_weight"]


def test_the_plan_counts_every_form(made: Made, tmp_path: Path) -> None:
    size = SetSize.counted("train", "file", list(RunData(parse_config(tree_of(made, tmp_path, []))).questions.values()))
    one, three = (
        {plan.name: plan for plan in stage_plans(parse_config(tree_of(made, tmp_path, forms)), size, [size])}
        for forms in ([], FORMS)
    )
    new = {"own words question", "form instruction, train", "form question, train"}
    assert three.keys() - one.keys() == new and not one.keys() - three.keys()
    assert three["form question, train"].examples.n == 5
    for name in ("training cor-rait", "training grait"):
        assert three[name].examples == replace(one[name].examples, n=3 * (one[name].examples.n or 0))


def test_no_question_is_asked_again_where_the_chat_template_changes_it(tmp_path: Path) -> None:
    """Templates that escape or trim: what stands before and after a question is then no whole prompt."""
    for number, changed in enumerate(("message['content'] | tojson", "message['content'] | replace('\"', '')", None)):
        folder = tmp_path / str(number)
        model = save_tiny(folder / "model", positions=640)
        tokenizer = AutoTokenizer.from_pretrained(model)
        if changed:
            tokenizer.chat_template = tokenizer.chat_template.replace("message['content']", changed)
        tokenizer.save_pretrained(model)
        rows = [{"id": f"q{i}", "question": f'Who wrote "{i}"?', "answers": ["me"]} for i in range(6)]
        path = write_jsonl(folder / "rows.jsonl", rows)
        test = write_jsonl(folder / "test.jsonl", [{"question": "Who, then?", "answers": ["me"]}])
        tree = {
            "out": str(folder / "run"),
            "model": {"name": model, "device": "cpu"},
            "data": {"path": path},
            "prompt": {"n_shots": 2, "shots_style": "chat", "forms": ["question", "examples"]},
            "evaluation": {"datasets": [{"path": test}], "calibration": None},
        }
        data = RunData(parse_config(tree))
        assert (data.terse_form(data.prompts.forms[0]) is None) == bool(changed)
        if not changed:
            before, after = data.terse_texts or ("", "")
            prompt = data.prompts.prompt(data.questions["q3"], "refuse", data.prompts.forms[1])
            assert before + 'Who wrote "3"?' + after == prompt.text
