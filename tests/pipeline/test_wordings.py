"""Runs in another language, and with several refusal texts."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_folder
from conftest import Call
from tiny import tiny_tokenizer
from tiny_folder import Files, tiny_tree

import grait
from grait.config import PromptConfig, parse_config
from grait.languages import Language, instructions
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.lessons import lessons
from grait.records import Question, Selected

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["I don't know.", "I'm not sure, but a library might have it.", "That is beyond my knowledge."]


def tree_of(tiny: tuple[str, Files], out: Path, **prompt: Any) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["prompt"] |= prompt
    tree["training"]["methods"] = ["grait"]
    return tree


@pytest.mark.parametrize("language", ["de", "fr", "zh", "ar", "hi"])
@pytest.mark.parametrize("form", ["instruction", "examples", "plain", "short", "assistant"])
def test_built_in_words_are_those_of_the_language(language: Language, form: str) -> None:
    said, shot = instructions(language), Question("s", "1 + 1?", ("2",))
    prompts = PromptFormat(tiny_tokenizer(chat=True), PromptConfig(language=language, forms=[form]), shots=(shot,))
    text = prompts.prompt(Question("q", "2 + 2?", ("4",), topic="X"), "refuse").text
    for words in ("Question:", "Answer", "the question", "helpful", "You are"):
        assert words not in text
    assert ("refuse" in form or said.refusal in text) == (form not in ("plain", "assistant"))
    assert (said.q in text) if form == "plain" else True
    assert said.assistant in text if form == "assistant" else said.assistant not in text


def test_each_refused_question_is_taught_one_text_in_all_forms_by_the_seed(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    config = parse_config(tree_of(tiny, tmp_path / "run", refusal=TEXTS, forms=["instruction", "question"]))
    data = RunData(config)
    rows = [Selected(id_, "idk", 1.0, "refusal") for id_ in data.questions]
    rows += [Selected(id_, "ik", 1.0, "answer") for id_ in data.questions]
    found = lessons(data, rows)
    drawn = {
        id_: {one.answer for one in found if (one.row.id, one.row.target) == (id_, "refusal")} for id_ in data.questions
    }
    assert all(len(texts) == 1 for texts in drawn.values())
    assert set().union(*drawn.values()) == set(TEXTS)
    for lesson in found:
        taught = lesson.answer if lesson.row.target == "refusal" else TEXTS[0]
        assert (taught in lesson.prompt.text) == (lesson.form.name == "instruction")
    assert [one.answer for one in lessons(RunData(config), rows)] == [one.answer for one in found]
    other = RunData(parse_config(config.model_dump() | {"seed": 1}))
    assert [one.answer for one in lessons(other, rows)] != [one.answer for one in found]


def test_one_text_in_a_list_is_that_text(tiny: tuple[str, Files], tmp_path: Path) -> None:
    grait.run(tree_of(tiny, tmp_path / "run"))
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("manifest.json")}
    grait.run(tree_of(tiny, tmp_path / "run", refusal=[TEXTS[0]], language="en"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("manifest.json")} == found


def test_a_run_with_several_texts_in_german_is_exported(
    tiny: tuple[str, Files], tmp_path: Path, command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Das weiß ich nicht.", "Keine Ahnung.", "Da bin ich überfragt, aber ein Lexikon könnte helfen."]
    monkeypatch.setattr(tiny_folder, "PromptConfig", partial(PromptConfig, language="de"))  # what it knows in German
    files = tiny_folder.write_half_known(tiny[0], tmp_path / "questions")
    grait.run(tree_of((tiny[0], files), tmp_path / "run", refusal=texts, language="de"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "rait.jsonl").read_text(encoding="utf-8").splitlines()]
    taught = {row["completion"].strip() for row in rows} & set(texts)
    assert len(taught) >= 2
    assert all("Beantworte die Frage" in row["prompt"] for row in rows)
    code, _, err = command("export", tmp_path / "run", "--format", "trl", "--out", tmp_path / "export")
    assert code == 0, err
