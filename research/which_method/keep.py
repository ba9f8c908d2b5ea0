"""``python -m research.which_method.keep RUNS KEPT`` keeps the answers of a comparison's runs.

RUNS holds the runs of one config, ``seed-N`` each (``grait compare``, or ``grait run`` for each seed). KEPT gets
``seed-N.parquet`` and ``about.json``; the format stands in ``research/answers.py``.
"""

import argparse
from pathlib import Path

from grait.runtime.artifacts import write_json
from research.answers import ABOUT, Cells, load_json, read_kept, read_run, write_kept


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
        write_kept(cells, folder / f"{run.name}.parquet")
        summary = load_json(run / "summary.json")
        config = load_json(run / "config.json")
        for dataset in config["evaluation"]["datasets"]:
            dataset["folder"] = None  # where a copy lay; the answers are of the same questions
        about[run.name] = {"config": config, "versions": summary["versions"], "machine": summary["machine"]}
    write_json(folder / ABOUT, about)


def _names(cells: Cells) -> set[str]:
    return {f"{system} on {dataset}" for dataset, systems in cells.items() for system in systems}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("kept", type=Path)
    arguments = parser.parse_args()
    keep(arguments.runs, arguments.kept)


if __name__ == "__main__":
    main()
