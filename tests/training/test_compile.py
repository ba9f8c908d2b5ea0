"""Training with torch.compile ends where training without it ends."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import PAD, random_examples, tiny_model, with_lora
from tiny_folder import Files, tiny_tree
from torch import nn
from torch._dynamo.utils import counters

import grait
from grait.config import OptimizerSection, parse_config
from grait.errors import ConfigError, ModelError
from grait.model import compiled as compiled_module
from grait.model.compiled import compiled
from grait.model.completions import TokenizedExample
from grait.pipeline import training
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.stages import alone
from grait.runtime import processes
from grait.training.examples import WeightedExample
from grait.training.sft import TrainingLog, train

PREFIX = tuple(range(50, 62))


@pytest.fixture(autouse=True)
def graphs_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python becomes graphs, but these are not compiled any further, which takes minutes: marked ``slow``."""
    if "slow" in request.keywords:
        return
    whole = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: whole(self, **options, backend="eager"))


def trained(is_compiled: bool, n_shared: int) -> TrainingLog:
    model = tiny_model(num_hidden_layers=1)
    adapted = with_lora(model, ["q_proj", "v_proj", "down_proj"])
    examples = [
        WeightedExample(TokenizedExample(row.id, (*PREFIX[:n_shared], *row.prompt_ids), row.completion_ids), weight)
        for row, weight in zip(random_examples(12, prompt=(2, 14)), [0.5, 1.0, 2.0] * 4, strict=True)
    ]
    config = OptimizerSection(epochs=2, batch_size=6, micro_batch_size=3, learning_rate=1e-2)
    with compiled(adapted) if is_compiled else nullcontext():
        log = train(adapted, examples, config, pad_token_id=PAD, seed=0, road="copied prefix")
    assert model.get_decoder()._compiled_call_impl is None
    return log


@pytest.mark.parametrize("n_shared", [0, len(PREFIX)])
def test_compiled_training_has_the_same_losses(n_shared: int) -> None:
    """In one graph, or two behind a shared prefix: nothing falls back to Python."""
    expected = trained(False, n_shared)
    counters.clear()
    found = trained(True, n_shared)
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)
    for name, moment in expected.moments.items():
        torch.testing.assert_close(found.moments[name], moment, atol=1e-5, rtol=1e-3)
    assert counters["stats"]["unique_graphs"] == (2 if n_shared else 1)
    assert not counters["graph_break"]


@pytest.mark.slow
def test_generated_code_has_the_same_losses() -> None:
    expected, found = (trained(is_compiled, n_shared=0) for is_compiled in (False, True))
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)


def test_what_cannot_be_compiled_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no C++ compiler\nfound")

    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: setattr(self, "_compiled_call_impl", _compiled(fails)))
    with pytest.raises(ModelError, match=r"^model\.compile = true: torch cannot compile this model: .*C\+\+") as caught:
        trained(True, 0)
    assert "\n" not in str(caught.value)


def _compiled(backend: Any) -> Any:
    return torch.compile(lambda *_, **inputs: inputs["input_ids"] + 1, backend=backend)


def test_the_config_decides(tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    whole = compiled_module.compiled

    def telling(model: Any) -> Any:
        told.append("compiled")
        return whole(model)

    monkeypatch.setattr(training, "compiled", telling)
    for is_compiled in (False, True):
        tree = tiny_tree(*tiny, tmp_path / str(is_compiled))
        tree["model"]["compile"] = is_compiled
        tree["training"]["methods"] = ["cor-rait"]
        grait.run(tree)
        assert told == ["compiled"] * is_compiled


def test_gradient_checkpointing_is_refused() -> None:
    """Its layers would run as they are, in silence."""
    with pytest.raises(
        ConfigError, match=r"^config: model: compile has no effect on layers that gradient_checkpointing"
    ):
        parse_config({"model": {"compile": True, "gradient_checkpointing": True}})


def test_sharded_training_is_refused(tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config({**tiny_tree(*tiny, tmp_path / "run"), "model": {"name": tiny[0], "compile": True}})
    data = RunData(config)
    models = Models(data)
    monkeypatch.setattr(processes, "sharding", lambda: "fsdp")
    with (
        pytest.raises(ConfigError, match=r"^model\.compile = true: was not tried with sharded training"),
        alone(data, models),
    ):
        pass
