"""Refusal dials as a run stores them."""

from pathlib import Path

from grait.config import DataConfig
from grait.dial.stored import OperatingPoint, SavedDial, load_dials, save_dials


def a_dial(path: str) -> SavedDial:
    point = OperatingPoint(n=40, pc=0.2, pw=0.5, pr=0.3, over_refusal_rate=0.1, ths=0.1)
    return SavedDial(
        score="first-token",
        threshold=0.25,
        target="over_refusal",
        at_most=0.5,
        confidence=0.9,
        hits=1,
        trials=20,
        upper_bound=0.2,
        guarantee="With confidence 0.9: at most 50.0%.",
        data=DataConfig(path=path),
        n=40,
        n_known=20,
        without_dial=point,
        achieved=point,
        refusal="I don't know.",
        refusal_token_ids=(5, 6),
        end_token_ids=(6,),
    )


def save_dial(adapter: Path, dial: SavedDial, form: str = "instruction") -> None:
    """As that of the main form."""
    save_dials(adapter, form, {form: dial})


def load_dial(adapter: Path, form: str | None = None) -> SavedDial:
    return load_dials(adapter).of(form)
