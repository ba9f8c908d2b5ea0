"""What every system made of every test question, kept in a small file for each seed: comparisons that outlast adapters.

``python -m experiments.answers keep RUNS KEPT`` writes KEPT/seed-N.parquet from RUNS/seed-N, the runs of one config
(``grait compare``, or ``grait run`` for each seed): data set, system, question id, both outcomes and the three numbers
of ``records.Prediction``, no text. KEPT/about.json has each seed's config, versions and machine.

``python -m experiments.answers keep-trials RUN FILE`` writes such a file of what RUN's systems and the trials of
``experiments.selection`` made of the validation questions.

``python -m experiments.answers compare KEPT OUT`` writes OUT/compare.md and OUT/compare.json, as ``grait compare`` does
for every system that all seeds have: means over the seeds, paired 95% intervals. ``--seeds 0,1`` takes only these
seeds, which may have more systems in common.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
"""Data set -> system -> its answers, of one seed."""

ABOUT = "about.json"
NAMES = ("dataset", "system", "id")
OUTCOMES = ("outcome", "suppressed_outcome")
NUMBERS = ("refusal_logprob", "suppressed_logprob", "first_token_log_odds")
"""The columns of a kept file."""

RESAMPLES = 10_000


def read_seeds(folder: Path) -> dict[int, Cells]:
    """Seed -> its cells, of a folder of runs or of kept answers; kept ones have no text."""
    kept = {int(path.stem.removeprefix("seed-")): read_kept(path) for path in folder.glob("seed-*.parquet")}
    seeds = kept or {int(run.name.removeprefix("seed-")): read_run(run) for run in folder.glob("seed-*")}
    if not seeds:
        raise SystemExit(f"{folder}: expected seed-*.parquet or runs seed-*, found neither")
    return dict(sorted(seeds.items()))


def read_run(run: Path) -> Cells:
    """All finished cells of the data sets in a run's config, in its order; not what ``experiments.selection`` left."""
    config = load_json(run / "config.json")
    titles = [DataConfig(**dataset).title for dataset in config["evaluation"]["datasets"]]
    return {title: _finished(run / "evaluation" / title) for title in titles}


def _finished(folder: Path) -> dict[str, list[Prediction]]:
    paths = [path for path in sorted(folder.glob("*/predictions.parquet")) if path.parent.name in METHODS]
    return {path.parent.name: read_rows(path, Prediction) for path in paths}


def read_kept(path: Path) -> Cells:
    """Answers kept before predictions had a second one are ranked by the refusal's probability, as they were then."""
    table = pq.read_table(path)
    is_older = table.column_names == [*NAMES, "outcome", "refusal_logprob"]
    if is_older:
        print(f"{path}: kept by an earlier version, ranked by the probability of the refusal alone")
    cells: Cells = {}
    for row in table.to_pylist():
        prediction = Prediction(
            id=row["id"],
            output="",
            outcome=row["outcome"],
            suppressed_output="",
            suppressed_outcome=row["outcome"] if is_older else row["suppressed_outcome"],
            refusal_logprob=row["refusal_logprob"],
            suppressed_logprob=0.0 if is_older else row["suppressed_logprob"],
            first_token_log_odds=float("nan") if is_older else row["first_token_log_odds"],
            is_unparsable=False,
            is_hedged=False,
        )
        cells.setdefault(row["dataset"], {}).setdefault(row["system"], []).append(prediction)
    return cells


def _names(cells: Cells) -> set[str]:
    return {f"{system} on {dataset}" for dataset, systems in cells.items() for system in systems}


