"""Facts about constellations. Entity: the constellation."""

from worldfacts.fact import Fact
from worldfacts.sources import constellations

BEST_KNOWN = (
    "Orion,Ursa Major,Leo,Scorpius,Gemini,Taurus,Virgo,Cancer,Libra,Aries,Pisces,Aquarius,Sagittarius,Capricornus,"
    "Ursa Minor,Cassiopeia,Andromeda,Pegasus,Perseus,Draco,Hercules,Cygnus,Lyra,Aquila,Hydra,Phoenix,Centaurus"
).split(",")
"""Hand rank, best known first; the others tie."""


def facts() -> list[Fact]:
    """Constellation by its IAU abbreviation."""
    result = []
    for short, name in constellations():
        fame = float(100 - BEST_KNOWN.index(name)) if name in BEST_KNOWN else 0.0
        answers = (name, {"Scorpius": "Scorpio", "Capricornus": "Capricorn"}.get(name, name))
        question = f"Which constellation has the abbreviation '{short}'?"
        result.append(Fact("constellation_abbr", short, f"constellation:{short}", question, answers, "skyfield", fame))
    return result
