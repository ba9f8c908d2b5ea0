"""The dry run: what it counts is what the run would do, and it neither loads nor writes anything."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Call
from hypothesis import given
from hypothesis import strategies as st
from tiny import random_examples, tiny_model
from tiny_folder import Files, tiny_tree, write_jsonl
from torch.utils.flop_counter import FlopCounterMode

from grait.commands.recipe import demo_config
from grait.config import Config, LoraSection, ModelConfig, TrainingConfig, parse_config, parse_file
from grait.errors import ConfigError, DataError, ModelError
from grait.influence.gradients import trainable_linears
from grait.model.completions import collate, completion_losses
from grait.model.load import load_model
from grait.pipeline.training import n_selected
from grait.pipeline.work import ANSWER_TOKENS, PER, Count, SetSize, StagePlan, Work
from grait.plan.costs import DEVICES, Device, flop, seconds, weight_bytes
from grait.plan.dry_run import dry_run, make_plan
from grait.plan.questions import is_on_hub, set_sizes
from grait.plan.records import Plan
from grait.plan.size import ModelSize, SizeUnknownError, model_size
from grait.training.sft import add_adapter, n_steps

PAPER = Path(__file__).parents[2] / "configs" / "paper"
NAMES = ("mmlu-llama3-8b.yaml", "triviaqa-llama3-8b.yaml")

LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading weights is a failure of the test."""

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", load)
    monkeypatch.setattr("grait.model.default.convert", load)


def config_of(tiny: tuple[str, Files], out: Path, **changes: Any) -> Config:
    return parse_config(tiny_tree(*tiny, out) | changes)


def size_of(**changes: Any) -> ModelSize:
    """Round numbers: 100 weights of the body, 10 of the head."""
    values: dict[str, Any] = {
        "parameters": 120,
        "body": 100,
        "packed": 96,
        "head": 10,
        "vocabulary": 5,
        "layers": 2,
        "adapter": 4,
        "largest_layer": 2,
        "factor_width": 8,
        "on_experts": 0,
        "eigenbases": 6,
        "activation_bytes": 1000.0,
        "checkpoint_bytes": 8.0,
        "cache_bytes": 16.0,
        "targets": {"q_proj": 2},
    }
    return ModelSize(**(values | changes))


def sets_of(n: int | None, n_test: int | None = 20) -> list[SetSize]:
    return [
        SetSize("train", "here", Count(n), False, 40.0, 80, n is not None),
        SetSize("test", "here", Count(n_test), False, 40.0, 80, n_test is not None),
    ]


def stage(plan: Plan, name: str) -> StagePlan:
    (found,) = [stage for stage in plan.stages if stage.name == name]
    return found


# -- sizes: two roads to one number --------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"], ["down_proj"]])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_are_those_of_the_loaded_model_and_its_adapter(
    tiny: tuple[str, Files], targets: Any, dtype: Any
) -> None:
    config = ModelConfig(name=tiny[0], dtype=dtype, device="cpu")
    lora = LoraSection(r=3, target_modules=targets)
    size = model_size(config, lora)
    model = load_model(config)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert weight_bytes(size, config) == sum(parameter.nbytes for parameter in model.parameters())
    head, embeddings = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert size.head == head.numel()
    assert size.body == size.parameters - head.numel() - embeddings.numel()
    assert size.vocabulary == len(head)
    adapted = add_adapter(model, lora, 0)
    layers = trainable_linears(adapted).values()
    assert size.adapter == sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert sum(size.targets.values()) == len(layers) / 2  # A and B
    assert size.largest_layer == max(layer.weight.numel() for layer in layers)
    assert size.factor_width == sum(sum(layer.weight.shape) for layer in layers)
    assert size.eigenbases == sum(side**2 for layer in layers for side in layer.weight.shape)


