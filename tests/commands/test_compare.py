"""`grait compare` on a tiny random model: what it shares, what it leaves behind, and what it does not do again."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Call
from tiny_folder import Files, tiny_tree, write_half_known

import grait
from grait.commands.compare import Comparison, compare, read_comparison
from grait.config import parse_config
from grait.display.tables import comparison_markdown, comparison_tables, verdicts
from grait.errors import ArtifactError, GraitError
from grait.methods.catalog import METHODS
from grait.pipeline import evaluation, knowledge, training
from grait.runtime.artifacts import MANIFEST

METHODS_HERE = ["cor-rait", "craft", "grait"]
SYSTEMS = ["init-basic", "init-refuse", *METHODS_HERE]
NAMES = ("pc", "pw", "pr", "right_refusal_share", "over_refusal_rate", "ths", "auroc", "aurc")


pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Done:
    """A finished comparison of two seeds; tests copy it."""

    model: str
    files: Files
    tree: dict[str, Any]
    result: Comparison

    def tree_at(self, out: Path, **compared: Any) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(json.dumps(self.tree))
        return tree | {"out": str(out), "compare": tree["compare"] | compared}

    def copied_to(self, folder: Path) -> Path:
        shutil.copytree(self.result.folder, folder / "compared")
        return folder / "compared"


@pytest.fixture(scope="module")
def done(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Done:
    model, files = tiny
    tree = tiny_tree(model, files, tmp_path_factory.mktemp("done") / "compared")
    tree["compare"] = {"seeds": [0, 1], "methods": METHODS_HERE}
    # Enough to learn to refuse, and to tell methods and seeds apart.
    tree["lora"] |= {"r": 8, "alpha": 16}
    tree["training"] |= {"epochs": 12, "learning_rate": 0.03}
    tree["evaluation"]["max_new_tokens"] = 16
    tree["evaluation"]["datasets"].append({"path": files.train, "name": "trained on"})
    tree["data"]["allow_overlap"] = True
    return Done(model, files, tree, compare(parse_config(tree)))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each finished stage was written, and which folder it is; cards lie beside its own files."""
    return {
        manifest.parent.relative_to(folder).as_posix(): (manifest.stat().st_mtime_ns, manifest.parent.stat().st_ino)
        for manifest in folder.rglob(MANIFEST)
    }


