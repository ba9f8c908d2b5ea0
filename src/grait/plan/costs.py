"""FLOP, time, memory and disk of stages; docs/configs.md has the formulas with their assumptions."""

from collections.abc import Sequence
from dataclasses import dataclass

from grait.config import Config, ModelConfig, OptimizerSection
from grait.methods.catalog import needing_flow, needing_influence
from grait.model.completions import LOGITS_AT_ONCE
from grait.model.load import resolve_dtype
from grait.pipeline.replay import replay_set
from grait.pipeline.work import ANSWER_TOKENS, PER, SetSize, Work
from grait.plan.records import Memory
from grait.plan.size import ModelSize

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Per weight: 4, and a scale of 8 bits for 64 weights, itself scaled by 32 bits for 256 scales (QLoRA, section 3)."""

LOGIT_BYTES = 12
"""Per logit in training: itself, its fp32 copy, its gradient, rounded up."""

SAMPLING_BYTES = 18
"""Per logit in sampling: itself, and in fp32 a copy, one by the temperature, its probability and their running sum."""


@dataclass(frozen=True, slots=True)
class Device:
    """``peak``: FLOP/s of its data sheet; ``bandwidth``: memory bytes/s. Assumed, at best and at worst, are
    ``utilisation``, the share of the peak, and ``launch``, the seconds that a layer takes however little it computes.
    """

    name: str
    peak: float
    bandwidth: float
    utilisation: tuple[float, float]
    launch: tuple[float, float]


DEVICES = (
    Device("A100 80GB", 312e12, 2.0e12, (0.4, 0.2), (3e-4, 1e-3)),  # dense bf16
    Device("H100 SXM", 989e12, 3.35e12, (0.4, 0.2), (2e-4, 1e-3)),  # dense bf16
    Device("one CPU core", 192e9, 10e9, (1.6, 0.2), (1e-4, 1e-3)),  # AVX-512 fp32 at 3 GHz; bf16 may have 1.6
)
"""``launch`` on GPUs: layers of transformers, kernel by kernel, from Python; not measured by this project."""


def forward_flop(work: Work, size: ModelSize) -> float:
    """2 FLOP for each weight and token, of prompts; the head at its positions only."""
    return 2 * (size.body * work.prompt_tokens + size.head * work.prompt_positions)


def decode_flop(work: Work, size: ModelSize) -> float:
    """The same for decoded tokens, all of which run through the head."""
    return 2 * (size.body + size.head) * work.decoded_tokens


def training_flop(work: Work, size: ModelSize, gradient_checkpointing: bool) -> float:
    """4 FLOP for each frozen weight and token, 6 for each trained one; 2 more with gradient checkpointing."""
    again = 2 if gradient_checkpointing else 0
    frozen = size.body * work.trained_tokens + size.head * work.trained_positions
    return (4 + again) * frozen + (6 + again) * size.adapter * work.trained_tokens


def flop(work: Work, size: ModelSize, gradient_checkpointing: bool) -> float:
    """All floating-point operations; attention between tokens is left out."""
    return forward_flop(work, size) + decode_flop(work, size) + training_flop(work, size, gradient_checkpointing)


def seconds(work: Work, size: ModelSize, model: ModelConfig, device: Device) -> tuple[float, float]:
    """At best and at worst: FLOP at the device's rate, but no pass is faster than its launches.

    A decode step takes at least as long as reading all weights, too.
    """
    at_once = forward_flop(work, size) + training_flop(work, size, model.gradient_checkpointing)
    reading = work.decode_steps * weight_bytes(size, model) / device.bandwidth
    best, worst = (
        max(at_once / (device.peak * share), work.passes * size.layers * launch)
        + max(decode_flop(work, size) / (device.peak * share), reading, work.decode_steps * size.layers * launch)
        for share, launch in zip(device.utilisation, device.launch, strict=True)
    )
    return best, worst


def weight_bytes(size: ModelSize, model: ModelConfig) -> float:
    """The frozen weights; nf4 packs linear layers only, not embeddings, norms and head."""
    whole = resolve_dtype(model).itemsize
    if model.quantization == "none":
        return float(size.parameters * whole)
    return size.packed * NF4_BITS / 8 + (size.parameters - size.packed) * whole


def _activations(size: ModelSize, model: ModelConfig, tokens: int) -> float:
    if not model.gradient_checkpointing:
        return size.activation_bytes * tokens
    return (size.checkpoint_bytes + size.activation_bytes / size.layers) * tokens


def memory_of(config: Config, sets: Sequence[SetSize], size: ModelSize) -> tuple[Memory, ...]:
    """What inference, training and influence hold at once. Without the framework's own memory and fragmentation."""
    training, weights = sets[0], {"weights": weight_bytes(size, config.model)}
    n = 1 if training.has_options and config.knowledge.scoring != "sampling" else config.knowledge.n_samples
    rows = max(1, int(config.tokens_per_batch // (training.query_tokens + 8 * n)))
    cached = rows * (training.query_tokens + n * config.knowledge.max_new_tokens)
    logits = SAMPLING_BYTES * rows * n * size.vocabulary
    found = [Memory("inference", weights | {"keys and values": size.cache_bytes * cached, "logits": logits})]
    runs: list[tuple[str, OptimizerSection]] = [("training", config.training)]
    if _warms_up(config):
        runs.insert(0, ("warm-up", config.warmup))
    for name, run in runs:
        micro = run.micro_batch_size
        answer, longest = ANSWER_TOKENS, training.longest_example
        if name == "training" and config.replay.path is not None:
            answer = max(answer, config.replay.max_new_tokens)
            longest = max(longest, replay_set(config, training).longest_example + config.replay.max_new_tokens)
        logits = min(micro * answer * size.vocabulary, LOGITS_AT_ONCE)
        parts = {
            "adapter, gradient": 8.0 * size.adapter,
            "AdamW": 8.0 * size.adapter,
            "activations": _activations(size, config.model, micro * longest),
            "logits": float(LOGIT_BYTES * logits),
        }
        found.append(Memory(name, weights | parts))
    if needing_influence(config.training.methods):
        found.append(_influence_memory(config, training, size, weights))
    return tuple(found)


def _influence_memory(config: Config, training: SetSize, size: ModelSize, weights: dict[str, float]) -> Memory:
    """A batch holds ``tokens_per_batch`` tokens, or one example where that is longer."""
    influence = config.influence
    tokens = max(influence.tokens_per_batch, training.longest_example)
    rows = max(1, int(tokens // (training.prompt_tokens + ANSWER_TOKENS)))
    parts = {
        "adapter": 4.0 * size.adapter,
        "activations": _activations(size, config.model, tokens),
        "logits": float(LOGIT_BYTES * min(rows * ANSWER_TOKENS * size.vocabulary, LOGITS_AT_ONCE)),
        "gradient factors": 4.0 * size.factor_width * tokens,
        "gradients, one layer": 2 * 4.0 * rows * size.largest_layer,
    }
    if size.on_experts:
        parts["gradients of experts"] = 4.0 * rows * size.on_experts
    if influence.transform == "curvature":
        parts["eigenbases and eigenvalues"] = 4.0 * (size.eigenbases + size.adapter)
    elif influence.transform != "none":
        parts["Adam moments"] = 8.0 * size.adapter
    if influence.mode == "exact":
        parts["directions, 3 sets"] = 3 * 4.0 * size.adapter
    else:
        parts["projection"] = 5.0 * size.adapter
    return Memory("influence", weights | parts)


def disk_of(config: Config, training: SetSize, size: ModelSize) -> dict[str, float]:
    """Bytes in the run folder: each trained adapter with its optimizer moments, and the datastore of the sketch."""
    n_adapters = len(config.training.methods) + _warms_up(config)
    disk = {f"{n_adapters} adapters with optimizer moments": 12.0 * size.adapter * n_adapters}
    if needing_influence(config.training.methods):
        where = "at most" if training.count.n is not None else f"at most, for each {PER:,} training questions"
        gradients = (2 if config.influence.mode == "sketch" else 1) * training.count.or_per  # answers, too, or not
        disk[f"gradient datastore, {where}"] = 2.0 * config.influence.dimensions * gradients
        if config.influence.transform == "curvature":
            disk["curvature"] = 4.0 * (size.eigenbases + size.adapter)
    return disk


def _warms_up(config: Config) -> bool:
    methods = config.training.methods
    return bool(needing_flow(methods) or needing_influence(methods))
