"""What stands twice in the repository is the same, and a missing browser is seen where one is required."""

import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import without_browser

import grait

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == citation["version"] == grait.__version__


def test_the_workflow_runs_what_the_script_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]["ci"]
    steps = [step["run"] for step in workflow["steps"] if "run" in step]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [step for step in steps if not step.startswith("apt-get")] == script[-4:]
    assert workflow["env"] == {"GRAIT_BROWSER": "required"}


def test_a_missing_browser_fails_only_where_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAIT_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        without_browser("no Chromium")
    monkeypatch.setenv("GRAIT_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        without_browser("no Chromium")
