"""How many tokens a model takes, by its config: its context, and where its numbers change with other rows of a batch.

Beyond some lengths a model is not wrong, but what it does to one text depends on what runs beside it: rotary factors
are chosen once for a batch, padding counts as text, columns are counted in place of positions. Up to the least of
these every text has the numbers that it has by itself. Keys of configs decide, no names of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

NONE = 2**31


@dataclass(frozen=True, slots=True)
class Limit:
    """``tokens``: most of a text with its answer. ``why``: what is so beyond; empty where nothing is. ``of_columns``:
    also most columns that a row may have, those of other samples beside it included."""

    tokens: int
    why: str = ""
    of_columns: bool = False

    @property
    def told(self) -> str:
        """What a run has to say of it; empty for a model's own context."""
        said = f"up to {self.tokens} tokens of prompt and answer: {self.why}; longer ones are left out"
        return said if self.why else ""


def limit_of(config: PretrainedConfig) -> Limit:
    """The least of a (text) config's limits; of equal ones the model's own context."""
    return min([Limit(NONE), *_limits(config)], key=lambda limit: limit.tokens)


def longest_sequence(config: PretrainedConfig) -> int:
    """Most tokens that a model takes."""
    return limit_of(config).tokens


def most_columns(config: PretrainedConfig) -> int:
    """Most columns, visible or not, that a row may have in attention."""
    return min([NONE, *(limit.tokens for limit in _limits(config) if limit.of_columns)])


def _limits(config: PretrainedConfig) -> Iterator[Limit]:
    for key in ("max_position_embeddings", "max_seq_len"):
        if n := getattr(config, key, None):
            yield Limit(n)
    if n := getattr(config, "index_topk", None):
        yield Limit(n, f"beyond index_topk = {n} its attention chooses tokens")
    if n := getattr(config, "keep_window_size", None):
        yield Limit(n, f"beyond keep_window_size = {n} its attention chooses tokens, padding among them")
    kinds = set(getattr(config, "layer_types", None) or ())
    if (n := getattr(config, "index_block_size", None)) and any("sparse" in kind for kind in kinds):
        yield Limit(n, f"beyond index_block_size = {n} its attention chooses blocks, which padding shifts", True)
    for kind, n in (getattr(config, "compress_rates", None) or {}).items():
        if kind in kinds:
            yield Limit(n - 1, f"its attention pools every {n} tokens, padding among them (compress_rates)")
    if (n := getattr(config, "floor_scale", None)) and getattr(config, "attn_temperature_tuning", False):
        yield Limit(int(n) - 1, f"from floor_scale = {n} on it scales attention by columns, padding among them", True)
    if n := getattr(config, "log_scaling_n_floor", None):
        yield Limit(n, f"beyond log_scaling_n_floor = {n} it scales attention by columns, padding among them", True)
    for n in _of_rope(getattr(config, "rope_parameters", None) or {}):
        yield Limit(n, f"beyond original_max_position_embeddings = {n} all texts of a batch take other rotary factors")


def _of_rope(parameters: dict[str, Any]) -> Iterator[int]:
    """Where LongRoPE goes from short factors to long ones; parameters may be those of each kind of layer."""
    if parameters.get("rope_type") == "longrope":
        yield parameters["original_max_position_embeddings"]
    for of_kind in parameters.values():
        if isinstance(of_kind, dict):
            yield from _of_rope(of_kind)
