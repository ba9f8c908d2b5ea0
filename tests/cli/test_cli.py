"""The command line: what it says about bad input, how it ends, and that its help is enough to use it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from conftest import Call
from tiny import tiny_tokenizer
from tiny_folder import Files, tiny_tree, write_jsonl
from transformers import Gemma3Config, GPT2Config, Lfm2Config, LlamaConfig, PretrainedConfig

import grait
from grait import cli
from grait.cli import running
from grait.commands import run as grait_run
from grait.commands.recipe import demo_config, recipe
from grait.config import Config, ModelConfig
from grait.errors import GraitError
from grait.methods.catalog import METHODS
from grait.pipeline import order

GOOD: list[dict[str, Any]] = [{"id": f"g{i}", "question": f"Question {i}?", "answers": ["yes"]} for i in range(6)]


def assert_one_error(outcome: tuple[int, str, str], *parts: str) -> str:
    code, _, err = outcome
    assert code == 2
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    return err


# -- bad questions -------------------------------------------------------------------------------------------------


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("bad.jsonl", b"", "is empty"),
    "blank": ("bad.jsonl", b"\n\n", "holds no question"),
    "no question": ("bad.jsonl", lines(*GOOD, {"answers": ["yes"]}), "line 7: has no `question`"),
    "no answers": ("bad.jsonl", lines(*GOOD, {"question": "Why?"}), "line 7: has no `answers`"),
    "no answers column": ("bad.csv", b"id,question\na,Why?\n", "line 1: has no column `answers`"),
    "duplicate ids": ("bad.jsonl", lines(*GOOD, GOOD[1]), "line 7: the id 'g1' was already used in line 2"),
    "answer not among choices": (
        "bad.jsonl",
        lines(*GOOD, {"question": "Why?", "answer": "blue", "choices": ["red", "green"]}),
        "line 7: the answer 'blue' is not among the 2 choices",
    ),
    "not UTF-8": ("bad.jsonl", lines(*GOOD) + b'{"question": "caf\xe9?", "answer": "x"}\n', "line 7: is not UTF-8"),
    "not JSON": ("bad.jsonl", lines(*GOOD) + b"{\n", "line 7: is not valid JSON"),
    "not parquet": ("bad.parquet", b"PAR1", "not a readable parquet file"),
    "unknown suffix": ("bad.txt", lines(*GOOD), "unknown suffix '.txt'"),
}


@pytest.mark.parametrize("place", ["--train", "--test"])
@pytest.mark.parametrize("fault", BAD_FILES)
@pytest.mark.usefixtures("no_model")
def test_a_bad_file_is_one_line_before_a_model_loads(command: Call, tmp_path: Path, fault: str, place: str) -> None:
    name, content, expected = BAD_FILES[fault]
    bad = tmp_path / name
    bad.write_bytes(content)
    files = {"--train": write_jsonl(tmp_path / "a.jsonl", GOOD), "--test": write_jsonl(tmp_path / "b.jsonl", GOOD)}
    files[place] = str(bad)
    arguments = [part for pair in files.items() for part in pair]
    outcome = command("run", "--model", tmp_path / "no-model", *arguments, "--out", tmp_path / "run")
    assert_one_error(outcome, str(bad), expected)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("place", ["--train", "--test"])
def test_a_missing_file_is_one_line(command: Call, tmp_path: Path, place: str) -> None:
    good = write_jsonl(tmp_path / "a.jsonl", GOOD)
    files = {"--train": good, "--test": good, place: str(tmp_path / "none.jsonl")}
    arguments = [part for pair in files.items() for part in pair]
    outcome = command("run", "--model", "m", *arguments, "--out", tmp_path / "run")
    assert_one_error(outcome, f"{tmp_path / 'none.jsonl'}: no such file")


@pytest.mark.usefixtures("no_model")
def test_an_unknown_data_set_of_the_hub_is_one_line(command: Call, tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "a.jsonl", GOOD)
    outcome = command("run", "--model", "m", "--train", "no-such/data-set", "--test", good, "--out", tmp_path / "run")
    assert_one_error(outcome, "no-such/data-set: no such file, and the hub data set cannot be loaded")


@pytest.mark.usefixtures("no_model")
def test_an_unknown_split_is_one_line(command: Call, tmp_path: Path) -> None:
    outcome = command("demo", "--set", "data.split=trian", "--out", tmp_path / "run")
    assert_one_error(outcome, "WorldFacts has no split 'trian'", "train, val, test_id, test_ood")
    good = write_jsonl(tmp_path / "a.jsonl", GOOD)
    split = ("--set", "data.split=train", "--out", tmp_path / "run")
    outcome = command("run", "--model", "m", "--train", good, "--test", good, *split)
    assert_one_error(outcome, f"{good}: split 'train' was asked of a file")


# -- bad models ----------------------------------------------------------------------------------------------------


def run_on(command: Call, model: str | Path, folder: Path, *more: str) -> tuple[int, str, str]:
    good = write_jsonl(folder / "a.jsonl", GOOD)
    test = write_jsonl(
        folder / "b.jsonl", [{**row, "id": f"t{i}", "question": f"Test question {i}?"} for i, row in enumerate(GOOD)]
    )
    return command("run", "--model", model, "--train", good, "--test", test, "--out", folder / "run", *more)


@pytest.mark.parametrize("name", ["no-such/model", "no-such-model", "./no/such/model"])
def test_an_unknown_model_is_one_line(command: Call, tmp_path: Path, name: str) -> None:
    assert_one_error(run_on(command, name, tmp_path), f"{name}: no such folder, and the hub did not give it")


def test_a_folder_without_a_model_is_one_line(command: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = "this folder holds no loadable causal language model"
    assert_one_error(run_on(command, tmp_path / "empty", tmp_path), f"{tmp_path / 'empty'}: {message}")


def last_error(outcome: tuple[int, str, str]) -> str:
    """The error of a run that had begun: stage headings come before it, and nothing after."""
    code, _, err = outcome
    assert code == 2
    assert "Traceback" not in err
    *before, last = err.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith("error: ") for line in before)
    return last


def test_a_model_folder_without_weights_is_one_error(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in Path(tiny[0]).iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    error = last_error(run_on(command, folder, tmp_path))
    assert f"{folder}: this folder holds no loadable causal language model" in error


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "mps:99"])
def test_an_unknown_device_is_one_error(command: Call, tmp_path: Path, tiny: tuple[str, Files], device: str) -> None:
    error = last_error(run_on(command, tiny[0], tmp_path, "--set", f"model.device={device}"))
    assert f"model.device = '{device}'" in error
    assert "auto" in error


def test_an_unknown_layer_is_one_error(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    tree = tiny_tree(*tiny, tmp_path / "run") | {"lora": {"target_modules": ["q_porj"]}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(tree))
    assert "lora.target_modules = ['q_porj']: " in last_error(command("run", tmp_path / "my.yaml"))


def test_a_model_that_knows_nothing_is_one_error(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    error = last_error(run_on(command, tiny[0], tmp_path, "--set", "knowledge.max_new_tokens=3"))
    assert "the model knows 0" in error
    assert "lower knowledge.correctness_threshold" in error


# -- bad configs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("modle: {name: m}\n", "modle: unknown key; allowed: compare, context, data, "),
        ("training: {lr: 1}\n", "training.lr: unknown key; allowed: batch_size, "),
        ("knowledge: {n_samples: ten}\n", "knowledge.n_samples = 'ten': should be a valid integer"),
        ("knowledge: {correctness_threshold: 1.5}\n", "knowledge.correctness_threshold = 1.5: should be less than 1"),
        ("training: {\n", "not valid YAML"),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_a_bad_config_is_one_line(command: Call, tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(content)
    assert_one_error(command("run", path), f"{path}: ", expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no.yaml"], "no.yaml: no such config file"),
        (["--set", "seed"], "--set seed: expected section.key=value"),
        (["--set", "seed=x"], "options: seed = 'x': should be a valid integer"),
        (["--set", "training.lr=1"], "options: training.lr: unknown key"),
        (["--train", "a.jsonl"], "--train needs --test"),
        (["no.yaml", "--model", "m"], "give either a config file or --model/--train/--test"),
        (["--train", "a.jsonl", "--test", "x/b.jsonl", "--test", "y/b.jsonl"], "two data sets are called 'b'"),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_bad_options_are_one_line(command: Call, arguments: list[str], expected: str) -> None:
    assert_one_error(command("run", *arguments), expected)


@pytest.mark.usefixtures("no_model")
def test_debug_shows_the_traceback(command: Call, tmp_path: Path) -> None:
    code, _, err = command("run", tmp_path / "no.yaml", "--debug")
    assert code == 2
    assert "Traceback (most recent call last)" in err
    assert "ConfigError" in err
    assert err.splitlines()[-1].startswith(f"error: {tmp_path / 'no.yaml'}: no such config file; ")


def test_a_defect_of_the_program_is_not_hidden(command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Config) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(order, "run", run)
    with pytest.raises(ZeroDivisionError):
        command("demo")


def test_an_interruption_says_how_to_go_on(command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Config) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(order, "run", run)
    code, _, err = command("demo")
    assert code == 130
    assert "the same command continues where it was" in err


def test_a_process_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "grait", "run", str(tmp_path / "no.yaml")], capture_output=True, text=True, check=False
    )
    assert_one_error((done.returncode, done.stdout, done.stderr), "no.yaml: no such config file")
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--debug", "run", "no.yaml"], ["run", "no.yaml", "--debug"]])
def test_debug_shows_where_an_error_came_from_before_and_after_the_command(command: Call, arguments: list[str]) -> None:
    code, _, err = command(*arguments)
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("error: no.yaml: no such config file")


# -- help ----------------------------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(cli.app)
    inner = {f"{name} {own}": command for name, part in group.commands.items() if hasattr(part, "commands")
             for own, command in part.commands.items()}  # fmt: skip
    return {name: command for name, command in group.commands.items() if not hasattr(command, "commands")} | inner


def test_the_help_names_every_command(command: Call) -> None:
    code, out, _ = command("--help")
    assert code == 0
    own = {"run", "demo", "compare", "eval", "report", "calibrate", "chat", "play", "export", "merge", "push", "check"}
    own |= {"methods", "datasets", "data show", "serve", "bench", "rewrite"}
    own |= {"influence rank", "influence query", "influence validate"}
    assert set(commands()) == own
    assert all(re.search(rf"\b{name.split()[0]}\b", out) for name in commands())


@pytest.mark.parametrize("name", list(commands()))
def test_the_help_of_a_command_explains_every_option(command: Call, name: str) -> None:
    code, out, _ = command(*name.split(), "--help")
    assert code == 0
    for parameter in commands()[name].params:
        assert parameter.name in out if parameter.param_type_name == "argument" else parameter.opts[0] in out
        assert parameter.help, f"{parameter.name} has no help"
        assert " ".join(parameter.help.split())[:20] in out


# -- runs ----------------------------------------------------------------------------------------------------------

QUICK = [
    "model.dtype=float32", "model.device=cpu", "prompt.n_shots=2", "knowledge.n_samples=3",
    "knowledge.temperature=0.01", "knowledge.max_new_tokens=6", "lora.r=2", "warmup.epochs=1", "training.epochs=1",
    "evaluation.max_new_tokens=6", "evaluation.n_bootstrap=100",
    "evaluation.probes=false", "replay.n=6", "replay.max_new_tokens=4", "replay.given_texts=2", "replay.unanswerable=2",
]  # fmt: skip


LATER = ("dialled_metrics", "dialled_differences", "against_initial", "tuning", "rounds")


def test_a_model_and_two_files_are_enough(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    model, files = tiny
    sets = [part for assignment in QUICK for part in ("--set", assignment)]
    arguments = ["run", "--model", model, "--train", files.train, "--test", files.test, "--out", tmp_path / "run"]
    code, out, err = command(*arguments, *sets)
    assert code == 0
    for heading in ("1/4 Knowledge", "2/4 Influence", "3/4 Training", "4/4 Evaluation"):
        assert heading in err
    for method in ("init-basic", "init-refuse", "cor-rait", "grait"):
        assert re.search(rf"\b{method}\b", out)
    for column in ("n: questions", "Pc", "Pw", "Pr", "refusal", "THS", "95% interval"):
        assert column in out
    for kind in ("newly refused", "still answered", "over-refused"):
        assert f"  {kind}: " in out
    assert f"Everything is in {tmp_path / 'run'}/" in out
    for name in running.contents("grait"):
        # These questions have no groups, no texts and are few, probes are off, and no calibration questions are named.
        missing = (
            "groups",
            "side_effects",
            "conversations",
            "drift",
            "dialled_forms",
            "unanswerable",
            "quadrants",
            *LATER,
        )
        is_there = name.removesuffix(".json") not in missing
        assert (tmp_path / "run" / name).exists() == is_there
        assert (f"  {name} " in out) == is_there
    records = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [record["dataset"] for record in records] == ["test"] * 4  # the file's name
    # Markup in a question is text, and the second time everything is there.
    code, again, err = command(*arguments, *sets)
    assert (code, again) == (0, out)
    assert err.count("finished before, reused") == 20
    # The tiny model has a chat template: all four forms, and replay.
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [form["name"] for form in config["prompt"]["forms"]] == ["question", "examples", "instruction", "plain"]
    assert (tmp_path / "run" / "replay" / "rows.parquet").exists() and config["replay"]["path"] == "builtin"


@pytest.mark.parametrize("is_chat", [True, False])
@pytest.mark.parametrize("width", [32, 2048])
def test_without_a_config_file_settings_follow_the_model(tmp_path: Path, is_chat: bool, width: int) -> None:
    tiny_tokenizer(chat=is_chat).save_pretrained(tmp_path)
    LlamaConfig(hidden_size=width).save_pretrained(tmp_path)
    found = recipe(ModelConfig(name=str(tmp_path)))
    assert found["replay"] == {"path": "builtin"}
    forms = ["question", "examples", "instruction", "plain"] if is_chat else ["examples", "plain"]
    assert found["prompt"]["forms"] == forms
    assert found["training"] == {"epochs": 1} | ({"learning_rate": 1e-3} if width == 32 else {})
    assert found["tune"] == {"budget": 0.2}
    assert found["lora"] == {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    assert "question" in recipe(ModelConfig(name=str(tmp_path / "missing")))["prompt"]["forms"]


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=32, n_layer=2, n_head=2),  # names its layers otherwise
        Lfm2Config(hidden_size=32, num_hidden_layers=2, layer_types=["conv", "full_attention"]),  # in one of two layers
        Gemma3Config(text_config={"num_hidden_layers": 2}, vision_config={"num_hidden_layers": 1}),  # images, too
    ],
    ids=["gpt2", "lfm2", "gemma3"],
)
def test_attention_alone_is_adapted_where_every_layer_has_it_and_nothing_else(
    tmp_path: Path, config: PretrainedConfig
) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    assert "lora" not in recipe(ModelConfig(name=str(tmp_path)))


def test_python_takes_the_same_call_as_the_command(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: tuple[str, Files]
) -> None:
    """Model and data, and nothing else."""
    seen: list[Config] = []

    def run(config: Config) -> None:
        seen.append(config)
        raise GraitError("enough")

    monkeypatch.setattr(order, "run", run)
    monkeypatch.setattr(grait_run, "run_pipeline", run)
    model, files = tiny
    out = tmp_path / "run"
    command("run", "--model", model, "--train", files.train, "--test", files.test, "--out", out)
    tree = {"model": {"name": model}, "data": {"path": files.train}, "out": str(out)}
    tree["evaluation"] = {"datasets": [{"path": files.test}]}
    with pytest.raises(GraitError, match="enough"):
        grait.run(tree)
    of_command, of_python = seen
    assert of_python == of_command
    assert of_python.tune.budget and of_python.prompt.forms and of_python.replay.path


def test_questions_with_groups_give_a_second_table(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    rows = [json.loads(line) for line in Path(tiny[1].test).read_text().splitlines()]
    for i, row in enumerate(rows):
        row["group"] = f"[b]group {i // 4}"
    tree = tiny_tree(*tiny, tmp_path / "run")
    tree["training"]["methods"] = ["cor-rait"]
    tree["evaluation"]["datasets"].append({"path": write_jsonl(tmp_path / "grouped.jsonl", rows)})
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(tree))
    code, out, err = command("run", tmp_path / "my.yaml")
    assert code == 0, err
    table = out.partition("grouped by group")[2]
    for text in ("[b]group 0", "[b]group 1", "all", "init-basic", "cor-rait"):
        assert text in table
    records = json.loads((tmp_path / "run" / "groups.json").read_text())
    systems = ["init-basic", "init-refuse", "cor-rait"]
    groups = ["[b]group 0", "[b]group 1", None]
    assert [(row["dataset"], row["method"], row["group"]) for row in records] == [
        ("grouped", system, group) for system in systems for group in groups
    ]
    whole = {row["method"]: row for row in json.loads((tmp_path / "run" / "metrics.json").read_text())[3:]}
    for row in records:
        if row["group"] is None:
            assert {name: row[name] for name in ("n", "pc", "ths", "ths_low")} == {
                name: whole[row["method"]][name] for name in ("n", "pc", "ths", "ths_low")
            }


def test_the_methods_are_listed_with_what_they_need_and_their_papers(command: Call) -> None:
    code, out, _ = command("methods")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for name, method in METHODS.items():
        assert method.summary in lines[name]
        rest = lines[name].partition(method.summary)[2]
        assert rest.split() == [*method.computed.split(), *method.paper.split()]
    assert "training.methods=[cor-rait,grait]" in out  # brackets are no markup


def test_a_config_file_does_the_same(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_tree(*tiny, tmp_path / "other")))
    code, _, _ = command("run", path, "--out", tmp_path / "run", "--set", "training.methods=[grait]")
    assert code == 0
    assert not (tmp_path / "other").exists()
    records = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [record["method"] for record in records] == ["init-basic", "init-refuse", "grait"]


def test_brackets_in_names_and_answers_are_no_markup(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    """Rich would read [bold] as a command, and stop at [/bold]."""
    rows = [json.loads(line) for line in Path(tiny[1].test).read_text().splitlines()]
    for row in rows:
        row["question"] = f"[/bold] {row['question']} [red]"
    tree = tiny_tree(*tiny, tmp_path / "[red] run [bold]")
    tree["training"]["methods"] = ["grait"]
    tree["evaluation"]["datasets"] = [{"path": tiny[1].test, "name": "own[x]"}, {"path": "", "name": "[red]b"}]
    tree["evaluation"]["datasets"][1]["path"] = write_jsonl(tmp_path / "test.jsonl", rows)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(tree))
    code, out, err = command("run", tmp_path / "my.yaml")
    assert code == 0, err
    assert "own[x]" in out
    assert "[red]b" in out
    assert "4/4 Evaluation: grait on [red]b" in err
    assert "[red] run [bold]/" in out
    bad = tmp_path / "[bold]x[/nothing].yaml"
    assert_one_error(command("run", bad), f"error: {bad}: no such config file")


@pytest.mark.parametrize(("flags", "limit"), [([], 600), (["--quick"], 300)])
def test_the_demo_takes_the_shipped_config(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], limit: int
) -> None:
    seen: list[Config] = []

    def run(config: Config) -> None:
        seen.append(config)
        raise GraitError("enough")

    monkeypatch.setattr(order, "run", run)
    assert_one_error(command("demo", *flags, "--out", tmp_path / "mine", "--set", "seed=7"), "enough")
    (config,) = seen
    assert (config.out, config.seed) == (str(tmp_path / "mine"), 7)
    assert config == demo_config(f"demo{'-quick' if flags else ''}.yaml", [f"out={tmp_path / 'mine'}", "seed=7"])
    assert config.data.path == "worldfacts"
    assert [dataset.name for dataset in config.evaluation.datasets] == ["in-domain", "out-of-domain"]
    assert (config.evaluation.datasets[0].limit or 0) <= limit


# -- eval ----------------------------------------------------------------------------------------------------------

EVAL = ["model.dtype=float32", "model.device=cpu", "evaluation.max_new_tokens=6", "evaluation.n_bootstrap=100"]


def test_eval_measures_a_model_that_no_run_has_made(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    model, files = tiny
    rows = [json.loads(line) for line in Path(files.test).read_text().splitlines()]
    other = write_jsonl(tmp_path / "[b]other.jsonl", rows)
    sets = [part for assignment in EVAL for part in ("--set", assignment)]
    arguments = ["eval", "--model", model, "--data", files.test, "--data", other, "--limit", 5, "--probes"]
    arguments += ["--set", "evaluation.max_probes=3"]
    code, out, err = command(*arguments, *sets, "--out", tmp_path / "eval")
    assert code == 0, err
    for text in (
        "init-basic",
        "init-refuse",
        "[b]other",
        "THS",
        "AUROC",
        "Honesty",
        "ECE",
        "Side effects, in percent",
        "in a chat, in",
    ):
        assert text in out
    for name in ("test", "[b]other"):
        assert f"{name}: the initial model is asked with no shots" in out
    assert f"Everything is in {tmp_path / 'eval'}/" in out
    records = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert [(record["dataset"], record["n"]) for record in records] == [("test", 5)] * 2 + [("[b]other", 5)] * 2
    about = json.loads((tmp_path / "eval" / "about.json").read_text())
    assert about["asked"] == {"init-basic": "query", "init-refuse": "refuse"}
    code, again, err = command(*arguments, *sets, "--out", tmp_path / "eval")
    assert (code, again) == (0, out)
    assert err.count("finished before, reused") == 8


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--prompt", "basic"], "--prompt basic: expected query or refuse"),
        (["--data", "mmlu:dev"], "MMLU has no split 'dev': take one of val, test"),
        (["--data", "mmlu"], "mmlu: no split named; take one of val, test"),
        (["--data", "{path: worldfacts, splits: val}"], "splits: unknown key"),
        (["--data", "none.jsonl"], "none.jsonl: no such file"),
        (["--data", "worldfacts:val", "--limit", "0"], "limit = 0"),
        (["--data", "worldfacts:val", "--data", "worldfacts:val"], "two data sets are called 'worldfacts-val'"),
        (["--prompt-of", "no-run"], "no-run: no run folder (no config.json)"),
        (["--adapter", "no/such-adapter"], "no/such-adapter: no such adapter folder"),
        (["--lm-eval-tasks", "x", "--lm-eval-include-path", "no-folder"], "lm-eval"),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_bad_options_of_eval_are_one_line(command: Call, tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert_one_error(command("eval", *arguments, "--out", tmp_path / "eval"), expected)
    assert not (tmp_path / "eval").exists()


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--dry-run"], ["run", "--out", "x"], ["eval"], ["eval", "--out", "x"]]
)
@pytest.mark.usefixtures("no_model")
def test_a_bare_command_says_what_to_give(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_error(command(*arguments), "name ", "for the demo: grait demo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["run", "compare"])
@pytest.mark.usefixtures("no_model")
def test_a_config_file_with_training_questions_needs_test_questions(command: Call, tmp_path: Path, name: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("data: {path: my_train.jsonl}")
    assert_one_error(command(name, path), f"{path}: data.path = 'my_train.jsonl' needs evaluation.datasets")
    path.write_text("")
    assert_one_error(command(name, path), f"{path}: beside out and seed nothing is set")