def keep(runs: Path, folder: Path) -> None:
    """Write, or write again, the answers of each seed in ``runs``; those of other seeds in ``folder`` stay.

    A run that lacks something that was kept of its seed is refused, so that nothing is lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = load_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
    cells_of = {run: read_run(run) for run in sorted(runs.glob("seed-*"))}
    for run, cells in cells_of.items():
        path = folder / f"{run.name}.parquet"
        lost = _names(read_kept(path)) - _names(cells) if path.exists() else set()
        if lost:
            raise SystemExit(
                f"{path}: has {len(lost)} cells that {run} lacks, such as {min(lost)}; keep them elsewhere"
            )
    for run, cells in cells_of.items():
        path = folder / f"{run.name}.parquet"
        write_kept(cells, path)
        summary = load_json(run / "summary.json")
        config = load_json(run / "config.json")
        for dataset in config["evaluation"]["datasets"]:
            dataset["folder"] = None  # where a copy lay; the answers are of the same questions
        about[run.name] = {"config": config, "versions": summary["versions"], "machine": summary["machine"]}
    write_json(folder / ABOUT, about)


def keep_trials(run: Path, path: Path) -> None:
    """Write the answers of all systems and trials in ``run`` to validation questions, whatever their names."""
    folders = sorted((run / "evaluation" / "validation").glob("[!.]*"))
    write_kept({"validation": {own.name: read_rows(own / "predictions.parquet", Prediction) for own in folders}}, path)


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
    pq.write_table(pa.table(columns, schema), path, compression="zstd")
    print(f"{path}: {len(rows)} answers of {len(cells)} data sets")


def compare_seeds(seeds: Mapping[int, Cells]) -> tuple[list[ComparisonRecord], list[DifferenceRecord]]:
    """Records and differences as those of ``grait compare``, of the data sets and systems that all seeds have."""
    first, *others = seeds.values()
    records: list[ComparisonRecord] = []
    differences: list[DifferenceRecord] = []
    for dataset in (name for name in first if all(name in other for other in others)):
        common = set(first[dataset]).intersection(*(other[dataset] for other in others))
        predictions = {
            system: {seed: cells[dataset][system] for seed, cells in seeds.items()}
            for system in METHODS
            if system in common
        }
        own_records, own_differences = compare(
            gather(dataset, predictions, INIT_BASIC), RESAMPLES, differences_of=["grait"]
        )
        records += own_records
        differences += own_differences
    return records, differences


def _all(facts: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Facts of several seeds as one; those that differ between seeds with all their values."""
    names = dict.fromkeys(name for of_seed in facts for name in of_seed)
    return {name: " and ".join(dict.fromkeys(str(of_seed.get(name)) for of_seed in facts)) for name in names}


def load_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write_comparison(kept: Path, out: Path, only: Sequence[int] | None = None) -> None:
    """What ``grait compare`` would write of the kept answers. ``only``: seeds; default: all."""
    found = read_seeds(kept)
    if lacking := set(only or ()) - set(found):
        raise SystemExit(f"{kept}: has no seed {min(lacking)}; it has {', '.join(map(str, found))}")
    write_seeds({seed: cells for seed, cells in found.items() if only is None or seed in only}, kept, out)


def write_seeds(seeds: Mapping[int, Cells], kept: Path, out: Path) -> None:
    """The comparison of these cells. ``kept``: the folder with the facts about their seeds."""
    records, differences = compare_seeds(seeds)
    of_all = load_json(kept / ABOUT)
    of_seeds = [of_all[f"seed-{seed}"] for seed in seeds]
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "seeds": list(seeds),
        "resamples": RESAMPLES,
        "versions": _all([of["versions"] for of in of_seeds]),
        "machine": _all([of["machine"] for of in of_seeds]),
        "config": of_seeds[0]["config"],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.md").write_text(comparison_markdown(records, differences, about), encoding="utf-8")
    content = {"records": [asdict(row) for row in records], "differences": [asdict(row) for row in differences]}
    write_json(out / "compare.json", {"about": about, **content})
    print(f"{out / 'compare.md'}: {len(records)} cells, seeds {', '.join(map(str, seeds))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    keeping = commands.add_parser("keep")
    keeping.add_argument("runs", type=Path)
    keeping.add_argument("kept", type=Path)
    keeping_trials = commands.add_parser("keep-trials")
    keeping_trials.add_argument("run", type=Path)
    keeping_trials.add_argument("file", type=Path)
    comparing = commands.add_parser("compare")
    comparing.add_argument("kept", type=Path)
    comparing.add_argument("out", type=Path)
    comparing.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")])
    arguments = parser.parse_args()
    if arguments.command == "keep":
        keep(arguments.runs, arguments.kept)
    elif arguments.command == "keep-trials":
        keep_trials(arguments.run, arguments.file)
    else:
        write_comparison(arguments.kept, arguments.out, arguments.seeds)


if __name__ == "__main__":
    main()
