"""Which question goes where: by entity, so that a fact and its inverse are never on two sides.

The rule. Whole relations are kept for ``test_ood``. An entity with facts of both kinds gives either only its
out-of-relation facts (one in four, by lot) or only the others; the rest of its facts are dropped. So ``test_ood``
shares neither a relation nor an entity with any other split. All other entities are dealt to train, val and test_id.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from worldfacts.fact import Fact, lot

OOD_RELATIONS = frozenset(
    {
        "airport_city",
        "animal_class",
        "antonym",
        "latin_species_name",
        "person_death_year",
        "species_latin_name",
        "state_abbr",
        "state_capital",
        "capital_state",
        "state_year",
    }
)
"""Whole groups of subjects (airports, species, adjectives, US states) and, for people, one relation of many."""

NEVER_RESERVED = frozenset({"us_president_number"})
"""Relations too small to spare a quarter of their entities."""

OOD_SHARE = 4
"""One in so many entities with facts of both kinds is reserved for ``test_ood``."""

SHARES = {"train": 0.58, "val": 0.12, "test_id": 0.30}
"""Shares of the questions outside ``test_ood``."""

SPLITS = ("train", "val", "test_id", "test_ood")


def reserve_ood(facts: Sequence[Fact]) -> list[Fact]:
    """Facts without those that would put one entity both in and out of ``test_ood``."""
    relations: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        relations[fact.entity].add(fact.relation)
    kept = []
    for fact in facts:
        asked = relations[fact.entity]
        mixed = asked & OOD_RELATIONS and asked - OOD_RELATIONS
        reserved = int(lot("ood", fact.entity), 16) % OOD_SHARE == 0 and not asked & NEVER_RESERVED
        if not mixed or reserved == (fact.relation in OOD_RELATIONS):
            kept.append(fact)
    return kept


def assign(facts: Sequence[Fact], shares: Mapping[str, float] = SHARES) -> dict[str, str]:
    """Split by id. Entities of each kind are dealt in a fixed random order to the split furthest below its share."""
    result = {}
    by_kind: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        if fact.relation in OOD_RELATIONS:
            result[fact.id] = "test_ood"
        else:
            by_kind[fact.entity.partition(":")[0]][fact.entity].append(fact)
    for entities in by_kind.values():
        total = sum(len(group) for group in entities.values())
        filled: Counter[str] = Counter()
        # Large entities first: late ones then even out the shares.
        for entity in sorted(entities, key=lambda entity: (-len(entities[entity]), lot("split", entity))):
            target = min(shares, key=lambda split: (filled[split] / (shares[split] * total), -shares[split]))
            filled[target] += len(entities[entity])
            result.update((fact.id, target) for fact in entities[entity])
    return result
