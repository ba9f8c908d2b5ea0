"""Answers that are kept give the comparison of the runs; those in this folder give the tables of docs/results.md."""

import json
import re
import shutil
from pathlib import Path

import pytest

from grait.evaluation.compare import compare, gather
from grait.methods.catalog import INIT_BASIC
from grait.runtime.artifacts import write_rows
from research.answers import ABOUT, compare_seeds, read_seeds, write_comparison
from research.made_up import predictions
from research.which_method.keep import keep

HERE = Path(__file__).parent
RESULTS = Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of three systems, and a trial that is none of a comparison's."""
    initial = predictions(0, ("correct", "wrong"))
    for seed in (0, 1):
        run = tmp_path / "runs" / f"seed-{seed}"
        for number, system in enumerate((INIT_BASIC, "cor-rait", "grait")):
            folder = run / "evaluation" / "in-domain" / system
            folder.mkdir(parents=True)
            rows = initial if system == INIT_BASIC else predictions(10 * seed + number)
            write_rows(folder / "predictions.parquet", rows[::-1] if seed else rows)
        trial = run / "evaluation" / "validation" / "grait"
        trial.mkdir(parents=True)
        write_rows(trial / "predictions.parquet", initial)
        facts = {"versions": {"python": "3"}, "machine": {"processor": f"kind {seed}"}}
        (run / "summary.json").write_text(json.dumps(facts), encoding="utf-8")
        config = {"evaluation": {"datasets": [{"path": "nq", "name": "in-domain", "folder": "/home/me/nq"}]}}
        (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path / "runs"


def test_kept_answers_give_the_very_comparison_of_the_runs(runs: Path, tmp_path: Path) -> None:
    keep(runs, tmp_path / "kept")
    of_runs, of_kept = read_seeds(runs), read_seeds(tmp_path / "kept")
    assert list(of_kept) == [0, 1] and list(of_kept[0]) == ["in-domain"]
    assert compare_seeds(of_kept) == compare_seeds(of_runs)
    systems = {
        system: {seed: of_runs[seed]["in-domain"][system] for seed in of_runs} for system in of_runs[0]["in-domain"]
    }
    expected, _ = compare(gather("in-domain", systems, INIT_BASIC), differences_of=["grait"])
    by_method = {record.method: record for record in compare_seeds(of_kept)[0]}
    assert by_method == {record.method: record for record in expected}


def test_what_is_kept_names_machines_and_no_folder_of_mine(runs: Path, tmp_path: Path) -> None:
    keep(runs, tmp_path / "kept")
    write_comparison(read_seeds(tmp_path / "kept"), tmp_path / "kept", tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text(encoding="utf-8")
    assert "kind 0 and kind 1" in text
    assert all("/home/me" not in path.read_text(encoding="utf-8") for path in tmp_path.glob("[ko]*/*.json"))
    assert "/home/me" not in text


def test_a_comparison_of_some_seeds_has_what_these_have_in_common(runs: Path, tmp_path: Path) -> None:
    shutil.rmtree(runs / "seed-1" / "evaluation" / "in-domain" / "cor-rait")
    keep(runs, tmp_path / "kept")
    for seeds, systems in ((None, {INIT_BASIC, "grait"}), ([0], {INIT_BASIC, "grait", "cor-rait"})):
        write_comparison(read_seeds(tmp_path / "kept", seeds), tmp_path / "kept", tmp_path / "out")
        written = json.loads((tmp_path / "out" / "compare.json").read_text())
        assert {record["method"] for record in written["records"]} == systems
        assert written["about"]["seeds"] == (seeds or [0, 1])
    with pytest.raises(SystemExit, match="has no seed 2; it has 0, 1"):
        read_seeds(tmp_path / "kept", [0, 2])


def test_keeping_again_leaves_other_seeds(runs: Path, tmp_path: Path) -> None:
    keep(runs, tmp_path / "kept")
    before = (tmp_path / "kept" / "seed-1.parquet").read_bytes()
    (runs / "seed-1").rename(tmp_path / "elsewhere")
    keep(runs, tmp_path / "kept")
    assert (tmp_path / "kept" / "seed-1.parquet").read_bytes() == before
    assert set(json.loads((tmp_path / "kept" / ABOUT).read_text())) == {"seed-0", "seed-1"}


def test_a_run_with_fewer_systems_takes_nothing_away(runs: Path, tmp_path: Path) -> None:
    keep(runs, tmp_path / "kept")
    before = (tmp_path / "kept" / "seed-0.parquet").read_bytes()
    shutil.rmtree(runs / "seed-0" / "evaluation" / "in-domain" / "cor-rait")
    with pytest.raises(SystemExit, match="such as cor-rait on in-domain"):
        keep(runs, tmp_path / "kept")
    assert (tmp_path / "kept" / "seed-0.parquet").read_bytes() == before


def rows_below(heading: str) -> dict[str, list[str]]:
    """Cells of the first table below a heading of docs/results.md, by the first one, which names a system."""
    text = RESULTS.read_text(encoding="utf-8")
    text = text[text.index(f"\n{heading}\n") :]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table[0].splitlines()[2:]]
    return {cells[0].strip("*`"): cells[1:] for cells in lines}


@pytest.mark.parametrize(
    ("heading", "folder", "dataset", "n_systems"),
    [
        ("### In-domain", "answers", "in-domain", 12),
        ("### Out-of-domain", "answers", "out-of-domain", 12),
        ("### TriviaQA, 2,000 questions", "triviaqa", "triviaqa-2000", 7),
    ],
)
def test_the_tables_of_the_docs_are_those_of_the_kept_answers(
    heading: str, folder: str, dataset: str, n_systems: int
) -> None:
    shown = rows_below(heading)
    seeds = {seed: {dataset: cells[dataset]} for seed, cells in read_seeds(HERE / folder).items()}
    records, differences = compare_seeds(seeds, n_resamples=20)
    leads = {row.versus: row.ths_difference for row in differences if row.method == "grait"}
    found = {record.method: record for record in records}
    assert len(shown) == n_systems and set(shown) <= set(found)
    for system, (shares, ths, over_refusal, auroc, lead) in shown.items():
        record = found[system]
        assert shares == " / ".join(f"{100 * share:.1f}" for share in (record.pc, record.pw, record.pr))
        assert ths.partition(" ")[0] == f"{100 * record.ths:.1f}"
        assert over_refusal == f"{100 * record.over_refusal_rate:.1f}"
        assert auroc.partition(" ")[0] == f"{100 * record.auroc:.1f}"
        assert system == "grait" or lead.partition(" ")[0] == f"{100 * leads[system]:.1f}"
