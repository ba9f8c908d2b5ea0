"""LESS's workflow: a pool of rows for SFT, a few targets, the top 5% by one command, and a training on them.

``python -m research.top_of_a_pool.compare --out runs/top`` makes, for each seed, a pool of 1,000 rows of four tasks,
one of which, the wanted one, has 5% of them: a bare answer, an answer in a sentence, an option's letter, an answer from
a text that holds it. Targets are 30 validation rows of the wanted task. It ranks the pool by ``grait influence rank``,
trains an adapter from the start on the top 5%, on as many rows by word overlap with the targets, and on as many at
random, and measures the loss on 150 test rows of the task. With ``--relations`` all rows are bare answers, and wanted
are five relations. No question is in two parts. Goes on after an interruption.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grait.commands.rank import rank
from grait.config import parse_config
from grait.data.worldfacts import load
from grait.influence.validation import word_overlap
from grait.model.common_prefix import for_gradients
from grait.model.completions import collate, completion_losses
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.records import Question
from grait.training.sft import add_adapter, train
from research.rewriting.sentences import in_sentences
from research.rewriting.train import examples

N_ROWS, SHARE, N_RELATIONS, N_TARGETS, N_TEST = 1000, 0.05, 5, 30, 150
LORA = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
TASKS = ("answer", "sentence", "option", "text")
WANTED = ("text", "option", "sentence")
"""By seed."""

Row = dict[str, Any]


def told(split: str, task: str, seed: int) -> list[Row]:
    """All rows of a task and a split, in WorldFacts' order."""
    questions = load(split, {"option": "mcqa", "text": "context"}.get(task, "oeqa"))
    return [_row(own, task, seed) for own in questions if task != "text" or own.holds_answer]


def _row(question: Question, task: str, seed: int) -> Row:
    asked, answer = question.question, question.answers[0]
    if task == "sentence":
        asked, answer = in_sentences(question, seed)
    if task == "option":
        asked = "\n".join([asked, *(f"{name}. {own}" for name, own in zip("ABCD", question.choices, strict=True))])
        answer = "ABCD"[question.choices.index(answer)]
    if task == "text":
        asked = f"{question.context[0]}\n\n{asked}"
    said = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"id": question.id, "messages": said, "task": task, "relation": question.relation}


