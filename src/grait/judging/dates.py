"""Dates in texts, and whether a reply gives the date that was asked for, as precisely as the reference."""

import re
from dataclasses import dataclass
from itertools import pairwise

from grait.judging.matching import own_reply, straighten

_NAMES = "january february march april may june july august september october november december".split()
_MONTH = "|".join([*_NAMES, r"sept\b\.?", *(rf"{name[:3]}\b\.?" for name in _NAMES)])
_ERA = r"\s?(?:BCE?|AD|CE)\b"
_YEAR = rf"(?:\d{{4}}|\d{{1,3}}(?={_ERA}))"
_DAY = r"(?P<d{0}>\d{{1,2}})(?:st|nd|rd|th)?"
_TIME = r"(?:[T\s]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?|T\d\d(?:\d\d(?:\d\d)?)?)(?:\s?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"
_DATE = re.compile(
    rf"""(?<![\w.,/-])(?:
    (?P<y1>\d{{4}})[-/](?P<n1>\d{{1,2}})(?:[-/](?P<d1>\d{{1,2}})(?:{_TIME})?)?   # 1969-07-20T20:17Z, 1969-07
    | (?P<a>\d{{1,2}})(?P<sign>[./-])(?P<b>\d{{1,2}})(?P=sign)(?P<y2>\d{{4}})        # 20.07.1969, 07/20/1969
    | {_DAY.format(3)}(?:\s+day)?(?:\s+of)?\s+(?P<m3>{_MONTH})(?:,?\s+(?P<y3>{_YEAR}))?(?![\d])  # 20 July 1969
    | (?P<m4>{_MONTH})\s+(?:the\s+)?{_DAY.format(4)}(?!\d)(?:,?\s+(?P<y4>{_YEAR}))?  # July 20th, 1969
    | (?P<m5>{_MONTH})(?:,|\s+of)?\s+(?P<y5>{_YEAR})                                # July 1969
    | (?:AD\s+)?(?P<y6>{_YEAR})                                                     # 1969, 44 BC
    )(?:\s?(?P<era>BCE?|AD|CE)\b\.?)?(?![\w/]|-\d|[.,]\d)""",
    re.VERBOSE | re.IGNORECASE,
)
_SEVERAL = re.compile(r"\s*(?:-+|/|to|or|until|through)\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"\b(?:between|from)\s+$", re.IGNORECASE)
_NOT_ON = re.compile(r"\b(?:before|after|since|until|by|not(?:\s+in|\s+on)?)\s+(?:the\s+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Date:
    """Parts that are not given are None; years before Christ are negative. ``place``: (start, end) in the text.
    ``is_vague``: a range, or "before 1969": never the date that was asked for. Of 03/04/2020 only the year is known."""

    year: int | None
    month: int | None
    day: int | None
    place: tuple[int, int]
    is_vague: bool = False

    @property
    def parts(self) -> tuple[int | None, int | None, int | None]:
        return self.year, self.month, self.day


def find_dates(text: str) -> list[Date]:
    """All dates of a straightened text, in order; months by their English names."""
    found = [date for match in _DATE.finditer(text) if (date := _date(match, text))]
    vague = set()
    for one, other in pairwise(found):
        between = text[one.place[1] : other.place[0]]
        is_span = _BETWEEN.search(text[: one.place[0]]) and between.strip().lower() in ("and", "to", "until")
        if is_span or _SEVERAL.fullmatch(between):
            vague |= {one.place, other.place}
    return [Date(*date.parts, date.place, True) if date.place in vague else date for date in found]


def _date(match: re.Match[str], text: str) -> Date | None:
    part = match.groupdict()
    years = [part[f"y{number}"] for number in (1, 2, 3, 4, 5, 6)]
    year = next((int(value) for value in years if value), None)
    month_name = part["m3"] or part["m4"] or part["m5"]
    day = part["d1"] or part["d3"] or part["d4"]
    month = int(part["n1"]) if part["n1"] else _month(month_name) if month_name else None
    is_vague = _NOT_ON.search(text[: match.start()]) is not None
    if part["sign"]:
        first, second = int(part["a"]), int(part["b"])
        is_american = part["sign"] != "." and first <= 12 < second
        is_unclear = part["sign"] != "." and first != second and max(first, second) <= 12
        day, month = (None, None) if is_unclear else (second, first) if is_american else (first, second)
    if year is not None and (part["era"] or "").upper().startswith("BC"):
        year = -year
    if (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= int(day) <= 31):
        return None
    return Date(year, month, int(day) if day else None, match.span(), is_vague)


def _month(name: str) -> int:
    return next(number for number, own in enumerate(_NAMES, 1) if own.startswith(name.lower()[:3]))


def read_date(reference: str) -> Date | None:
    """The date that a reference is; None where it is none, several, or a vague one."""
    text = straighten(reference)
    found = find_dates(text)
    if len(found) != 1 or found[0].is_vague:
        return None
    start, end = found[0].place
    is_whole = text[:start].strip() in ("", "the") and not text[end:].strip(" .")
    is_clear = found[0].month is not None or not re.search(r"\d[/-]", text)
    return found[0] if is_whole and is_clear else None


def is_right_date(output: str, answers: tuple[str, ...], question: str) -> bool:
    """Whether the first date of a reply is a reference, in all parts that the reference has. Dates that stand in the
    question are passed over, unless they are the reference."""
    given = find_dates(straighten(own_reply(output)))
    asked = {date.parts for date in find_dates(straighten(question))}
    for wanted in filter(None, map(read_date, answers)):
        first = next((date for date in given if _is_it(date, wanted) or date.parts not in asked), None)
        if first and _is_it(first, wanted):
            return True
    return False


def holds_date(text: str, answers: tuple[str, ...]) -> bool:
    """Whether any date of a text is a reference, in all parts that the reference has."""
    found = find_dates(straighten(text))
    return any(_is_it(date, wanted) for wanted in filter(None, map(read_date, answers)) for date in found)


def _is_it(date: Date, wanted: Date) -> bool:
    pairs = zip(wanted.parts, date.parts, strict=True)
    return not date.is_vague and all(want is None or want == got for want, got in pairs)
