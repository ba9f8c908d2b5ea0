"""Small data sets in the files' real formats, with questions of our own, and a stand-in for the hub."""

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from grait.data.mmlu import SUBJECTS

MMLU_HEADER = ["id", "lang", "question", "A", "B", "C", "D", "target"]


def mmlu_cells(subject: str, split: str, i: int) -> list[str]:
    """Question, options and key of row ``i``; the key goes round the letters."""
    options = [f"{subject} {split} {i} option {n}" for n in range(4)]
    return [f"What is number {i} of {split} in {subject}?", *options, "ABCD"[i % 4]]


def write_mmlu(folder: Path, *, header: bool = True, n: int = 3, n_shots: int = 5) -> str:
    """All subjects and splits: ``n`` questions of each, and ``n_shots`` in dev."""
    for split in ("dev", "val", "test"):
        (folder / split).mkdir(parents=True)
        for subject in SUBJECTS:
            rows = [mmlu_cells(subject, split, i) for i in range(n_shots if split == "dev" else n)]
            if header:
                rows = [MMLU_HEADER, *([f"{subject}/{split}/{i}", "en", *row] for i, row in enumerate(rows))]
            write_csv(folder / split / f"{subject}_{split}.csv", rows)
    return str(folder)


def write_csv(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def write_lines(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path.parent)


def write_list(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return str(path.parent)


def arc_row(question_id: str, texts: list[str], labels: str, key: str) -> dict[str, Any]:
    choices = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    return {"id": question_id, "question": {"stem": f"Which of {question_id}?", "choices": choices}, "answerKey": key}


def serve(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The hub gives these rows, whatever is asked; returns what was asked."""
    calls: list[dict[str, Any]] = []

    def load_dataset(name: str, config: str | None, **options: Any) -> Any:
        calls.append({"name": name, "config": config, **options})
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls
