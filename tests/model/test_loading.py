"""Checkpoints of every kind: text alone, with vision, quantised, GGUF; each loads as what it is, or says why not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import WRAPPERS, quantise, save_fp8, save_gguf, save_mxfp4
from safetensors.torch import load_file, save_file
from tiny import tiny_model, tiny_tokenizer, with_lora
from tiny_folder import save_tiny
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BlipConfig,
    GenerationConfig,
    PreTrainedModel,
    Qwen3_5Config,
    Qwen3_5TextConfig,
)

from grait.config import LoraSection, ModelConfig, PromptConfig
from grait.errors import ModelError
from grait.model import load as loading
from grait.model.load import check_forward, end_tokens, load_model, load_tokenizer, model_class
from grait.model.prompts import PromptFormat
from grait.model.roads import inference_road
from grait.plan.size import model_size


def config_of(folder: Path, **changes: Any) -> ModelConfig:
    return ModelConfig(name=str(folder), dtype="float32", device="cpu", **changes)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_model_with_vision_loads_as_the_class_that_it_names(name: str, tmp_path: Path) -> None:
    """Two of these are in no list of causal language models."""
    torch.manual_seed(0)
    saved = WRAPPERS[name]().eval()
    saved.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(config_of(tmp_path))
    assert type(loaded) is type(saved)
    token_ids = torch.arange(10, 22)[None]
    with torch.no_grad():
        assert torch.equal(saved(input_ids=token_ids).logits, loaded(input_ids=token_ids).logits)
    assert end_tokens(config_of(tmp_path)) == {1}


def test_a_checkpoint_keeps_the_vision_that_it_names() -> None:
    """This family also has a class for text alone, which would load half of it."""
    whole = Qwen3_5Config(architectures=["Qwen3_5ForConditionalGeneration"])
    assert model_class(whole) is AutoModelForImageTextToText
    assert model_class(Qwen3_5TextConfig(architectures=["Qwen3_5ForCausalLM"])) is AutoModelForCausalLM


def test_a_model_without_output_embeddings_is_one_line() -> None:
    """BLIP takes logits_to_keep; a dry run ended in a traceback."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(BlipConfig())
    with pytest.raises(ModelError, match=r"BlipForConditionalGeneration is not supported: expected .*output layer"):
        check_forward("blip", model)


def test_weights_that_are_not_there_are_told(tmp_path: Path) -> None:
    """transformers draws them at random, with a warning that nobody sees."""
    save_tiny(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lack 1 weights of LlamaForCausalLM, such as "):
        load_model(config_of(tmp_path))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    found = change(load_file(folder / "model.safetensors"))
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})


