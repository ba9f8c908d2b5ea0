"""Several processes do what one does: the same knowledge, influence, selection, training and answers (gloo, CPU).

Also where the model is sharded in training (FSDP), and loaded again afterwards.
"""

import copy
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from launchers import ALONE, CONFIGS, ENVIRONMENT, HAS_DEEPSPEED, THREE, accelerated
from safetensors.torch import load_file
from tiny_dial import load_dial
from tiny_evaluation import TASK
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known
from zoo import save_family

from grait.errors import ConfigError
from grait.pipeline.replay import ReplayRow
from grait.records import InfluenceScore, KnowledgeState, Prediction, StaticConflict
from grait.runtime import processes
from grait.runtime.artifacts import read_rows

TWO, FSDP = accelerated("cpu-2.yaml"), accelerated("cpu-2-fsdp.yaml")
ZERO = {name: [*accelerated(f"{name}.yaml"), "--num_processes", "2"] for name in ("zero2", "zero3")}


def launch(launcher: Sequence[str], tree: dict[str, Any], *, config: Path) -> "subprocess.Popen[str]":
    """``grait run`` in the processes of a launcher."""
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return subprocess.Popen(
        [*launcher, "-m", "grait", "run", str(config)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Run:
    folder: Path
    out: str
    err: str

    def rows(self, path: str, kind: type) -> list[Any]:
        return read_rows(self.folder / path, kind)


def finished(launcher: Sequence[str], tree: dict[str, Any], folder: Path) -> Run:
    process = launch(launcher, tree | {"out": str(folder)}, config=folder.with_suffix(".yaml"))
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return Run(folder, out, err)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Files, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder, n_train=19, n_test=16)  # 19, 5 and 11 leave a rest with 2 and with 3
    rows = Path(files.test).read_text(encoding="utf-8").splitlines(keepends=True)
    Path(files.test).write_text("".join(rows[:5]), encoding="utf-8")
    (folder / "unseen.jsonl").write_text("".join(rows[5:]), encoding="utf-8")
    tree = tiny_tree(model, files, folder / "run")
    tree["evaluation"]["calibration"] = {"path": str(folder / "unseen.jsonl")}
    tree["training"] |= {"methods": ["craft", "grait"], "epochs": 2, "batch_size": 6, "micro_batch_size": 1}
    tree["warmup"] |= {"epochs": 2, "batch_size": 6, "micro_batch_size": 1}
    tree["influence"] = {"transform": "adam", "checkpoints": "epochs"}  # of moments that were gathered
    return folder, files, tree


@pytest.fixture(scope="module")
def runs(tiny: tuple[Path, Files, dict[str, Any]]) -> Iterator[dict[str, Run]]:
    folder, _, tree = tiny
    launchers = {"one": ALONE, "two": TWO, "three": THREE, "fsdp": FSDP, **(ZERO if HAS_DEEPSPEED else {})}
    yield {name: finished(launcher, tree, folder / name) for name, launcher in launchers.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two", "three", "fsdp", *ZERO])
def test_every_stage_is_that_of_one_process(runs: dict[str, Run], name: str) -> None:
    if name not in runs:
        pytest.skip("DeepSpeed is not installed")
    one, many = runs["one"], runs[name]
    n_processes = [json.loads((run.folder / "summary.json").read_text())["processes"] for run in (one, many)]
    assert n_processes == [1, 3 if name == "three" else 2]
    known = "knowledge/knowledge.parquet"
    assert many.rows(known, KnowledgeState) == one.rows(known, KnowledgeState)
    conflicts = [{row.id: row for row in run.rows("conflict/conflict.parquet", StaticConflict)} for run in (one, many)]
    assert conflicts[0].keys() == conflicts[1].keys() and conflicts[0]
    for question_id, conflict in conflicts[0].items():
        assert conflicts[1][question_id].cosine == pytest.approx(conflict.cosine, abs=1e-5)
    scores = [run.rows("influence/exact/influence.parquet", InfluenceScore) for run in (one, many)]
    for expected, found in zip(*scores, strict=True):
        assert (found.id, found.label) == (expected.id, expected.label)
        for name in ("refusal_influence", "over_refusal_influence", "retention_influence"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-4)
    selections = [
        [json.loads(line) for line in (run.folder / "rait.jsonl").read_text().splitlines()] for run in (one, many)
    ]
    for expected, found in zip(*selections, strict=True):
        assert found.pop("sample_weight") == pytest.approx(expected.pop("sample_weight"), abs=1e-4)
        assert found == expected
    for adapter in ("warmup", "warmup/epoch-1", "adapters/grait", "adapters/craft"):
        if (one.folder / adapter / "losses.json").exists():
            losses = [json.loads((run.folder / adapter / "losses.json").read_text()) for run in (one, many)]
            assert losses[1] == pytest.approx(losses[0], abs=1e-3)
        for file in ("adapter_model.safetensors", "optimizer_moments.safetensors"):
            weights = [load_file(run.folder / adapter / file) for run in (one, many)]
            assert weights[1].keys() == weights[0].keys()
            for weight, expected in weights[0].items():
                assert float((weights[1][weight] - expected).abs().max()) < 1e-3
    for adapter in ("adapters/grait", "adapters/craft"):
        dials = [load_dial(run.folder / adapter) for run in (one, many)]
        assert dials[1].threshold == pytest.approx(dials[0].threshold, abs=1e-3)
        assert dials[1].achieved == dials[0].achieved
    for system in ("init-basic", "grait"):
        path = f"evaluation/own/{system}/predictions.parquet"
        expected_rows, found_rows = one.rows(path, Prediction), many.rows(path, Prediction)
        assert [(row.id, row.outcome) for row in found_rows] == [(row.id, row.outcome) for row in expected_rows]
    assert many.out.replace(str(many.folder), "") == one.out.replace(str(one.folder), "")  # the table, once


@pytest.mark.slow
@pytest.mark.parametrize("family", ["lfm2", "gpt_oss", "qwen3_moe"])
def test_every_road_is_that_of_one_process(family: str, tmp_path: Path) -> None:
    """No sharing; a copied prefix; a shared one with adapters on fused experts."""
    model = str(tmp_path / "model")
    save_family(family, tmp_path / "model")
    tree = tiny_tree(model, write_half_known(model, tmp_path, n_train=19, n_test=16), tmp_path / "run")
    tree["training"]["methods"] = ["grait"]
    if family == "qwen3_moe":
        tree["lora"]["target_parameters"] = ["experts.gate_up_proj", "experts.down_proj"]
    one, two = finished(ALONE, tree, tmp_path / "one"), finished(TWO, tree, tmp_path / "two")
    states, scores = (
        [run.rows(f"{path}.parquet", kind) for run in (one, two)]
        for path, kind in (("knowledge/knowledge", KnowledgeState), ("influence/exact/influence", InfluenceScore))
    )
    assert states[0] == states[1]
    for row, other in zip(*scores, strict=True):
        assert row.id == other.id and row.stable_influence == pytest.approx(other.stable_influence, abs=1e-4)
    adapter, same = (load_file(run.folder / "adapters/grait/adapter_model.safetensors") for run in (one, two))
    for name, weight in adapter.items():
        assert (weight - same[name]).abs().max() < 1e-3, name


@pytest.mark.slow
def test_replay_is_that_of_one_process(tiny: tuple[Path, Files, dict[str, Any]]) -> None:
    """Two share the prompts, one of which may have none of a form, and train on rows of different forms."""
    folder, _, tree = tiny
    tree = copy.deepcopy(tree) | {"replay": {"path": "builtin", "n": 21, "max_new_tokens": 5, "share": 0.4}}
    tree["training"]["methods"] = ["van-tuning"]
    tree["evaluation"].pop("calibration")
    one, two = (
        finished(launcher, tree, folder / f"replay-{name}") for name, launcher in (("one", ALONE), ("two", TWO))
    )
    path = "replay/rows.parquet"
    assert two.rows(path, ReplayRow) == one.rows(path, ReplayRow)
    stored = [load_file(run.folder / "replay/teacher.safetensors") for run in (one, two)]
    assert stored[0]["completion_ids"].tolist() == stored[1]["completion_ids"].tolist()
    path = "adapters/van-tuning/adapter_model.safetensors"
    weights = [load_file(run.folder / path) for run in (one, two)]
    for name, expected in weights[0].items():
        assert float((weights[1][name] - expected).abs().max()) < 1e-3


@pytest.mark.slow
def test_a_sharded_model_is_loaded_again_for_what_follows(runs: dict[str, Run]) -> None:
    assert runs["fsdp"].err.count("model sharded by FSDP") == 3
    assert runs["fsdp"].err.count("loading ") == 4
    assert runs["two"].err.count("loading ") == 1
    assert "sharded" not in runs["two"].err


@pytest.mark.slow
def test_the_sketch_of_two_processes_is_that_of_one(
    tiny: tuple[Path, Files, dict[str, Any]], runs: dict[str, Run]
) -> None:
    folder, _, tree = tiny
    tree = copy.deepcopy(tree) | {"influence": {"mode": "sketch", "dimensions": 256}}
    found = [finished(launcher, tree, folder / f"sketch-{i}") for i, launcher in enumerate((ALONE, TWO))]
    scores = [run.rows("influence/sketch/influence.parquet", InfluenceScore) for run in found]
    for expected, other in zip(*scores, strict=True):
        assert other.stable_influence == pytest.approx(expected.stable_influence, abs=1e-4)


@pytest.mark.slow
def test_a_process_that_dies_stops_the_others_and_the_run_goes_on_later(
    tiny: tuple[Path, Files, dict[str, Any]], runs: dict[str, Run]
) -> None:
    folder, _, tree = tiny
    tree = tree | {"out": str(folder / "killed")}
    process = launch(TWO, tree, config=folder / "killed.yaml")
    deadline = time.monotonic() + 120
    while not (folder / "killed" / "knowledge").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(listed.stdout.split()[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "SIGKILL" in err or "Signal 9" in err
    again = finished(TWO, tree, folder / "killed")
    assert again.err.count("finished before, reused") >= 1
    assert again.out.replace(str(again.folder), "") == runs["two"].out.replace(str(runs["two"].folder), "")


@pytest.mark.slow
def test_the_harness_runs_in_one_of_two_processes(tiny: tuple[Path, Files, dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"country": "France", "options": ["Paris", "Rome"], "right": 0}] * 3
    (tmp_path / "places.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny_places.yaml").write_text(TASK.format(file=tmp_path / "places.jsonl"))
    _, files, tree = tiny
    bars, results = [], []
    for name, launcher in (("one", ALONE), ("two", TWO)):
        options = ["--data", files.test, "--out", str(tmp_path / name), "--no-probes"]
        harness = ["--lm-eval-tasks", "tiny_places", "--lm-eval-include-path", str(tmp_path)]
        done = subprocess.run(
            [*launcher, "-m", "grait", "eval", "--model", tree["model"]["name"], *options, *harness],
            env={**ENVIRONMENT, "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        results.append((tmp_path / name / "lm_eval.json").read_text())
        bars.append(done.stderr.count("Running loglikelihood requests: 100%"))
    assert results[1] == results[0]
    assert bars[1] == bars[0] > 0


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "fsdp_version: expected 2, found 1"),
        (
            {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"},
            "fsdp_state_dict_type: expected FULL_STATE_DICT, found SHARDED_STATE_DICT",
        ),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "MEGATRON_LM is not supported"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, "parallelism_config is not supported"),
    ],
)
def test_what_a_launcher_may_not_ask_for_is_one_line(
    monkeypatch: pytest.MonkeyPatch, launcher: dict[str, str], message: str
) -> None:
    for variable, value in launcher.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        processes.start("cpu")


def test_zero_needs_deepspeed_and_whole_models_in_the_other_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install deepspeed"):
        processes.start("cpu")
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO3_INIT", "true")
    with pytest.raises(ConfigError, match="zero3_init_flag: expected false"):
        processes.start("cpu")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO3_INIT", "false")
    processes.start("cpu")
    assert processes.sharding() == "zero"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_launcher_configs_are_those_of_accelerate_and_ask_for_nothing_that_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config_from_file(str(path)).to_dict()
    assert config["num_processes"] == {"single-gpu": 1, "two-nodes": 16}.get(path.stem, 2 if "cpu" in path.stem else 8)
    assert (config["use_cpu"], config["mixed_precision"]) == ("cpu" in path.stem, "no")
    assert config["distributed_type"] != "MULTI_CPU"  # of which accelerate starts one process
    if config["distributed_type"] == "FSDP":
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
        for key, value in config["fsdp_config"].items():
            monkeypatch.setenv(key.upper(), str(value))
        processes.start("cpu")
        assert processes.sharding() == "fsdp"
    if config["distributed_type"] == "DEEPSPEED":
        assert config["deepspeed_config"]["zero3_init_flag"] is False


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cpu-2.yaml", "cpu-2-fsdp.yaml"])
def test_the_configs_without_a_gpu_start_two_processes(config: str, tmp_path: Path) -> None:
    """With MULTI_CPU accelerate 1.15 starts one, without a word, and all comparisons with one process hold."""
    script = tmp_path / "count.py"
    script.write_text(
        "from pathlib import Path\nfrom grait.runtime import processes\nprocesses.start('cpu')\n"
        f"(Path({str(tmp_path)!r}) / f'rank-{{processes.rank()}}').write_text(str(processes.count()))\n"
    )
    subprocess.run([*accelerated(config), str(script)], check=True, env=ENVIRONMENT)
    found = {path.name: path.read_text() for path in tmp_path.glob("rank-*")}
    assert found == {"rank-0": "2", "rank-1": "2"}


def test_without_a_launcher_nothing_is_sharded() -> None:
    assert processes.sharding() == "none"


def test_alone_a_process_does_everything() -> None:
    assert (processes.count(), processes.rank(), processes.is_main()) == (1, 0, True)
    assert processes.own("abc") == ["a", "b", "c"]
    assert processes.gathered([1, 2]) == [1, 2]
    assert processes.from_main("x") == "x"
