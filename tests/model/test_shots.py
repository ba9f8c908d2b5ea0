"""A run whose prompts all show the solved examples (``prompt.shots_in: all``)."""

import copy
import json
from pathlib import Path

from tiny_folder import N_SHOTS, save_tiny, tiny_tree, write_half_known

import grait
from grait.commands.export import export
from grait.records import Prediction
from grait.runtime.artifacts import read_rows


def test_training_and_evaluation_show_the_shots_and_the_knowledge_state_stays(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 960}))
    files = write_half_known(model, tmp_path)
    tree = tiny_tree(model, files, tmp_path / "run")
    tree["training"]["methods"] = ["grait"]
    grait.run(tree)
    knowledge = (tmp_path / "run" / "knowledge" / "knowledge.parquet").stat().st_mtime_ns
    before = {name: answers(tmp_path, name) for name in ("init-basic", "init-refuse")}
    shots = [json.loads(line)["question"] for line in Path(files.train).read_text().splitlines()[:N_SHOTS]]
    assert not any(shot in prompt for prompt in prompts(tmp_path) for shot in shots)

    shown = copy.deepcopy(tree)
    shown["prompt"]["shots_in"] = "all"
    grait.run(shown)
    assert (tmp_path / "run" / "knowledge" / "knowledge.parquet").stat().st_mtime_ns == knowledge
    assert prompts(tmp_path) and all(shot in prompt for prompt in prompts(tmp_path) for shot in shots)
    assert answers(tmp_path, "init-basic") == before["init-basic"]
    assert answers(tmp_path, "init-refuse") != before["init-refuse"]

    folder = export(tmp_path / "run", "openai", method="grait").folder
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows and all(shot in json.dumps(row["messages"]) for row in rows for shot in shots)


def prompts(folder: Path) -> list[str]:
    text = (folder / "run" / "rait.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["prompt"] for line in text.splitlines()]


def answers(folder: Path, system: str) -> list[str]:
    (file,) = (folder / "run" / "evaluation").glob(f"*/{system}/predictions.parquet")
    return [row.output for row in read_rows(file, Prediction)]
