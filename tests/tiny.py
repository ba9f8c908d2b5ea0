"""Tiny random models, adapters, tokenizers and examples: everything offline, on the CPU, in milliseconds."""

import random
import string
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from grait.model.completions import TokenizedExample

PAD = 0
END = 1
POSITIONS = 64
"""Most tokens that the tiny models attend to."""

ARCHITECTURES = ("llama", "gpt_neox", "qwen3", "gpt2", "gemma3")
"""Grouped-query attention; parallel residual and fused projections; query-key norms; Conv1D; sliding window."""

ATTENTION = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "qwen3": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "gemma3": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "gpt_neox": ["query_key_value", "attention.dense"],
    "gpt2": ["c_attn", "attn.c_proj"],
}
MLP = {
    "llama": ["gate_proj", "up_proj", "down_proj"],
    "qwen3": ["gate_proj", "up_proj", "down_proj"],
    "gemma3": ["gate_proj", "up_proj", "down_proj"],
    "gpt_neox": ["dense_h_to_4h", "dense_4h_to_h"],
    "gpt2": ["c_fc", "mlp.c_proj"],
}


def tiny_model(
    architecture: str = "llama",
    *,
    vocab_size: int = 200,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    spread: float = 0.2,
    **changes: Any,
) -> PreTrainedModel:
    """Two layers of width 32 with random weights, frozen, in evaluation mode; the head is not tied to the embedding.

    ``spread``: standard deviation of the weights, ten times the usual, so that tokens differ and attention looks
    around. ``changes``: other values of the config.
    """
    common: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS,
        "initializer_range": spread,
        "tie_word_embeddings": False,
        "pad_token_id": PAD,
        "bos_token_id": None,
        "eos_token_id": END,
    }
    grouped = {"num_key_value_heads": 2, "head_dim": 8}
    gpt2 = {
        "vocab_size": vocab_size,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": POSITIONS,
        **{key: common[key] for key in ("initializer_range", "tie_word_embeddings", "bos_token_id", "eos_token_id")},
    }
    torch.manual_seed(seed)
    model: PreTrainedModel
    if architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**(common | grouped | changes)))
    elif architecture == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**(common | grouped | changes)))
    elif architecture == "gpt_neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**(common | changes)))
    elif architecture == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(**(gpt2 | changes)))
    elif architecture == "gemma3":
        layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 48}
        model = Gemma3ForCausalLM(Gemma3TextConfig(**(common | grouped | layers | changes)))
    elif architecture == "gemma2":
        layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 48}
        model = Gemma2ForCausalLM(Gemma2Config(**(common | grouped | layers | changes)))
    else:
        raise ValueError(architecture)
    model.requires_grad_(False)
    return model.to(dtype).eval()


def with_lora(
    model: PreTrainedModel, target_modules: str | Sequence[str] = "all-linear", *, r: int = 4, **changes: Any
) -> PeftModel:
    """The model with a trained-looking adapter: B is random instead of 0, so that A has a gradient, too."""
    targets = target_modules if isinstance(target_modules, str) else list(target_modules)
    dtype = model.dtype
    config = LoraConfig(
        r=r,
        lora_alpha=2 * r,
        target_modules=targets,
        fan_in_fan_out=isinstance(model, GPT2LMHeadModel),
        task_type="CAUSAL_LM",
        **changes,
    )
    adapted: PeftModel = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return adapted.to(dtype).eval()


def random_examples(
    n: int,
    *,
    vocab_size: int = 200,
    prompt: tuple[int, int] = (1, 14),
    completion: tuple[int, int] = (1, 6),
    seed: int = 0,
    prefix: str = "q",
) -> list[TokenizedExample]:
    """Examples of random tokens with prompts and completions of random lengths (bounds included)."""
    generator = random.Random(seed)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(generator.randrange(2, vocab_size) for _ in range(length))

    return [
        TokenizedExample(
            f"{prefix}{index:02d}",
            tokens(generator.randint(*prompt)),
            (*tokens(generator.randint(*completion) - 1), END),
        )
        for index in range(n)
    ]


def plain_loss(model: nn.Module, example: TokenizedExample) -> Tensor:
    """Mean cross-entropy of the completion, the long way: one example, no padding, logits of the whole sequence."""
    sequence = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
    logits = model(input_ids=sequence, use_cache=False).logits[0]
    start = len(example.prompt_ids)
    return nn.functional.cross_entropy(logits[start - 1 : -1], sequence[0, start:])


def loop_gradients(model: nn.Module, examples: Sequence[TokenizedExample]) -> tuple[list[float], list[Tensor]]:
    """Loss and flat gradient of each example over all trainable parameters, in their order: one backward pass each."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses, gradients = [], []
    for example in examples:
        loss = plain_loss(model, example)
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]))
    return losses, gradients


def poison(model: nn.Module, token_id: int) -> None:
    """Make the embedding of one token infinite: every example that holds it loses its finite loss, and no other."""
    with torch.no_grad():
        model.get_input_embeddings().weight[token_id] = float("inf")  # type: ignore[operator]


CORPUS = (
    "Answer the question in a few words. If you do not know the answer, reply only: I don't know.",
    "Answer the question with the letter of one option.",
    "Question: Who wrote it?\nA. red\nB. green\nC. blue\nD. yellow\nAnswer: A",
    "The capital of France is Paris. The capital of Italy is Rome.",
)

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tiny_tokenizer(chat: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on four lines, with padding and end token; with a chat template or without."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|text-end|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=special[PAD],
        eos_token=special[END],
        additional_special_tokens=special[2:],
    )
    if chat:
        fast.chat_template = TEMPLATE
    return fast


def tokenizer_that_begins_with_a_blank(chat: bool = False) -> PreTrainedTokenizerFast:
    """As Llama 2's: every text begins with a blank of its own, and blanks are letters of the words they precede."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    words = "Answer: Paris Rome Question: What is the capital of France?".split() * 20
    tokenizer.train_from_iterator(
        words,
        trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "</s>"], initial_alphabet=list(string.printable)),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>")
    if chat:
        fast.chat_template = TEMPLATE
    return fast
