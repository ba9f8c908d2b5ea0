"""vLLM as a fake that keeps what it is sent: which requests are made, and when it is started and stopped in a run.

That the answers are right is in ``test_engine_contract.py``.
"""

import copy
import json
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
from fake_vllm import LLM, Call
from tiny import POSITIONS, tiny_model, with_lora
from tiny_folder import Files, tiny_tree
from zoo import zoo_model

import grait
from grait.config import Config, InferenceConfig, ModelConfig, parse_config
from grait.errors import ConfigError, ModelError
from grait.model import vllm_engine
from grait.model.vllm_engine import RANKS, VllmModel, adapter_rank, load_vllm, request_seed
from grait.pipeline import evaluation, knowledge, models, stages
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.records import KnowledgeState
from grait.runtime.artifacts import read_rows

VLLM = InferenceConfig(engine="vllm")
PROMPTS = [[5, 6, 7], [5, 6, 8, 9]]
ENDS = frozenset([11, 3])


@pytest.fixture(autouse=True)
def fake() -> Iterator[None]:
    with fake_vllm.installed():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    model = tiny_model()
    model.save_pretrained(folder / "model")
    with_lora(model, r=4).save_pretrained(folder / "four")
    return folder


def served(folder: Path, max_rank: int = 0, inference: InferenceConfig = VLLM) -> VllmModel:
    return VllmModel(ModelConfig(name=str(folder / "model"), dtype="float32"), inference, max_rank)


def only_call() -> Call:
    (llm,) = LLM.started
    (call,) = llm.calls
    return call


# -- starting and stopping --------------------------------------------------------------------------------------------


def test_the_model_starts_with_the_settings_of_the_config(folder: Path) -> None:
    served(folder, inference=InferenceConfig(engine="vllm", tensor_parallel_size=2, gpu_memory_utilization=0.5))
    assert LLM.started[0].arguments == {
        "model": str(folder / "model"),
        "revision": None,
        "trust_remote_code": False,
        "dtype": "float32",
        "skip_tokenizer_init": True,
        "max_model_len": -1,
        "enable_prefix_caching": True,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.5,
        "enable_lora": False,
        "max_lora_rank": 16,
        "logits_processors": (),
    }


@pytest.mark.parametrize(("rank", "expected"), [(1, 1), (2, 8), (8, 8), (9, 16), (64, 64), (300, 320), (512, 512)])
def test_the_greatest_rank_is_the_next_that_vllm_takes(folder: Path, rank: int, expected: int) -> None:
    served(folder, rank)
    arguments = LLM.started[0].arguments
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, expected)


def test_a_rank_beyond_what_vllm_takes_is_one_line(folder: Path) -> None:
    with pytest.raises(ModelError, match=f"^an adapter of rank 513: vLLM takes ranks up to {RANKS[-1]}$"):
        served(folder, 513)


def test_closing_stops_vllm_itself(folder: Path) -> None:
    model = served(folder)
    assert len(LLM.running) == 1
    model.close()
    assert LLM.running == []


def test_a_start_that_fails_is_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model" / "config.json", tmp_path)  # and no weights
    with pytest.raises(ModelError, match="vLLM could not start it: ") as caught:
        VllmModel(ModelConfig(name=str(tmp_path), dtype="float32"), VLLM, 0)
    assert "\n" not in str(caught.value)


def test_without_vllm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"vLLM cannot be loaded \(.*\): pip install 'grait\[vllm\]'$"):
        load_vllm()


def test_vllm_is_quiet_unless_the_user_wants_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log would stand among the results; the variables are read when it is imported."""
    for name in vllm_engine.QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    environment = dict(vllm_engine.os.environ)
    monkeypatch.setattr(vllm_engine.os, "environ", environment)
    load_vllm()
    assert environment["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert environment["VLLM_LOGGING_STREAM"] == "ext://sys.stderr"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


# -- requests ---------------------------------------------------------------------------------------------------------


def test_samples_are_one_request_each_with_a_seed_of_their_own(folder: Path) -> None:
    served(folder).engine(None).generate(
        PROMPTS, ["a", "b"], n=3, temperature=0.8, max_new_tokens=4, end_token_ids=ENDS, seed=7
    )
    call = only_call()
    assert call.prompts == PROMPTS
    assert call.lora_request is None
    for params, key in zip(call.params, "ab", strict=True):
        assert (params.n, params.temperature, params.max_tokens) == (3, 0.8, 4)
        assert params.seed == request_seed(7, key)
        assert (params.stop_token_ids, params.ignore_eos, params.detokenize) == ([3, 11], True, False)


def test_seeds_are_far_apart() -> None:
    """vLLM's samples have the seeds that follow."""
    seeds = sorted(request_seed(seed, str(key)) for seed in range(20) for key in range(100))
    assert min(after - before for before, after in pairwise(seeds)) > 10_000
    assert 0 <= seeds[0] < seeds[-1] < 2**62


