"""What ``import grait`` offers, and what it does not load."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import grait

PUBLIC = {
    "Comparison", "Config", "GraitError", "RefusalDial", "RunResult", "calibrate", "compare", "evaluate", "export",
    "influence", "load_config", "merge", "push", "report", "run",
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
    of_config = {"run": "config", "compare": "config", "evaluate": "config"}
    for name, argument in (of_folder | of_config).items():
        assert {str, Path} <= set(get_args(get_type_hints(getattr(grait, name))[argument])), name
