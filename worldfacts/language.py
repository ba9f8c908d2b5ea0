"""Facts about languages and scripts. Entity: the language, so its words, codes and exonyms share a split."""

import unicodedata
from typing import Any

from worldfacts.fact import Fact
from worldfacts.names import LANGUAGE_ALIASES, ordinal, plain
from worldfacts.sources import geonames, module

TRANSLATED = (
    "af ca cs cy da de es et eu fi fil fr ga hr hu id is it lt lv ms no nl pl pt ro sk sl sq sv sw tr vi".split()
)
"""Languages of the translation relations: Latin script, and CLDR data of their own."""
EXONYM_LANGUAGES = "cs da de es fi fr hr hu it nl no pl pt ro sv tr".split()
EXONYM_COUNTRIES = (
    "AT AU BE BR CA CH CN CZ DE DK EG ES FI FR GB GR HR HU IE IN IT JP KR LB MA MX NL NO NZ PL PT RO RU SE TR UA US ZA"
).split()
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple("January February March April May June July August September October November December".split())
MANY_SCRIPTS = set("az bs ja kk ku pa sr uz yue zh hak nan tzm gan wuu lzh ms sd ks mn uk-Latn shi zgh vai".split())
"""Languages written in more than one script, or whose script CLDR names for one variant ("Traditional")."""
SCRIPT_ALIASES = {
    "Arabic": ("Perso-Arabic",),
    "Bangla": ("Bengali", "Eastern Nagari"),
    "Canadian Aboriginal Syllabics": ("Canadian syllabics",),
    "Cyrillic": ("Russian alphabet",),
    "Ethiopic": ("Geez", "Ge'ez", "Amharic"),
    "Korean": ("Hangul",),
    "Latin": ("Roman",),
    "Myanmar": ("Burmese",),
    "Odia": ("Oriya",),
    "Sinhala": ("Sinhalese",),
    "Unified Canadian Aboriginal Syllabics": ("Canadian syllabics",),
}
KNOWN_GREEK = "alpha beta gamma delta omega pi sigma theta lambda epsilon".split()


def speakers() -> dict[str, float]:
    """Speakers by language code: CLDR's share of each territory times GeoNames' population."""
    languages = module("babel.core").get_global("territory_languages")
    population = {iso2: row["population"] for iso2, row in geonames("countries").items()}
    totals: dict[str, float] = {}
    for territory, shares in sorted(languages.items()):
        for code, info in sorted(shares.items()):
            count = population.get(territory, 0) * info["population_percent"] / 100
            totals[code.split("_")[0]] = totals.get(code.split("_")[0], 0.0) + count
    totals["no"] = totals.get("no", 0.0) + totals.get("nb", 0.0)
    return totals


def own_data(code: str) -> Any:
    """CLDR data of one locale without what it inherits: babel 2.18 mixes inherited day names of locales."""
    return module("babel.localedata").load(code, merge_inherited=False)


def facts() -> list[Fact]:
    """All relations of languages and scripts."""
    return [*_codes(), *_endonyms_and_scripts(), *_calendar_words(), *_exonyms(), *_greek()]


def _fact(relation: str, subject: str, code: str, question: str, answers: tuple[str, ...], **more: Any) -> Fact:
    return Fact(relation, subject, f"language:{code}", question, answers, "babel (CLDR)", **more)


def _english() -> dict[str, str]:
    """English language names by code."""
    return dict(sorted(module("babel").Locale("en").languages.items()))


def _codes() -> list[Fact]:
    heard = speakers()
    result = []
    for code, name in _english().items():
        # Macro-languages' parts (nb, nn) and withdrawn codes would give a name two codes.
        if len(code) == 2 and code not in {"nb", "nn", "sh", "mo", "tw", "in", "iw", "ji", "tl"} and heard.get(code):
            fame = heard[code]
            question = f"What is the two-letter ISO 639-1 code of the {name} language?"
            result.append(_fact("language_code", name, code, question, (code,), fame=fame, match="exact"))
            question = f"Which language has the ISO 639-1 code '{code}'?"
            result.append(
                _fact("code_language", code, code, question, (name, *LANGUAGE_ALIASES.get(code, ())), fame=fame)
            )
    return result


