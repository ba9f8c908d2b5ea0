"""Whether tuning is worth it, and the cheapest system that does as well."""

import pytest

from grait.evaluation.gain import Gain, gain
from grait.records import DifferenceRecord

ORDER = ["init-basic + dial", "van-tuning + dial", "cor-rait + dial"]


def differences(**lows: float) -> list[DifferenceRecord]:
    return [
        DifferenceRecord("grait + dial", f"{name.replace('_', '-')} + dial", "held-out", low + 0.05, low, low + 0.1)
        for name, low in lows.items()
    ]


def found(**lows: float) -> Gain:
    result = gain(differences(**lows), ORDER)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("lows", "is_one", "recommended"),
    [
        ({"cor_rait": 0.01, "init_basic": 0.02, "van_tuning": 0.01}, True, "grait + dial"),
        ({"cor_rait": -0.01, "init_basic": 0.02, "van_tuning": 0.01}, True, "cor-rait + dial"),
        ({"cor_rait": -0.01, "init_basic": 0.02, "van_tuning": 0.0}, True, "van-tuning + dial"),
        ({"init_basic": 0.0, "van_tuning": 0.3}, False, "init-basic + dial"),
        ({"init_basic": -0.2}, False, "init-basic + dial"),
    ],
)
def test_the_cheapest_that_is_not_clearly_worse_is_recommended(
    lows: dict[str, float], is_one: bool, recommended: str
) -> None:
    assert (found(**lows).is_one, found(**lows).recommended) == (is_one, recommended)


def test_without_the_initial_model_there_is_no_verdict() -> None:
    assert gain(differences(cor_rait=0.1), ORDER) is None
    assert gain([], ORDER) is None