def written(tree: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


# -- what a comparison leaves behind -------------------------------------------------------------------------------


def test_max_steps_hold_for_training_sets_of_any_size(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = tiny_tree(*tiny, tmp_path / "run")
    tree["training"] |= {"methods": ["cor-rait", "grait"], "max_steps": 3, "batch_size": 2, "micro_batch_size": 2}
    grait.run(tree)
    losses = [
        json.loads((tmp_path / "run" / "adapters" / name / "losses.json").read_text(encoding="utf-8"))
        for name in ("cor-rait", "grait")
    ]
    assert [len(of_method) for of_method in losses] == [3, 3]


def test_every_cell_is_there_once_and_the_rest_is_shared(done: Done) -> None:
    shared = {"knowledge", "warmup", "flow", "conflict", "influence/exact"}
    adapters = {f"adapters/{name}" for name in METHODS_HERE}
    cells = {f"evaluation/{dataset}/{system}" for dataset in ("own", "trained on") for system in SYSTEMS}
    assert set(stamps(done.result.folder)) == {
        f"seed-{seed}/{stage}" for seed in (0, 1) for stage in shared | adapters | cells
    }
    records = done.result.records
    assert [(row.dataset, row.method) for row in records] == [(d, s) for d in ("own", "trained on") for s in SYSTEMS]
    assert {row.seeds for row in records} == {(0, 1)}


def test_the_initial_model_answers_once_for_all_seeds(done: Done) -> None:
    of_seeds = [stamps(done.result.folder / f"seed-{seed}") for seed in (0, 1)]
    for dataset in ("own", "trained on"):
        for system in SYSTEMS:
            written = {made[f"evaluation/{dataset}/{system}"][0] for made in of_seeds}
            assert len(written) == (1 if system.startswith("init-") else 2)


def test_methods_with_the_same_training_set_share_an_adapter(done: Done, tmp_path: Path) -> None:
    twins = ["corcer-rait", "craft-no-flow"]
    tree = done.tree | {
        "out": str(tmp_path),
        "compare": {"seeds": [0], "methods": ["init-basic", "init-refuse", *twins]},
    }
    found = compare(parse_config(tree))
    assert [path.name for path in (tmp_path / "seed-0" / "adapters").iterdir()] == ["corcer-rait"]
    rows = {row.method: asdict(row) for row in found.records if row.dataset == "own"}
    assert rows["craft-no-flow"] == rows["corcer-rait"] | {"method": "craft-no-flow"}


def test_the_file_has_the_records_with_regular_names_as_fractions(done: Done) -> None:
    kept = json.loads((done.result.folder / "compare.json").read_text())
    ends = ("", "_low", "_high")
    names = ["method", "dataset", "n", "seeds", *(f"{name}{end}" for name in NAMES for end in ends)]
    for row, record in zip(kept["records"], done.result.records, strict=True):
        assert list(row) == names
        assert row == {**asdict(record), "seeds": [0, 1]}
        assert row["pc"] + row["pw"] + row["pr"] == pytest.approx(1)
        for name in NAMES:
            if row[name] is None:  # answers of 16 tokens: the initial model has none right there
                assert (name, row["dataset"], row["auroc_low"], row["auroc_high"]) == ("auroc", "own", None, None)
            else:
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
                assert -1 <= row[name] <= 1
    for row in kept["differences"]:
        assert list(row) == ["method", "versus", "dataset", "ths_difference", "low", "high"]
    assert kept["differences"] == [asdict(record) for record in done.result.differences]
    assert kept["about"]["seeds"] == [0, 1]
    assert kept["about"]["config"]["compare"]["methods"] == METHODS_HERE
    assert kept["about"]["machine"]["cores"] >= 1
    assert {"python", "torch", "transformers", "peft"} <= set(kept["about"]["versions"])


def test_metrics_are_means_of_those_that_the_runs_wrote(done: Done) -> None:
    of_seed = [
        {(row["dataset"], row["method"]): row for row in json.loads(path.read_text())}
        for path in sorted(done.result.folder.glob("seed-*/metrics.json"))
    ]
    assert len(of_seed) == 2
    for record in done.result.records:
        cells = [rows[record.dataset, record.method] for rows in of_seed]
        assert {cell["n"] for cell in cells} == {record.n}
        for name in NAMES:
            values = [cell[name] for cell in cells]
            assert getattr(record, name) == (None if None in values else pytest.approx(sum(values) / 2))
    # Methods and seeds do something.
    of_trained = [row for rows in of_seed for row in rows.values() if row["method"] in METHODS_HERE]
    assert len({row["ths"] for row in of_trained}) > 4
    assert any(of_seed[0][cell]["pr"] != of_seed[1][cell]["pr"] for cell in of_seed[0])


def test_the_initial_model_is_the_zero_of_ths(done: Done) -> None:
    for record in done.result.records:
        if record.method == "init-basic":
            assert (record.ths, record.ths_low, record.ths_high, record.over_refusal_rate) == (0, 0, 0, 0)
    assert any(record.ths != 0 for record in done.result.records)


def test_grait_is_held_against_every_other_system(done: Done) -> None:
    ths = {(row.dataset, row.method): row.ths for row in done.result.records}
    found = {(row.dataset, row.versus): row for row in done.result.differences if row.method == "grait"}
    assert set(found) == {(dataset, system) for dataset, system in ths if system != "grait"}
    for (dataset, versus), row in found.items():
        assert row.ths_difference == pytest.approx(ths[dataset, "grait"] - ths[dataset, versus])
        assert row.low <= row.ths_difference <= row.high


def test_a_seed_s_folder_is_an_ordinary_run(done: Done, tmp_path: Path) -> None:
    folder = done.copied_to(tmp_path) / "seed-1"
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["training"]["methods"]) == (1, METHODS_HERE)
    before = stamps(folder)
    result = grait.run(config | {"out": str(folder)})
    assert stamps(folder) == before
    assert [asdict(row) for row in result.metrics] == json.loads((folder / "metrics.json").read_text())


def test_one_seed_gives_the_numbers_of_its_run(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path), seeds=None) | {"seed": 1}
    before = stamps(tmp_path / "compared")
    records = compare(parse_config(tree)).records
    assert stamps(tmp_path / "compared") == before
    run = json.loads((tmp_path / "compared" / "seed-1" / "metrics.json").read_text())
    for record, row in zip(records, run, strict=True):
        assert record.seeds == (1,)
        for name in ("method", "dataset", "n", *NAMES):
            assert getattr(record, name) == pytest.approx(row[name])


