"""Attention in which all rows of a batch share the keys and values of a common prefix.

The prefix is held once instead of once per row: every query attends to it in one matrix product, and to the row's
own columns in another, under one softmax. Grouped key-value heads are used as they are, never repeated. The result
is that of attention over the concatenation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

NAME = "grait_shared_prefix"

Prefix = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [1, key-value heads, tokens, size]."""

_prefix: ContextVar[Prefix] = ContextVar("prefix")


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of ``query`` [rows, heads, queries, size] to the prefix and to ``key`` [rows, kv heads, columns, size].

    ``attention_mask`` [rows, 1, queries, columns] is additive and covers the row's own columns; the prefix is seen
    by all. Returns [rows, queries, heads, size]. Attention sinks (``s_aux``) are refused with NotImplementedError.
    """
    if s_aux is not None:
        raise NotImplementedError("attention sinks")
    rows, n_heads, n_queries, size = query.shape
    n_kv_heads, n_columns = key.shape[1], key.shape[2]
    prefix_key, prefix_value = _prefix.get()[module.layer_idx]  # type: ignore[index]
    n_prefix = prefix_key.shape[2]
    group = n_heads // n_kv_heads
    scaled = query * (size**-0.5 if scaling is None else scaling)
    grouped = scaled.reshape(rows, n_kv_heads, group * n_queries, size)
    flat = grouped.transpose(0, 1).reshape(n_kv_heads, -1, size)
    shared = (flat @ prefix_key[0].transpose(-1, -2)).view(n_kv_heads, rows, group * n_queries, n_prefix)
    own = grouped @ key.transpose(-1, -2)
    if softcap is not None:
        shared, own = softcap * (shared / softcap).tanh(), softcap * (own / softcap).tanh()
    own = own.view(rows, n_kv_heads, group, n_queries, n_columns) + attention_mask[:, :, None]
    # Nothing in place: in training there is a backward pass through all of it, the prefix' keys and values included.
    scores = torch.cat([shared.transpose(0, 1), own.flatten(2, 3)], dim=-1)
    weights = scores.softmax(-1)  # summed in fp32 in any dtype, and rounded once
    on_prefix = weights[..., :n_prefix].transpose(0, 1).reshape(n_kv_heads, -1, n_prefix) @ prefix_value[0]
    output = weights[..., n_prefix:] @ value
    output = output + on_prefix.view(n_kv_heads, rows, group * n_queries, -1).transpose(0, 1)
    return output.reshape(rows, n_heads, n_queries, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, eager_mask)


@contextmanager
def use(model: PreTrainedModel | PeftModel, prefix: Prefix) -> Iterator[None]:
    """Within this context the model's attention sees ``prefix`` before every row's own columns."""
    before = model.config._attn_implementation
    token = _prefix.set(prefix)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        _prefix.reset(token)
