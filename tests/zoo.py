"""Families of open models, each as a tiny random one of the library's own config class: 2 to 4 layers, width 32."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from tiny import END, PAD, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

POSITIONS = 256
WINDOW = 16
"""Of the families whose attention looks back less far than the context."""

COMMON: dict[str, Any] = {
    "vocab_size": 200,
    "vocab_size_per_layer_input": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    "pad_token_id": PAD,
    "bos_token_id": None,
    "eos_token_id": END,
    # mixtures of experts
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 16,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    # recurrent and convolutional states
    "mamba_n_heads": 8,
    "mamba_num_heads": 8,
    "n_mamba_heads": 8,
    "mamba_d_head": 8,
    "mamba_head_dim": 8,
    "mamba_d_state": 8,
    "mamba_d_ssm": 64,
    "mamba_chunk_size": 8,
    "chunk_size": 8,
    "state_size": 8,
    "ssm_state_size": 8,
    "n_groups": 1,
    "num_heads": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    # latent attention
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
}

SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
RECURRENT = {"layer_types": ["linear_attention", "full_attention"]}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": POSITIONS}
SAME_HEADS = {"num_key_value_heads": 4}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": None},
    "ministral3": {},
    "phi3": {},
    "smollm3": {},
    "olmo2": {},
    "glm4": {},
    "glm": {},
    "granite": {},
    "apertus": {},
    "seed_oss": {},
    "stablelm": {},
    "persimmon": {},
    "nemotron": {},
    "arcee": {},
    "hunyuan_v1_dense": {},
    "exaone4": {"layer_types": ["full_attention"] * 2, "sliding_window": None},
    "starcoder2": {},
    "gpt2": GPT2,
    "gpt_neox": {},
    "gptj": {**GPT2, "rotary_dim": 4},
    "phi": {},
    "gemma": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "biogpt": {},
    "bloom": {"n_head": 4, "n_layer": 2},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": POSITIONS},
    "falcon": {},
    "diffllama": {"num_key_value_heads": 2},
    "hrm_text": {},
    # windows
    "mistral-window": {"sliding_window": WINDOW},
    "gemma2": SLIDING,
    "gemma3_text": SLIDING,
    "olmo3": SLIDING,
    "cohere2": {**SLIDING, "logit_scale": 1.0},
    "gpt_oss": SLIDING,
    "llama4_text": {
        "layer_types": ["chunked_attention", "full_attention"],
        "attention_chunk_size": WINDOW,
        "intermediate_size_mlp": 48,
        "no_rope_layers": [1, 0],
    },
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
    },
    # shared keys and values
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": WINDOW,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 4,
        "altup_num_inputs": 2,
        "pad_token_id": None,  # else its embedding is 0, whose gradient is NaN
        "final_logit_softcapping": 30.0,
    },
    "gemma4_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": WINDOW,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "global_head_dim": 8,
    },
    # mixtures of experts
    "qwen2_moe": {},
    "qwen3_moe": {},
    "mixtral": {"sliding_window": None},
    "olmoe": {},
    "phimoe": {},
    "granitemoe": {},
    "glm4_moe": {},
    "jetmoe": {"kv_channels": 8},
    "hunyuan_v1_moe": {"moe_topk": [2, 2]},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1},
    # latent and sparse attention
    "deepseek_v2": {**SAME_HEADS, "head_dim": 4, "topk_method": "greedy"},
    "deepseek_v3": {**SAME_HEADS, "head_dim": 4},
    "glm4_moe_lite": {**SAME_HEADS, "head_dim": 4, "mlp_layer_types": ["dense", "sparse"]},
    "minicpm3": {**SAME_HEADS, "head_dim": 12, "dim_model_base": 32},
    "glm_moe_dsa": {
        **SAME_HEADS,
        "head_dim": 4,
        "index_head_dim": 8,
        "index_n_heads": 2,
        "index_topk": 320,
        "mlp_layer_types": ["dense", "sparse"],
    },
    # recurrent, convolutional and hybrid states
    "qwen3_5_text": {**RECURRENT, "vocab_size": 200},
    "qwen3_5_moe_text": RECURRENT,
    "qwen3_next": RECURRENT,
    "granitemoehybrid": RECURRENT,
    "granitemoehybrid-attention": {"layer_types": ["full_attention"] * 2},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "falcon_h1": {},
    "nemotron_h": {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "mamba": {"time_step_rank": 4},
    "mamba2": {},
    "falcon_mamba": {"time_step_rank": 4},
    "bamba": {"attn_layer_indices": [1]},
    "zamba": {
        "num_hidden_layers": 3,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "n_mamba_heads": 2,
        "mamba_dt_rank": 4,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
    },
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"], "num_key_value_heads": 4, "mamba_ngroups": 1},
    "recurrent_gemma": {
        "block_types": ["recurrent", "attention"],
        "attention_window_size": WINDOW,
        "lru_width": 32,
        "num_key_value_heads": 1,
    },
    "olmo_hybrid": RECURRENT,
    "kimi_linear": {**RECURRENT, **SAME_HEADS, "head_dim": 12, "linear_num_heads": 4, "linear_head_dim": 8},
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "rwkv": {"attention_hidden_size": 32, "context_length": POSITIONS},
    "xlstm": {"num_heads": 4, "num_blocks": 2, "chunk_size": 8},
    # of each kind, once more
    "afmoe": {},
    "beam": {},
    "doge": {},
    "flint": {},
    "mimo_v2_flash": {},
    "youtu": {**SAME_HEADS, "head_dim": 4},
    "zaya": {"num_experts_per_tok": 1},
    "deepseek_v4": {"layer_types": ["heavily_compressed_attention", "compressed_sparse_attention"]},
    "hy_v4": {},
    "inkling_text": {},
    "bailing_hybrid": {},
    "lfm3": {},
    "laguna": {},
    "gpt_bigcode": GPT2,
    "dbrx": {
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": POSITIONS,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "axk1": {**SAME_HEADS, "head_dim": 4},
    "deepseek_v32": {
        **SAME_HEADS,
        "head_dim": 4,
        "index_head_dim": 8,
        "index_n_heads": 2,
        "index_topk": 320,
        "mlp_layer_types": ["dense", "sparse"],
    },
    "longcat_flash": {
        **SAME_HEADS,
        "head_dim": 4,
        "num_layers": 1,
        "ffn_hidden_size": 48,
        "expert_ffn_hidden_size": 16,
        "zero_expert_num": 2,
        "moe_topk": 2,
    },
    "minimax_m3_vl_text": {},
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention"],
        "hc_lowrank": 4,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 320,
        "indexer_compress_ratio": 4,
    },
}
"""What each config says beside ``COMMON``, by model type; what follows a hyphen tells two of one type apart."""


def config_of(family: str, changes: Mapping[str, Any] = MappingProxyType({})) -> PretrainedConfig:
    """The tiny config of a family. ``changes``: to what it says."""
    model_type = family.split("-")[0]
    fields = type(AutoConfig.for_model(model_type)).__dataclass_fields__
    common = {key: value for key, value in COMMON.items() if key in fields}
    return AutoConfig.for_model(model_type, **(common | FAMILIES[family] | changes))


def zoo_model(family: str, seed: int = 0, changes: Mapping[str, Any] = MappingProxyType({})) -> PreTrainedModel:
    """Random weights, frozen, in evaluation mode."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config_of(family, changes), dtype=torch.float32)
    return model.requires_grad_(False).eval()


SILENT = {"starcoder2": 1}
"""Seeds of families which with 0 say nothing that is seen: no reference answer may be so."""


def save_family(family: str, folder: Path) -> None:
    """A checkpoint of the family, with the tests' tokenizer and chat template, for runs."""
    tokenizer, config = tiny_tokenizer(chat=True), config_of(family)
    config.vocab_size, config.pad_token_id, config.max_position_embeddings = len(tokenizer), PAD, 320
    if hasattr(config, "vocab_size_per_layer_input"):
        config.vocab_size_per_layer_input = len(tokenizer)
    torch.manual_seed(SILENT.get(family, 0))
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