def test_all_methods_are_the_default(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(config: Any) -> Any:
        seen.append(config)
        raise GraitError("enough")

    monkeypatch.setattr("grait.commands.compare.run", run)
    with pytest.raises(GraitError, match="enough"):
        compare(parse_config(done.tree_at(tmp_path / "new", methods=None, seeds=[5])))
    (config,) = seen
    assert config.training.methods == [name for name, method in METHODS.items() if method.select]
    assert (config.seed, config.out) == (5, str(tmp_path / "new" / "seed-5"))


# -- what runs again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "name", "calls"), [(evaluation, "predict", 13), (training, "train", 5)])
def test_a_killed_comparison_goes_on_where_it_was(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int
) -> None:
    """Killed in the second seed: 10 cells and 4 trainings of the first are there."""
    config = parse_config(done.tree_at(tmp_path / "new"))
    made: dict[str, int] = {"train": 0, "predict": 0, "query": 0}
    is_killed = True

    def counted(module: Any, counter: str) -> None:
        original = getattr(module, counter)

        def call(*arguments: Any, **options: Any) -> Any:
            if is_killed and counter == name and made[counter] == calls:
                raise KeyboardInterrupt
            made[counter] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, counter, call)

    counted(training, "train")
    counted(evaluation, "predict")
    counted(knowledge, "query")
    with pytest.raises(KeyboardInterrupt):
        compare(config)
    assert not (tmp_path / "new" / "compare.json").exists()
    before = stamps(tmp_path / "new")
    assert "seed-0/evaluation/own/grait" in before
    is_killed = False
    result = compare(config)
    after = stamps(tmp_path / "new")
    assert {stage: after[stage] for stage in before} == before
    assert set(after) == set(stamps(done.result.folder))
    assert made == {"train": 2 * 4, "predict": 10 + 6, "query": 2 * 2}
    assert result.records == done.result.records


@pytest.mark.usefixtures("no_model")
def test_a_finished_folder_is_only_read(done: Done, tmp_path: Path, command: Call) -> None:
    folder = done.copied_to(tmp_path)
    again = compare(parse_config(done.tree_at(folder)))
    assert (again.records, again.differences, again.about) == (
        done.result.records,
        done.result.differences,
        done.result.about,
    )
    path = written(done.tree_at(tmp_path / "elsewhere"), tmp_path / "my.yaml")
    code, out, err = command("compare", path, "--out", folder)
    assert (code, err) == (0, f"  {folder / 'compare.json'}: finished before\n")
    for system in SYSTEMS:
        assert system in out
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("change", ["questions", "seeds", "resamples"])
def test_what_was_changed_is_not_reprinted(done: Done, tmp_path: Path, change: str) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    if change == "questions":
        test = Path(done.files.test).read_text().replace("Who wrote", "Who has written")
        (tmp_path / "test.jsonl").write_text(test)
        tree["evaluation"]["datasets"][0]["path"] = str(tmp_path / "test.jsonl")
    elif change == "seeds":
        tree["compare"]["seeds"] = [0]
    else:
        tree["evaluation"]["n_bootstrap"] = 300
    with pytest.raises(AssertionError, match="a model was loaded"):
        compare(parse_config(tree))


def test_the_same_file_with_other_questions_is_not_reprinted(done: Done, tmp_path: Path) -> None:
    """The config is the same: the questions themselves are looked at."""
    test = tmp_path / "test.jsonl"
    test.write_text(Path(done.files.test).read_text())
    tree = done.tree_at(tmp_path / "new", seeds=[0], methods=["cor-rait"])
    tree["evaluation"]["datasets"] = [{"path": str(test), "name": "own"}]
    before = compare(parse_config(tree))
    test.write_text("".join(test.read_text().splitlines(keepends=True)[:-2]))
    after = compare(parse_config(tree))
    assert after.records[0].n == before.records[0].n - 2