EXTRAS = {
    "a layer more": ("model.layers.2.mlp.up_proj.weight", True),
    "a bias of a layer without one": ("model.layers.0.self_attn.q_proj.bias", True),
    "a norm that the class does not have": ("model.layers.0.self_attn.q_norm.weight", True),
    "a bias of the head": ("lm_head.bias", True),
    "a buffer": ("model.layers.0.self_attn.rotary_emb.inv_freq", False),
    "a mask": ("model.layers.0.self_attn.bias", False),
    "a scale": ("model.layers.0.self_attn.k_proj.k_scale", False),
    "vision": ("visual.blocks.0.attn.qkv.weight", False),
    "a value head": ("v_head.summary.weight", False),
    "a layer that predicts further tokens": ("model.layers.2.eh_proj.weight", False),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_weights_without_a_place_are_refused_where_the_model_would_be_another(extra: str, tmp_path: Path) -> None:
    """A config of fewer layers, or of another class, gave another model without a word."""
    name, is_refused = EXTRAS[extra]
    save_tiny(tmp_path)
    change_weights(tmp_path, lambda weights: weights | {name: torch.ones(4, 4)})
    if is_refused:
        with pytest.raises(ModelError, match=f"have 1 weights that LlamaForCausalLM has no place for .*{name}"):
            load_model(config_of(tmp_path))
    else:
        load_model(config_of(tmp_path))


def test_a_tied_head_may_be_missing_and_another_may_not(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tiny_model("llama", vocab_size=len(tokenizer), tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tmp_path / "tied" / "model.safetensors")
    load_model(config_of(tmp_path / "tied"))
    save_tiny(tmp_path / "own")
    change_weights(tmp_path / "own", lambda weights: {k: v for k, v in weights.items() if k != "lm_head.weight"})
    with pytest.raises(ModelError, match=r"lack 1 weights of LlamaForCausalLM, such as lm_head\.weight"):
        load_model(config_of(tmp_path / "own"))


@pytest.mark.parametrize("text", ['{"eos_token_id": [1,', '{"eos_token_id": "end"}', "[]", "\udcff"])
def test_a_generation_config_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    """Its end tokens were passed over without a word."""
    save_tiny(tmp_path)
    (tmp_path / "generation_config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"generation_config\.json, .* mend it, or delete it") as error:
        end_tokens(config_of(tmp_path))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    with_lora(tiny_model()).save_pretrained(tmp_path / "adapter")
    processor = tmp_path / "processor"
    tiny_tokenizer(chat=True).save_pretrained(processor)
    (processor / "preprocessor_config.json").write_text("{}")
    for load in (load_model, load_tokenizer):
        with pytest.raises(ModelError, match=r"holds an adapter .*name its base model, or merge"):
            load(config_of(tmp_path / "adapter"))
    tiny_tokenizer(chat=True).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"holds an adapter .*name its base model, or merge"):
        load_model(config_of(tmp_path / "adapter"))
    with pytest.raises(ModelError, match=r"found a folder without config\.json \(it has .*preprocessor_config"):
        load_model(config_of(processor))


def without(folder: Path, name: str, key: str) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    del content[key]
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def says(folder: Path, **settings: Any) -> None:
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(content | settings), encoding="utf-8")


def without_map(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


ROPE = {"rope_type": "foo", "rope_theta": 1.0}
SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "other shapes": (
        lambda folder: says(folder, intermediate_size=96),
        r"6 of its weights have other shapes .*mlp\.down_proj\.weight: 32 x 48 in the files, 32 x 96 by the config",
    ),
    "activation": (lambda folder: says(folder, hidden_act="foo"), "config.json says hidden_act: 'foo', which trans"),
    "rope": (lambda folder: says(folder, rope_parameters=ROPE), r"says rope_parameters\.rope_type: 'foo', which trans"),
    "dtype": (lambda folder: says(folder, dtype="float7"), r"config\.json says dtype: 'float7', which transformers"),
    "index without map": (without_map, r"model\.safetensors\.index\.json has no 'weight_map'; fetch it again"),
    "tokenizer without parts": (
        lambda folder: without(folder, "tokenizer.json", "added_tokens"),
        r"tokenizer\.json has no 'added_tokens'; fetch it again",
    ),
    "empty file": (
        lambda folder: (folder / "tokenizer_config.json").write_text(""),
        r"tokenizer_config\.json is no JSON \(JSONDecodeError: Expecting value",
    ),
    "half a file": (lambda folder: (folder / "config.json").write_text('{"a":'), r": config\.json is no JSON"),
    "a list": (
        lambda folder: (folder / "tokenizer_config.json").write_text("[1]"),
        r"tokenizer_config\.json: expected an object, found list \[1\]",
    ),
    "nothing": (emptied, "holds no loadable causal language model: it is empty"),
    "sound": (
        lambda folder: (folder / "config.json").write_text('{"model_type": "voxtral"}'),
        "no causal language model of transformers has the type 'voxtral'; take a decoder",
    ),
    "no layers": (lambda folder: says(folder, num_hidden_layers=0), "says num_hidden_layers: 0; expected at least one"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_with_a_folder_is_named(name: str, tmp_path: Path) -> None:
    spoil, message = SPOILT[name]
    save_tiny(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=message) as error:
        load_tokenizer(config_of(tmp_path))
        load_model(config_of(tmp_path))
    assert "\n" not in str(error.value)
    if name in ("activation", "rope", "dtype", "half a file", "nothing", "sound", "no layers"):
        with pytest.raises(ModelError, match=message):
            model_size(config_of(tmp_path), LoraSection(r=2))


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(ModelError, match="model: expected a folder, found a file; name the folder that has config"):
        load_tokenizer(config_of(tmp_path / "model"))


def test_a_folder_with_a_model_and_an_adapter_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    """transformers loads both: the labels were of both, the tuned model was without the old adapter."""
    save_tiny(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    with_lora(model).save_pretrained(tmp_path)
    assert load_file(tmp_path / "adapter_model.safetensors")
    for call in (load_tokenizer, load_model, lambda config: model_size(config, LoraSection())):
        with pytest.raises(ModelError, match=r"found one with an adapter .*; move adapter_config\.json away, or merge"):
            call(config_of(tmp_path))


def test_a_model_of_the_hub_that_comes_with_an_adapter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here only the loaded model can tell."""
    with_lora(AutoModelForCausalLM.from_pretrained(save_tiny(tmp_path))).save_pretrained(tmp_path)
    monkeypatch.setattr(loading, "check_folder", lambda *_: None)
    with pytest.raises(ModelError, match=r"found one with an adapter .*; move adapter_config\.json away, or merge"):
        load_model(config_of(tmp_path))


def test_a_model_of_few_positions_says_so(tmp_path: Path) -> None:
    """It was said to give other answers in a batch."""
    with pytest.raises(ModelError, match="attends to 16 tokens, and two short examples have up to 17"):
        inference_road(load_model(config_of(Path(save_tiny(tmp_path, positions=16)))), 0)


@pytest.mark.parametrize("save", [save_fp8, save_mxfp4])
def test_weights_in_few_bits_are_unpacked(save: Callable[[Path], PreTrainedModel], tmp_path: Path) -> None:
    """Before, float8 was taken as it is, without its scales: the model answered nonsense, without a word."""
    meant = save(tmp_path)
    loaded = load_model(config_of(tmp_path))
    token_ids = torch.arange(10, 22)[None]
    with torch.no_grad():
        assert torch.allclose(meant(input_ids=token_ids).logits, loaded(input_ids=token_ids).logits, atol=1e-4)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 16}, "gptqmodel"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 16}, "optimum|gptqmodel"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "compressed-tensors"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        (
            {"quant_method": "torchao", "quant_type": "int4_weight_only"},
            "no loadable causal language model: it needs the package torchao, which is not installed",
        ),
        ({"quant_method": "own"}, r"quantised \(own\), which transformers does not know"),
    ],
)
def test_what_cannot_be_unpacked_is_one_line(how: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_tiny(tmp_path)
    quantise(tmp_path, how)
    with pytest.raises(ModelError, match=message) as error:
        load_model(config_of(tmp_path))
    assert "\n" not in str(error.value)


def test_code_that_comes_with_a_model_names_the_key_that_allows_it(tmp_path: Path) -> None:
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its own code; read that, and set model\.trust_remote_code to true"):
        load_model(config_of(tmp_path))


def test_quantised_weights_are_not_quantised_again(tmp_path: Path) -> None:
    save_fp8(tmp_path)
    with pytest.raises(ModelError, match=r"quantised already \(fp8\); set model.quantization to none"):
        load_model(config_of(tmp_path, quantization="nf4"))


def test_all_end_tokens_end_an_answer(tmp_path: Path) -> None:
    """The tokenizer's, those of the generation config and the chat template's, in chat and in plain text."""
    save_tiny(tmp_path)
    GenerationConfig(eos_token_id=[2, 40]).save_pretrained(tmp_path)
    tokenizer, ends = load_tokenizer(config_of(tmp_path)), end_tokens(config_of(tmp_path))
    assert ends == {2, 40}
    prompts = PromptFormat(tokenizer, PromptConfig(), ends=ends)
    turn_end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert prompts.end_token_ids(is_chat=True) == {1, 2, 40, turn_end}
    assert prompts.end_token_ids(is_chat=False) > {1, 2, 40, turn_end}
    (tmp_path / "generation_config.json").unlink()
    assert end_tokens(config_of(tmp_path)) == {1}  # that of the model's config


def test_a_gguf_file_is_a_model(tmp_path: Path) -> None:
    meant = save_gguf(tmp_path)
    config = config_of(tmp_path, gguf_file="tiny.gguf")
    loaded, tokenizer = load_model(config), load_tokenizer(config)
    token_ids = torch.arange(10, 22)[None]
    with torch.no_grad():
        assert torch.allclose(meant(input_ids=token_ids).logits, loaded(input_ids=token_ids).logits, atol=1e-4)
    text = "<|user|>What is the capital of France?<|end|>"
    assert tokenizer(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]
    assert tokenizer.chat_template and end_tokens(config) == {1}


def test_a_gguf_file_may_be_named_by_its_path() -> None:
    for path, folder in (("/a/b/x.gguf", "/a/b"), ("org/repo/x.gguf", "org/repo"), ("x.gguf", ".")):
        found = ModelConfig(name=path)
        assert (found.name, found.gguf_file) == (folder, "x.gguf")
        assert ModelConfig(**found.model_dump()) == found
    with pytest.raises(ValueError, match=r"name ends in .x\.gguf., and gguf_file is .y\.gguf.: give one of the two"):
        ModelConfig(name="/a/x.gguf", gguf_file="y.gguf")


def test_a_gguf_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_tokenizer(config_of(tmp_path, gguf_file="none.gguf"))
    assert "\n" not in str(error.value)
