"""A model that is sharded in training gets the adapter of one process: FSDP and DeepSpeed ZeRO, on CPUs (gloo)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launchers import ENVIRONMENT, HAS_DEEPSPEED, accelerated
from safetensors.torch import load_file

from tests.training.sharded_cases import CASES, N_STEPS, tensors, trained


@pytest.fixture(scope="module", params=["cpu-2-fsdp", "zero2", "zero3"])
def sharded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A config of the launcher, and what two processes with it have written."""
    config = str(request.param)
    if config.startswith("zero") and not HAS_DEEPSPEED:
        pytest.skip("DeepSpeed is not installed")
    folder = tmp_path_factory.mktemp(config)
    script = Path(__file__).parent / "sharded_cases.py"
    done = subprocess.run(
        [*accelerated(f"{config}.yaml"), "--num_processes", "2", str(script), str(folder)],
        env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return config, folder


def noted(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "processes.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_sharded_model_gets_the_adapter_of_one_process(sharded: tuple[str, Path], case: str) -> None:
    """Losses, adapter and moments, at the end and after each epoch; the one process runs the common beginning once."""
    config, folder = sharded
    found = load_file(folder / f"{case}.safetensors")
    expected = tensors(*trained(CASES[case]()))
    assert found.keys() == expected.keys()
    assert len(found["losses"]) == N_STEPS
    tolerance = 3e-2 if case == "bfloat16" else 1e-3
    for name, tensor in expected.items():
        assert float((found[name] - tensor).abs().max()) < tolerance, name
    if config == "cpu-2-fsdp":
        assert [process["shares"][case] for process in noted(folder)] == [0.5, 0.5]


@pytest.mark.slow
def test_a_killed_sharded_training_goes_on_at_its_checkpoint(sharded: tuple[str, Path]) -> None:
    """With DeepSpeed it has none and begins again."""
    config, folder = sharded
    whole, resumed = load_file(folder / "plain.safetensors"), load_file(folder / "resumed.safetensors")
    for name, tensor in resumed.items():  # the first epoch was over before
        assert torch.equal(tensor, whole[name]), name
    for process in noted(folder):
        if config == "cpu-2-fsdp":
            assert (process["kept"], process["told"]) == (["checkpoint-5"], [5, 1, 1, 1, 1, 1])
        else:
            assert (process["kept"], process["told"]) == ([], [1] * N_STEPS)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_all_processes_alike(sharded: tuple[str, Path]) -> None:
    one, other = (process["errors"]["one_without_loss"] for process in noted(sharded[1]))
    assert one == other
    assert "is not finite" in one and "train with DDP" in one
