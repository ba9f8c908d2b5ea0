"""Numbers with their units in texts, and whether a reply gives the number that was asked for, within a tolerance."""

import math
import re
from dataclasses import dataclass
from functools import cache

from grait.judging.dates import find_dates
from grait.judging.matching import own_reply, straighten

_SCALES = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "mn": 1e6, "mln": 1e6, "billion": 1e9, "bn": 1e9, "bln": 1e9,
    "trillion": 1e12, "tn": 1e12,
}  # fmt: skip
_LETTERS = {"k": 1e3, "M": 1e6}
_OF_MONEY = _LETTERS | {"K": 1e3, "m": 1e6, "b": 1e9, "B": 1e9, "t": 1e12, "T": 1e12}
"""Scales as one letter; those that also stand for a unit, such as metre and byte, only after the sign of a currency."""
_SMALL = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
} | {word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}

_PREFIXES = {
    "pico": ("p", 1e-12), "nano": ("n", 1e-9), "micro": ("u", 1e-6), "milli": ("m", 1e-3), "centi": ("c", 1e-2),
    "deci": ("d", 1e-1), "": ("", 1.0), "hecto": ("h", 1e2), "kilo": ("k", 1e3), "mega": ("M", 1e6),
    "giga": ("G", 1e9), "tera": ("T", 1e12),
}  # fmt: skip
_SI = {
    "m": "metre meter", "g": "gram gramme", "s": "second", "L": "litre liter", "W": "watt", "V": "volt",
    "A": "ampere amp", "Hz": "hertz", "J": "joule", "Pa": "pascal", "N": "newton", "B": "byte", "Wh": "watt-hour",
    "eV": "electronvolt",
}  # fmt: skip
_OTHERS = (
    ("%", "% percent percentage"), ("celsius", "°C C celsius"), ("fahrenheit", "°F F fahrenheit"),
    ("kelvin", "K kelvin"),
    ("degree", "° degree"), ("mile", "mi mile"), ("foot", "ft foot feet"), ("inch", "inch inche"), ("yard", "yd yard"),
    ("pound", "£ lb pound"), ("ounce", "oz ounce"), ("gallon", "gallon"), ("acre", "acre"), ("hectare", "ha hectare"),
    ("knot", "knot"), ("mph", "mph"), ("dollar", "$ USD dollar"), ("euro", "€ EUR euro"), ("yen", "¥ yen"),
    ("month", "month"), ("year", "yr year"), ("decade", "decade"), ("century", "century centurie"), ("bit", "bit"),
)  # fmt: skip
"""Kinds of units that are only compared with themselves: what stands for them, words without the plural's s."""

_DIGITS = r"\d{1,3}(?:[ ,.']\d{3})+(?![\d])(?:[.,]\d+)?|\d+(?:[.,]\d+)?"
_NUMBER = re.compile(
    rf"(?<![\w.,^])(?<![^\W\d]-)(?P<sign>[-+]|(?:minus|negative)\s)?(?P<money>[$€£¥])?(?P<digits>{_DIGITS})"
    r"(?:\s?[x×*]\s?10\^(?P<power>[+-]?\d+)|e(?P<exponent>[+-]?\d+)\b)?(?![\w]*\d)",
    re.IGNORECASE,
)
_WORDS = re.compile(
    rf"\b(?:{'|'.join([*_SMALL, 'hundred'])})(?:(?:\s|-|\sand\s)(?:{'|'.join([*_SMALL, *_SCALES])}))*\b"
)
_SCALE = re.compile(rf"[\s-]?({'|'.join(_SCALES)})s?\b", re.IGNORECASE)
_LETTER = re.compile(r" ?([kKmMbBtT])(?![\w/^])")
_UNIT = re.compile(
    r"[\s-]?(?:(?P<power>square|cubic|sq\.?)\s)?(?:degrees\s)?"
    r"(?P<word>°\s?[CF]\b|[%$€£¥°]|[^\W\d_]+(?:-hours?)?)(?P<exponent>\^?[23]\b)?",
    re.IGNORECASE,
)
_PER = re.compile(r"\s?(?:/|per\s)\s?(?P<word>[^\W\d_]+)", re.IGNORECASE)
_SEVERAL = re.compile(r"(?:\s?[^\W\d_]+)?\s*(?:-+|/|:|\bto\b|\bor\b)\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s+$", re.IGNORECASE)
_NOT_JUST = re.compile(
    r"\b(?:(?:more|less|fewer|greater|larger|smaller|higher|lower)\s+than|over|under|above|below|at\s+(?:least|most)|"
    r"up\s+to|not)\s+$",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:in|since|by|of|from|until|during|around|circa|year)\s+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured, such as ``m^2/s``, and how many of its base units this one is."""

    kind: str
    factor: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it stands in a text, in each reading that it has: 1,234 and 1.234 may be 1234, or a decimal.

    ``readings``: none for what is not one number: a range, "5 or 6", "more than 5", 3:1. ``unit``: None for none that
    is known. ``is_time``: it is, or is part of, a date.
    """

    readings: tuple[float, ...]
    unit: Unit | None
    is_time: bool = False


