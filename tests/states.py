"""Knowledge states, scores and flow that no model computed, and the methods that choose from them."""

import random
from collections.abc import Mapping, Sequence
from typing import get_args

from grait.config import SelectionConfig
from grait.knowledge.query import label
from grait.methods.catalog import METHODS, Select
from grait.methods.selection import Evidence
from grait.records import InfluenceScore, KnowledgeState, Label, MethodName

PLAIN = SelectionConfig()


def state(name: str, correctness: float, certainty: float | None = 0.5) -> KnowledgeState:
    return KnowledgeState(name, label(correctness, 0.5), correctness, certainty, None, "answer")


def score(name: str, refusal: float, over_refusal: float, of: Label = "idk", margin: float = 0.5) -> InfluenceScore:
    return InfluenceScore(name, of, refusal, over_refusal, refusal - over_refusal, 0.0, 1.0, margin)


def some_states(n: int = 60, seed: int = 0) -> list[KnowledgeState]:
    """Known, unknown and dropped questions in a jumble, with many ties."""
    generator = random.Random(seed)
    states = [
        state(f"q{index:03d}", generator.randint(0, 10) / 10, generator.randint(1, 10) / 10) for index in range(n)
    ]
    return generator.sample(states, n)


def some_scores(states: Sequence[KnowledgeState], seed: int = 0) -> list[InfluenceScore]:
    generator = random.Random(seed)
    return [
        score(row.id, generator.randint(0, 5) / 10, generator.random() / 2, row.label, generator.uniform(-0.5, 1))
        for row in states
    ]


STATES = some_states()
SCORES = some_scores(STATES)
KNOWN = {row.id for row in STATES if row.label == "ik"}
UNKNOWN = {row.id for row in STATES if row.label == "idk"}
LABELS = {row.id: row.label for row in STATES}

FLOW = {row.id: random.Random(row.id).choice([-0.2, -0.1, 0.0, 0.0, 0.1]) for row in STATES}


def evidence(
    states: Sequence[KnowledgeState] = STATES,
    scores: Sequence[InfluenceScore] = SCORES,
    flow: Mapping[str, float] = FLOW,
) -> Evidence:
    return Evidence(states, flow, {row.id: row for row in scores})


def select_of(name: str) -> Select:
    select = METHODS[name].select
    assert select is not None
    return select


TRAINED = get_args(MethodName)
SPLIT = [name for name in TRAINED if name not in ("van-tuning", "random-idk", "uniform")]
"""Methods that follow the labels: answers of known questions, refusals (or "unsure") of unknown ones."""
ALL_UNKNOWN = [name for name in SPLIT if name not in ("craft", "craft-no-certainty")]
"""Of these, the methods that may take any unknown question."""
BOTH = ["uniform"]
"""Methods that teach answer and refusal of every question."""
SOFT = ["grait", "grait-stable-weights", "grait-equal-weights", "grait-known-answers", "grait-dynamic"]
"""Of these, the methods that teach answers of unknown questions, too."""
AS_MANY_AS_KNOWN = [name for name in ALL_UNKNOWN if not METHODS[name].takes_all_unknown]
