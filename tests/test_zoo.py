"""Every family of the zoo works on the road that it takes, as plain passes do, or is refused in one line."""

import copy
import functools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import zoo_table
from peft import PeftModel, peft_model
from tiny import END, PAD, loop_gradients, random_examples, tiny_tokenizer
from tiny_folder import tiny_tree, write_half_known
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3Config,
    PreTrainedModel,
)
from zoo import COMMON, FAMILIES, POSITIONS, SLIDING, WINDOW, config_of, save_family, zoo_model

import grait
from grait.config import LoraSection, ModelConfig, OptimizerSection
from grait.errors import ConfigError, GraitError, ModelError
from grait.influence.batches import gradient_pass
from grait.influence.road import gradient_road
from grait.model import inference
from grait.model.adapters import load_adapter
from grait.model.common_prefix import SHORTEST, window_of
from grait.model.completions import TokenizedExample
from grait.model.inference import InferenceEngine
from grait.model.limits import limit_of
from grait.model.load import surplus_weights
from grait.model.roads import difference, inference_road
from grait.model.sampling import choose, uniforms
from grait.plan.size import model_size
from grait.training.examples import WeightedExample
from grait.training.road import has_noise, training_road
from grait.training.sft import add_adapter, randomize, train
from grait.training.targets import linear_targets

REFUSED = {
    "recurrent_gemma": "keeps its state elsewhere than in its cache",
    "minimax": "uses cache of its own",
    "rwkv": "not supported",
    "xlstm": "not supported",
    "deepseek_v4": "its attention pools every 4 tokens, padding among them",
}
"""Families that have no road, and what the line about them says."""

QUICK = ("llama", "gpt2", "gptj", "gpt_oss", "gemma3_text", "gemma4_text", "qwen3_moe", "deepseek_v3", "qwen3_5_text",
         "lfm2", "falcon_h1", "mamba2", "zamba2", "rwkv")  # fmt: skip
"""Of each kind of road; the others are slow together."""

WITHIN = 1e-5
"""Most that losses, log-probabilities and gradients may differ from plain loops in fp32: the norm of the difference, as
a share of the norm of what the loop gives. Where the loop's own rounding, held against fp64, is larger, as with the
recurrent layers of Qwen3-Next (2e-5), twice that: each of the two may be off by as much.
"""

ENDS = frozenset({END})
BEGINNING = tuple(range(30, 30 + SHORTEST + 1))


def families(*without: str) -> list[object]:
    return [
        pytest.param(family, marks=() if family in QUICK else pytest.mark.slow)
        for family in FAMILIES
        if family not in without
    ]


def beginning(n: int) -> list[int]:
    return [30 + place % 150 for place in range(n)]


def prompts_of(lengths: Sequence[int], shared: int) -> list[list[int]]:
    generator = random.Random(0)
    return [[*beginning(shared), *(generator.randrange(20, 190) for _ in range(n))] for n in lengths]


@torch.no_grad()
def plain_logprobs(model: PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    return model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0].double().log_softmax(-1)


def plain_answer(model: PreTrainedModel, prompt: Sequence[int], n: int, draws: Tensor, temperature: float) -> list[int]:
    """Token by token, each from a pass over everything before it."""
    answer: list[int] = []
    for step in range(n):
        logits = plain_logprobs(model, [*prompt, *answer])[-1]
        token = int(choose(logits[None, None], draws[step][None, None], temperature))
        if token in ENDS:
            break
        answer.append(token)
    return answer


def assert_answers_are_plain(model: PreTrainedModel, prompts: Sequence[Sequence[int]], in_batch: int = 96) -> None:
    engine = InferenceEngine(model, PAD, in_batch, road=inference_road(model, PAD))
    keys = [f"q{row}" for row in range(len(prompts))]
    sampled = engine.generate(prompts, keys, n=3, temperature=0.7, max_new_tokens=4, end_token_ids=ENDS, seed=3)
    for prompt, key, own in zip(prompts, keys, sampled, strict=True):
        noise = torch.from_numpy(uniforms(3, key, (4, 3)))
        assert own == [plain_answer(model, prompt, 4, noise[:, sample], 0.7) for sample in range(3)]
    completions = [[60, 61, 62], [60, 61, 63], [64]]
    for prompt, own in zip(prompts, engine.completion_logprobs(prompts, [completions] * len(prompts)), strict=True):
        for completion, found in zip(completions, own, strict=True):
            rows = plain_logprobs(model, [*prompt, *completion[:-1]])[-len(completion) :]
            expected = [float(row[token]) for row, token in zip(rows, completion, strict=True)]
            assert difference(torch.tensor(found), torch.tensor(expected)) < WITHIN
    both = engine.answers_both_ways(prompts, [[60, 61]] * len(prompts), max_new_tokens=4, end_token_ids=ENDS)
    greedy = [plain_answer(model, prompt, 4, torch.zeros(4), 0) for prompt in prompts]
    assert [row.answer for row in both] == greedy