@pytest.mark.parametrize("architecture", ["qwen3", "gpt2", "gpt_neox", "gemma3"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_other_architectures_are_counted_alike(tmp_path: Path, architecture: str, is_tied: bool) -> None:
    model = tiny_model(architecture, tie_word_embeddings=is_tied)
    model.config.save_pretrained(tmp_path)
    size = model_size(ModelConfig(name=str(tmp_path)), LoraSection(r=2))
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.body == size.parameters - (1 if is_tied else 2) * size.head
    adapted = add_adapter(model, LoraSection(r=2), 0)
    assert size.adapter == sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_are_what_autograd_keeps_of_a_real_batch(tiny: tuple[str, Files], dropout: float) -> None:
    config = ModelConfig(name=tiny[0], dtype="float32", device="cpu")
    lora = LoraSection(r=2, dropout=dropout)
    size = model_size(config, lora)
    adapted = add_adapter(load_model(config), lora, 0)
    batch = collate(random_examples(8, prompt=(60, 60), completion=(2, 2)), 0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in adapted.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return tensor

    adapted.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_losses(adapted, batch)
    real = sum(kept.values())
    # Masks and logits of a real batch come on top: they are small here.
    assert size.activation_bytes * batch["input_ids"].numel() == pytest.approx(real, rel=0.25)


def test_keys_and_values_are_those_of_grouped_heads(tiny: tuple[str, Files]) -> None:
    size = model_size(ModelConfig(name=tiny[0], dtype="float32"), LoraSection(r=2))
    layers, keys_and_values, heads, head_size, fp32 = 2, 2, 2, 8, 4
    assert size.cache_bytes == layers * keys_and_values * heads * head_size * fp32


def test_llama_3_8b_has_its_published_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    size = model_size(ModelConfig(name=str(tmp_path), dtype="bfloat16"), LoraSection(r=64))
    assert size.parameters == 8_030_261_248
    # r x (in + out) of q, k, v, o, gate, up and down in each of 32 layers
    assert size.adapter == 32 * 64 * (2 * 8192 + 2 * 5120 + 3 * 18432)
    nf4 = weight_bytes(size, ModelConfig(name=str(tmp_path), dtype="bfloat16", quantization="nf4"))
    assert 5.5e9 < nf4 < 5.9e9  # 3.6 GB of linear layers, 2.1 GB of embeddings and head


# -- models that cannot be counted ---------------------------------------------------------------------------------


def test_a_model_that_is_not_here_has_an_unknown_size_and_says_what_to_do() -> None:
    with pytest.raises(SizeUnknownError, match=r"no-such/model: size unknown: .*hf download no-such/model config.json"):
        model_size(ModelConfig(name="no-such/model"), LoraSection())


def test_a_folder_without_a_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this folder holds no loadable causal language model") as caught:
        model_size(ModelConfig(name=str(tmp_path)), LoraSection())
    assert not isinstance(caught.value, SizeUnknownError)


def test_an_unknown_layer_is_an_error(tiny: tuple[str, Files]) -> None:
    with pytest.raises(ConfigError, match=r"lora.target_modules = \['q_porj'\]"):
        model_size(ModelConfig(name=tiny[0]), LoraSection(target_modules=["q_porj"]))


# -- stages --------------------------------------------------------------------------------------------------------


def test_stages_are_those_that_the_methods_need(tiny: tuple[str, Files], tmp_path: Path) -> None:
    def names(*methods: str) -> list[str]:
        config = config_of(tiny, tmp_path, training={"methods": list(methods)})
        return [stage.name for stage in make_plan(config, sets_of(100), None).stages]

    assert names("cor-rait") == ["knowledge", "training cor-rait", "evaluation test"]
    assert names("craft")[:4] == ["knowledge", "warm-up", "knowledge flow", "static conflict"]
    assert names("grait")[:3] == ["knowledge", "warm-up", "influence"]
    assert names("craft", "grait")[:5] == ["knowledge", "warm-up", "knowledge flow", "static conflict", "influence"]


def test_calibration_questions_are_asked_of_the_initial_model_and_the_tuned_ones(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    tree = tiny_tree(*tiny, tmp_path / "run")
    tree["evaluation"]["calibration"] = {"path": tiny[1].test, "name": "held-out"}
    plan = dry_run(parse_config(tree))
    evaluation, calibration = plan.stages[-2:]
    assert (evaluation.name, calibration.name) == ("evaluation own", "calibration held-out")
    n_systems = 2 + len(plan.config.training.methods)
    assert evaluation.samples == plan.sets[1].count.times(n_systems)
    assert calibration.samples == plan.sets[2].count.times(n_systems - 1)


@pytest.mark.parametrize("epochs", [0.3, 1, 2.5, 3])
@pytest.mark.parametrize("n", [(1, 1), (4000, 1000), (33, 20)])
def test_optimizer_steps_are_those_of_training(
    tiny: tuple[str, Files], tmp_path: Path, epochs: float, n: tuple[int, int]
) -> None:
    config = config_of(
        tiny, tmp_path, training={"epochs": epochs, "batch_size": 64}, selection={"n_ik": n[0], "n_idk": n[1]}
    )
    found = stage(make_plan(config, sets_of(None), None), "training cor-rait")
    assert found.examples == Count(sum(n))
    assert found.steps == Count(n_steps(sum(n), config.training))
    assert found.work.trained_positions == sum(n) * epochs * ANSWER_TOKENS


def test_the_size_of_the_training_sets_is_bounded_by_the_questions(tiny: tuple[str, Files], tmp_path: Path) -> None:
    def selected(n: int | None, **selection: int) -> Count:
        return n_selected(config_of(tiny, tmp_path, selection=selection), Count(n), "cor-rait")

    assert selected(100, n_ik=40, n_idk=10) == Count(50)
    assert selected(100) == Count(100, is_exact=False)
    assert selected(100, n_idk=10) == Count(100, is_exact=False)
    assert selected(100, n_ik=10) == Count(20, is_exact=False)  # n_idk is then at most as many
    assert selected(None, n_ik=10) == Count(20, is_exact=False)
    assert selected(None).n is None


def test_grait_takes_all_unknown_questions_unless_told_how_many(tiny: tuple[str, Files], tmp_path: Path) -> None:
    def selected(**selection: int) -> Count:
        return n_selected(config_of(tiny, tmp_path, selection=selection), Count(100), "grait")

    assert selected(n_ik=10) == Count(200, is_exact=False)  # a partly known question teaches its answer, too
    assert selected(n_ik=10, n_idk=20) == Count(50, is_exact=False)


def test_more_questions_than_there_are_is_an_error(tiny: tuple[str, Files], tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path, selection={"n_ik": 80, "n_idk": 21})
    with pytest.raises(ConfigError, match="ask for 101 questions, but train has at most 100"):
        make_plan(config, sets_of(100), None)
    make_plan(config, sets_of(101), None)
    make_plan(config, sets_of(None), None)


def test_samples_and_answers_are_counted(tiny: tuple[str, Files], tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path, training={"methods": ["craft", "grait"]})
    plan = make_plan(config, sets_of(100, 20), None)
    assert stage(plan, "knowledge").samples == stage(plan, "knowledge flow").samples == Count(300)
    assert stage(plan, "knowledge").work.decoded_tokens == 300 * config.knowledge.max_new_tokens
    assert stage(plan, "evaluation test").samples == Count(4 * 20)


def test_options_need_no_samples(tiny: tuple[str, Files], tmp_path: Path) -> None:
    options = [SetSize("train", "here", Count(100), True, 40.0, 80, True), *sets_of(1)[1:]]
    for scoring in ("auto", "letter", "likelihood"):
        config = config_of(tiny, tmp_path, knowledge={"scoring": scoring})
        found = stage(make_plan(config, options, None), "knowledge")
        assert found.samples is None
        assert found.work.decoded_tokens == 0
    config = config_of(tiny, tmp_path, knowledge={"scoring": "sampling"})
    assert stage(make_plan(config, options, None), "knowledge").samples is not None


def test_the_sketch_needs_fewer_passes_and_a_datastore(tiny: tuple[str, Files], tmp_path: Path) -> None:
    exact = make_plan(config_of(tiny, tmp_path, influence={"mode": "exact"}), sets_of(100), size_of())
    sketch = make_plan(config_of(tiny, tmp_path, influence={"mode": "sketch"}), sets_of(100), size_of())
    assert stage(exact, "influence").examples == Count(300, is_exact=False)
    assert stage(sketch, "influence").examples == Count(200, is_exact=False)
    assert sketch.disk["gradient datastore, at most"] == 200 * 2 * 8192
    assert exact.disk["gradient datastore, at most"] == 100 * 2 * 8192


def test_shots_in_all_prompts_run_once_for_a_micro_batch_and_backward_for_each_gradient(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    def trained_tokens(name: str, n_shots: int, shots_in: str, mode: str = "sketch") -> float:
        changes = {"prompt": {"n_shots": n_shots, "shots_in": shots_in}, "influence": {"mode": mode}}
        return stage(make_plan(config_of(tiny, tmp_path, **changes), sets_of(96), None), name).work.trained_tokens

    config = config_of(tiny, tmp_path)
    seen = trained_tokens("training grait", 0, "all")
    for name in ("warm-up", "training grait", "influence"):
        assert trained_tokens(name, 3, "query") == trained_tokens(name, 0, "all")
        one, two = (trained_tokens(name, n, "all") - trained_tokens(name, 0, "all") for n in (1, 2))
        assert 0 < 2 * one == pytest.approx(two)
    # A shot is as long as an example: it costs 1 / micro_batch_size of what the examples cost, up to the last token.
    shown = trained_tokens("training grait", 1, "all") - seen
    assert shown == pytest.approx(seen / config.training.micro_batch_size, rel=0.02)
    of_sketch, of_exact = (
        trained_tokens("influence", 1, "all", mode) - trained_tokens("influence", 0, "all", mode)
        for mode in ("sketch", "exact")
    )
    assert of_sketch == pytest.approx(trained_tokens("influence", 0, "all") / 2, rel=0.02)  # backward is half
    assert of_exact == pytest.approx(of_sketch)  # its second pass stops before them


def test_what_is_unknown_is_given_for_each_thousand(tiny: tuple[str, Files], tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path, selection={"n_ik": 4, "n_idk": 4})
    unknown, known = (make_plan(config, sets_of(n, n), size_of()) for n in (None, PER))
    for name in ("knowledge", "influence", "evaluation test"):
        assert stage(unknown, name).per is not None
        assert stage(unknown, name).examples.n is None
        assert stage(known, name).per is None
        assert stage(unknown, name).work == stage(known, name).work
    for name in ("warm-up", "training grait"):
        assert stage(unknown, name).per is None


# -- costs ---------------------------------------------------------------------------------------------------------


def test_flop_by_hand() -> None:
    size = size_of()
    assert flop(Work(prompt_tokens=7, prompt_positions=3), size, False) == 2 * 100 * 7 + 2 * 10 * 3
    assert flop(Work(decoded_tokens=7), size, False) == 2 * 110 * 7
    trained = Work(trained_tokens=7, trained_positions=3)
    assert flop(trained, size, False) == 4 * (100 * 7 + 10 * 3) + 6 * 4 * 7
    assert flop(trained, size, True) == 6 * (100 * 7 + 10 * 3) + 8 * 4 * 7
    both = trained + Work(prompt_tokens=7, prompt_positions=3)
    assert flop(both, size, False) == 4 * 730 + 168 + 1460


@pytest.mark.parametrize("checkpointing", [False, True])
def test_flop_are_those_that_torch_counts(tiny: tuple[str, Files], checkpointing: bool) -> None:
    config = ModelConfig(name=tiny[0], dtype="float32", device="cpu", gradient_checkpointing=checkpointing)
    size = model_size(config, LoraSection(r=2))
    adapted = add_adapter(load_model(config), LoraSection(r=2), 0).train()
    batch = collate(random_examples(8, prompt=(8, 8), completion=(2, 2)), 0)
    n_tokens, n_answers = batch["input_ids"].numel(), batch["targets"].numel()
    with FlopCounterMode(display=False) as counter:
        completion_losses(adapted, batch).sum().backward()
    # Attention comes on top; the gradient at the first layer's input is not needed.
    work = Work(trained_tokens=n_tokens, trained_positions=n_answers)
    assert flop(work, size, checkpointing) == pytest.approx(counter.get_total_flops(), rel=0.15)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        completion_losses(adapted, batch)
    forward = Work(prompt_tokens=n_tokens, prompt_positions=n_answers)
    assert flop(forward, size, checkpointing) == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_decoding_takes_at_least_as_long_as_reading_the_weights() -> None:
    size, model = size_of(), ModelConfig(dtype="bfloat16")
    device = replace(DEVICES[0], launch=(0.0, 0.0))
    few = Work(decoded_tokens=10, decode_steps=10)
    assert seconds(few, size, model, device) == (10 * 240 / device.bandwidth,) * 2
    many = Work(decoded_tokens=1e6, decode_steps=10)
    assert seconds(many, size, model, device) == tuple(2 * 110 * 1e6 / (device.peak * u) for u in device.utilisation)


@pytest.mark.parametrize("device", DEVICES)
def test_no_step_of_a_small_model_is_faster_than_its_launches(device: Device) -> None:
    """5,000 short answers of a model of 135M parameters were to take 2.4 s on a GPU."""
    size, model = size_of(layers=30), ModelConfig(dtype="bfloat16")
    asked = Work.generating(5000, 30, 32, 4096)
    best, worst = seconds(asked, size, model, device)
    launched = (asked.decode_steps + asked.passes) * 30
    assert best >= 0.9 * launched * device.launch[0]
    assert worst >= 0.99 * launched * device.launch[1] > best
    large = size_of(layers=30, body=8_000_000_000)
    assert seconds(asked, large, model, device)[0] > best


def test_the_demo_lies_within_what_is_said_for_a_core() -> None:
    """With these settings it took 39 minutes on one core (docs/quickstart.md)."""
    more = ["evaluation.form_questions=300", "evaluation.max_probes=120"]
    demo = demo_config("demo.yaml", more)
    try:
        plan = dry_run(demo)
    except ModelError:
        pytest.skip("the default model is not here")
    if plan.size is None:
        pytest.skip("the default model is not here")
    each = [seconds(row.work, plan.size, demo.model, DEVICES[2]) for row in plan.stages]
    assert sum(best for best, _ in each) < 1.3 * 39 * 60 < 1.3 * sum(worst for _, worst in each)


def test_every_part_of_the_memory_is_positive_and_grows_with_what_it_depends_on(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    def total(name: str, **changes: Any) -> float:
        config = config_of(tiny, tmp_path, **changes)
        (found,) = [memory for memory in make_plan(config, sets_of(100), size_of()).memory if memory.name == name]
        assert all(part > 0 for part in found.parts.values())
        return found.total

    small = {"batch_size": 8, "micro_batch_size": 2}
    assert total("training", training=small) < total("training", training=small | {"micro_batch_size": 8})
    assert total("training", model={"gradient_checkpointing": True}) < total("training", model={})
    assert total("inference", tokens_per_batch=512) < total("inference", tokens_per_batch=4096)
    plain = total("influence", influence={"transform": "none"})
    assert plain < total("influence", influence={"transform": "adam"})
    assert plain < total("influence", influence={"transform": "curvature"})


# -- questions -----------------------------------------------------------------------------------------------------


def test_questions_of_files_and_of_the_package_are_counted_without_the_shots(tiny: tuple[str, Files]) -> None:
    tree = {"data": {"path": "worldfacts", "split": "train", "limit": 50}, "prompt": {"n_shots": 3}}
    training, *tests = set_sizes(parse_config(tree))
    assert training.count == Count(47)
    assert not training.has_options
    assert all(data.is_local and data.count.is_exact for data in tests)
    model, files = tiny
    training, own = set_sizes(parse_config(tiny_tree(model, files, Path("run"))))
    assert (training.count, own.count) == (Count(16), Count(8))


def test_options_count_as_text() -> None:
    data = {"path": "worldfacts", "split": "val", "limit": 20}
    free, with_options = (set_sizes(parse_config({"data": {**data, "view": view}}))[0] for view in ("oeqa", "mcqa"))
    assert with_options.has_options
    assert with_options.characters > free.characters


def test_sets_of_the_hub_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> Any:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("grait.pipeline.data.understand", load)
    tree = {
        "data": {"path": "triviaqa", "split": "train"},
        "evaluation": {
            "datasets": [{"path": "owner/name", "split": "test"}, {"path": "mmlu", "split": "val", "limit": 9}]
        },
    }
    triviaqa, own, mmlu, held_out = set_sizes(parse_config(tree))
    assert (held_out.title, held_out.count) == ("held-out", Count(400, False))
    assert (triviaqa.count, own.count, mmlu.count) == (Count(None, False), Count(None, False), Count(9, False))
    assert (triviaqa.has_options, own.has_options, mmlu.has_options) == (False, True, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "mmlu", "split": "train"}, "MMLU has no split 'train'"),
        ({"path": "mmlu"}, "mmlu: no split named; take one of val, test"),
        ({"path": "arc-c", "split": "test", "view": "oeqa"}, "ARC-Challenge has no view 'oeqa'"),
        ({"path": "none.jsonl"}, "none.jsonl: no such file"),
        ({"path": "no-such-set"}, "no-such-set: no such file"),
        ({"path": "no/such.csv"}, "no/such.csv: no such file"),
        ({"path": "a/b/c"}, "a/b/c: no such file"),
        ({"path": "worldfacts", "split": "trian"}, "WorldFacts has no split 'trian'"),
    ],
)
def test_wrong_sets_are_the_errors_of_the_run(data: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        set_sizes(parse_config({"data": data}))


def test_a_file_is_never_taken_for_a_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    for path, expected in (("owner/name", False), ("other/name", True), ("other/name:part", True), ("name", False)):
        assert is_on_hub(parse_config({"data": {"path": path}}).data) is expected


# -- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_weights")
def test_a_dry_run_explains_and_writes_nothing(
    command: Call, tmp_path: Path, tiny: tuple[str, Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_tree(*tiny, tmp_path / "run")))
    before = sorted((entry, entry.stat().st_mtime_ns) for entry in [*tmp_path.rglob("*"), *Path(tiny[0]).rglob("*")])
    code, out, err = command("run", path, "--dry-run")
    assert (code, err) == (0, "")
    plan = dry_run(parse_file(path))
    assert plan.size is not None
    assert f"{plan.size.parameters:,} parameters; adapter {plan.size.adapter:,}" in out
    for number, planned in enumerate(plan.stages, 1):
        assert f"{number:2} {planned.name}: {planned.does}" in out
    assert "16 questions; 48 answers" in out
    assert "at most 16 examples; at most 2 optimizer steps" in out
    for part in ("FLOP", *(device.name for device in DEVICES), "Memory in GB", "Disk in GB", "docs/configs.md"):
        assert part in out
    after = sorted((entry, entry.stat().st_mtime_ns) for entry in [*tmp_path.rglob("*"), *Path(tiny[0]).rglob("*")])
    assert after == before


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["training.lr=1"], "training.lr: unknown key"),
        (["lora.target_modules=[q_porj]"], "lora.target_modules = ['q_porj']"),
        (["data.path=none.jsonl"], "none.jsonl: no such file"),
        (["selection.n_ik=900"], "ask for 901 questions, but train has at most 16"),
        (["prompt.n_shots=18"], "expected more than prompt.n_shots = 18 training questions, found 18"),
    ],
)
def test_a_wrong_config_is_one_line_and_exit_code_2(
    command: Call, tmp_path: Path, tiny: tuple[str, Files], changes: list[str], message: str
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_tree(*tiny, tmp_path / "run")))
    code, out, err = command("run", path, *(part for change in changes for part in ("--set", change)), "--dry-run")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "run").exists()


