"""TruthRL in a run: samples of the weights as they are, judged and weighed, in every form, beside replay; restarts."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known, write_jsonl
from tiny_judge import by_first_letter

import grait
from grait.config import ModelConfig, parse_config
from grait.errors import ArtifactError, ConfigError
from grait.methods.truthrl import REWARDS, SAMPLES
from grait.model.load import load_tokenizer
from grait.pipeline import rewards
from grait.pipeline.rewards import plan_rewards
from grait.pipeline.work import Count, SetSize
from grait.records import Question
from grait.runtime import processes
from grait.training import checkpoints
from grait.training.examples import WeightedExample

N_TRAIN, N_STEPS, RATE = 16, 4, 1e-3

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Files]:
    folder = tmp_path_factory.mktemp("rewards")
    model = save_tiny(folder / "model")
    return model, write_half_known(model, folder, n_train=N_TRAIN)


def tree(files: tuple[str, Files], folder: Path) -> dict[str, Any]:
    """Two forms, and as many rows of replay; a judge that calls samples of a tiny model right, wrong and refused."""
    found = tiny_tree(*files, folder / "run")
    found["prompt"]["forms"] = ["examples", "question"]
    found["prompt"]["own_words"] = False
    found["training"] |= {"methods": ["truthrl"], "learning_rate": RATE, "batch_size": 16, "max_steps": N_STEPS}
    found["judge"] = {"by": "python", "python": "tiny_judge:by_first_letter"}
    path = write_jsonl(folder / "prompts.jsonl", [{"prompt": f"Write a line about number {i}."} for i in range(6)])
    found["replay"] = {
        "path": path, "max_new_tokens": 5, "share": 0.5, "given_texts": 0, "forms_share": 0.0, "after_turns": 0.0
    }  # fmt: skip
    return found


Step = tuple[list[WeightedExample], list[WeightedExample], float | None]


def watched(monkeypatch: pytest.MonkeyPatch, killed_at: int | None = None) -> dict[int, Step]:
    """What each step asked, trained on and was rewarded with; a run is killed at the beginning of one."""
    steps: dict[int, Step] = {}
    original = rewards._Sampler.__call__

    def call(self: Any, model: Any, rows: Any, step: int) -> Any:
        if step == killed_at:
            raise Killed
        found, reward = original(self, model, rows, step)
        steps[step] = (list(rows), found, reward)
        return found, reward

    monkeypatch.setattr(rewards._Sampler, "__call__", call)
    return steps


@pytest.fixture(scope="module")
def done(files: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Step]]:
    folder = tmp_path_factory.mktemp("done")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        steps = watched(patch)
        grait.run(tree(files, folder))
    torch.set_num_threads(threads)
    return folder / "run", steps


def is_replay(row: WeightedExample) -> bool:
    return row.example.id.startswith("replay:")


def test_samples_of_a_question_in_a_form_share_the_gradient_and_replay_stays(
    files: tuple[str, Files], done: tuple[Path, dict[int, Step]]
) -> None:
    assert list(done[1]) == list(range(N_STEPS))
    groups, forms = dict[tuple[int, str, str], list[WeightedExample]](), set()
    for step, (asked, found, _) in done[1].items():
        assert [row for row in found if is_replay(row)] == [row for row in asked if is_replay(row)] != []
        prompts = {(row.example.id, row.form): row.example.prompt_ids for row in asked}
        of_step = defaultdict(list)
        for row in found:
            if not is_replay(row):
                assert row.example.prompt_ids == prompts[row.example.id, row.form]
                of_step[step, row.example.id, row.form].append(row)
        groups |= of_step
        forms |= {row.form for row in asked if not is_replay(row)}
    assert forms == {"examples", "question"} and groups
    tokenizer = load_tokenizer(ModelConfig(name=files[0]))
    lines = Path(files[1].train).read_text(encoding="utf-8").splitlines()
    asked_for = {
        row["id"]: Question(row["id"], row["question"], tuple(row["answers"])) for row in map(json.loads, lines)
    }
    for (_, id_, _), rows in groups.items():
        assert 2 <= len(rows) <= SAMPLES
        assert sum(row.sample_weight for row in rows) == pytest.approx(0, abs=1e-9)
        assert all(abs(row.sample_weight) <= 3 / SAMPLES for row in rows)
        texts = [tokenizer.decode(row.example.completion_ids, skip_special_tokens=True).strip() for row in rows]
        values = [REWARDS[by_first_letter(text, asked_for[id_])] for text in texts]
        by_value = sorted(zip(values, (row.sample_weight for row in rows), strict=True))
        assert len(set(values)) > 1 and [weight for _, weight in by_value] == sorted(row.sample_weight for row in rows)


def test_rewards_are_kept_by_step(done: tuple[Path, dict[int, Step]]) -> None:
    folder = done[0] / "adapters" / "truthrl"
    found = json.loads((folder / "rewards.json").read_text(encoding="utf-8"))
    assert found == [reward for _, _, reward in done[1].values()]
    assert all(-1 <= reward <= 1 for reward in found)
    assert len(json.loads((folder / "losses.json").read_text(encoding="utf-8"))) == N_STEPS


def test_it_begins_at_its_own_tuning_and_changes_it(done: tuple[Path, dict[int, Step]]) -> None:
    tuned, after = (
        load_file(done[0] / place / "truthrl" / "adapter_model.safetensors") for place in ("tuned", "adapters")
    )
    assert tuned.keys() == after.keys()
    moved = max(float((tuned[name] - after[name]).abs().max()) for name in tuned)
    assert 0 < moved < 2 * N_STEPS * 0.1 * RATE  # of so many steps at a tenth of the rate


def test_a_killed_training_ends_with_the_same_adapter(
    files: tuple[str, Files], done: tuple[Path, dict[int, Step]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(checkpoints, "LARGEST_SHARE", float("inf"))
    config = tree(files, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        watched(patch, killed_at=2)
        grait.run(config)
    with monkeypatch.context() as patch:
        steps = watched(patch)
        grait.run(config)
    assert list(steps) == [2, 3]
    for name in ("adapter_model.safetensors", "rewards.json", "losses.json"):
        own, whole = (folder / "adapters" / "truthrl" / name for folder in (tmp_path / "run", done[0]))
        assert own.read_bytes() == whole.read_bytes()


def test_it_is_trained_by_one_process_and_has_no_export(
    files: tuple[str, Files], done: tuple[Path, dict[int, Step]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArtifactError, match="truthrl learned from its own samples, too"):
        grait.export(done[0], "trl", method="truthrl")
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(ConfigError, match="truthrl: trained by one process only; found 2"):
        grait.run(tree(files, tmp_path))


def test_its_plan_has_the_steps_of_a_run_and_samples_beside(files: tuple[str, Files], tmp_path: Path) -> None:
    config = parse_config(tree(files, tmp_path))
    size = SetSize("training", "", Count(N_TRAIN), False, 30.0, 40, is_local=True)
    plan = plan_rewards(config, size, "truthrl")
    assert plan.steps == Count(N_STEPS)
    assert plan.work.decoded_tokens == pytest.approx(N_STEPS * 16 / 2 * SAMPLES * 24, rel=0.2)  # half is replay