def test_tokens_that_follow_the_same_ones_share_a_request(folder: Path) -> None:
    """Option letters; those of one question come one after the other, so that they find its prompt in the cache."""
    served(folder).engine(None).completion_logprobs(PROMPTS, [[[40], [41], [42]], [[3, 60], [3, 61], [9]]])
    call = only_call()
    assert call.prompts == [PROMPTS[0], PROMPTS[1], [*PROMPTS[1], 3]]
    assert [params.logprob_token_ids for params in call.params] == [[40, 41, 42], [3, 9], [60, 61]]
    assert all(params.max_tokens == 1 for params in call.params)


def test_equal_completions_are_asked_for_once(folder: Path) -> None:
    found = served(folder).engine(None).completion_logprobs(PROMPTS[:1], [[[40, 41], [40, 41]]])
    assert found[0][0] == found[0][1]
    assert [params.logprob_token_ids for params in only_call().params] == [[40], [41]]


def test_only_answers_that_begin_with_the_refusal_are_asked_for_again(folder: Path) -> None:
    engine = served(folder).engine(None)
    (first,) = engine.generate(PROMPTS[:1], [""], n=1, temperature=0, max_new_tokens=1, end_token_ids=frozenset())[0]
    LLM.started[0].calls.clear()
    found = engine.answers_both_ways(PROMPTS, [[*first, 50], [199, 50]], max_new_tokens=4, end_token_ids=frozenset())
    greedy, _, again = LLM.started[0].calls  # the second scores
    assert [params.logprobs for params in greedy.params] == [2, 2]
    assert again.prompts == [[*PROMPTS[0], found[0].suppressed[0]]]
    assert again.params[0].max_tokens == 3


def test_adapters_are_requests_with_numbers_of_their_own(folder: Path, tmp_path: Path) -> None:
    other = with_lora(tiny_model(seed=1), r=2)
    other.save_pretrained(tmp_path / "two")
    model = served(folder, 4)
    engines = [model.engine(at) for at in (folder / "four", tmp_path / "two", folder / "four", None)]
    for engine in engines:
        engine.completion_logprobs(PROMPTS, [[[40]], [[41]]])
    asked = [call.lora_request for call in LLM.started[0].calls]
    assert [one and (one.lora_int_id, one.lora_path) for one in asked] == [
        (1, str(folder / "four")),
        (2, str(tmp_path / "two")),
        (1, str(folder / "four")),
        None,
    ]


def test_an_adapter_of_a_deeper_model_is_refused(folder: Path, tmp_path: Path) -> None:
    """vLLM itself would leave the third layer's weights out in silence."""
    with_lora(tiny_model(num_hidden_layers=3)).save_pretrained(tmp_path / "deep")
    with pytest.raises(ModelError, match=r"does not fit .*model: 14 of its weights have no place in it") as caught:
        served(folder, 4).engine(tmp_path / "deep")
    assert "\n" not in str(caught.value)


def test_what_vllm_refuses_is_one_line(folder: Path) -> None:
    engine = served(folder, 1).engine(folder / "four")
    with pytest.raises(ModelError, match=r"^vLLM could not answer: LoRA rank 4 is greater .* See above\.$") as caught:
        engine.completion_logprobs(PROMPTS, [[[40]], [[41]]])
    assert "\n" not in str(caught.value)


def test_a_length_that_vllm_has_no_memory_for_is_the_longest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It then lowers its max_model_len."""
    assert served(folder).engine(None).longest == POSITIONS
    start = LLM.__init__

    def with_less(self: LLM, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options | {"max_model_len": 40})

    monkeypatch.setattr(LLM, "__init__", with_less)
    assert served(folder).engine(None).longest == 40


def test_beyond_a_limit_of_the_config_vllm_takes_nothing(tmp_path: Path) -> None:
    """It would take LongRoPE's long factors for every text as soon as it takes longer ones than the short are for."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 48, "factor": 2.0}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    changes = {"rope_parameters": rope, "original_max_position_embeddings": 48}
    zoo_model("phi3", changes=changes).save_pretrained(tmp_path / "model")
    assert served(tmp_path).engine(None).longest == 48
    assert LLM.started[0].arguments["max_model_len"] == 48


def test_the_rank_of_an_adapter_is_that_of_its_largest_layer(folder: Path, tmp_path: Path) -> None:
    assert adapter_rank(folder / "four") == 4
    config = json.loads((folder / "four" / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"rank_pattern": {"q_proj": 32, "k_proj": 2}}))
    assert adapter_rank(tmp_path) == 32
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"adapter_config\.json: expected the config of a LoRA adapter"):
        adapter_rank(tmp_path)


# -- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"quantization": "nf4"}}, "inference.engine = vllm cannot load model.quantization = nf4"),
        ({"model": {"device": "cuda:1"}}, "model.device = 'cuda:1' should be auto or cuda"),
        ({"knowledge": {"temperature": 0.001}}, "temperatures from 0.01 to 2; knowledge.temperature is 0.001"),
        ({"knowledge": {"temperature": 3}}, "temperatures from 0.01 to 2; knowledge.temperature is 3"),
    ],
)
def test_what_vllm_cannot_do_is_an_error_of_the_config(changes: dict[str, Any], message: str) -> None:
    parse_config(changes)
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config({"inference": {"engine": "vllm"}, **changes})
    assert "\n" not in str(caught.value)


