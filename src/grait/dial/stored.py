"""``refusal_dial.json`` in an adapter's folder: calibrated dials by form, what they rest on and what they promise."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from grait.config import DataConfig, Section
from grait.dial.choice import Metric
from grait.dial.threshold import ScoreName, Setting
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


class Gate(Section):
    """What leaves alone all that is no short question of fact (``threshold.passes``).

    ``at``: only where the model's own signal is above it does the dial decide. ``n``: ordinary prompts that it was set
    on, none of them trained on; ``refused``: the share of these whose most probable answer, by more than a half, is the
    refusal text: what the tuned model refuses without any dial. ``n_passed``: calibration questions that pass it.
    """

    at: float = Field(ge=0, le=1)
    n: int
    refused: float
    n_passed: int


class Terse(Section):
    """How the score ``twice`` asks a question again: ``before``, the question, ``after``, as text.

    ``is_chat``: the text has its special tokens. ``refusal_token_ids``: of the refusal text after it, with its end
    token; ``end_token_ids``: all that end an answer there.
    """

    before: str
    after: str
    is_chat: bool
    refusal_token_ids: tuple[int, ...] = Field(min_length=1)
    end_token_ids: tuple[int, ...] = Field(min_length=1)


class SavedDial(Section):
    """A calibrated dial of one form.

    ``questions``: fingerprint of what was asked, which ``data`` only names; None in files of before. ``n_known``:
    calibration questions that the initial model answers right; ``n_unanswerable``: those that nobody can
    answer, where any answer is a wrong one, and ``unanswerable_refused`` the shares of these that are refused without
    the dial and with it; no other share counts them. ``hits``, ``trials``, ``upper_bound``: what
    ``choice.Choice`` says. ``guarantee``: the promise in words; None for ``ths``. ``without_dial``, ``achieved``:
    the tuned model's greedy answers and its answers at the threshold, both on the calibration questions.
    ``refusal_token_ids``: of the refusal text with its end token; ``end_token_ids``: all that end an answer.
    """

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
    questions: str | None = None
    n: int
    n_known: int
    n_unanswerable: int = 0
    unanswerable_refused: tuple[float, float] | None = None
    without_dial: OperatingPoint
    achieved: OperatingPoint
    refusal: str
    refusal_token_ids: tuple[int, ...] = Field(min_length=1)
    end_token_ids: tuple[int, ...] = Field(min_length=1)
    gate: Gate | None = None
    terse: Terse | None = None

    @property
    def setting(self) -> Setting:
        return Setting(self.score, self.threshold, self.gate.at if self.gate else None)

    @property
    def unanswerable_line(self) -> str | None:
        """What becomes of calibration questions that nobody can answer, in words."""
        if self.unanswerable_refused is None:
            return None
        without, achieved = self.unanswerable_refused
        return (
            f"Nobody can answer {self.n_unanswerable} of these questions: {achieved:.1%} of them are refused, without "
            f"the dial {without:.1%}."
        )

    @property
    def takes_refusal(self) -> bool:
        """Whether it takes how likely the refusal is."""
        return self.gate is not None or self.score in ("first-token", "text", "combined", "twice")

    @property
    def gate_line(self) -> str | None:
        """What the gate leaves alone, in words."""
        if self.gate is None:
            return None
        nothing = "" if self.gate.n_passed else ", so the dial decides nothing"
        return (
            f"The gate is at {self.gate.at:.3g}, which {self.gate.n_passed} of {self.n} questions pass{nothing}; "
            f"{self.gate.refused:.1%} of {self.gate.n} ordinary prompts are refused by the model itself."
        )


class SavedDials(Section):
    """The dials of an adapter by form. ``main``: the run's main form, which may have none."""

    schema_version: Literal[3] = 3
    main: str
    forms: dict[str, SavedDial] = Field(min_length=1)

    def of(self, form: str | None = None) -> SavedDial:
        """The dial of a form, None for the main one. DialError where it has none."""
        found = self.forms.get(self.main if form is None else form)
        if found is None:
            raise DialError(
                f"no refusal dial for the form {form or self.main}; there is one for {', '.join(self.forms)}: name one "
                "of these, or run grait calibrate --form"
            )
        return found


def save_dials(adapter: Path, main: str, forms: Mapping[str, SavedDial]) -> Path:
    """Write the dials beside the adapter; earlier ones are replaced. Returns the file."""
    path = adapter / FILE_NAME
    write_json(path, SavedDials(main=main, forms=dict(forms)).model_dump())
    return path


def find_dials(adapter: Path, main: str = "main") -> SavedDials | None:
    """The dials in an adapter's folder, None without any. DialError when the file holds none. A file of before, with
    one dial and no form, is that of ``main``."""
    path = adapter / FILE_NAME
    try:
        tree = json.loads(path.read_bytes())
        if isinstance(tree, dict) and tree.get("schema_version") == 2:
            tree = {"main": main, "forms": {main: {key: tree[key] for key in tree if key != "schema_version"}}}
        return SavedDials.model_validate_json(json.dumps(tree))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DialError(f"{path}: not a readable refusal dial; run grait calibrate again") from error


def load_dials(adapter: Path) -> SavedDials:
    """As ``find_dials``; DialError where there are none."""
    found = find_dials(adapter)
    if found is None:
        raise DialError(f"{adapter}: no {FILE_NAME}; run grait calibrate first")
    return found


def with_dial(method: str) -> str:
    """The name of a method with its dial, in tables."""
    return f"{method} + dial"