def test_one_more_method_and_seed_run_only_what_is_new(done: Done, tmp_path: Path) -> None:
    folder = done.copied_to(tmp_path)
    before = stamps(folder)
    result = compare(parse_config(done.tree_at(folder, seeds=[1], methods=["grait", "van-tuning"])))
    after = stamps(folder)
    assert {stage: after[stage] for stage in before} == before
    new = {"adapters/van-tuning", "evaluation/own/van-tuning", "evaluation/trained on/van-tuning"}
    assert set(after) - set(before) == {f"seed-1/{stage}" for stage in new}
    assert {row.method for row in result.records} == {"init-basic", "init-refuse", "van-tuning", "grait"}


def test_with_calibration_questions_every_method_is_compared_with_its_dial(done: Done, tmp_path: Path) -> None:
    more = write_half_known(done.model, tmp_path, n_train=16, n_test=32)
    unseen = tmp_path / "unseen.jsonl"
    unseen.write_text("".join(Path(more.test).read_text().splitlines(keepends=True)[8:]))  # the first 8 are the test's
    folder = done.copied_to(tmp_path)
    tree = done.tree_at(folder)
    tree["evaluation"]["calibration"] = {"path": str(unseen)}
    result = compare(parse_config(tree))
    assert (result.records, result.differences) == (done.result.records, done.result.differences)
    trained = [system for system in SYSTEMS if not system.startswith("init-")]
    assert [(row.dataset, row.method) for row in result.dialled] == [
        (dataset, f"{system} + dial") for dataset in ("own", "trained on") for system in trained
    ]
    of_seeds = [
        {(row["dataset"], row["method"]): row for row in json.loads((run / "dialled_metrics.json").read_text())}
        for run in (folder / "seed-0", folder / "seed-1")
    ]
    for row in result.dialled:
        first, second = (own[row.dataset, row.method] for own in of_seeds)
        for name in ("pc", "pw", "pr", "ths"):
            assert getattr(row, name) == pytest.approx((first[name] + second[name]) / 2, abs=1e-12)
    assert {row.versus for row in result.dialled_differences} <= {f"{system} + dial" for system in trained}
    assert any(row.method == "grait + dial" for row in result.dialled_differences)
    initial = [stamps(folder / f"seed-{seed}")["calibration/unseen/init-basic"][0] for seed in (0, 1)]
    assert initial[0] == initial[1]  # asked once for both
    assert read_comparison(folder) == result == compare(parse_config(tree))
    text = (folder / "compare.md").read_text()
    assert "## own with the refusal dial (8 questions, seeds 0, 1)" in text
    assert "## THS of grait + dial minus THS of each other, paired" in text


# -- tables --------------------------------------------------------------------------------------------------------


def test_the_tables_are_sorted_by_ths(done: Done, tmp_path: Path, command: Call) -> None:
    code, out, _ = command("compare", written(done.tree_at(done.result.folder), tmp_path / "my.yaml"))
    assert code == 0
    block = out.split("trained on, ")[0]
    rows = sorted((row for row in done.result.records if row.dataset == "own"), key=lambda row: -row.ths)
    places = [block.index(f"\n {row.method} ") for row in rows]
    assert places == sorted(places)
    best = rows[0]
    low, high = (f"{100 * value + 0.0:.1f}" for value in (best.ths_low, best.ths_high))
    assert f"{100 * best.ths:.1f} [{low}, {high}]".replace("-0.0", "0.0") in block.replace("-0.0", "0.0")
    assert "THS of grait minus THS of" in out
    assert f"own: highest THS {best.method}" in out


def test_the_longest_names_fit_into_80_columns(done: Done) -> None:
    from rich.console import Console

    worst = [
        type(row)(**{**asdict(row), "method": name, "ths": -1.0, "ths_low": -1.0, "ths_high": -1.0, "auroc": 1.0})
        for row, name in zip(done.result.records, METHODS, strict=False)
    ]
    console = Console(width=80)
    with console.capture() as captured:
        for table in comparison_tables(worst, [], "grait"):
            console.print(table)
    assert "…" not in captured.get()
    assert "-100.0 [-100.0, -100.0]" in captured.get()


