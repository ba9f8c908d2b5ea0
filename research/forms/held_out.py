"""Questions to choose settings on: relations that are trained, and relations that are held out of training.

    python -m research.forms.held_out runs/held-out

No test question is among them. ``train.jsonl`` has WorldFacts' training questions without those of 11 relations that
the seed draws; ``trained.jsonl`` and ``calibration.jsonl`` have validation questions of the trained relations,
``held-out.jsonl`` training and validation questions of the others.
"""

import dataclasses
import json
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from grait.data.worldfacts import load
from grait.records import Question

N_RELATIONS, N_TRAINING, N_TRAINED, N_HELD_OUT = 11, 1203, 300, 300
KEPT = ("id", "question", "answers", "match", "relation", "subject", "popularity")

Parts = dict[str, list[Question]]


def drawn(seed: int) -> Parts:
    train, val = load("train"), load("val")
    relations = sorted({str(own.relation) for own in train})
    held_out = set(Random(f"held out {seed}").sample(relations, N_RELATIONS))
    trained = [own for own in val if own.relation not in held_out]
    others = [own for own in [*val, *train] if own.relation in held_out]
    Random(f"questions of these {seed}").shuffle(others)
    return {
        "train": [own for own in train if own.relation not in held_out][:N_TRAINING],
        "trained": trained[:N_TRAINED],
        "calibration": trained[N_TRAINED:],
        "held-out": others[:N_HELD_OUT],
    }


def main(out: Annotated[Path, typer.Argument()], seed: int = 0) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, questions in drawn(seed).items():
        rows = [{key: dataclasses.asdict(own)[key] for key in KEPT} for own in questions]
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
