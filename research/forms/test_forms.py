"""What the page shows is what the run wrote."""

import json
import re
from pathlib import Path

from grait.config import load_config

HERE = Path(__file__).parent


def test_the_table_is_that_of_the_run() -> None:
    rows = {
        row["form"]: row for row in json.loads((HERE / "forms.json").read_text("utf-8")) if row["method"] == "grait"
    }
    shown = re.findall(
        r"\| `(\w+)` \| ([\d.]+) \| ([\d.]+) / ([\d.]+) / ([\d.]+) \| ([\d.]+)", (HERE / "README.md").read_text("utf-8")
    )
    assert len(shown) == 3
    for form, *figures in shown:
        assert figures == [f"{100 * rows[form][name]:.1f}" for name in ("pc0", "pc", "pw", "pr", "ths")]


def test_the_config_is_one() -> None:
    config = load_config(HERE / "run.yaml")
    assert [form.name for form in config.prompt.forms] == ["examples", "question", "instruction"]
    assert config.replay.path == "builtin"
