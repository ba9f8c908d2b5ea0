"""``refusal_dial.json`` in an adapter's folder: a calibrated dial, what it rests on and what it promises."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from grait.config import DataConfig, Section
from grait.dial.choice import Metric
from grait.dial.threshold import ScoreName
from grait.errors import DialError
from grait.runtime.artifacts import write_json

FILE_NAME = "refusal_dial.json"


class OperatingPoint(Section):
    """One setting on a data set: shares in [0, 1], and THS."""

    n: int
    pc: float
    pw: float
    pr: float
    over_refusal_rate: float
    ths: float


class SavedDial(Section):
    """A calibrated dial.

    ``n_known``: calibration questions that the initial model answers right. ``hits``, ``trials``, ``upper_bound``: what
    ``choice.Choice`` says. ``guarantee``: the promise in words; None for ``ths``. ``without_dial``, ``achieved``:
    the tuned model's greedy answers and its answers at the threshold, both on the calibration questions.
    ``refusal_token_ids``: of the refusal text with its end token; ``end_token_ids``: all that end an answer.
    """

    schema_version: Literal[2] = 2
    score: ScoreName
    threshold: float = Field(ge=0, le=1)
    target: Metric
    at_most: float | None
    confidence: float | None
    hits: int | None
    trials: int | None
    upper_bound: float | None
    guarantee: str | None
    data: DataConfig
    n: int
    n_known: int
    without_dial: OperatingPoint
    achieved: OperatingPoint
    refusal: str
    refusal_token_ids: tuple[int, ...] = Field(min_length=1)
    end_token_ids: tuple[int, ...] = Field(min_length=1)


def save_dial(adapter: Path, dial: SavedDial) -> Path:
    """Write the dial beside the adapter; an earlier one is replaced. Returns the file."""
    path = adapter / FILE_NAME
    write_json(path, dial.model_dump())
    return path


def find_dial(adapter: Path) -> SavedDial | None:
    """The dial in an adapter's folder, None without one. DialError when the file is no dial."""
    path = adapter / FILE_NAME
    try:
        return SavedDial.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DialError(f"{path}: not a readable refusal dial; run grait calibrate again") from error


def load_dial(adapter: Path) -> SavedDial:
    """As ``find_dial``; DialError where there is none."""
    dial = find_dial(adapter)
    if dial is None:
        raise DialError(f"{adapter}: no {FILE_NAME}; run grait calibrate first")
    return dial


def with_dial(method: str) -> str:
    """The name of a method with its dial, in tables."""
    return f"{method} + dial"
