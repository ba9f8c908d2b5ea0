"""The example script does what it says, on a tiny model."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from tiny import with_lora
from tiny_folder import save_tiny
from transformers import AutoModelForCausalLM

SCRIPT = Path(__file__).parents[2] / "examples" / "rank_by_influence.py"


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    text = "".join(json.dumps({"prompt": prompt, "completion": completion}) + "\n" for prompt, completion in rows)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_example_that_is_the_target_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny(tmp_path / "model")
    with_lora(AutoModelForCausalLM.from_pretrained(folder)).save_pretrained(tmp_path / "adapter")
    rows = [("Who wrote it?", " red"), ("The capital of France is", " Paris."), ("1 2 3", " 4"), ("Answer:", " B")]
    files = [write(tmp_path / "train.jsonl", rows), write(tmp_path / "target.jsonl", rows[2:3])]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), folder, str(tmp_path / "adapter"), *files])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["+1.0000", "line", "3"]
    assert sorted(line[2] for line in lines) == ["1", "2", "3", "4"]
    scores = [float(line[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def test_the_example_is_short() -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 30
