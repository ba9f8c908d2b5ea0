"""What ``import grait`` offers, and what it does not load."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import grait
from grait.errors import ArtifactError, ConfigError

PUBLIC = {
    "Comparison", "Config", "GraitError", "RefusalDial", "Rewritten", "RunResult", "bench", "calibrate", "check",
    "compare", "evaluate", "export", "influence", "load_config", "merge", "push", "report", "rewrite", "run",
    "show_data",
}  # fmt: skip


def in_a_new_process(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert set(grait.__all__) == PUBLIC
    assert set(dir(grait)) >= PUBLIC | {"__version__"}


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    for name in grait.__all__:
        assert getattr(grait, name).__doc__, name
    assert not hasattr(grait, "no_such_name")


def test_importing_grait_loads_no_other_library() -> None:
    loaded = in_a_new_process("import grait, json, sys; print(json.dumps(sorted(sys.modules)))")
    heavy = {"torch", "transformers", "peft", "numpy", "scipy", "pyarrow", "pydantic", "yaml", "rich", "typer"}
    assert "grait" in loaded and not heavy & set(loaded)


def test_influence_is_a_package_of_grait() -> None:
    names = in_a_new_process("import grait, json; print(json.dumps(dir(grait.influence)))")
    assert "GradientDatastore" in names


def test_folders_and_configs_are_named_by_text_or_path() -> None:
    of_folder = {"calibrate": "run", "export": "run", "merge": "run", "push": "run", "report": "folder"}
    of_config = {"check": "config", "compare": "config", "evaluate": "config", "rewrite": "config", "run": "config"}
    for name, argument in (of_folder | of_config).items():
        assert {str, Path} <= set(get_args(get_type_hints(getattr(grait, name))[argument])), name


WRONG: tuple[Any, ...] = (42, None, [], b"x", {}, 1.5, pytest.param(object(), id="object"))


def refused(call: Any, *args: Any, **kwargs: Any) -> str:
    """The message, one line, of a call that is refused."""
    with pytest.raises((ArtifactError, ConfigError)) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_value_of_a_wrong_type_is_one_line(value: Any) -> None:
    for call in (grait.run, grait.compare, grait.evaluate):
        said = refused(call, value)
        assert said.startswith("config: ") and ("nothing is set" if value == {} else type(value).__name__) in said
    for call, more in (
        (grait.load_config, ()),
        (grait.report, ()),
        (grait.merge, ("out",)),
        (grait.export, ("trl",)),
        (grait.push, ("me/x",)),
        (grait.calibrate, ()),
    ):
        said = refused(call, value, *more)
        assert "expected a path, found" in said and type(value).__name__ in said and "give it as" in said


@pytest.mark.parametrize("value", [42, [], b"x", {}], ids=repr)
def test_other_arguments_of_a_wrong_type_are_one_line(finished: Path, tmp_path: Path, value: Any) -> None:
    kind = f"found {type(value).__name__}"
    for call, arguments in {
        grait.calibrate: ({"max_wrong": "x" if value == 42 else value}, {"max_ths": True, "method": value},
                          {"max_ths": True, "data": value}, {"max_ths": True, "score": value}),
        grait.export: ({"format_name": value}, {"format_name": "trl", "method": value},
                       {"format_name": "trl", "out": value},
                       {"format_name": "trl", "resample": True, "n_rows": "x" if value == 42 else value}),
        grait.merge: ({"out": value}, {"out": tmp_path / "new", "method": value}),
        grait.push: ({"repo": value}, {"repo": "me/x", "method": value}),
    }.items():  # fmt: skip
        for chosen in arguments:
            assert "expected " in (said := refused(call, finished, **chosen)) and ("found str" in said or kind in said)
    config = {"model": {"name": "m"}, "out": str(tmp_path / "eval")}
    for name in ("adapter", "initial", "asked", "harness"):
        assert f"{name}: expected " in (said := refused(grait.evaluate, config, **{name: value})) and kind in said


def test_overrides_are_a_list_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("seed: 1")
    assert "overrides: expected a list of texts, found str" in refused(grait.load_config, path, "seed=2")
    assert "overrides: expected texts, found int" in refused(grait.load_config, path, [2])


def test_the_folder_is_looked_at_first() -> None:
    for call, arguments in (
        (grait.calibrate, {}),
        (grait.export, {"format_name": "nosuch"}),
        (grait.push, {"repo": "no name"}),
        (grait.merge, {"out": "."}),
    ):
        assert refused(call, "nowhere", **arguments).startswith("nowhere: no run folder")


def test_an_empty_config_starts_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\nout: x\n")
    for call in (grait.run, grait.compare, grait.evaluate):
        for config in ({}, {"seed": 3}, empty, str(empty), grait.Config()):
            assert "nothing is set" in (said := refused(call, config)) and "grait demo" in said
    assert "nothing is set" in refused(grait.load_config, empty)


@pytest.mark.parametrize("call", [grait.run, grait.compare])
def test_training_questions_need_test_questions(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("data: {path: my_train.jsonl}\nevaluation: {probes: false}\n")
    for config in ({"data": {"path": "my_train.jsonl"}}, {"data": {"path": "mmlu", "split": "val"}}, path):
        assert "needs evaluation.datasets: name at least one" in refused(call, config)


def test_a_name_that_is_nearly_one_is_told() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'reprot'; did you mean 'report'\?$"):
        _ = grait.reprot
    with pytest.raises(AttributeError, match=r"no attribute 'quux'$"):
        _ = grait.quux