def test_options_of_the_other_engine_are_refused() -> None:
    with pytest.raises(ConfigError, match="inference: tensor_parallel_size is an option of engine: vllm"):
        parse_config({"inference": {"tensor_parallel_size": 2}})


# -- runs -------------------------------------------------------------------------------------------------------------


def as_vllm(tree: dict[str, Any], out: Path) -> dict[str, Any]:
    tree = copy.deepcopy(tree) | {"out": str(out), "inference": {"engine": "vllm"}}
    tree["model"]["device"] = "auto"
    return tree


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded in which order; at no time the model twice."""
    told: list[str] = []
    load, start = models.load_model, LLM.__init__

    def load_model(*arguments: Any) -> Any:
        assert LLM.running == []
        told.append("transformers")
        return load(*arguments)

    def init(self: LLM, *arguments: Any, **options: Any) -> None:
        assert LLM.running == []
        told.append("vllm")
        start(self, *arguments, **options)

    monkeypatch.setattr(models, "load_model", load_model)
    monkeypatch.setattr(LLM, "__init__", init)
    return told


@pytest.mark.usefixtures("one_thread")
def test_a_run_with_vllm_ends_as_with_transformers(tiny: tuple[str, Files], tmp_path: Path, loads: list[str]) -> None:
    """vLLM for knowledge and evaluation, transformers between; each is gone before the other begins.

    transformers comes before vLLM once: to see that the model can be trained.
    """
    tree = tiny_tree(*tiny, tmp_path / "one")
    tree["training"] |= {"methods": ["craft", "cor-rait"], "learning_rate": 0.03}
    ours, theirs = grait.run(tree), grait.run(as_vllm(tree, tmp_path / "two"))
    ours_alone, *loads = loads
    assert ours_alone == "transformers"
    assert loads == ["transformers", "vllm", "transformers", "vllm", "transformers", "vllm"]
    assert LLM.running == []
    assert all(llm.arguments["max_lora_rank"] == 8 for llm in LLM.started)
    known = [read_rows(tmp_path / run / "knowledge" / "knowledge.parquet", KnowledgeState) for run in ("one", "two")]
    assert [(row.id, row.label) for row in known[0]] == [(row.id, row.label) for row in known[1]]
    scores = {
        (run, system): [row.refusal_logprob for row in rows]
        for run, result in (("one", ours), ("two", theirs))
        for system, rows in result.predictions["own"].items()
    }
    assert scores["two", "init-refuse"] == pytest.approx(scores["one", "init-refuse"], abs=1e-3)
    # Trains on the labels alone, so on the same examples; those of craft may differ by nearly equal samples.
    assert scores["two", "cor-rait"] == pytest.approx(scores["one", "cor-rait"], abs=1e-2)
    assert scores["one", "cor-rait"] != pytest.approx(scores["one", "init-refuse"], abs=0.5)


def test_other_engines_have_other_keys_and_the_default_none(tiny: tuple[str, Files], tmp_path: Path) -> None:
    """Run folders from before there was a choice stay valid."""
    keys = []
    for tree in (tiny_tree(*tiny, tmp_path / "run"), as_vllm(tiny_tree(*tiny, tmp_path / "run"), tmp_path / "run")):
        data = RunData(parse_config(tree))
        (questions,) = data.test_sets.values()
        system = evaluation.System.of_method("init-basic", None)
        keys.append((knowledge.knowledge_key(data), evaluation.answers_key(data, system, questions)))
    for default, other in zip(*keys, strict=True):
        assert "engine" not in default
        assert other == default | {"engine": "vllm"}


def test_a_larger_adapter_starts_vllm_again(folder: Path, tiny: tuple[str, Files], tmp_path: Path) -> None:
    """As `grait eval` may name one; the run's own fit from the beginning on."""
    tree = as_vllm(tiny_tree(*tiny, tmp_path), tmp_path)
    holder = Models(RunData(parse_config(tree), has_training=False))
    for adapter, ranks in ((None, [0]), (folder / "four", [0, 8]), (None, [0, 8])):
        stage = None if adapter is None else grait.runtime.artifacts.Stage(adapter, {})
        with holder.engine(stage):
            assert [llm.max_lora_rank for llm in LLM.started] == ranks
            assert LLM.running == LLM.started[-1:]


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_run_that_cannot_use_vllm_stops_before_it_asks(
    is_missing: bool, tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loads: list[str]
) -> None:
    config: Config = parse_config(as_vllm(tiny_tree(*tiny, tmp_path / "run"), tmp_path / "run"))
    if is_missing:
        monkeypatch.setattr(vllm_engine.importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setattr(stages.processes, "count", lambda: 2)
    expected = r"pip install 'grait\[vllm\]'$" if is_missing else "expected one process, found 2"
    with pytest.raises(ModelError, match=f"^inference.engine = vllm: .*{expected}"):
        grait.run(config)
    assert loads == []
    assert not (tmp_path / "run").exists()