@pytest.mark.parametrize("family", families(*REFUSED))
def test_answers_samples_and_probabilities_are_those_of_plain_passes(family: str) -> None:
    assert_answers_are_plain(zoo_model(family), prompts_of([1, 9, 4, 4], len(BEGINNING)))


@pytest.mark.parametrize("family", families(*REFUSED))
def test_short_and_long_prompts_in_one_batch_are_answered_as_by_plain_passes(family: str) -> None:
    """Padding of 140 columns: small batches by length have next to none."""
    assert_answers_are_plain(zoo_model(family), prompts_of([10, 30, 149, 150], 20), in_batch=8192)


LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 64,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 4.0, 8.0],
    "factor": 4.0,
}
LIMITED: dict[str, tuple[str, int, dict[str, Any]]] = {
    "other rotary factors": ("phi3", 64, {"original_max_position_embeddings": 64, "rope_parameters": LONG_ROPE}),
    "other rotary factors and scales": (
        "phimoe", 64, {"rope_parameters": {**LONG_ROPE, "short_mscale": 1.1, "long_mscale": 1.3}},
    ),
    "other rotary factors of some dimensions": (
        "minicpm3", 64, {"rope_parameters": {**LONG_ROPE, "short_factor": [1.0, 1.1], "long_factor": [1.0, 4.0]}},
    ),
    "keys that are kept": ("doge", 48, {"keep_window_size": 48}),
    "scaled by column": (
        "llama4_text", 63,
        {"attn_temperature_tuning": True, "floor_scale": 64, "attn_scale": 0.5, "attention_chunk_size": 512},
    ),
    "scaled by column, with relative positions": (
        "inkling_text", 64,
        {"log_scaling_n_floor": 64, "log_scaling_alpha": 2.0, "layer_types": ["hybrid_sliding", "hybrid"]},
    ),
    "blocks of columns": (
        "minimax_m3_vl_text", 32,
        {"layer_types": ["full_attention", "minimax_m3_sparse"], "index_block_size": 32, "index_topk_blocks": 2,
         "index_head_dim": 8, "index_n_heads": 2, "rotary_dim": 8},
    ),
    "pooled columns": ("deepseek_v4", 127, {"layer_types": ["heavily_compressed_attention"] * 2}),
    "chosen tokens": ("glm_moe_dsa", 48, {"index_topk": 48}),
}  # fmt: skip
"""Families whose numbers change with the batch beyond so many tokens, and what their config says then."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if "relative" in kind else ()) for kind in LIMITED]
)
def test_up_to_what_a_config_limits_everything_is_as_by_plain_passes(kind: str) -> None:
    """They were wrong beyond, without a word: shared prefixes, mixed lengths, samples side by side."""
    family, limit, changes = LIMITED[kind]
    model = zoo_model(family, changes=changes)
    assert limit_of(model.config.get_text_config(decoder=True)).tokens == limit
    own = [3, 12, limit - 15, limit - 14]
    assert_answers_are_plain(model, prompts_of(own, 10), in_batch=8192)
    engine = InferenceEngine(model, PAD, 8192, road=inference_road(model, PAD))
    prompt = prompts_of(own, 10)[-1]
    (side_by_side,) = engine.completion_logprobs([prompt], [[[60, 61, 62]] * limit])
    one = plain_logprobs(model, [*prompt, 60, 61])[[-3, -2, -1], [60, 61, 62]]
    assert difference(torch.tensor(side_by_side), one.expand(limit, -1)) < WITHIN
    with pytest.raises(ModelError, match=f"{limit + 1} tokens of prompt and answer exceed the {limit} that"):
        engine.completion_logprobs(prompts_of([limit - 10], 10), [[[60]]])
    rows = [
        replace(row, prompt_ids=(*beginning(10), *tokens))
        for row, tokens in zip(random_examples(5, completion=(4, 4)), prompts_of([2, 5, 8, *own[2:]], 0), strict=True)
    ]
    assert max(len(row.prompt_ids) + len(row.completion_ids) for row in rows) == limit
    assert_gradients_and_a_step_are_plain(add_adapter(model, LoraSection(r=2), 0), rows)


def test_what_a_config_limits_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    changes = {"original_max_position_embeddings": 512, "max_position_embeddings": 1024, "vocab_size": len(tokenizer)}
    rope = {**LONG_ROPE, "original_max_position_embeddings": 512}
    zoo_model("phi3", changes={**changes, "rope_parameters": rope}).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert grait.check({"model": {"name": str(tmp_path), "dtype": "float32"}}).works
    said = [line for line in capsys.readouterr().err.splitlines() if "up to 512 tokens of prompt and answer" in line]
    assert len(said) == 1 and "beyond original_max_position_embeddings = 512 all texts of a batch" in said[0]


@pytest.mark.parametrize("kind", LIMITED)
def test_beyond_what_a_config_limits_a_batch_changes_numbers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise there would be no need for the limit."""
    family, limit, changes = LIMITED[kind]
    model = zoo_model(family, changes=changes)
    road = inference_road(model, PAD)
    monkeypatch.setattr(inference, "longest_sequence", lambda _: POSITIONS)
    monkeypatch.setattr(inference, "most_columns", lambda _: POSITIONS)
    engine = InferenceEngine(model, PAD, 8192, road=road)
    prompts = prompts_of([3, 12, limit + 40, limit + 41], 10)
    off = [
        difference(torch.tensor(found), plain_logprobs(model, [*prompt, 60])[[-2, -1], [60, 61]])
        for prompt, (found,) in zip(prompts, engine.completion_logprobs(prompts, [[[60, 61]]] * 4), strict=True)
    ]
    assert max(off) > 5 * WITHIN


@pytest.mark.parametrize("family", [name for name in FAMILIES if window_of(zoo_model(name)) == WINDOW][:3])
def test_prompts_much_longer_than_the_window_are_answered_as_by_plain_passes(family: str) -> None:
    assert_answers_are_plain(zoo_model(family), prompts_of([50, 44, 47], 13))


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [name for name in FAMILIES if name not in REFUSED and window_of(zoo_model(name)) == WINDOW][3:]
)
def test_prompts_of_other_families_much_longer_than_the_window(family: str) -> None:
    assert_answers_are_plain(zoo_model(family), prompts_of([50, 44, 47], 13))


LONG_WINDOW, LONG_PROMPT = 128, 300


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["gpt_oss", "gemma3_text", "gemma2", "mistral-window", "gemma3n_text", "gemma4_text"]
)
def test_prompts_of_300_tokens_and_a_window_of_128(family: str) -> None:
    """Answers, log-probabilities, gradients and a training step, of prompts that share 280 tokens."""
    config = config_of(family)
    config.sliding_window, config.max_position_embeddings = LONG_WINDOW, 512
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).requires_grad_(False).eval()
    assert window_of(model) == LONG_WINDOW
    assert_answers_are_plain(model, prompts_of([LONG_PROMPT - 280, 12, 17], 280))
    rows = behind_the_beginning(LONG_PROMPT)
    assert_gradients_and_a_step_are_plain(add_adapter(model, LoraSection(r=2), 0), rows)


def behind_the_beginning(n_tokens: int) -> list[TokenizedExample]:
    rows = random_examples(5, prompt=(1, 9), completion=(1, 4))
    return [replace(row, prompt_ids=(*beginning(n_tokens), *row.prompt_ids)) for row in rows]


@pytest.mark.parametrize("n_tokens", [len(BEGINNING), 3 * WINDOW])
@pytest.mark.parametrize("family", families("rwkv", "xlstm", "deepseek_v4"))
def test_gradients_and_a_training_step_are_those_of_single_examples(family: str, n_tokens: int) -> None:
    assert_gradients_and_a_step_are_plain(
        add_adapter(zoo_model(family), LoraSection(r=2), 0), behind_the_beginning(n_tokens)
    )