def quantities(text: str) -> list[Quantity]:
    """All numbers of a straightened text, in order; those in words only where there are no digits."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return _worded(text)
    dates = [date.place for date in find_dates(text) if date.month is not None]
    rows: list[Quantity] = []
    several: set[int] = set()
    for place, match in enumerate(found):
        before = text[: match.start()]
        if place:
            between = text[found[place - 1].end() : match.start()]
            is_span = _BETWEEN.search(text[: found[place - 1].start()]) and between.strip().endswith("and")
            if is_span or _SEVERAL.fullmatch(between):
                several |= {place - 1, place}
        scale, end = _scale(text, match)
        readings = tuple(value * scale for value in _readings(match))
        unit = _unit(text, end)
        if match["money"]:
            unit = _known().get(match["money"])
        is_date = any(start <= match.start() < end for start, end in dates)
        is_year = len(match.group()) == 4 and unit is None and scale == 1 and bool(_YEAR.search(before))
        rows.append(Quantity(() if _NOT_JUST.search(before) else readings, unit, is_date or is_year))
    return [
        Quantity((), row.unit, row.is_time) if place in several and not row.is_time else row
        for place, row in enumerate(rows)
    ]


def _scale(text: str, match: re.Match[str]) -> tuple[float, int]:
    """What a number in digits is multiplied by, and where that ends."""
    if named := _SCALE.match(text, match.end()):
        return _SCALES[named.group(1).lower()], named.end()
    letter = _LETTER.match(text, match.end())
    factor = (_OF_MONEY if match["money"] else _LETTERS).get(letter.group(1)) if letter else None
    return (factor, letter.end()) if letter and factor else (1.0, match.end())


def _worded(text: str) -> list[Quantity]:
    """The numbers in words; "one" only where it is the whole text."""
    lowered = text.lower()
    words = [match for match in _WORDS.finditer(lowered) if match.group() != "one" or lowered.strip(" .") == "one"]
    return [Quantity((_in_words(match.group()),), _unit(text, match.end())) for match in words]


def _readings(match: re.Match[str]) -> list[float]:
    digits = match["digits"].replace(" ", "").replace("'", "")
    sign = -1 if (match["sign"] or "+").lower()[0] in "-mn" else 1
    power = 10.0 ** int(match["power"] or match["exponent"] or 0)
    marks = [mark for mark in digits if mark in ",."]
    if not marks:
        texts = [digits]
    elif len(set(marks)) == 2:  # the last one is the decimal mark
        other = "," if marks[-1] == "." else "."
        texts = [digits.replace(other, "").replace(marks[-1], ".")]
    elif len(marks) > 1:
        texts = [digits.replace(marks[0], "")]
    else:
        decimal, whole = digits.replace(",", "."), digits.replace(marks[0], "")
        is_either = re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", digits)
        texts = ([whole, decimal] if marks == [","] else [decimal, whole]) if is_either else [decimal]
    return [sign * power * float(text) for text in texts]


def _in_words(text: str) -> float:
    total = part = 0.0
    for word in re.split(r"[\s-]+", text):
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        else:
            part += _SMALL.get(word, 0)
    return total + part


@cache
def _known() -> dict[str, Unit]:
    """Units by symbol, as it is written, and by word, in lower case, without the plural's s."""
    found = {"min": Unit("s", 60.0), "minute": Unit("s", 60.0), "day": Unit("s", 86400.0), "week": Unit("s", 604800.0)}
    found |= dict.fromkeys(("h", "hr", "hour"), Unit("s", 3600.0)) | dict.fromkeys(("t", "tonne"), Unit("g", 1e6))
    for symbol, names in _SI.items():
        for prefix, (letter, factor) in _PREFIXES.items():
            found |= dict.fromkeys([letter + symbol, *(prefix + name for name in names.split())], Unit(symbol, factor))
    found["l"] = found["L"]
    return found | {word: Unit(kind, 1.0) for kind, words in _OTHERS for word in words.split()}


