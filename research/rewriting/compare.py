"""Does ``grait rewrite`` find what a model does not know?

``python -m research.rewriting.compare --out runs/rewriting`` makes a set of 2,000 rows, half of them facts of
WorldFacts in sentences, half ordinary prompts of replay, rewrites it by own samples and by likelihood, asks the same
model the plain questions after solved examples with another seed, and compares: precision (of the rows that were
rewritten, those that the model does not know), recall (of the facts that it does not know, those that were rewritten),
and AUROC of what was measured. Ordinary rows have answers of facts, which is the hardest case: nothing but their
question tells that they ask for none. With ``--answers model`` they have the model's own, as a set that is trained on.
Called again it goes on where it was.
"""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grait.commands.rewrite import rewrite
from grait.config import parse_config
from grait.data.replay import load_replay
from grait.data.worldfacts import load
from grait.evaluation.metrics import refusal_auroc
from grait.knowledge.conversations import Samples
from grait.knowledge.query import query
from grait.model.answers import Shown, greedy_answers
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.parts import in_parts
from grait.records import KnowledgeState, Label, Outcome, Question
from grait.runtime import progress
from grait.runtime.artifacts import write_json, write_jsonl
from research.rewriting.sentences import in_sentences

Row = dict[str, Any]


def build(n: int, seed: int) -> tuple[list[Row], list[Question]]:
    """``n`` rows in random order, and the questions of the half that are facts; ``fact`` names a row's question."""
    facts = random.Random(seed).sample(load("train"), n // 2)
    others = [prompt for prompt in load_replay("builtin") if prompt.is_single]
    ordinary = random.Random(seed).sample(others, n - len(facts))
    said = [in_sentences(fact, seed) for fact in facts]
    rows = [_row(asked, answer, fact.id, "fact") for fact, (asked, answer) in zip(facts, said, strict=True)]
    answers = random.Random(seed).choices([answer for _, answer in said], k=len(ordinary))
    rows += [
        _row(prompt.messages[0]["content"], answer, None, prompt.kind)
        for prompt, answer in zip(ordinary, answers, strict=True)
    ]
    random.Random(seed).shuffle(rows)
    return rows, facts


def _row(asked: str, answer: str, fact: str | None, kind: str) -> Row:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "fact": fact, "kind": kind}


def with_own_answers(config: Row, rows: Sequence[Row], folder: Path) -> list[Row]:
    """The rows with the model's own greedy answers to ordinary prompts."""
    data = RunData(parse_config(config | {"out": str(folder)}, "answers"), has_training=False)
    asked = [
        Shown(f"row-{place}", "chat", data.prompts.conversation(row["messages"][:1]))
        for place, row in enumerate(rows)
        if row["fact"] is None
    ]
    models = Models(data)
    with models.engine(None) as engine, progress.bar("ordinary answers", len(asked), "prompts") as advance:
        found = in_parts(
            folder / "answers",
            Samples,
            [asked],
            lambda part: [
                Samples(name, [data.prompts.decode(tokens)])
                for name, tokens in greedy_answers(engine, data.prompts, part, 64, advance).items()
            ],
            advance,
            50,
        )
    own = {name: {"role": "assistant", "content": row.outputs[0] or "Yes."} for name, row in found.items()}
    return [
        row | {"messages": [row["messages"][0], own.get(f"row-{place}", row["messages"][1])]}
        for place, row in enumerate(rows)
    ]


def figures(rows: Sequence[Row], labels: Mapping[str, Label]) -> Row:
    """Of a rewritten set. ``labels``: measured apart; what is on the threshold there is neither right nor wrong."""
    judged = [row for row in rows if row["fact"] is None or labels[row["fact"]] != "dropped"]
    rewritten = [row for row in judged if row["rewritten"]]
    unknown = [row for row in judged if row["fact"] is not None and labels[row["fact"]] == "idk"]
    hits = [row for row in unknown if row["rewritten"]]
    known = [row for row in judged if row["fact"] is not None and labels[row["fact"]] == "ik"]
    scores = {row["fact"]: 1 - row["correctness"] for row in judged if row["correctness"] is not None}
    outcomes: dict[str, Outcome] = {name: "correct" if labels[name] == "ik" else "wrong" for name in scores}
    return {
        "rows": len(rows),
        "rewritten": sum(row["rewritten"] for row in rows),
        "precision": len(hits) / len(rewritten) if rewritten else None,
        "recall": len(hits) / len(unknown) if unknown else None,
        "known": len(known),
        "known_rewritten": sum(row["rewritten"] for row in known),
        "ordinary": sum(row["fact"] is None for row in rows),
        "ordinary_rewritten": sum(row["rewritten"] for row in rows if row["fact"] is None),
        "auroc": refusal_auroc(scores, outcomes) if len(set(outcomes.values())) > 1 else None,
    }


def measured_apart(config: Row, facts: Sequence[Question], folder: Path) -> dict[str, Label]:
    """Labels of the plain questions after solved examples, by the next seed."""
    settings = parse_config(config | {"seed": config["seed"] + 1, "out": str(folder)}, "labels")
    data = RunData(settings, has_training=False, given_shots=tuple(load("val")[: settings.prompt.n_shots]))
    models = Models(data)
    with models.engine(None) as engine, progress.bar("labels", len(facts), "questions") as advance:
        rows = in_parts(
            folder / "labels",
            KnowledgeState,
            [facts],
            lambda part: query(engine, data.prompts, part, settings.knowledge, seed=settings.seed, advance=advance),
            advance,
            50,
        )
    return {name: state.label for name, state in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--answers", choices=["facts", "model"], default="facts")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows, facts = build(given.rows, given.seed)
    knowledge = {"n_samples": given.samples, "temperature": given.temperature, "max_new_tokens": 32}
    config = {"model": {"name": given.model}, "seed": given.seed, "knowledge": knowledge}
    if given.answers == "model":
        rows = with_own_answers(config, rows, given.out)
    write_jsonl(given.out / "sft.jsonl", rows)
    found = {}
    for by in ("likelihood", "samples"):
        out = given.out / f"{by}.jsonl"
        told = rewrite(given.out / "sft.jsonl", config, out=out, by=by)  # type: ignore[arg-type]
        found[by] = told.counts
    labels = measured_apart(config, facts, given.out)
    write_json(given.out / "labels.json", labels)
    table = {}
    for by, counts in found.items():
        written = [json.loads(line) for line in (given.out / f"{by}.jsonl").read_text(encoding="utf-8").splitlines()]
        table[by] = {"counts": counts, **figures(written, labels)}
        print(by, json.dumps(table[by], indent=1))
    write_json(given.out / "figures.json", table)


if __name__ == "__main__":
    main()