def assert_gradients_and_a_step_are_plain(model: PeftModel, examples: Sequence[TokenizedExample]) -> None:
    randomize(model)
    model.eval()
    for module in model.modules():  # states that a trial left behind cannot be copied with their graph
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and not value.is_leaf:
                setattr(module, name, value.detach())
    before = copy.deepcopy(model)
    losses, expected = loop_gradients(model, examples)

    @functools.cache
    def exact() -> list[Tensor]:
        before.get_base_model().set_experts_implementation("eager")  # others take no fp64
        return loop_gradients(before.double(), examples)[1]

    def is_plain(found: Tensor, of: Callable[[list[Tensor]], Tensor]) -> bool:
        off = difference(found, of(expected))
        return off < WITHIN or off < 2 * difference(of(expected).double(), of(exact()))

    road = gradient_road(model, PAD)
    with gradient_pass(model, examples, PAD, 64, None, None, road) as run:
        for batch in run.batches(examples):
            found = torch.cat([batch.factors[name].gradients() for name in run.linears], dim=1)
            for row, position in enumerate(batch.positions):
                assert float(batch.losses[row]) == pytest.approx(losses[position], rel=WITHIN)
                assert is_plain(found[row], lambda rows, position=position: rows[position])
    weights = [1.0, 0.5, 2.0, 1.0, 0.25]
    rows = [WeightedExample(example, weight) for example, weight in zip(examples, weights, strict=True)]
    config = OptimizerSection(
        learning_rate=1e-3, epochs=1, batch_size=8, micro_batch_size=8, scheduler="constant", warmup_ratio=0,
        max_grad_norm=1e9,
    )  # fmt: skip
    for module in model.modules():  # what drops out is another test's
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    log = train(model, rows, config, pad_token_id=PAD, seed=0, road=training_road(model, PAD))
    moments = torch.cat([value.flatten() for name, value in log.moments.items() if name.endswith("exp_avg")])
    if not has_dropout_by_itself(model.config):
        weighted = sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / len(weights)
        assert log.losses[0] == pytest.approx(weighted, rel=WITHIN)
        shares = torch.tensor(weights)[:, None] / len(weights)
        assert is_plain(10 * moments, lambda rows: (shares * torch.stack(rows)).sum(0))


def has_dropout_by_itself(config: Any) -> bool:
    """Whether a family's config has dropout by itself."""
    return any(
        isinstance(value, float) and value > 0 and ("drop" in key or "jitter" in key)
        for key, value in config.to_dict().items()
    )


