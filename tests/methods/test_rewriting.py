"""Which rows of a set become refusals, and with what weight."""

import pytest

from grait.methods.rewriting import refusal_weights, refused_ids

KNOWN = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.0, "e": 0.4, "f": 0.0}


def test_what_is_below_the_threshold_is_refused_and_what_is_known_least_first() -> None:
    assert refused_ids(KNOWN, 0.5) == ["d", "f", "b", "e"]
    assert refused_ids(dict(reversed(KNOWN.items())), 0.5, most=2) == ["d", "f"]
    assert refused_ids(KNOWN, 0.5, most=0) == []


def test_weights_have_mean_one_and_rise_with_the_distance_from_the_threshold() -> None:
    refused = {name: KNOWN[name] for name in refused_ids(KNOWN, 0.5)}
    weights = refusal_weights(refused, 0.5, "margin")
    assert sum(weights.values()) / len(weights) == pytest.approx(1)
    assert weights["d"] == weights["f"] > weights["b"] > weights["e"] > 0
    assert weights["d"] / weights["e"] == pytest.approx(0.5 / 0.1)
    assert set(refusal_weights(refused, 0.5, "equal").values()) == {1.0}
    assert refusal_weights({}, 0.5, "margin") == {}
