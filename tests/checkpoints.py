"""Tiny checkpoints: with vision, and with packed weights, in float8, MXFP4 and as a GGUF file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_model, tiny_tokenizer
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
from zoo import config_of

TEXT: dict[str, Any] = {
    "vocab_size": 330,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 320,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "tie_word_embeddings": False,
}
VISION: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16}
SIGLIP = VISION | {"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
QWEN = VISION | {"depth": 1, "num_heads": 2, "out_hidden_size": 32}
IMAGES = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 7, "vision_end_token_id": 8}


def gemma3() -> PreTrainedModel:
    layers = {"head_dim": 8, "sliding_window": 300, "layer_types": ["sliding_attention", "full_attention"]}
    config = Gemma3Config(
        text_config=TEXT | layers,  # type: ignore[arg-type]
        vision_config=SIGLIP,  # type: ignore[arg-type]
        mm_tokens_per_image=4,
        image_token_index=5,
        boi_token_index=6,
        eoi_token_index=7,
    )
    return Gemma3ForConditionalGeneration(config)


def qwen_vl() -> PreTrainedModel:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=TEXT | {"rope_parameters": rope}, vision_config=QWEN, **IMAGES)
    )


def mistral3() -> PreTrainedModel:
    config = Mistral3Config(
        text_config=TEXT | {"head_dim": 8, "model_type": "mistral"},  # type: ignore[arg-type]
        vision_config=SIGLIP | {"model_type": "pixtral"},  # type: ignore[arg-type]
        image_token_index=5,
    )
    return Mistral3ForConditionalGeneration(config)


WRAPPERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gemma3": gemma3,
    "qwen_vl": qwen_vl,
    "mistral3": mistral3,
}


def save_wrapper(name: str, folder: Path) -> None:
    """A model with vision, its tokenizer, and what reads its images."""
    torch.manual_seed(1)  # with 0 Gemma 3 says nothing that is seen, which no reference may be
    WRAPPERS[name]().save_pretrained(folder)
    tiny_tokenizer(chat=True).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "OwnImageProcessor"}))


def save_fp8(folder: Path) -> PreTrainedModel:
    """A checkpoint in blocks of 16 float8 numbers with a scale each; returns what it stands for."""
    tokenizer = tiny_tokenizer(chat=True)
    model = tiny_model("llama", vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=320)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if "proj" in name]:
        packed = (weights[name] * 64).to(torch.float8_e4m3fn)
        rows, columns = packed.shape
        weights |= {name: packed, f"{name}_scale_inv": torch.full((rows // 16, columns // 16), 1 / 64)}
        model.get_parameter(name).data = packed.float() / 64
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    quantise(folder, {"quant_method": "fp8", "weight_block_size": [16, 16], "activation_scheme": "dynamic"})
    return model


def save_mxfp4(folder: Path) -> PreTrainedModel:
    """GPT-OSS with its experts in blocks of 32 numbers of 4 bits with a scale each; returns what it stands for."""
    tokenizer, config = tiny_tokenizer(chat=True), config_of("gpt_oss")
    config.vocab_size, config.max_position_embeddings, config.intermediate_size = len(tokenizer), 320, 32
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights, generator = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(0)
    for name in [name for name in weights if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = weights.pop(name).shape
        blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8, generator=generator)
        scales = torch.full(blocks.shape[:3], 124, dtype=torch.uint8)  # 2 ** -3
        weights |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        model.get_parameter(name).data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    others = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    quantise(folder, {"quant_method": "mxfp4", "modules_to_not_convert": others})
    return model


def quantise(folder: Path, how: dict[str, Any]) -> None:
    """Let the config say that the weights are quantised."""
    tree = json.loads((folder / "config.json").read_text()) | {"quantization_config": how}
    (folder / "config.json").write_text(json.dumps(tree))


def save_gguf(folder: Path) -> PreTrainedModel:
    """The tiny Llama with its tokenizer as one file, as llama.cpp writes it."""
    gguf = pytest.importorskip("gguf")
    tokenizer = tiny_tokenizer(chat=True)
    model = tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=320, bos_token_id=1)
    config, vocabulary = model.config, tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer = gguf.GGUFWriter(str(folder / "tiny.gguf"), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(len(tokenizer))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        array = weight.numpy().astype(np.float32)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for kind, n in heads.items():  # llama.cpp rotates neighbours, not halves
            if kind in name:
                array = array.reshape(n, 2, array.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
