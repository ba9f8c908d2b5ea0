"""Facts about US states and telephone area codes. Entity: the state, or the area code."""

import re

from worldfacts.fact import Fact
from worldfacts.sources import geonames, module


def urban_population() -> dict[str, float]:
    """People in cities of at least 15,000 by state abbreviation: a free measure of how well known a state is."""
    totals: dict[str, float] = {}
    for city in geonames("cities15000").values():
        if city["countrycode"] == "US":
            totals[city["admin1code"]] = totals.get(city["admin1code"], 0.0) + city["population"]
    return totals


def facts() -> list[Fact]:
    """All relations of states and area codes."""
    people = urban_population()
    states = sorted((state for state in module("us").states.STATES if state.abbr != "DC"), key=lambda state: state.abbr)
    result = []
    for state in states:
        for relation, subject, question, answer in (
            ("state_capital", state.name, f"What is the capital of the US state of {state.name}?", state.capital),
            ("capital_state", state.capital, f"{state.capital} is the capital of which US state?", state.name),
            ("state_year", state.name, f"In which year did {state.name} become a US state?", str(state.statehood_year)),
        ):
            entity = f"state:{state.abbr}"
            result.append(Fact(relation, subject, entity, question, (answer,), "us", people[state.abbr]))
        question = f"What is the two-letter postal abbreviation of {state.name}?"
        entity = f"state:{state.abbr}"
        result.append(
            Fact("state_abbr", state.name, entity, question, (state.abbr,), "us", people[state.abbr], "exact")
        )
    return result + _area_codes({state.abbr: state.name for state in states})


def _area_codes(states: dict[str, str]) -> list[Fact]:
    """Area codes whose numbers all lie in one state: "Texas" or "Austin, TX". No honest measure of fame."""
    by_code: dict[str, set[str]] = {}
    for part in ("data0", "data1"):
        for prefix, names in module(f"phonenumbers.geodata.{part}").data.items():
            if re.match(r"1\d{3}", prefix):
                place = re.sub(r" State$", "", names.get("en", ""))
                by_code.setdefault(prefix[1:4], set()).add(states.get(place[-2:], place) if ", " in place else place)
    result = []
    for code, places in sorted(by_code.items()):
        if len(places) == 1 and places <= set(states.values()):
            question = f"Which US state uses the telephone area code {code}?"
            entity = f"area_code:{code}"
            result.append(Fact("area_code_state", code, entity, question, tuple(places), "phonenumbers"))
    return result
