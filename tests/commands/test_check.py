"""``grait check``: a model, and no questions."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from templates import tokenizer_with
from tiny import tiny_model, tiny_tokenizer
from tiny_folder import save_tiny
from transformers import PreTrainedTokenizerBase

import grait
from grait.commands import check as checking
from grait.config import parse_config
from grait.errors import ModelError
from grait.pipeline.data import RunData
from grait.records import Question


def tree(model: str, **more: Any) -> dict[str, Any]:
    return {"model": {"name": model, "dtype": "float32", "device": "cpu"}, "lora": {"r": 2}} | more


def save_with(template: str, folder: Path) -> str:
    """The tiny model with one of the test's chat templates."""
    tokenizer = tokenizer_with(template)
    tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=320).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_it_says_what_a_run_would_do(tmp_path: Path) -> None:
    found = grait.check(tree(save_tiny(tmp_path), prompt={"forms": ["question", "plain"]}))
    assert (found.loaded_as, found.dtype, found.device) == ("LlamaForCausalLM", "float32", "cpu")
    assert found.works and [trial.part for trial in found.trials] == ["roads", "inference", "gradients", "training"]
    assert "shared prefix" in found.trials[0].found
    assert found.targets == dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), 2)
    assert set(found.ends) == {"<|end|>", "<|text-end|>"}
    assert found.memory and all(memory.total > 0 for memory in found.memory)
    chat, plain = found.forms["question"], found.forms["plain"]
    for tokens, end in ((chat, "<|end|>"), (plain, "<|text-end|>")):
        assert "".join(token.text for token in tokens if token.part == "answer").strip() == "I don't know."
        assert [token.text for token in tokens if token.part == "end"] == [end]
        assert "River Thames" in "".join(token.text for token in tokens if token.part == "prompt")


def test_it_prints_tokens_and_marks_the_end(command: Call, tmp_path: Path) -> None:
    model = save_with("qwen3", tmp_path)
    settings = ["--set", "model.dtype=float32", "--set", "prompt.forms=[question]"]
    code, out, _ = command("check", "--model", model, *settings)
    assert code == 0
    assert "told not to reason (enable_thinking: false" in out
    assert "⟦<|end|>⟧" in out and "</think>" in out
    assert "The adapter changes 8 layers: q_proj 2" in out
    asked = ["--set", "prompt.template_arguments={enable_thinking: true}"]
    assert "told not to reason" not in command("check", "--model", model, *asked)[1]


def test_a_template_that_teaches_something_else_is_one_line(command: Call, tmp_path: Path) -> None:
    code, _, err = command("check", "--model", save_with("thinks", tmp_path))
    assert code == 2 and err.count("\n") == 1
    assert "ends inside reasoning (<think>)" in err and "prompt.template_arguments" in err


def test_what_does_not_work_is_told_and_the_rest_tried(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise IndexError("no such\nlayer")

    monkeypatch.setattr(checking, "influence", broken)
    code, out, _ = command("check", "--model", save_tiny(tmp_path))
    assert code == 1
    assert "Gradients DOES NOT WORK" in out and "IndexError: no such" in out and "Training (" in out


def test_an_end_that_is_no_token_is_named(command: Call, tmp_path: Path) -> None:
    model = Path(save_tiny(tmp_path / "model"))
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [99_999]}), encoding="utf-8")
    code, out, err = command("check", "--model", model, "--set", "model.dtype=float32")
    assert code == 0, err
    assert "99999, which is no token of the tokenizer" in " ".join(out.split())


def save_with_rows(tokenizer: PreTrainedTokenizerBase, rows: int, folder: Path) -> str:
    tiny_model("llama", vocab_size=rows, max_position_embeddings=320).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_one_line(
    command: Call, tiny: tuple[str, Any], tmp_path: Path
) -> None:
    """It was an IndexError of the embedding."""
    tokenizer = tiny_tokenizer(chat=True)
    model = save_with_rows(tokenizer, len(tokenizer) - 30, tmp_path / "model")
    files = tiny[1]
    given = ["--model", model, "--train", files.train, "--test", files.test, "--out", tmp_path / "run"]
    for asked in (["check", "--model", model], ["run", *given], ["run", *given, "--dry-run"]):
        code, _, err = command(*asked)
        assert code == 2 and err.count("\n") == 1
        assert f"is number {len(tokenizer) - 30}, and 29 more are beyond, but the model has embeddings for" in err
    assert not (tmp_path / "run").exists()


def test_special_tokens_without_an_embedding_are_refused_where_they_are_written(tmp_path: Path) -> None:
    """Gemma 3's models for text keep a token for images, which has none."""
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]}, replace_extra_special_tokens=False)
    model = save_with_rows(tokenizer, len(tokenizer) - 1, tmp_path)
    assert grait.check(tree(model)).works
    prompts = RunData(parse_config(tree(model)), has_training=False).prompts
    with pytest.raises(ModelError, match=f"token '<image>' is number {len(tokenizer) - 1}, but the model has"):
        prompts.prompt(Question("q", "What is on this <image>?", ("Paris",)), "refuse")
    tokenizer.chat_template = "<image>" + str(tokenizer.chat_template)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="token '<image>' is number"):
        grait.check(tree(model))


def test_it_wants_a_model(command: Call) -> None:
    code, _, err = command("check")
    assert code == 2 and "give a config file, or --model" in err


def test_a_run_looks_at_its_prompts_before_its_folder_is_made(tiny: tuple[str, Any], tmp_path: Path) -> None:
    from tiny_folder import tiny_tree

    _, files = tiny
    model = save_with("lower_question", tmp_path / "model")
    with pytest.raises(ModelError, match="lower-cases"):
        grait.run(tiny_tree(model, files, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
