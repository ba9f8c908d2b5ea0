"""Adapters on experts that are one tensor (``lora.target_parameters``): every family that has some."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from families import WORKS, end_to_end, experts_of
from peft import PeftModel
from pydantic import ValidationError
from test_zoo import BEGINNING, behind_the_beginning
from tiny import PAD, loop_gradients
from zoo import FAMILIES, zoo_model

from grait.config import LoraSection
from grait.errors import ConfigError
from grait.influence.gradients import gradient_factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.influence.road import gradient_road
from grait.model.common_prefix import for_gradients
from grait.model.completions import collate
from grait.model.roads import inference_road
from grait.training.road import training_road
from grait.training.sft import add_adapter, randomize
from grait.training.targets import fused_experts, linear_targets

QUICK = ("qwen3_moe", "gpt_oss", "llama4_text", "nemotron_h")
"""Gated; transposed with biases and sinks; every token to every expert; without a gate, in a hybrid."""


KINDS = ("qwen3_moe", "gpt_oss", "mixtral", "llama4_text", "qwen3_5_moe_text", "lfm2_moe")
"""Those whose whole runs are among the slow tests, too."""

WITHOUT = ("minimax", "xlstm", "jetmoe", "deepseek_v4")
HAVE_SOME = [family for family in FAMILIES if family not in WITHOUT and fused_experts(zoo_model(family))]


def families() -> list[Any]:
    return [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in HAVE_SOME]


def adapted(family: str, dtype: torch.dtype = torch.float64, implementation: str = "eager") -> PeftModel:
    """In fp64 both roads are compared without rounding, but for what a family itself computes in fp32."""
    model = zoo_model(family).to(dtype)
    model.set_experts_implementation(implementation)
    found = add_adapter(model, LoraSection(r=2, target_parameters=experts_of(family)), 0)
    randomize(found)
    return found.to(dtype).eval()


@pytest.mark.parametrize("family", families())
def test_gradients_of_experts_are_those_of_single_examples(family: str) -> None:
    model, examples = adapted(family), behind_the_beginning(len(BEGINNING))
    _, expected = loop_gradients(model, examples)
    linears = trainable_linears(model)
    assert sum("experts" in name for name in linears) >= 2
    with for_gradients(model):
        road = gradient_road(model, PAD)
        prefix = SharedPrefix.of(model, linears, examples, road)
        if prefix:
            _, factors = prefix.gradient_factors(prefix.collate(examples, PAD))
        else:
            _, factors = gradient_factors(model, linears, collate(examples, PAD))
    for row, gradient in enumerate(expected):
        found = torch.cat([factors[name].gradients()[row] for name in linears])
        assert float((found - gradient).norm() / gradient.norm()) < 1e-5
    of_experts = torch.cat([factors[name].gradients() for name in linears if "experts" in name], dim=1)
    assert bool((of_experts.norm(dim=1) > 0).all())


@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm"])
def test_gradients_of_experts_do_not_depend_on_how_they_are_run(implementation: str) -> None:
    model, examples = adapted("qwen3_moe", torch.float32, implementation), behind_the_beginning(len(BEGINNING))
    exact = copy.deepcopy(model).double()
    exact.get_base_model().set_experts_implementation("eager")
    _, expected = loop_gradients(exact, examples)
    linears = trainable_linears(model)
    _, factors = gradient_factors(model, linears, collate(examples, PAD))
    for row, gradient in enumerate(expected):
        found = torch.cat([factors[name].gradients()[row] for name in linears])
        assert float((found - gradient).norm() / gradient.norm()) < 1e-5


@pytest.mark.parametrize("family", families())
def test_families_take_the_same_roads_with_adapters_on_experts_or_slower_ones(family: str) -> None:
    model = zoo_model(family)
    assert inference_road(model, PAD)
    found = adapted(family, torch.float32, "eager")
    assert gradient_road(found, PAD) and training_road(found, PAD)


def test_experts_that_are_left_out_are_named_as_the_key_wants_them() -> None:
    named = linear_targets(zoo_model("qwen3_moe")).left_out
    assert named == {"experts, which lora.target_parameters can name": ["experts.gate_up_proj", "experts.down_proj"]}


@pytest.mark.parametrize("name", ["experts.gate_proj", "mlp.q_proj", "q_proj.weight", "no.experts.down_proj"])
def test_a_name_that_peft_would_pass_over_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no weight of fused experts of this model; it has experts\.gate_up_proj"):
        add_adapter(zoo_model("qwen3_moe"), LoraSection(target_parameters=[name]), 0)
    with pytest.raises(ConfigError, match="it has none"):
        add_adapter(zoo_model("llama"), LoraSection(target_parameters=[name]), 0)


def test_experts_have_no_dropout() -> None:
    with pytest.raises(ValidationError, match="dropout cannot be had with target_parameters"):
        LoraSection(dropout=0.1, target_parameters=["experts.down_proj"])


@pytest.mark.families
@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=pytest.mark.slow if family in KINDS else ()) for family in HAVE_SOME]
)
def test_adapters_on_experts_go_through_everything(family: str, tmp_path: Path) -> None:
    assert end_to_end(family, tmp_path, experts_of(family)) == WORKS
