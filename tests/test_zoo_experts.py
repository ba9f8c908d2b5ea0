"""Adapters on experts that are one tensor (``lora.target_parameters``): every family that has some."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from test_zoo import BEGINNING, behind_the_beginning
from tiny import PAD, loop_gradients
from tiny_folder import tiny_tree, write_half_known
from transformers import PreTrainedModel
from zoo import FAMILIES, save_family, zoo_model

import grait
from grait.config import LoraSection, ModelConfig
from grait.errors import ConfigError, GraitError
from grait.influence.gradients import gradient_factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.influence.road import gradient_road
from grait.model.common_prefix import for_gradients
from grait.model.completions import collate
from grait.model.load import load_model
from grait.model.roads import inference_road
from grait.training.road import training_road
from grait.training.sft import add_adapter, randomize
from grait.training.targets import fused_experts, linear_targets

QUICK = ("qwen3_moe", "gpt_oss", "llama4_text", "nemotron_h")
"""Gated; transposed with biases and sinks; every token to every expert; without a gate, in a hybrid."""


def ends(model: PreTrainedModel) -> list[str]:
    """Weights of its experts, as a user names them."""
    return sorted({".".join(name.split(".")[-2:]) for name in fused_experts(model)})


def families() -> list[Any]:
    found = [family for family in FAMILIES if family not in ("minimax", "xlstm") and fused_experts(zoo_model(family))]
    return [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in found]


def adapted(family: str, dtype: torch.dtype = torch.float64, implementation: str = "eager") -> PeftModel:
    """In fp64 both roads are compared without rounding, but for what a family itself computes in fp32."""
    model = zoo_model(family).to(dtype)
    model.set_experts_implementation(implementation)
    found = add_adapter(model, LoraSection(r=2, target_parameters=ends(model)), 0)
    randomize(found)
    return found.to(dtype).eval()


@pytest.mark.parametrize("family", families())
def test_gradients_of_experts_are_those_of_single_examples(family: str) -> None:
    model, examples = adapted(family), behind_the_beginning(len(BEGINNING))
    _, expected = loop_gradients(model, examples)
    linears = trainable_linears(model)
    assert sum("experts" in name for name in linears) >= 4
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


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "mixtral", "llama4_text", "qwen3_5_moe_text", "lfm2_moe"])
def test_a_run_with_adapters_on_experts_its_merged_model_and_a_reload(family: str, tmp_path: Path) -> None:
    name = str(tmp_path / "model")
    save_family(family, tmp_path / "model")
    tree = tiny_tree(name, write_half_known(name, tmp_path), tmp_path / "run")
    tree["training"]["methods"] = ["grait"]
    tree["lora"]["target_parameters"] = ends(zoo_model(family))
    result = grait.run(tree)
    merged = grait.merge(tmp_path / "run", tmp_path / "merged")
    plain = ModelConfig(name=name, dtype="float32")
    tokens = torch.tensor([[5, 6, 7, 8, 9, *range(20, 60)]])
    initial = load_model(plain)(input_ids=tokens, use_cache=False).logits
    tuned = PeftModel.from_pretrained(load_model(plain), str(tmp_path / "run" / "adapters" / "grait")).eval()
    expected = tuned(input_ids=tokens, use_cache=False).logits
    assert float((expected - initial).abs().max()) > 1e-3
    own = [value for key, value in tuned.named_parameters() if "experts" in key and "lora_B" in key]
    assert own and all(bool(value.abs().sum() > 0) for value in own)
    whole = load_model(ModelConfig(name=str(merged.folder), dtype="float32"))
    torch.testing.assert_close(whole(input_ids=tokens, use_cache=False).logits, expected, rtol=1e-4, atol=1e-4)
    evaluated = {**tree, "model": tree["model"] | {"name": str(merged.folder)}, "out": str(tmp_path / "eval")}
    evaluated["lora"] = {"r": 2}
    rows = grait.evaluate(evaluated, initial=ModelConfig(**tree["model"])).metrics
    (found,) = (row for row in rows if row.method == "merged")
    (of_run,) = (row for row in result.metrics if row.method == "grait")
    assert (found.pc, found.pw, found.pr) == (of_run.pc, of_run.pw, of_run.pr)
    grait.export(tmp_path / "run", "trl", out=tmp_path / "trl")
    assert any("experts.down_proj" in path.read_text(encoding="utf-8") for path in (tmp_path / "trl").iterdir())
    with pytest.raises(GraitError, match=r"lora\.target_parameters: LLaMA-Factory"):
        grait.export(tmp_path / "run", "llama-factory")