@pytest.mark.parametrize("family", REFUSED)
def test_families_without_a_road_are_refused_in_one_line(family: str) -> None:
    with pytest.raises(ModelError, match=REFUSED[family]) as caught:
        inference_road(zoo_model(family), PAD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", families())
def test_a_dry_run_knows_every_family_or_says_why_not(family: str, tmp_path: object) -> None:
    config_of(family).save_pretrained(str(tmp_path))
    try:
        size = model_size(ModelConfig(name=str(tmp_path), dtype="float32"), LoraSection(r=2))
    except GraitError as error:
        assert family == "xlstm" and "\n" not in str(error)
        return
    adapted = add_adapter(zoo_model(family), LoraSection(r=2), 0)
    counted = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    most = 6 if family in ("deepseek_v4", "hy_v4") else 1.5  # what a pass would leave out is not known without weights
    assert counted <= size.adapter <= most * counted
    assert size.activation_bytes > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_more_is_found_wherever_a_family_keeps_its_layers(family: str) -> None:
    """Of a family without a list of layers right in its decoder no weight could be loaded."""
    model = zoo_model(family)
    assert surplus_weights(model, []) == []
    name = max((name for name in model.state_dict() if re.search(r"\.\d+\..*weight$", name)), key=_layer)
    more = re.sub(r"\.\d+\.", ".77.", name, count=1)
    assert surplus_weights(model, [more]) == [more]


def _layer(name: str) -> int:
    return int(re.search(r"\.(\d+)\.", name)[1])  # type: ignore[index]


@pytest.mark.parametrize("family", ["bert", "roberta", "cpmant"])
def test_layers_of_older_families_are_found_too(family: str) -> None:
    common = {key: COMMON[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    config = AutoConfig.for_model(family, **common, intermediate_size=48, is_decoder=True)
    model = AutoModelForCausalLM.from_config(config)
    name = next(name for name in model.state_dict() if ".1." in name and name.endswith(".weight"))
    assert surplus_weights(model, [name.replace(".1.", ".2.")]) == [name.replace(".1.", ".2.")]


def test_where_no_layers_are_found_no_weight_is_refused() -> None:
    model = zoo_model("llama")
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    assert surplus_weights(model, ["model.layers.9.mlp.up_proj.weight", "lm_head.bias"]) == []


def test_half_precision_finds_the_roads_of_full_precision_or_slower_ones() -> None:
    """What is wrong is far from what is rounded."""
    roads = ("shared prefix", "copied prefix", "no sharing")
    for family in ("llama", "gptj", "mpt", "diffllama", "falcon", "gemma3_text", "gpt_neo", "gpt_oss", "mamba2"):
        model = zoo_model(family)
        exact, rounded = (
            inference_road(copy.deepcopy(model).to(dtype), PAD) for dtype in (torch.float32, torch.bfloat16)
        )
        assert roads.index(rounded) >= roads.index(exact), family


@pytest.mark.slow
def test_the_page_lists_the_families_by_the_roads_that_they_take() -> None:
    page = zoo_table.PAGE.read_text(encoding="utf-8")
    assert zoo_table.written(page, zoo_table.told(page)) == page, "python tests/zoo_table.py writes it"


@pytest.mark.filterwarnings("ignore:The following")
def test_what_cannot_be_trained_is_said_before_the_first_question(tmp_path: Path) -> None:
    """A layer, named by hand, whose weight is used otherwise than by running it."""
    model = str(tmp_path / "model")
    save_family("jamba", tmp_path / "model")
    tree = tiny_tree(model, write_half_known(model, tmp_path), tmp_path / "run")
    tree["training"]["methods"] = ["grait"]
    tree["lora"]["target_modules"] = ["q_proj", "dt_proj"]
    with pytest.raises(GraitError, match=r"dt_proj\.lora_A") as caught:
        grait.run(tree)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "knowledge").exists()


def test_layers_whose_names_peft_changes_when_it_loads_them_are_refused() -> None:
    """It takes shared experts for those of older checkpoints: before, a run said so after its warm-up."""
    with pytest.raises(ConfigError, match=r"PEFT loses 6 weights of these .*mlp\.shared_experts\.down_proj\.lora_A"):
        add_adapter(
            zoo_model("laguna"), LoraSection(r=2, target_modules=["q_proj", "gate_proj", "up_proj", "down_proj"]), 0
        )


def test_values_that_peft_loses_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names agree, values do not."""
    model = add_adapter(zoo_model("llama"), LoraSection(r=2), 0)
    randomize(model)
    model.save_pretrained(tmp_path)
    load_adapter(zoo_model("llama"), tmp_path)
    monkeypatch.setattr(peft_model, "set_peft_model_state_dict", lose)
    with pytest.raises(ModelError, match="PEFT does not put the file's values there, such as those of base_model"):
        load_adapter(zoo_model("llama"), tmp_path)


set_all = peft_model.set_peft_model_state_dict


def lose(model: Any, weights: dict[str, Tensor], **options: Any) -> Any:
    first = sorted(weights)[0]
    return set_all(model, weights | {first: 0 * weights[first]}, **options)


def test_adapters_of_a_wrapper_leave_its_vision_tower_alone() -> None:
    text = {**{key: COMMON[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "head_dim")}, **SLIDING}
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config={**text, "intermediate_size": 48}, vision_config=vision, mm_tokens_per_image=4)
    targets = linear_targets(AutoModelForImageTextToText.from_config(config))
    assert all(".language_model." in name for name in targets.adapted)
    assert targets.left_out == {"not of the text decoder": ["vision_tower"]}


FUSED = "experts, which lora.target_parameters can name: experts.gate_up_proj, experts.down_proj"


@pytest.mark.parametrize(
    ("family", "left_out"),
    [
        ("qwen2_moe", f"routers: shared_expert_gate; {FUSED}"),
        ("llama4_text", f"routers: router; {FUSED}"),
        (
            "jetmoe",
            "routers: router.layer; experts that are given some tokens only: input_linear.weight, output_linear.weight",
        ),
        (
            "hunyuan_v1_moe",
            f"routers: gate.wg; PEFT cannot adapt them in this model: gate_proj, up_proj, down_proj; {FUSED}",
        ),
        (
            "zaya",
            "no gradients of single examples: v_proj_delayed; routers: gate.down_proj, router_mlp.fc1, router_mlp.fc2, "
            f"router_mlp.out_proj; {FUSED}",
        ),
        ("dbrx", "routers: router.layer; experts that are rows of one matrix: mlp.w1, mlp.v1, mlp.w2"),
        (
            "longcat_flash",
            f"routers: router.classifier; PEFT cannot adapt them in this model: gate_proj, up_proj, down_proj; {FUSED}",
        ),
        ("jamba", f"no gradients of single examples: dt_proj; {FUSED}"),
        ("mamba", "no gradients of single examples: dt_proj; PEFT cannot adapt them in this model: out_proj"),
        (
            "laguna",
            "PEFT cannot adapt them in this model: gate_proj (1 of 2), up_proj (1 of 2), down_proj (1 of 2); " + FUSED,
        ),
    ],
)
def test_what_all_linear_leaves_out_is_named(family: str, left_out: str) -> None:
    assert str(linear_targets(zoo_model(family))).endswith(f"; left out: {left_out}")


@pytest.mark.parametrize(
    ("family", "named", "why"),
    [
        ("jetmoe", "input_linear.weight", "is of experts that are given some tokens only in this model; .*take this"),
        ("dbrx", "mlp.w1", "is of experts that are rows of one matrix in this model; .*take this"),
    ],
)
def test_experts_that_are_not_offered_are_refused_by_name(family: str, named: str, why: str) -> None:
    """They were offered, or not mentioned, and refused once they were named."""
    section = LoraSection(r=2, target_parameters=[named])
    with pytest.raises(ConfigError, match=why):
        add_adapter(zoo_model(family), section, 0)
    assert any(named in names for names in linear_targets(zoo_model(family), [named]).left_out.values())


def test_a_module_that_is_no_linear_layer_is_refused_by_name() -> None:
    for family, named, kind in (("jetmoe", "input_linear", "JetMoeParallelExperts"), ("llama", "mlp", "LlamaMLP")):
        with pytest.raises(ConfigError, match=f"'{named}' is a {kind} in this model, expected linear layers; name"):
            add_adapter(zoo_model(family), LoraSection(r=2, target_modules=[named]), 0)


def test_all_linear_is_that_of_peft_where_nothing_is_left_out() -> None:
    for family in ("llama", "gpt2", "gemma3_text", "lfm2", "falcon"):
        assert linear_targets(zoo_model(family)).are_all


def without_gradient(model: PreTrainedModel) -> PreTrainedModel:
    """Its first layer's attention gives numbers, and nothing comes back to it: as what chooses tokens does."""
    attention = model.get_submodule("model.layers.0.self_attn")
    attention.register_forward_hook(lambda _module, _inputs, output: (output[0].detach(), *output[1:]))
    return model


def test_layers_without_a_gradient_are_left_out_and_trained_by_name_are_told() -> None:
    targets = linear_targets(without_gradient(zoo_model("llama")))
    assert not any("layers.0.self_attn" in name for name in targets.adapted)
    assert sum("layers.1.self_attn" in name for name in targets.adapted) == 4
    some = ["q_proj (1 of 2)", "k_proj (1 of 2)", "v_proj (1 of 2)", "o_proj (1 of 2)"]
    assert targets.left_out == {"no gradients of single examples": some}
    section = LoraSection(r=2, target_modules=["q_proj", "down_proj"])
    rows = [WeightedExample(example, 1.0) for example in random_examples(4)]
    settings = OptimizerSection(epochs=1, batch_size=4, micro_batch_size=4)
    with pytest.raises(ModelError, match=r"layers\.0\.self_attn\.q_proj.* has no gradient: .*lora\.target_modules"):
        train(add_adapter(without_gradient(zoo_model("llama")), section, 0), rows, settings, pad_token_id=PAD, seed=0)


def test_a_model_that_cannot_be_run_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such\nsize")

    model = zoo_model("llama")
    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(ModelError, match="LlamaForCausalLM: not supported: it cannot run a short text: no such size"):
        linear_targets(model)


def test_a_head_that_is_named_decoder_is_no_decoder() -> None:
    widths = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = AutoConfig.for_model("modernbert-decoder", **widths, num_attention_heads=4, pad_token_id=PAD)
    targets = linear_targets(AutoModelForCausalLM.from_config(config))
    assert sum(name.startswith("model.layers.") for name in targets.adapted) == 12
    assert "decoder" not in targets.adapted


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_whoever_looks_for_a_road_leaves_every_module_in_its_mode(family: str) -> None:
    """What was left in training mode answered with dropout: a fresh adapter's wrapper trains, the model in it not."""
    model = add_adapter(zoo_model(family), LoraSection(r=2), 0)
    modes = [module.training for module in model.modules()]
    assert model.training and not model.get_base_model().training
    for looks in (gradient_road, training_road):
        looks(model, PAD)
        assert [module.training for module in model.modules()] == modes


def test_noise_in_training_is_found_without_a_module_for_it() -> None:
    for family, noisy in (("opt", True), ("biogpt", True), ("llama", False)):
        model = zoo_model(family)
        assert not any(isinstance(module, torch.nn.Dropout) for module in model.modules())
        assert has_noise(model) == noisy
