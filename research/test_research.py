"""All of research/: scripts import, nothing of the product changes by it, pages name commands that exist."""

import importlib
import pkgutil
import re
from pathlib import Path

import research
from grait.methods.catalog import METHODS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "research"
QUESTIONS = [path.parent for path in sorted(FOLDER.glob("*/__init__.py"))]
MOST_BYTES = 3_500_000


def test_every_script_is_imported_and_leaves_the_methods_alone() -> None:
    before = dict(METHODS)
    names = [module.name for module in pkgutil.walk_packages(research.__path__, "research.")]
    assert len(names) > 15
    for name in names:
        importlib.import_module(name)
    assert before == METHODS


def test_every_question_has_a_page_with_an_answer_and_a_command_and_stands_in_the_list() -> None:
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    for question in QUESTIONS:
        page = (question / "README.md").read_text(encoding="utf-8")
        assert page.startswith("# ") and page.splitlines()[0].endswith("?")
        assert f"({question.name}/README.md)" in listed
        assert f"python -m research.{question.name}." in page or f" research/{question.name}/" in page


def test_every_command_names_a_module_and_files_that_are_there() -> None:
    for path in sorted(FOLDER.rglob("*.md")):
        for command in re.findall(r"python -m (research\.[^`\n]*)", path.read_text(encoding="utf-8")):
            module, *words = command.split()
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"{path}: {module}"
            for word in words:
                assert not word.startswith(("research/", "configs/", "docs/")) or (ROOT / word).exists(), (
                    f"{path}: {word}"
                )


def test_what_is_kept_stays_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(sizes) < MOST_BYTES


def test_the_log_is_newest_first() -> None:
    dates = re.findall(r"^## (\d{4}-\d\d-\d\d): .", (FOLDER / "LOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(dates) > 15 and dates == sorted(dates, reverse=True)