def test_no_config_file_is_needed(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    model, files = tiny
    arguments = ("--model", model, "--train", files.train, "--test", files.test, "--out", tmp_path / "run")
    code, out, _ = command("run", *arguments, "--dry-run")
    assert code == 0
    everywhere, suffix = ("--set", "lora.target_modules=all-linear"), ", as far as is known without weights"
    for asked, last in (((), ""), (everywhere, suffix)):
        said = command("check", "--model", model, *asked)[1].splitlines()
        (line,) = (line for line in said if line.startswith("The adapter changes"))
        assert f"{line}{last}\n" in command("run", *arguments, *asked, "--dry-run")[1]
    assert f"would write to {tmp_path / 'run'}/" in out
    assert not (tmp_path / "run").exists()


def test_questions_of_any_text_are_printed_as_they_are(command: Call, tmp_path: Path, tiny: tuple[str, Files]) -> None:
    rows = [{"question": f"[red]Q{i}", "answers": ["a"]} for i in range(9)]
    path = write_jsonl(tmp_path / "[bold]own.jsonl", rows)
    code, out, _ = command("run", "--model", tiny[0], "--train", path, "--test", path, "--dry-run", "--allow-overlap")
    assert code == 0
    assert "[bold]own" in out


# -- the papers' configs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_reference_config_has_its_source(name: str) -> None:
    section_comment = False
    for line in (PAPER / name).read_text().splitlines():
        if line and not line.startswith(" "):
            section_comment = "#" in line
        is_number = re.search(r": +[0-9][0-9.e-]*( |$)", line.partition("#")[0])
        assert not is_number or "#" in line or section_comment, line


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("name", NAMES)
def test_a_reference_config_explains_itself_offline(command: Call, name: str) -> None:
    code, out, err = command("run", PAPER / name, "--dry-run")
    assert (code, err) == (0, "")
    assert "meta-llama/Meta-Llama-3-8B-Instruct: size unknown" in out
    assert "hf download meta-llama/Meta-Llama-3-8B-Instruct config.json" in out
    assert "number of questions unknown until the data is read" in out
    assert "Memory in GB" not in out
    config = parse_file(PAPER / name)
    n_ik, n_idk = config.selection.n_ik, config.selection.n_idk
    assert n_ik == 4 * (n_idk or 0)
    steps = n_steps(5 * (n_idk or 0), config.training)
    assert out.count(f"; {steps:,} optimizer steps") == len(config.training.methods)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_with_the_models_config_gives_the_costs(command: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    code, out, _ = command("run", PAPER / name, "--set", f"model.name={tmp_path}", "--dry-run")
    assert code == 0
    assert "8,030,261,248 parameters; adapter 167,772,160 (2.1%)" in out
    assert "Memory in GB" in out
    assert "all whose number is known" in out


@pytest.mark.usefixtures("no_weights")
def test_limits_of_a_model_are_said_and_one_that_has_no_room_is_the_error_of_the_run(
    tmp_path: Path, tiny: tuple[str, Files]
) -> None:
    config = config_of(tiny, tmp_path / "run")
    assert not any("left out" in note for note in dry_run(config).notes)
    model = shutil.copytree(tiny[0], tmp_path / "model")
    own = json.loads((model / "config.json").read_text())
    limited = config.model_copy(update={"model": config.model.model_copy(update={"name": str(model)})})
    (model / "config.json").write_text(json.dumps(own | {"index_topk": 64}))
    said = "up to 64 tokens of prompt and answer: beyond index_topk = 64 its attention chooses tokens"
    assert any(note.startswith(said) for note in dry_run(limited).notes)
    (model / "config.json").write_text(json.dumps(own | {"index_topk": 4}))
    with pytest.raises(ModelError, match=r"it attends to 4 tokens .*no question with its answer would fit"):
        dry_run(limited)


@pytest.mark.parametrize(("n", "tried"), [(12, 12), (40, 20), (300, 75), (5000, 100)])
def test_the_temperature_is_looked_for_on_a_few_questions_and_only_where_none_is_given(n: int, tried: int) -> None:
    found = stage(make_plan(parse_config({"seed": 0}), sets_of(n), size_of()), "temperature")
    assert (found.examples.n, found.samples) == (tried, Count(tried * 21))
    given = make_plan(parse_config({"knowledge": {"temperature": 1}}), sets_of(n), size_of())
    assert "temperature" not in {row.name for row in given.stages}
    options = [replace(size, has_options=True) for size in sets_of(n)]
    assert "temperature" not in {row.name for row in make_plan(parse_config({"seed": 0}), options, size_of()).stages}


def test_side_effects_are_asked_of_all_systems_but_init_basic() -> None:
    """In a config of one's own they are on."""
    config = parse_config({"training": {"methods": ["cor-rait", "grait"]}, "evaluation": {"max_probes": 10}})
    n = 2 * 4 * 10 + 3 * 10  # two forms of four kinds, and three kinds of conversations
    found = stage(make_plan(config, sets_of(100), size_of()), "side effects")
    assert (found.examples, found.samples) == (Count(n), Count(3 * n))
    alone = parse_config({"training": {"methods": ["grait"]}, "evaluation": {"max_probes": 10}})
    one = stage(make_plan(alone, sets_of(100), size_of()), "side effects")
    assert found.work.decoded_tokens == pytest.approx(1.5 * one.work.decoded_tokens)
    shown = parse_config({"prompt": {"n_shots": 3, "shots_in": "all"}, "evaluation": {"max_probes": 10}})
    assert stage(make_plan(shown, sets_of(100), size_of()), "side effects").examples == Count(n + 40)
    assert stage(make_plan(config, sets_of(100), size_of()), "drift").examples == Count(20)
    off = make_plan(parse_config({"evaluation": {"probes": False}}), sets_of(100), size_of())
    assert not {"side effects", "drift"} & {row.name for row in off.stages}


@given(n=st.integers(1, 5000), batch_size=st.integers(1, 64), max_steps=st.integers(1, 5000))
def test_max_steps_are_the_steps_of_any_training_set(n: int, batch_size: int, max_steps: int) -> None:
    config = TrainingConfig(max_steps=max_steps, epochs=7, batch_size=batch_size, micro_batch_size=1)
    assert n_steps(n, config.resolved(n)) == max_steps
    assert config.model_copy(update={"max_steps": None}).resolved(n).epochs == 7


def test_max_steps_are_planned_for_every_method(tiny: tuple[str, Files], tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path, training={"methods": ["cor-rait", "grait"], "max_steps": 5})
    plan = make_plan(config, sets_of(100), None)
    assert [stage(plan, f"training {name}").steps.n for name in ("cor-rait", "grait")] == [5, 5]
