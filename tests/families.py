"""A family of the zoo through everything that a user does with it, as small as it goes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_folder import Files, tiny_tree, write_half_known, write_jsonl
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from zoo import save_family, zoo_model

import grait
from grait.commands.export import FORMATS
from grait.config import ModelConfig
from grait.errors import GraitError
from grait.model.adapters import load_adapter
from grait.model.load import load_model
from grait.training.targets import fused_experts

WORKS, REFUSED = "works", "refused"
TOKENS = torch.tensor([[5, 6, 7, 8, 9, *range(20, 60)]])
N_CALIBRATION = 6


def experts_of(family: str) -> list[str]:
    """Weights of its experts, as a user names them."""
    return sorted({".".join(name.split(".")[-2:]) for name in fused_experts(zoo_model(family))})


def end_to_end(family: str, folder: Path, experts: Sequence[str] = ()) -> str:
    """A run with all stages, every export, the merged model and its evaluation, the adapter in plain PEFT.

    ``experts``: weights of experts to adapt, too. Of a family that is refused: that, and why. All else raises.
    """
    name = str(folder / "model")
    save_family(family, folder / "model")
    tree = small_tree(name, folder, experts)
    try:
        result = grait.run(tree)
    except GraitError as error:
        assert "\n" not in str(error) and not (folder / "run" / "knowledge").exists(), error
        said = str(error).replace(f"{name}: ", "").replace("`", "'")
        return f"{REFUSED}: `{said}`"
    (of_run,) = (row for row in result.metrics if row.method == "grait")
    for form in FORMATS:
        if experts and form == "llama-factory":
            with pytest.raises(GraitError, match=r"lora\.target_parameters: LLaMA-Factory"):
                grait.export(folder / "run", form)
        else:
            assert grait.export(folder / "run", form).folder.is_dir()
    merged = str(grait.merge(folder / "run", folder / "merged").folder)
    assert_one_model(name, folder / "run" / "adapters" / "grait", merged, bool(experts))
    evaluated = {**tree, "model": tree["model"] | {"name": merged}, "out": str(folder / "eval")}
    rows = grait.evaluate(evaluated | {"lora": {"r": 2}}, initial=ModelConfig(**tree["model"])).metrics
    (found,) = (row for row in rows if row.method == "merged")
    assert (found.pc, found.pw, found.pr) == (of_run.pc, of_run.pw, of_run.pr)
    return WORKS


def small_tree(name: str, folder: Path, experts: Sequence[str]) -> dict[str, Any]:
    """The method that needs every stage, with replay and a dial; any questions for a family without a road."""
    try:
        files = write_half_known(name, folder, n_train=12, n_test=8 + N_CALIBRATION)
    except GraitError:
        rows = [{"question": f"Who wrote book {i}?", "answers": ["A"]} for i in range(9)]
        paths = (write_jsonl(folder / "train.jsonl", rows[:6]), write_jsonl(folder / "test.jsonl", rows[6:]))
        return tiny_tree(name, Files(*paths), folder / "run")
    rows = [json.loads(line) for line in Path(files.test).read_text(encoding="utf-8").splitlines()]
    tree = tiny_tree(name, files, folder / "run")
    write_jsonl(Path(files.test), rows[N_CALIBRATION:])
    tree["evaluation"]["calibration"] = {"path": write_jsonl(folder / "calibration.jsonl", rows[:N_CALIBRATION])}
    prompts = [{"prompt": f"Write a line about number {i}."} for i in range(4)]
    tree["replay"] = {"path": write_jsonl(folder / "prompts.jsonl", prompts), "max_new_tokens": 4}
    tree["training"]["methods"] = ["grait"]
    tree["training"]["learning_rate"] = tree["warmup"]["learning_rate"] = 0.01
    if experts:
        tree["lora"]["target_parameters"] = list(experts)
    return tree


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    found: Tensor = model.eval()(input_ids=TOKENS, use_cache=False).logits
    return found


def assert_one_model(name: str, adapter: Path, merged: str, experts: bool) -> None:
    """The run's adapter as the run loads it, in plain PEFT, and merged; another model than the initial one."""
    plain = ModelConfig(name=name, dtype="float32", device="cpu")
    tuned = load_adapter(load_model(plain), adapter)
    reloaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), adapter)
    assert torch.equal(logits(reloaded), logits(tuned))
    for whole in (AutoModelForCausalLM.from_pretrained(merged), load_model(plain.model_copy(update={"name": merged}))):
        torch.testing.assert_close(logits(whole), logits(tuned), rtol=1e-4, atol=1e-4)
    assert float((logits(tuned) - logits(load_model(plain))).abs().max()) > 1e-3
    if experts:
        own = [value for key, value in tuned.named_parameters() if "experts" in key and "lora_B" in key]
        assert own and all(bool(value.abs().sum() > 0) for value in own)