def test_the_markdown_has_every_interval_and_where_it_comes_from(done: Done) -> None:
    text = (done.result.folder / "compare.md").read_text()
    assert text == comparison_markdown(done.result.records, done.result.differences, done.result.about)
    for row in done.result.records:
        (line,) = [
            line
            for line in text.partition(f"## {row.dataset} ")[2].partition("\n## ")[0].splitlines()
            if line.startswith(f"| {row.method} |")
        ]
        assert line.count("[") == len(NAMES) - (row.auroc is None)
        assert f"{100 * row.pw:.1f} [{100 * row.pw_low:.1f}, {100 * row.pw_high:.1f}]" in line
    assert "Seeds: 0, 1." in text
    assert "torch " in text and "cores " in text and done.result.about["date"] in text
    config = text.partition("```yaml\n")[2].partition("```")[0]
    assert parse_config(yaml.safe_load(config)) == parse_config(done.tree)


def test_the_verdict_names_what_cannot_be_told_apart(done: Done) -> None:
    lines = verdicts(done.result.records, done.result.differences)
    for line, dataset in zip(lines, ("own", "trained on"), strict=True):
        rows = [row for row in done.result.records if row.dataset == dataset]
        best = max(rows, key=lambda row: row.ths).method
        assert line.startswith(f"{dataset}: highest THS {best} (")
        level = line.partition("not clearly above ")[2].split(", ")
        for row in done.result.differences:
            if (row.dataset, row.method) == (dataset, best):
                assert (row.versus in level) == (row.low <= 0)


# -- options -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--methods", "grait,gratis"],
            "--methods grait,gratis: 'gratis' is no method; allowed: init-basic, init-refuse,",
        ),
        (["--methods", ""], "'' is no method"),
        (["--methods", "grait,grait"], "grait stands twice"),
        (["--seeds", "0,one"], "--seeds 0,one: 'one' is no seed; expected whole numbers from 0, such as 0,1,2"),
        (["--seeds", "0,-1"], "'-1' is no seed"),
        (["--seeds", "0,,1"], "'' is no seed"),
        (["--seeds", "0,0"], "compare.seeds"),
        (["--set", "compare.methods=[best]"], "compare.methods.0 = 'best': should be 'init-basic', 'init-refuse'"),
        (["--set", "compare.seeds=[]"], "compare.seeds = []: "),
        (["--set", "compare.sedes=[1]"], "compare.sedes: unknown key; allowed: methods, seeds"),
    ],
)
def test_a_bad_option_is_one_line(done: Done, tmp_path: Path, command: Call, options: list[str], expected: str) -> None:
    path = written(done.tree_at(tmp_path / "new"), tmp_path / "my.yaml")
    code, _, err = command("compare", path, *options)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1
    assert expected in err
    assert not (tmp_path / "new").exists()


def test_options_take_the_place_of_the_config(done: Done, tmp_path: Path, command: Call) -> None:
    folder = done.copied_to(tmp_path)
    path = written(done.tree_at(tmp_path / "elsewhere"), tmp_path / "my.yaml")
    code, out, err = command("compare", path, "--methods", "cor-rait, grait", "--seeds", "1", "--out", folder)
    assert code == 0
    assert "Seed 1 (1 of 1)" in err
    assert "finished before, reused" in err and "running again" not in err
    assert "craft" not in out
    kept = json.loads((folder / "compare.json").read_text())
    assert kept["about"]["config"]["compare"] == {"methods": ["cor-rait", "grait"], "seeds": [1]}


@pytest.mark.parametrize("name", ["worldfacts", "worldfacts-quick"])
def test_the_configs_of_the_repository_can_be_read(name: str) -> None:
    from grait.config import parse_file
    from grait.data.load import load_questions

    path = Path(__file__).parents[2] / "configs" / "compare" / f"{name}.yaml"
    config = parse_file(path)
    assert config.compare.seeds
    assert config.compare.methods is None
    for dataset in (config.data, *config.evaluation.datasets):
        assert len(load_questions(dataset)) == dataset.limit


def test_a_folder_that_holds_a_run_takes_no_comparison(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = tiny_tree(*tiny, tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"holds a run of its own; name another folder \(out\)"):
        compare(parse_config(tree))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