def _endonyms_and_scripts() -> list[Fact]:
    heard = speakers()
    english = module("babel").Locale("en")
    likely = module("babel.core").get_global("likely_subtags")
    result = []
    for code, name in _english().items():
        if not heard.get(code) or code in {"nb", "nn", "lu", "mua"}:
            continue
        fame = heard[code]
        parts = likely.get(code, "").split("_")
        script = english.scripts.get(parts[1]) if len(parts) > 1 else None
        if script and module("babel").localedata.exists(code) and code not in MANY_SCRIPTS:
            question = f"Which script is the {name} language usually written in?"
            answers = (script, *SCRIPT_ALIASES.get(script, ()))
            result.append(_fact("language_script", name, code, question, answers, fame=fame))
        if module("babel").localedata.exists(code):
            own = own_data(code).get("languages", {}).get(code)
            if own and _latin(own) and plain(own).lower() != name.lower():
                question = f"What do its speakers call the {name} language in their own language?"
                short = own.split(" (")[0]
                answers = (short, plain(short), own)
                result.append(_fact("language_endonym", name, code, question, answers, fame=fame))
    return result


def _latin(text: str) -> bool:
    return all(unicodedata.name(c, "").startswith("LATIN") for c in text if c.isalpha())


def _calendar_words() -> list[Fact]:
    heard = speakers()
    english = _english()
    result = []
    for code in TRANSLATED:
        own = own_data(code)
        pool = code
        for relation, table, words in (
            ("day_translation", own["days"], DAYS),
            ("month_translation", own["months"], MONTHS),
        ):
            name = english[code]
            forms = [table.get(kind, {}).get("wide") or {} for kind in ("stand-alone", "format")]
            for i, word in enumerate(words):
                key = i if relation == "day_translation" else i + 1
                found = [str(form[key]) for form in forms if key in form and _latin(str(form[key]))]
                if not found or (relation == "month_translation" and i % 2 and code not in {"es", "fr", "de", "it"}):
                    continue
                kind = "word for" if relation == "day_translation" else "name of the month of"
                answers = (*found, *(plain(text) for text in found))
                question = f"What is the {name} {kind} {word}?"
                result.append(_fact(relation, f"{word} ({name})", code, question, answers, fame=heard[code], pool=pool))
    return result


def _exonyms() -> list[Fact]:
    heard = speakers()
    english = _english()
    population = {iso2: row["population"] for iso2, row in geonames("countries").items()}
    result = []
    for code in EXONYM_LANGUAGES:
        territories = module("babel").Locale(code).territories
        for iso2 in EXONYM_COUNTRIES:
            country = module("babel").Locale("en").territories[iso2]
            name = territories[iso2]
            fame = (heard[code] * population[iso2]) ** 0.5
            question = f"What is the {english[code]} name for {country}?"
            subject = f"{country} ({english[code]})"
            result.append(_fact("country_exonym", subject, code, question, (name, plain(name)), fame=fame, pool=code))
    return result


def _greek() -> list[Fact]:
    names = [
        unicodedata.name(chr(point)).removeprefix("GREEK SMALL LETTER ").lower()
        for point in range(ord("α"), ord("ω") + 1)
        if point != ord("ς")
    ]
    names = [{"lamda": "lambda"}.get(name, name) for name in names]
    result = []
    for i, name in enumerate(names, start=1):
        fame = float(10 - KNOWN_GREEK.index(name)) if name in KNOWN_GREEK else 0.0
        question = f"What is the {ordinal(i)} letter of the Greek alphabet?"
        source = "Python unicodedata"
        result.append(Fact("greek_letter_order", ordinal(i), f"greek:{name}", question, (name,), source, fame))
    return result
