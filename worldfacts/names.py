"""Other spellings: names of languages, ordinals, text without diacritics."""

import unicodedata

LANGUAGE_ALIASES = {
    "bn": ("Bengali",),
    "dv": ("Maldivian",),
    "el": ("Modern Greek",),
    "fa": ("Farsi",),
    "fil": ("Tagalog", "Pilipino"),
    "id": ("Bahasa Indonesia",),
    "km": ("Cambodian",),
    "ky": ("Kirghiz",),
    "lb": ("Luxembourgian",),
    "ms": ("Bahasa Melayu", "Bahasa Malaysia"),
    "my": ("Myanmar",),
    "ne": ("Nepalese",),
    "or": ("Oriya",),
    "ps": ("Pushto", "Pashtu"),
    "si": ("Sinhalese",),
    "st": ("Sotho", "Sesotho"),
    "sw": ("Kiswahili",),
    "tn": ("Setswana",),
    "ug": ("Uighur",),
    "zh": ("Mandarin", "Mandarin Chinese"),
}


def plain(text: str) -> str:
    """The text without its diacritics, for an alias."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def ordinal(number: int) -> str:
    """ "1st", "2nd", "11th"."""
    suffix = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