def drawn(seed: int, n_rows: int = N_ROWS) -> dict[str, list[Row]]:
    """Pool, targets and test rows of a seed."""
    wanted = WANTED[seed % len(WANTED)]
    others = [task for task in TASKS if task != wanted]
    counts = {task: n_rows // len(others) for task in others} | {wanted: round(SHARE * n_rows)}
    counts[others[0]] += n_rows - sum(counts.values())
    pool: list[Row] = []
    for task in (wanted, *others):
        taken = {own["id"] for own in pool}
        free = [own for own in told("train", task, seed) if own["id"] not in taken]
        pool += random.Random(f"{task} {seed}").sample(free, counts[task])
    random.Random(f"pool {seed}").shuffle(pool)
    return {
        "pool": pool,
        "targets": random.Random(f"targets {seed}").sample(told("val", wanted, seed), N_TARGETS),
        "test": random.Random(f"test {seed}").sample(told("test_id", wanted, seed), N_TEST),
    }


def drawn_by_relation(seed: int, n_rows: int = N_ROWS) -> dict[str, list[Row]]:
    """All bare answers: the pool of all relations, targets and test of five, with as many of each."""
    rng = random.Random(f"top of a pool, relation by relation {seed}")
    pool, asked, apart = (told(split, "answer", seed) for split in ("train", "val", "test_id"))
    n_asked, n_apart = N_TARGETS // N_RELATIONS, N_TEST // N_RELATIONS
    counts = [Counter(own["relation"] for own in part) for part in (asked, apart)]
    enough = [name for name in counts[0] if counts[0][name] >= n_asked and counts[1][name] >= n_apart]
    relations = rng.sample(sorted(enough), N_RELATIONS)

    def of_each(rows: list[Row], n: int) -> list[Row]:
        return [own for name in relations for own in [row for row in rows if row["relation"] == name][:n]]

    return {
        "pool": rng.sample(pool, min(n_rows, len(pool))),
        "targets": of_each(asked, n_asked),
        "test": of_each(apart, n_apart),
    }


def choices(parts: dict[str, list[Row]], top: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Ids to train on, as many by each way of choosing."""
    texts = {own["id"]: text_of(own) for own in parts["pool"]}
    overlap = word_overlap(texts, [text_of(own) for own in parts["targets"]])
    alike = sorted(texts, key=lambda name: (-overlap[name], name))[: len(top)]
    at_random = random.Random(f"random {seed}").sample(sorted(texts), len(top))
    return {"influence": list(top), "word overlap": alike, "random": at_random}


def text_of(row: Row) -> str:
    return " ".join(turn["content"] for turn in row["messages"])


def interval(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired difference, with the 95% interval of a bootstrap over questions."""
    apart = np.asarray(one) - np.asarray(other)
    resampled = np.random.default_rng(0).choice(apart, (2000, len(apart))).mean(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(apart.mean()), float(low), float(high)


def write(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(f"{json.dumps(own)}\n" for own in rows), encoding="utf-8")


def trained(models: Models, data: RunData, path: Path | None, test: Path) -> list[float]:
    """Mean token loss of each test row, after a training on the rows of ``path``; without one, of the model itself."""
    model, road = models.initial, models.roads().training
    if path is not None:
        model = add_adapter(model, data.config.lora, data.config.seed)
        pad, config = models.pad_token_id, data.config.training
        train(model, examples(data, path), config, pad_token_id=pad, seed=data.config.seed, road=road)
    rows = [own.example for own in examples(data, test)]
    found = []
    with torch.no_grad(), for_gradients(model):
        for start in range(0, len(rows), 16):
            found += completion_losses(model, collate(rows[start : start + 16], models.pad_token_id)).tolist()
    if path is not None:
        models.take_off(model)
    return found


def compare(out: Path, seed: int, given: argparse.Namespace) -> dict[str, list[float]]:
    """Losses by way of choosing and test row."""
    folder = out / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = (drawn_by_relation if given.relations else drawn)(seed, given.rows)
    for name, own in parts.items():
        write(folder / f"{name}.jsonl", own)
    ranked = rank(
        given.model,
        examples=folder / "pool.jsonl",
        targets=folder / "targets.jsonl",
        out=folder / "top.jsonl",
        top=f"{SHARE:.0%}",
        group_column="relation" if given.relations else "task",
        mode=given.mode,
        overrides=[f"seed={seed}"],
    )
    tree = {
        "model": {"name": given.model},
        "seed": seed,
        "out": str(folder / "run"),
        "lora": LORA,
        "training": {"epochs": given.epochs, "learning_rate": given.learning_rate},
    }
    data = RunData(parse_config(tree, "options"), has_training=False)
    models = Models(data)
    rows = {own["id"]: own for own in parts["pool"]}
    column = "relation" if given.relations else "task"
    wanted = {own[column] for own in parts["targets"]}
    found: dict[str, list[float]] = {}
    for name, ids in {"no training": None, **choices(parts, [own.id for own in ranked.rows], seed)}.items():
        kept = folder / f"{name.replace(' ', '-')}.json"
        if not kept.exists():
            path = None if ids is None else folder / f"{name.replace(' ', '-')}.jsonl"
            if path is not None:
                write(path, [rows[own] for own in ids or ()])
            share = sum(rows[own][column] in wanted for own in ids or ()) / len(ids or [1])
            kept.write_text(json.dumps([share, trained(models, data, path, folder / "test.jsonl")]), encoding="utf-8")
        share, found[name] = json.loads(kept.read_text(encoding="utf-8"))
        loss = np.mean(found[name])
        print(f"seed {seed}, {name}: loss {loss:.3f}, wanted {share:.0%}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--relations", action="store_true")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--mode", choices=("exact", "sketch"), help="of `grait influence rank`; default: as there")
    given = parser.parse_args()
    for seed in given.seeds:
        found = compare(given.out, seed, given)
        for other in ("random", "word overlap"):
            mean, low, high = interval(found["influence"], found[other])
            print(f"seed {seed}: influence less {other} {mean:.3f} [{low:.3f}, {high:.3f}]", flush=True)


if __name__ == "__main__":
    main()
