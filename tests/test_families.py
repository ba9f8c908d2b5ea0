"""Every family of the zoo through everything: as docs/models.md says, or refused as it says."""

from pathlib import Path

import pytest
import zoo_table
from families import end_to_end
from zoo import FAMILIES

KINDS = ("gemma3_text", "gpt_oss", "gemma4_text", "deepseek_v3", "qwen3_moe", "qwen3_5_text", "lfm2", "mamba2")
"""One of each, which are among the slow tests, too."""


@pytest.mark.families
@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=pytest.mark.slow if family in KINDS else ()) for family in FAMILIES]
)
def test_a_family_goes_through_everything_or_is_refused_in_one_line(family: str, tmp_path: Path) -> None:
    told = zoo_table.told(zoo_table.PAGE.read_text(encoding="utf-8"))
    found = end_to_end(family, tmp_path)
    assert found == told.get(zoo_table.name_of(family)), "python tests/zoo_table.py writes the page"
