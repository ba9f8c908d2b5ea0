"""A tiny model's questions without shots, the config of ``grait eval`` for them, and a task of the harness."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_folder import MAX_NEW_TOKENS, greedy_answers, write_jsonl

from grait.config import Config, parse_config
from grait.judging.matching import is_correct
from grait.records import Prediction, Question
from grait.runtime.artifacts import read_rows

TASK = """
task: tiny_places
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{{{country}}}} is"
doc_to_choice: "{{{{options}}}}"
doc_to_target: right
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""


@dataclass(frozen=True)
class Tiny:
    """A model, an adapter that fits it, another model, and questions of which the model answers some right."""

    model: str
    adapter: str
    other: str
    questions: str


def known_and_unknown(model: str, path: Path, n: int = 12) -> str:
    """Questions asked without shots: every second one has the model's own answer."""
    asked = [Question(f"q{i:02d}", f"Who wrote book {i * i} of {i}?", ("zebra",)) for i in range(8 * n)]
    rows: list[dict[str, Any]] = []
    for question, answer in zip(asked, greedy_answers(model, [], asked), strict=True):
        own = Question("", question.question, (answer or "zebra",))
        is_known = len(rows) % 2 == 1
        if not is_known or (answer and is_correct(answer, own)):
            rows.append(
                {"id": question.id, "question": question.question, "answers": [answer if is_known else "zebra"]}
            )
        if len(rows) == n:
            break
    assert len(rows) == n
    return write_jsonl(path, rows)


def config_of(tiny: Tiny, out: Path, **evaluation: Any) -> Config:
    return parse_config(
        {
            "out": str(out),
            "model": {"name": tiny.model, "dtype": "float32", "device": "cpu"},
            "evaluation": {
                "max_new_tokens": MAX_NEW_TOKENS,
                "n_bootstrap": 100,
                "probes": False,
                "datasets": [{"path": tiny.questions, "name": "own"}],
                **evaluation,
            },
        }
    )


def predictions_in(folder: Path, system: str, dataset: str = "own") -> list[Prediction]:
    return read_rows(folder / "evaluation" / dataset / system / "predictions.parquet", Prediction)
