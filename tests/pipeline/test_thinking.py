"""A run on a model that thinks: prompts, export, merge, card and chat agree, and reasoning is told from answers."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from templates import tokenizer_with
from tiny import tiny_model
from tiny_folder import tiny_tree, write_half_known
from transformers import AutoTokenizer

import grait
from grait.chat.conversation import Speaker
from grait.commands.finished import live, open_run
from grait.formats.card import EXAMPLE
from grait.judging.reasoning import open_tag
from grait.model.prompts import PromptFormat
from grait.pipeline import predict
from grait.records import Question
from grait.runtime import progress

PROCESSOR = {"image_processor_type": "OwnImageProcessor", "size": 28}


def run_with(template: str, folder: Path, **prompt: Any) -> Path:
    """A finished run of seconds on a model with this chat template, and a file for images beside it."""
    tokenizer = tokenizer_with(template)
    model = folder / "model"
    tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=400).save_pretrained(model)
    tokenizer.save_pretrained(model)
    (model / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    tree = tiny_tree(str(model), write_half_known(str(model), folder), folder / "run")
    tree["prompt"] |= prompt
    tree["training"]["methods"] = ["cor-rait"]
    grait.run(tree)
    return folder / "run"


@pytest.fixture(scope="module", params=["qwen3", "harmony", "r1", "smolvlm"])
def thinking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, run_with(request.param, tmp_path_factory.mktemp(request.param))


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rait.jsonl").read_text(encoding="utf-8").splitlines()]


def test_nothing_is_taught_within_reasoning(thinking: tuple[str, Path]) -> None:
    name, run = thinking
    begins = {
        "qwen3": "<|start|>assistant\n<think>\n\n</think>\n\n",
        "harmony": "<|start|>assistant<|channel|>final<|message|>",
        "r1": "<|assistant|>",
        "smolvlm": "Assistant:",
    }
    rows = rows_of(run)
    assert rows and all(row["prompt"].endswith(begins[name]) for row in rows)
    assert all(open_tag(row["prompt"]) is None and "Question: Wh" in row["prompt"] for row in rows)
    assert any(row["completion"].strip() == "I don't know." for row in rows)


def test_the_code_of_the_card_asks_as_the_run_did(thinking: tuple[str, Path]) -> None:
    """The very code, up to the model's answer."""
    _, run = thinking
    data = open_run(run)
    card = (run / "adapters" / "cor-rait" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    conversation, trained = [block for block in blocks if "messages" in block]
    tokenizer = AutoTokenizer.from_pretrained(data.config.model.name)
    wanted = {
        conversation: data.prompts.chat([{"role": "user", "content": "Hello! What can you do?"}]),
        trained: data.prompts.prompt(Question("", EXAMPLE, ("",)), "refuse"),
    }
    for code, prompt in wanted.items():
        known: dict[str, Any] = {"tokenizer": tokenizer}
        exec(code[: code.index("output = ")], known)
        assert known["inputs"]["input_ids"].tolist() == [list(prompt.token_ids)]


def test_a_merged_model_asks_as_the_run_did_and_keeps_its_processor(thinking: tuple[str, Path], tmp_path: Path) -> None:
    name, run = thinking
    merged = grait.merge(run, tmp_path / "merged").folder
    assert json.loads((merged / "preprocessor_config.json").read_text()) == PROCESSOR
    if name == "qwen3":
        messages, data = [{"role": "user", "content": "Hello"}], open_run(run)
        own = AutoTokenizer.from_pretrained(merged)
        prompt = own.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert prompt == data.prompts.chat(messages).text


def test_an_export_carries_what_the_template_is_given(thinking: tuple[str, Path], tmp_path: Path) -> None:
    name, run = thinking
    given = {"enable_thinking": False} if name == "qwen3" else None
    found = grait.export(run, "trl", out=tmp_path / "trl")
    rows = [json.loads(line) for line in (tmp_path / "trl" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row.get("chat_template_kwargs") == given for row in rows)
    assert json.loads((tmp_path / "trl" / "export.json").read_text())["n_rendered_otherwise"] == 0
    assert any("enable_thinking" in note for note in found.notes) == (given is not None)
    grait.export(run, "axolotl", out=tmp_path / "axolotl")
    grait.export(run, "llama-factory", out=tmp_path / "factory")
    assert ("chat_template_kwargs" in (tmp_path / "axolotl" / "datasets.yaml").read_text()) == (given is not None)
    assert ("enable_thinking: false" in (tmp_path / "factory" / "train.yaml").read_text()) == (given is not None)


def test_a_conversation_is_asked_as_the_run_asks(thinking: tuple[str, Path]) -> None:
    _, run = thinking
    with live(run) as model:
        fitted = Speaker(model, None, 4).fit([("Hello", "Hi.")], "Who are you?")
        text = model.tokenizer.decode(fitted.token_ids)
        assert open_tag(text) is None and "Who are you?" in text
        assert set(model.chat_ends) == model.data.prompts.end_token_ids(is_chat=True)


def test_answers_that_end_inside_their_reasoning_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that is too short for the reasoning must not look like a model that knows nothing."""
    said: list[str] = []
    monkeypatch.setattr(progress, "note", said.append)
    real = PromptFormat.decode

    def thinking_aloud(self: PromptFormat, token_ids: Sequence[int]) -> str:
        return f"<think>{real(self, list(token_ids))}"

    ask = predict.ask_both_ways

    def asked(*arguments: Any, **named: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(PromptFormat, "decode", thinking_aloud)
            return ask(*arguments, **named)

    monkeypatch.setattr(predict, "ask_both_ways", asked)
    run = run_with("switch", tmp_path)
    assert "8 of 8 answers ended inside their reasoning, and count as wrong" in " ".join(said)
    stages = json.loads((run / "summary.json").read_text())["stages"]
    assert stages["evaluation/own/cor-rait"]["ended_in_reasoning"] == 8
