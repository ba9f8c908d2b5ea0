"""A model that is sharded in training gets the adapter of one process (FSDP on CPUs, gloo)."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sharded_cases import CASES, N_STEPS, tensors, trained
from test_processes import ENVIRONMENT, accelerated


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes with a half of the model each have written."""
    folder = tmp_path_factory.mktemp("sharded")
    script = Path(__file__).parent / "sharded_cases.py"
    done = subprocess.run(
        [*accelerated("cpu-2-fsdp.yaml"), str(script), str(folder)],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return folder


def noted(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "processes.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_sharded_model_gets_the_adapter_of_one_process(sharded: Path, case: str) -> None:
    """Losses, adapter and moments, at the end and after each epoch; the one process runs the common beginning once."""
    found = load_file(sharded / f"{case}.safetensors")
    expected = tensors(*trained(CASES[case]()))
    assert found.keys() == expected.keys()
    assert len(found["losses"]) == N_STEPS
    tolerance = 3e-2 if case == "bfloat16" else 1e-3
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert [process["shares"][case] for process in noted(sharded)] == [0.5, 0.5]


@pytest.mark.slow
def test_a_killed_sharded_training_goes_on_at_its_checkpoint(sharded: Path) -> None:
    whole, resumed = load_file(sharded / "plain.safetensors"), load_file(sharded / "resumed.safetensors")
    for name, tensor in resumed.items():  # the first epoch was over before
        assert torch.equal(tensor, whole[name]), name
    for process in noted(sharded):
        assert process["kept"] == ["checkpoint-5"]
        assert process["told"] == [5, 1, 1, 1, 1, 1]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_all_processes_alike(sharded: Path) -> None:
    one, other = (process["errors"]["one_without_loss"] for process in noted(sharded))
    assert one == other
    assert "is not finite" in one and "train with DDP" in one
