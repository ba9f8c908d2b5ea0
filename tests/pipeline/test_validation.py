"""``grait influence validate``: trainings on subsets of a run, each kept, and what is printed of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Call
from tiny import PAD, plain_loss, random_examples, tiny_model
from tiny_folder import save_tiny

from grait.errors import ArtifactError, ConfigError
from grait.influence import validate
from grait.pipeline.validation import ANSWERS, APART, KNOWN, UNKNOWN, Rows, measured
from grait.runtime.artifacts import Stage


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validate") / "run"
    shutil.copytree(finished, folder)
    return folder


FAST = ["training.epochs=3", "training.learning_rate=0.003"]


def test_each_training_is_kept_and_more_subsets_add_to_them(run: Path, command: Call) -> None:
    before = (run / "config.json").read_bytes()
    call = ["influence", "validate", str(run), "--targets", "2", *(part for key in FAST for part in ("--set", key))]
    code, out, err = command(*call, "--subsets", "3")
    assert code == 0, err
    assert "Rank correlation over 3 trainings" in out and "left-out margin" in out and "random" in out
    stages = [Stage.found(run / "validation" / f"subset-{i:03}") for i in range(3)]
    kept = [stage.files() for stage in stages]
    assert all(set(own) == {"measured.json"} for own in kept)
    found = validate(run, subsets=4, targets=2, overrides=FAST)
    assert found.subsets[:3] == json.loads((run / "validation" / "validation.json").read_text())["subsets"][:3]
    assert [Stage.found(stage.folder).notes() for stage in stages] == [stage.notes() for stage in stages]
    assert all(len(values) == 4 and len(set(values)) > 1 for values in found.outcomes.values())
    assert (run / "config.json").read_bytes() == before


def test_the_table_has_every_score_with_every_outcome(run: Path) -> None:
    found = validate(run, subsets=3, targets=2, overrides=FAST)
    scores = {row.score for row in found.predictions}
    assert {"R", "O", "S", "K", "left-out margin", "gradient norm", "word overlap (BM25)", "random"} <= scores
    forms = (", Adam's steps", ", times norm", ", curvature", ", curvature, times norm")
    assert {f"{name}{how}" for name in "ROSK" for how in forms} <= scores
    assert len(found.predictions) == len(scores) * 4
    written = json.loads((run / "validation" / "validation.json").read_text())
    trained_on = {name for own in found.subsets for name in own}
    assert trained_on <= set(written["scores"]["R"])
    assert written["scores"]["R, curvature"] != pytest.approx(written["scores"]["R"], abs=0.01)
    for name, value in written["scores"]["S"].items():
        assert value == pytest.approx(written["scores"]["R"][name] - written["scores"]["O"][name])


def test_outcomes_go_with_what_is_trained_on(run: Path) -> None:
    """Training on refusals makes them likelier than before, on known and unknown questions."""
    gentle = validate(run, subsets=3, targets=2, overrides=["training.epochs=1", "training.learning_rate=1e-8"])
    found = validate(run, subsets=3, targets=2, overrides=["training.epochs=4", "training.learning_rate=0.01"])
    name = "refusal log-odds, unknown"
    assert min(found.outcomes[name]) > max(gentle.outcomes[name]) + 0.1


def test_what_prompts_begin_with_runs_once_and_changes_no_outcome() -> None:
    """Log-odds of sums of token losses, example by example, with and without a common beginning."""
    model = tiny_model().double()
    own = [replace(row, prompt_ids=(*range(20, 32), *row.prompt_ids)) for row in random_examples(6)]
    rows = Rows([], [], own[:2], own[2:3], {row.id: answer for row, answer in zip(own, own[3:], strict=False)})
    with torch.no_grad():
        lost = [float(plain_loss(model, row)) for row in own]
    logprobs = [-loss * len(row.completion_ids) for loss, row in zip(lost, own, strict=True)]
    unknown = (logprobs[0] - logprobs[3] + logprobs[1] - logprobs[4]) / 2
    known = logprobs[2] - logprobs[5]
    for road in ("copied prefix", "no sharing"):
        found = measured(model, PAD, rows, 64, road)
        expected = {UNKNOWN: unknown, KNOWN: known, APART: unknown - known, ANSWERS: -lost[5]}
        assert found == pytest.approx(expected, rel=1e-5), road


def test_bad_sizes_and_folders_are_one_line(run: Path, tmp_path: Path) -> None:
    for options, words in (({"subsets": 2}, "from 3"), ({"share": 1.5}, "between 0 and 1"), ({"targets": 0}, "from 1")):
        with pytest.raises(ConfigError, match=words):
            validate(run, **options)
    with pytest.raises(ArtifactError, match="no run folder"):
        validate(tmp_path)
    with pytest.raises(ArtifactError, match="model: holds a model and no run"):
        validate(save_tiny(tmp_path / "model"))
