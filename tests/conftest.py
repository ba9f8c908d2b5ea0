"""What holds for all tests: nothing is asked of the network. And the browser that tests of pages share."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("no deadline")

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported, so before any test module


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium as playwright drives it; tests that use it carry the marker ``browser``."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_drawn() -> Iterator[None]:
    """Runs end with an empty report page: drawing takes seconds each. tests/test_report.py has the real one."""
    from grait.report import page

    with pytest.MonkeyPatch.context() as patch:
        for name in ("run_report", "comparison_report"):
            patch.setattr(page, name, lambda *_: page.Report("", {}))
        yield
