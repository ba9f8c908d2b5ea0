"""Facts about chemical elements and compounds. Entity: the element (gold = Au = 79), or the compound."""

import re
from pathlib import Path

from worldfacts import wordnet
from worldfacts.fact import Fact, Match
from worldfacts.sources import compounds, elements

BEST_KNOWN = (
    "oxygen gold hydrogen iron silver carbon copper helium lead mercury nitrogen aluminum sodium calcium zinc tin "
    "uranium potassium nickel neon sulfur chlorine platinum titanium silicon iodine magnesium plutonium lithium "
    "phosphorus radium cobalt tungsten fluorine argon chromium arsenic krypton boron xenon radon manganese bromine"
).split()
"""Hand rank, best known first; all others follow by atomic number, as the heavy ones are rare."""

SPELLINGS = {"aluminum": "aluminium", "sulfur": "sulphur", "cesium": "caesium"}

CATEGORIES = {
    "Nonmetals": ("nonmetal", "nonmetals", "non-metal", "non-metals"),
    "Noble gases": ("noble gas", "noble gases", "inert gas", "inert gases"),
    "Alkali metals": ("alkali metal", "alkali metals"),
    "Alkaline earth metals": ("alkaline earth metal", "alkaline earth metals", "alkaline earth"),
    "Metalloids": ("metalloid", "metalloids", "semimetal"),
    "Halogens": ("halogen", "halogens"),
    "Poor metals": ("post-transition metal", "post-transition metals", "poor metal"),
    "Transition metals": ("transition metal", "transition metals"),
    "Lanthanides": ("lanthanide", "lanthanides", "lanthanoid", "rare earth metal"),
    "Actinides": ("actinide", "actinides", "actinoid"),
}
DEBATED = set("Zn Cd Hg Lu Lr At Ts Og Po Hs Mt Ds Rg Cn Nh Fl Mc Lv Rf Db Sg Bh".split())
"""Category not agreed on, or only predicted."""

DISCOVERERS = {
    "Ba": "Humphry Davy",
    "Br": "Antoine Balard",
    "Ca": "Humphry Davy",
    "Cd": "Friedrich Stromeyer",
    "Eu": "Eugène Demarçay",
    "Fr": "Marguerite Perey",
    "K": "Humphry Davy",
    "Mg": "Humphry Davy",
    "Na": "Humphry Davy",
    "Nb": "Charles Hatchett",
    "Nd": "Carl Auer von Welsbach",
    "Ni": "Axel Cronstedt",
    "Os": "Smithson Tennant",
    "Pr": "Carl Auer von Welsbach",
    "Ru": "Karl Ernst Claus",
    "Se": "Jöns Jacob Berzelius",
    "Th": "Jöns Jacob Berzelius",
    "Tl": "William Crookes",
    "Co": "Georg Brandt",
}
"""Spelling of names where the source errs."""
NO_DISCOVERER = set("Al Pt Si Ho Sr V Y Rn Er Tb Dy Yb Ce Cr".split())
"""More than one person, or the person is debated."""
NO_DISCOVERY_YEAR = set(
    (
        "Nh No Sr Si Se Mo Ir Os Pd Rh Ts He Th Br Bh Rn Y Nd Pt Al V "
        "Cl P Ar Pm Sc Mg Ac Hs Fl Lr Db Rf Mn Lv Mc Og F Co Te Zr Be Pa"
    ).split()
)
"""Year of first evidence, of naming and of isolation differ between sources, or the source errs."""

N_COMPOUNDS = 280


def facts(npm: Path) -> list[Fact]:
    """All relations of elements and compounds."""
    return [*_elements(), *_compounds(npm)]


def _elements() -> list[Fact]:
    result: list[Fact] = []
    for row in elements():
        name, symbol, number = str(row["name"]).lower(), str(row["symbol"]), str(row["atomic_number"])
        names = (name, SPELLINGS[name]) if name in SPELLINGS else (name,)
        fame = float(1000 - BEST_KNOWN.index(name)) if name in BEST_KNOWN else float(200 - row["atomic_number"])

        def add(
            relation: str,
            subject: str,
            question: str,
            answers: tuple[str, ...],
            match: Match = "normalized",
            entity: str = f"element:{number}",
            fame: float = fame,
        ) -> None:
            result.append(Fact(relation, subject, entity, question, answers, "mendeleev", fame, match))

        add("element_symbol", name, f"What is the chemical symbol of {name}?", (symbol,), "exact")
        add("symbol_element", symbol, f"Which chemical element has the symbol {symbol}?", names)
        add("element_number", name, f"What is the atomic number of {name}?", (number,), "exact")
        add("number_element", number, f"Which chemical element has atomic number {number}?", names)
        if row["group_id"] and symbol not in {"H", "He", "La", "Ac", "Lu", "Lr"}:
            group = str(row["group_id"])
            question = f"What is the group number of {name} in the periodic table?"
            add("element_group", name, question, (group, f"group {group}"), "exact")
        period = str(row["period"])
        question = f"In which period of the periodic table is {name}?"
        add("element_period", name, question, (period, f"period {period}"), "exact")
        if row["series"] in CATEGORIES and symbol not in DEBATED:
            question = f"Which category of chemical elements does {name} belong to?"
            add("element_category", name, question, CATEGORIES[row["series"]])
        if row["discovery_year"] and symbol not in NO_DISCOVERY_YEAR:
            question = f"In which year was the element {name} discovered?"
            add("element_year", name, question, (str(row["discovery_year"]),))
        people = DISCOVERERS.get(symbol, str(row["discoverers"]).replace("Sir ", ""))
        if symbol not in NO_DISCOVERER and re.fullmatch(r"[^\W\d_]{3,}\.?(?: [^\W\d_.]+){1,5}", people):
            if not re.search(r" and |Institute|Research|Laboratory|RIKEN|Known|et al", people):
                question = f"Who discovered the element {name}?"
                surname = {
                    "Carl Auer von Welsbach": "Welsbach",
                    "Paul Émile Lecoq de Boisbaudran": "Lecoq de Boisbaudran",
                }
                add("element_discoverer", name, question, (people, surname.get(people, people.split()[-1])))
    return result


def _compounds(npm: Path) -> list[Fact]:
    """Organic compounds of C, H, N and O: there the source's Hill order is the usual way to write a formula.

    Those that WordNet knows, then others with short plain names, by lot in ``build``.
    """
    net = wordnet.read(npm)
    seen: dict[str, set[str]] = {}
    for name, formula in compounds():
        if re.fullmatch(r"[a-z]+(?: [a-z]+)?", name) and re.fullmatch(r"C\d*H\d+(?:N\d*)?(?:O\d*)?", formula):
            seen.setdefault(name, set()).add(formula)
    result = []
    for name, formulas in sorted(seen.items()):
        known = [synset for synset in net.senses(name) if synset.file == wordnet.SUBSTANCE]
        plain_name = re.fullmatch(r"(?:methyl|ethyl|propyl|butyl|benzyl|isopropyl|vinyl|phenyl) \w+", name)
        if len(formulas) == 1 and (known or plain_name) and not re.search(r"radical|\bc?an?t?ion\b|polymer", name):
            fame = 1.0 + max(net.fame(synset) for synset in known) if known else 0.0
            source = "chemicals (PubChem)"
            question = f"What is the molecular formula of {name}?"
            answers = (next(iter(formulas)),)
            result.append(Fact("compound_formula", name, f"compound:{name}", question, answers, source, fame, "exact"))
    return result
