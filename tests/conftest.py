"""What holds for all tests: nothing is asked of the network. And the fixtures that several files share."""

import functools
import gc
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hypothesis
import pytest
import typer.main

hypothesis.settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("no deadline")

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported, so before any test module
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: more threads than cores wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from tiny_folder import Files

Call = Callable[..., tuple[int, str, str]]


def pytest_collection_finish() -> None:
    """Imports are no garbage. The Trainer looks for some after every training: 0.4 s long among them, too."""
    gc.collect()
    gc.freeze()


commands_of = functools.cache(typer.main.get_command)
"""The app's commands, built once: without this typer builds all of them, in 4 ms, for each call."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process, with ``stdin`` piped in: exit code, stdout, stderr."""
    from grait import cli

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(typer.main, "get_command", commands_of)

    def call(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grait", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is a failure of the test."""
    from grait.pipeline import data, models

    def load(*_: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load_model", load)
    monkeypatch.setattr(data, "load_tokenizer", load)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, "Files"]:
    """The folder of a tiny model, and question files of which it knows one half: never written to by a test."""
    from tiny_folder import save_tiny, write_half_known

    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny(folder / "model")
    return model, write_half_known(model, folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with three methods, a chat template, a system message and a set of an odd name.

    Never written to by a test.
    """
    from tiny_folder import save_tiny, tiny_tree, write_half_known

    import grait

    folder = tmp_path_factory.mktemp("finished")
    model = save_tiny(folder / "model")
    files = write_half_known(model, folder)
    tree = tiny_tree(model, files, folder / "run")
    tree["prompt"]["system"] = "Be brief."
    tree["training"]["methods"] = ["cor-rait", "grait", "r-tuning"]
    tree["training"]["epochs"] = 4
    tree["training"]["learning_rate"] = 0.01
    tree["evaluation"]["datasets"] = [{"path": files.test, "name": "own | <i>set*"}]
    grait.run(tree)
    return folder / "run"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The same sums in the same order on any machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def checkpoint_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of trainings, however short a step is."""
    from grait.training import checkpoints

    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(checkpoints, "LARGEST_SHARE", float("inf"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium as playwright drives it; tests that use it carry the marker ``browser``.

    Without one they are skipped; with ``GRAIT_BROWSER=required`` in the environment they fail.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        without_browser("playwright is not installed: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        without_browser("no Chromium: apt-get install chromium")
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def without_browser(reason: str) -> NoReturn:
    if os.environ.get("GRAIT_BROWSER") == "required":
        pytest.fail(f"{reason} (GRAIT_BROWSER=required)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_drawn() -> Iterator[None]:
    """Runs end with an empty report page: drawing takes seconds each. tests/display/test_report.py has the real one."""
    from grait.display import page

    with pytest.MonkeyPatch.context() as patch:
        for name in ("run_report", "comparison_report"):
            patch.setattr(page, name, lambda *_: page.Report("", {}))
        yield
