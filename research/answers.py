"""Every system's outcome on every test question, kept in one small file for each seed: comparisons outlast adapters.

A kept file is ``seed-N.parquet``: data set, system, question id, both outcomes and the three numbers of
``records.Prediction``, no text. ``about.json`` beside it holds each seed's config, versions and machine.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from grait.config import DataConfig
from grait.display.tables import comparison_markdown
from grait.evaluation.compare import compare, gather
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.records import ComparisonRecord, DifferenceRecord, Prediction
from grait.runtime.artifacts import read_rows, write_json

Cells = dict[str, dict[str, list[Prediction]]]
"""Data set -> system -> its answers, on one seed."""

ABOUT = "about.json"
NAMES = ("dataset", "system", "id")
OUTCOMES = ("outcome", "suppressed_outcome")
NUMBERS = ("refusal_logprob", "suppressed_logprob", "first_token_log_odds")
"""The columns of a kept file."""

RESAMPLES = 10_000


def read_seeds(folder: Path, only: Sequence[int] | None = None) -> dict[int, Cells]:
    """Seed -> its cells, from a folder of runs or of kept answers; kept ones have no text. ``only``: these seeds."""
    kept = {int(path.stem.removeprefix("seed-")): read_kept(path) for path in folder.glob("seed-*.parquet")}
    found = kept or {int(run.name.removeprefix("seed-")): read_run(run) for run in folder.glob("seed-*")}
    if not found:
        raise SystemExit(f"{folder}: expected seed-*.parquet or runs seed-*, found neither")
    if lacking := set(only or ()) - set(found):
        raise SystemExit(f"{folder}: has no seed {min(lacking)}; it has {', '.join(map(str, sorted(found)))}")
    return {seed: found[seed] for seed in sorted(found) if only is None or seed in only}


def read_run(run: Path) -> Cells:
    """Finished cells of the data sets in a run's config, in its order; trials have none there."""
    config = load_json(run / "config.json")
    titles = [DataConfig(**dataset).title for dataset in config["evaluation"]["datasets"]]
    return {title: _finished(run / "evaluation" / title) for title in titles}


def _finished(folder: Path) -> dict[str, list[Prediction]]:
    paths = [path for path in sorted(folder.glob("*/predictions.parquet")) if path.parent.name in METHODS]
    return {path.parent.name: read_rows(path, Prediction) for path in paths}


def read_kept(path: Path) -> Cells:
    cells: Cells = {}
    for row in pq.read_table(path).to_pylist():
        prediction = Prediction(
            id=row["id"],
            output="",
            suppressed_output="",
            **{name: row[name] for name in (*OUTCOMES, *NUMBERS)},
            is_unparsable=False,
            is_hedged=False,
        )
        cells.setdefault(row["dataset"], {}).setdefault(row["system"], []).append(prediction)
    return cells


def write_kept(cells: Cells, path: Path) -> None:
    rows = [
        (dataset, system, row.id, *(getattr(row, name) for name in (*OUTCOMES, *NUMBERS)))
        for dataset, systems in cells.items()
        for system, predictions in systems.items()
        for row in sorted(predictions, key=lambda row: row.id)
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in (*NAMES, *OUTCOMES)] + [(name, pa.float32()) for name in NUMBERS]
    )
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    pq.write_table(
        pa.table(columns, schema),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[*NAMES, *OUTCOMES],
        use_byte_stream_split=list(NUMBERS),  # a third smaller
    )
    print(f"{path}: {len(rows)} answers to {len(cells)} data sets")


def compare_seeds(
    seeds: Mapping[int, Cells], n_resamples: int = RESAMPLES
) -> tuple[list[ComparisonRecord], list[DifferenceRecord]]:
    """Records and differences as those of ``grait compare``, for the data sets and systems that all seeds have."""
    first, *others = seeds.values()
    records: list[ComparisonRecord] = []
    differences: list[DifferenceRecord] = []
    for dataset in (name for name in first if all(name in other for other in others)):
        common = set(first[dataset]).intersection(*(set(other[dataset]) for other in others))
        predictions = {
            system: {seed: cells[dataset][system] for seed, cells in seeds.items()}
            for system in METHODS
            if system in common
        }
        answers = gather(dataset, predictions, INIT_BASIC)
        own_records, own_differences = compare(answers, n_resamples, differences_of=["grait"])
        records += own_records
        differences += own_differences
    return records, differences


def write_comparison(seeds: Mapping[int, Cells], kept: Path, out: Path) -> None:
    """OUT/compare.md and OUT/compare.json, as ``grait compare`` writes them. ``kept``: the folder of ``about.json``."""
    records, differences = compare_seeds(seeds)
    facts = load_json(kept / ABOUT)
    facts_by_seed = [facts[f"seed-{seed}"] for seed in seeds]
    about = {
        "date": date.today().isoformat(),
        "seeds": list(seeds),
        "resamples": RESAMPLES,
        "versions": _merged([own["versions"] for own in facts_by_seed]),
        "machine": _merged([own["machine"] for own in facts_by_seed]),
        "config": facts_by_seed[0]["config"],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.md").write_text(comparison_markdown(records, differences, about), encoding="utf-8")
    content = {"records": [asdict(row) for row in records], "differences": [asdict(row) for row in differences]}
    write_json(out / "compare.json", {"about": about, **content})
    print(f"{out / 'compare.md'}: {len(records)} cells, seeds {', '.join(map(str, seeds))}")


def _merged(facts: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Facts of several seeds as one; those that differ between seeds with all their values."""
    names = dict.fromkeys(name for own in facts for name in own)
    return {name: " and ".join(dict.fromkeys(str(own.get(name)) for own in facts)) for name in names}


def load_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def add_seeds_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], help="0,1; default: all")
