"""Build the question file: ``python -m worldfacts.build --out src/grait/data/worldfacts.jsonl.gz``.

Same sources, same bytes: everything is sorted and every choice is a lot drawn from a hash.
"""

import argparse
import gzip
import io
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldfacts import (
    cities,
    countries,
    elements,
    history,
    language,
    nature,
    people,
    places,
    rules,
    sky,
    software,
    sources,
    split,
    states,
    words,
)
from worldfacts.fact import Fact, lot

MAX_ROWS = {
    "airport_city": 300,
    "animal_class": 200,
    "antonym": 200,
    "area_code_state": 250,
    "city_country": 1000,
    "compound_formula": elements.N_COMPOUNDS,
    "country_exonym": 400,
    "extension_language": 120,
    "language_extension": 150,
    "language_script": 100,
    "latin_species_name": 300,
    "month_translation": 200,
    "person_birth_year": 500,
    "person_death_year": 300,
    "person_nationality": 500,
    "person_occupation": 500,
    "species_latin_name": 200,
    "uscity_state": 400,
}
"""Most rows of a relation; the others have fewer by themselves."""

MAX_TOP_SHARE = {
    "animal_class": 0.3,
    "area_code_state": 0.1,
    "city_country": 0.05,
    "country_independent_from": 0.4,
    "language_script": 0.4,
    "person_nationality": 0.25,
    "person_occupation": 0.12,
    "uscity_state": 0.15,
}
"""Share of a relation's rows that one answer may have, so that always guessing it does not pass for knowledge."""


def collect(npm: Path) -> list[Fact]:
    """All raw facts, sorted by id."""
    facts = [
        *countries.facts(npm),
        *cities.facts(npm),
        *states.facts(),
        *language.facts(),
        *elements.facts(npm),
        *sky.facts(),
        *software.facts(npm),
        *people.facts(npm),
        *history.facts(npm),
        *places.facts(npm),
        *nature.facts(npm),
        *words.facts(npm),
    ]
    return sorted(facts, key=lambda fact: fact.id)


def choose(facts: Sequence[Fact]) -> list[Fact]:
    """The facts that ship: without leaks and duplicates, each entity in or out of ``test_ood``, relations capped."""
    clean = split.reserve_ood(rules.drop_duplicates(rules.drop_leaks(facts)))
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in clean:
        by_relation[fact.relation].append(fact)
    chosen: list[Fact] = []
    for relation, group in sorted(by_relation.items()):
        size = min(len(group), MAX_ROWS.get(relation, len(group)))
        if relation in MAX_TOP_SHARE:
            group = rules.cap_top_answer(group, int(MAX_TOP_SHARE[relation] * size))
        chosen += rules.cap(group, size)
    return chosen


def rows(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """The shipped rows, in an order that is a fixed shuffle: the first n of a split are a fair sample."""
    wrong = rules.distractors(facts)
    kept = [fact for fact in facts if fact.id in wrong]
    known = rules.popularity(kept)
    sides = split.assign(kept)
    return [
        {
            "id": fact.id,
            "relation": fact.relation,
            "subject": fact.subject,
            "entity": fact.entity,
            "question": fact.question,
            "answers": list(fact.answers),
            "match": fact.match,
            "popularity": known[fact.id],
            "source": fact.source,
            "distractors": list(wrong[fact.id]),
            "split": sides[fact.id],
        }
        for fact in sorted(kept, key=lambda fact: lot("order", fact.id))
    ]


def write(path: Path, table: Sequence[dict[str, Any]]) -> None:
    """Write gzipped JSON lines; no time stamp and no file name in the header, so equal rows give equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as out:
        for row in table:
            out.write((json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def statistics(table: Sequence[dict[str, Any]]) -> str:
    """The table of relations for the README, in Markdown."""
    lines = ["| relation | all | " + " | ".join(split.SPLITS) + " | answers | top | an example |"]
    lines.append("|---" * (len(split.SPLITS) + 5) + "|")
    by_relation: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table:
        by_relation[row["relation"]].append(row)
    for relation, group in sorted(by_relation.items()):
        sides = Counter(row["split"] for row in group)
        tops = Counter(row["answers"][0] for row in group)
        counts = " | ".join(str(sides[name]) for name in split.SPLITS)
        example = min(group, key=lambda row: row["id"])
        top = f"{tops.most_common(1)[0][1] / len(group):.0%}"
        shown = f"{example['question']} {example['answers'][0]}".replace("|", "/")
        lines.append(f"| {relation} | {len(group)} | {counts} | {len(tops)} | {top} | {shown} |")
    total = Counter(row["split"] for row in table)
    counts = " | ".join(str(total[name]) for name in split.SPLITS)
    lines.append(f"| {len(by_relation)} relations | {len(table)} | {counts} | | | |")
    return "\n".join(lines)


def main() -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(prog="python -m worldfacts.build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write, .jsonl.gz")
    parser.add_argument("--sources", type=Path, default=Path("build/worldfacts"), help="folder of the npm tarballs")
    parser.add_argument("--offline", action="store_true", help="take the tarballs as they are, fetch nothing")
    parser.add_argument("--stats", action="store_true", help="print the table of relations")
    args = parser.parse_args()
    if not args.offline:
        sources.fetch_npm(args.sources)
    table = rows(choose(collect(args.sources)))
    write(args.out, table)
    if args.stats:
        print(statistics(table))


if __name__ == "__main__":
    main()
