"""A tiny model as a folder that loads like any other, and question files of which it knows one half.

A random model knows nothing; so it is asked first, and its own greedy answers become the reference answers of the
known half. A low sampling temperature makes its samples these very answers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny import tiny_model, tiny_tokenizer

from grait.config import ModelConfig, PromptConfig
from grait.judging.matching import is_correct
from grait.judging.refusal import detect_refusal
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.model.roads import inference_road
from grait.records import Question

N_SHOTS = 2
MAX_NEW_TOKENS = 6
POSITIONS = 320
"""Most tokens that the model in the folder attends to."""

UNKNOWN = "zebra"
"""What the model never says."""


def save_tiny(folder: Path, *, chat: bool = True, seed: int = 0, positions: int = POSITIONS) -> str:
    """Write a loadable Llama of two layers with its byte-level tokenizer; returns the folder as text."""
    tokenizer = tiny_tokenizer(chat=chat)
    model = tiny_model("llama", vocab_size=len(tokenizer), seed=seed, max_position_embeddings=positions)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True)
class Files:
    """Two question files, written as JSON lines."""

    train: str
    test: str


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def greedy_answers(
    model: str, shots: Sequence[Question], questions: Sequence[Question], gguf_file: str | None = None
) -> list[str]:
    """What the model in the folder answers to a knowledge query, greedily."""
    config = ModelConfig(name=model, dtype="float32", device="cpu", gguf_file=gguf_file)
    prompts = PromptFormat(load_tokenizer(config), PromptConfig(n_shots=len(shots)), shots=tuple(shots))
    loaded, pad_token_id = load_model(config), int(prompts.tokenizer.pad_token_id)
    engine = InferenceEngine(loaded, pad_token_id, road=inference_road(loaded, pad_token_id))
    queries = [prompts.query(question) for question in questions]
    answers = engine.generate(
        [query.token_ids for query in queries],
        [question.id for question in questions],
        n=1,
        temperature=0,
        max_new_tokens=MAX_NEW_TOKENS,
        end_token_ids=prompts.end_token_ids(queries[0].is_chat),
    )
    return [prompts.decode(tokens) for (tokens,) in answers]


def write_half_known(
    model: str, folder: Path, *, n_train: int = 16, n_test: int = 8, gguf_file: str | None = None
) -> Files:
    """Question files for a run with ``N_SHOTS`` shots: every second question is one that the model answers right."""
    shots = [Question(f"shot{i}", f"Which letter has number {i}?", ("ABC"[i],)) for i in range(N_SHOTS)]
    asked = [
        Question(f"q{i:03d}", f"Who wrote book {i * i} of {i}?", (UNKNOWN,)) for i in range(8 * (n_train + n_test))
    ]
    rows: list[dict[str, Any]] = []
    for question, answer in zip(asked, greedy_answers(model, shots, asked, gguf_file), strict=True):
        own = Question(question.id, question.question, (answer or UNKNOWN,))
        if len(rows) % 2 == 0:
            rows.append({"id": question.id, "question": question.question, "answers": [UNKNOWN]})
        elif is_correct(answer, own) and detect_refusal(answer, own) != "refused":
            rows.append({"id": question.id, "question": question.question, "answers": [answer]})
        if len(rows) == n_train + n_test:
            break
    assert len(rows) == n_train + n_test, "too few usable answers; ask more questions"
    folder.mkdir(parents=True, exist_ok=True)
    first = [{"id": shot.id, "question": shot.question, "answers": list(shot.answers)} for shot in shots]
    return Files(
        write_jsonl(folder / "train.jsonl", [*first, *rows[:n_train]]),
        write_jsonl(folder / "test.jsonl", rows[n_train:]),
    )


def tiny_tree(model: str, files: Files, out: Path) -> dict[str, Any]:
    """The config of a run of seconds."""
    return {
        "out": str(out),
        "model": {"name": model, "dtype": "float32", "device": "cpu"},
        "data": {"path": files.train},
        "prompt": {"n_shots": N_SHOTS, "forms": []},
        "knowledge": {"n_samples": 3, "temperature": 0.01, "max_new_tokens": MAX_NEW_TOKENS},
        "lora": {"r": 2, "alpha": 4, "target_modules": "all-linear"},
        "warmup": {"epochs": 1, "batch_size": 8, "micro_batch_size": 8},
        "training": {"epochs": 1, "learning_rate": 3e-4, "batch_size": 8, "micro_batch_size": 8},
        "tune": {"budget": 0},
        "replay": {"path": None},
        "evaluation": {
            "max_new_tokens": MAX_NEW_TOKENS,
            "n_bootstrap": 200,
            "probes": False,
            "datasets": [{"path": files.test, "name": "own"}],
        },
    }
