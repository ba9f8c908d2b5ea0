"""An inference engine around a tiny model, and prompts of random tokens for it."""

import random

from tiny import PAD
from transformers import PreTrainedModel

from grait.model.inference import InferenceEngine

ENDS = frozenset(range(1, 25))
"""Many tokens end an answer, so that answers have different lengths."""
MAX_NEW_TOKENS = 10


def random_prompts(n: int = 9, shared: int = 7, seed: int = 0) -> list[list[int]]:
    """Prompts of different lengths with ``shared`` leading tokens in common."""
    generator = random.Random(seed)
    prefix = [generator.randrange(1, 200) for _ in range(shared)]
    return [
        [*prefix, (20 + index), *(generator.randrange(1, 200) for _ in range(generator.randint(0, 12)))]
        for index in range(n)
    ]


def engine_of(model: PreTrainedModel, *, shares: bool = True, tokens_per_batch: int = 64) -> InferenceEngine:
    engine = InferenceEngine(model, PAD, tokens_per_batch)
    assert engine.shares_attention
    engine.shares_attention = shares
    return engine
