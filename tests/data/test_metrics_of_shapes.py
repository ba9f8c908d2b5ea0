"""The same 500 questions in people's shapes, through the whole evaluation: the same metrics to the last digit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_folder import MAX_NEW_TOKENS, UNKNOWN, Files, greedy_answers

import grait
from grait.judging.matching import is_correct
from grait.model.prompts import PromptFormat
from grait.records import Question
from tests.data import test_shapes as shapes

NAMED_FREE = (
    "list", "text of a JSON list", "text of a Python list", "dict of aliases", "semicolons", "tabs", "gz",
    "parquet, list of structs", "hub layout", "save_to_disk",
)  # fmt: skip
NAMED_OPTIONS = ("text", "columns A to D", "labels beside texts", "integer keys", "letter", "index and letter")


def metrics(model: str, folder: Path, path: Path) -> bytes:
    grait.evaluate(
        {
            "out": str(folder / "eval"),
            "model": {"name": model, "dtype": "float32", "device": "cpu"},
            "prompt": {"n_shots": 0},
            "evaluation": {
                "max_new_tokens": MAX_NEW_TOKENS,
                "n_bootstrap": 200,
                "probes": False,
                "datasets": [{"path": str(path), "name": "own"}],
            },
        },
        asked="query",
    )
    return (folder / "eval" / "metrics.json").read_bytes()


def same_in_all(model: str, tmp_path: Path, made: dict[str, Callable[[Path], Path]]) -> None:
    found = {}
    for number, (name, make) in enumerate(made.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        found[name] = metrics(model, folder, make(folder))
    first = next(iter(found.values()))
    (initial, *_) = json.loads(first)
    assert initial["n"] == shapes.N and initial["pc"] > 0.1 and initial["pw"] > 0.1
    assert {name for name, text in found.items() if text != first} == set()


@pytest.mark.slow
def test_free_text(tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second question's last alias, with an apostrophe, a comma and a quote in it, is what the model says."""
    asked = [Question(f"q{i}", f"Who wrote book {i * i} of {i}?", ("x",)) for i in range(shapes.N)]
    rows = []
    for i, (question, answer) in enumerate(zip(asked, greedy_answers(tiny[0], [], asked), strict=True)):
        aliases = [f"{UNKNOWN} {i}", f"O'{UNKNOWN}, {i}"]
        own = Question("q", question.question, (answer or UNKNOWN,))
        is_known = i % 2 == 0 and answer.strip() != "" and is_correct(answer, own)
        rows.append({"question": question.question, "answers": [*aliases, answer.strip()] if is_known else aliases})
    monkeypatch.setattr(shapes, "FREE", rows)
    same_in_all(tiny[0], tmp_path, {name: shapes.FREE_SHAPES[name] for name in NAMED_FREE})


@pytest.mark.slow
def test_options(tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model names no option: its tokens are read as a letter."""
    monkeypatch.setattr(PromptFormat, "decode", lambda _, tokens: "ABCD"[sum(tokens) % 4])
    same_in_all(tiny[0], tmp_path, {name: shapes.OPTION_SHAPES[name] for name in NAMED_OPTIONS})
