"""Text from data and models as it may be shown: no control sequence, nothing that turns the line around."""

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with U+FFFD for each character that a terminal would obey or a picture could not hold. Line breaks and
    tabs stay, and so do the joiners that scripts such as Devanagari and Arabic are written with."""
    return _HIDDEN.sub("\ufffd", text)


def well_formed(text: str) -> str:
    """The text with U+FFFD for each byte that was no UTF-8, which Python hands on as half a character."""
    return _SURROGATE.sub("\ufffd", text)