def _named(word: str) -> Unit | None:
    word = word.replace(" ", "").replace("\u03bc", "u")
    lowered = word.lower()
    names = [word, *([lowered.removesuffix("s"), lowered] if len(lowered) > 2 else [])]
    return next((_known()[name] for name in names if name in _known()), None)


def _unit(text: str, place: int) -> Unit | None:
    match = _UNIT.match(text, place)
    if match is None:
        return None
    unit = _named(match["word"])
    if unit is None:
        return None
    power = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3}.get((match["power"] or "").lower(), 1)
    power = int((match["exponent"] or str(power))[-1])
    if power > 1:
        unit = Unit(f"{unit.kind}^{power}", unit.factor**power)
    per = _PER.match(text, match.end())
    below = _named(per["word"]) if per else None
    return Unit(f"{unit.kind}/{below.kind}", unit.factor / below.factor) if below else unit


def read_number(reference: str) -> Quantity | None:
    """The number that a reference is; None where it holds none, or several."""
    found = quantities(straighten(reference))
    return found[0] if len(found) == 1 and found[0].readings else None


def read_tolerance(text: str) -> tuple[float, bool] | None:
    """What a number may be off by, and whether that is a share of the reference (``1%``); None for what is none."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    return (float(match.group(1)) / (100 if match.group(2) else 1), bool(match.group(2))) if match else None


def is_right_number(output: str, answers: tuple[str, ...], question: str, tolerance: str | None) -> bool:
    """Whether the first number of a reply is a reference, within the tolerance (in the reference's unit).

    Passed over are numbers of another kind of unit, those that stand in the question, years and dates, unless they are
    the reference. A number without a known unit is taken to be in the reference's.
    """
    given = quantities(straighten(own_reply(output)))
    asked = {value for row in quantities(straighten(question)) for value in row.readings}
    for wanted in filter(None, map(read_number, answers)):
        first = next(
            (
                row
                for row in given
                if _is_comparable(row, wanted)
                and (_is_it(row, wanted, tolerance) or not (row.is_time or asked & {*row.readings}))
            ),
            None,
        )
        if first and _is_it(first, wanted, tolerance):
            return True
    return False


def holds_number(text: str, answers: tuple[str, ...], tolerance: str | None) -> bool:
    """Whether any number of a text, in digits or words, is a reference, within the tolerance. A year or a date is only
    one without a unit."""
    plain = straighten(text)
    rows = [*quantities(plain), *_worded(plain)]
    return any(
        _is_comparable(row, wanted) and _is_it(row, wanted, tolerance) and not (row.is_time and wanted.unit)
        for wanted in filter(None, map(read_number, answers))
        for row in rows
    )


def _is_comparable(row: Quantity, wanted: Quantity) -> bool:
    return row.unit is None or wanted.unit is None or row.unit.kind == wanted.unit.kind


def _is_it(row: Quantity, wanted: Quantity, tolerance: str | None) -> bool:
    allowed, is_share = (read_tolerance(tolerance) if tolerance else None) or (0.0, False)
    value = wanted.readings[0]
    may = allowed * abs(value) if is_share else allowed
    factor = row.unit.factor / wanted.unit.factor if row.unit and wanted.unit else 1.0
    return any(
        abs(own * factor - value) <= may or math.isclose(abs(own * factor - value), may, abs_tol=1e-9 * abs(value))
        for own in row.readings
    )
