"""grait eval: any model on any questions gives what a run gives, goes on where it was, and says what does not fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from set_files import write_mmlu
from tiny import tiny_model, tiny_tokenizer, with_lora
from tiny_evaluation import Tiny, config_of, known_and_unknown, predictions_in
from tiny_folder import POSITIONS, Files, save_tiny, tiny_tree, write_half_known
from tiny_folder import write_jsonl as write_questions

import grait
from grait.commands.evaluate import asked_as, evaluate, label, shots_of
from grait.config import ModelConfig, parse_config
from grait.errors import ArtifactError, DataError, ModelError
from grait.evaluation.metrics import outcome_shares, over_refusal_rate, truthful_helpfulness_score
from grait.model.adapters import find_adapter, load_adapter
from grait.pipeline import models
from grait.pipeline.data import RunData
from grait.records import Outcome


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    model, other = save_tiny(folder / "model"), save_tiny(folder / "other", seed=1)
    vocabulary = len(tiny_tokenizer(chat=True))
    with_lora(tiny_model(vocab_size=vocabulary, max_position_embeddings=POSITIONS)).save_pretrained(folder / "lora")
    return Tiny(model, str(folder / "lora"), other, known_and_unknown(model, folder / "questions.jsonl"))


def outcomes_in(folder: Path, system: str) -> dict[str, Outcome]:
    return {row.id: row.outcome for row in predictions_in(folder, system)}


# -- numbers -------------------------------------------------------------------------------------------------------


def test_a_tuned_model_is_measured_as_in_the_run_that_tuned_it(tiny: Tiny, tmp_path: Path) -> None:
    """Two roads to the same answers: the run's own evaluation, and the adapter that it left behind."""
    files: Files = write_half_known(tiny.model, tmp_path / "data")
    tree = tiny_tree(tiny.model, files, tmp_path / "run")
    tree["training"] |= {"methods": ["grait"], "learning_rate": 0.02, "epochs": 3}
    run = grait.run(tree)
    config = config_of(tiny, tmp_path / "eval", datasets=[{"path": files.test, "name": "own"}])
    found = evaluate(config, adapter=str(tmp_path / "run" / "adapters" / "grait"))
    assert predictions_in(tmp_path / "eval", "grait") == run.predictions["own"]["grait"]
    assert predictions_in(tmp_path / "eval", "init-basic") != run.predictions["own"]["init-basic"]  # without shots
    own = next(row for row in found.metrics if row.method == "grait")
    theirs = next(row for row in run.metrics if row.method == "grait")
    assert (own.pc, own.pw, own.pr) == (theirs.pc, theirs.pw, theirs.pr)


def test_asked_as_a_run_asks_all_answers_are_those_of_the_run(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: Files = write_half_known(tiny.model, tmp_path / "data")
    tree = tiny_tree(tiny.model, files, tmp_path / "run")
    tree["prompt"] |= {"shots_in": "all", "refusal": "No idea."}
    tree["training"] |= {"methods": ["cor-rait"], "learning_rate": 0.02}
    run = grait.run(tree)
    keys, shots = asked_as(tmp_path / "run")
    assert len(shots) == tree["prompt"]["n_shots"]
    sets = [{"path": files.test, "name": "own"}, {"path": files.train, "name": "seen"}]
    config = parse_config(config_of(tiny, tmp_path / "eval", datasets=sets).model_dump() | keys)
    found = evaluate(config, adapter=tmp_path / "run" / "adapters" / "cor-rait", shots=shots)
    for system in ("init-basic", "cor-rait"):
        assert predictions_in(tmp_path / "eval", system) == run.predictions["own"][system]
    assert found.about["shots"]["own"] == f"{len(shots)} shots that were given"
    said = capsys.readouterr().err
    assert "which are not shown here" not in said
    assert f"{len(shots)} of 18 questions of seen are solved examples, shown with their answers" in said


def test_the_base_of_ths_is_the_model_without_the_adapter_asked_to_answer(tiny: Tiny, tmp_path: Path) -> None:
    found = evaluate(config_of(tiny, tmp_path), adapter=tiny.adapter)
    initial, tuned = found.metrics
    assert (initial.method, tuned.method) == ("init-basic", "lora")
    assert (initial.ths, initial.over_refusal_rate) == (0, 0)
    assert 0 < initial.pc < 1  # the questions were made so, from BASIC prompts without shots
    base, own = outcomes_in(tmp_path, "init-basic"), outcomes_in(tmp_path, "lora")
    shares, base_shares = outcome_shares(own.values()), outcome_shares(base.values())
    assert tuned.ths == truthful_helpfulness_score(shares.pc, shares.pw, base_shares.pc, base_shares.pw)
    assert tuned.over_refusal_rate == over_refusal_rate(base, own)
    texts = [[row.output for row in predictions_in(tmp_path, system)] for system in ("init-basic", "lora")]
    assert texts[0] != texts[1]  # the adapter was on, and was taken off


def test_another_initial_model_can_be_the_base(tiny: Tiny, tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path / "a")
    initial = config.model.model_copy(update={"name": tiny.other})
    found = evaluate(config, initial=initial)
    assert [row.method for row in found.metrics] == ["init-basic", "model"]
    alone = evaluate(config_of(tiny, tmp_path / "b").model_copy(update={"model": initial}), asked="query")
    assert [row.method for row in alone.metrics] == ["init-basic"]
    assert outcomes_in(tmp_path / "a", "init-basic") == outcomes_in(tmp_path / "b", "init-basic")
    assert predictions_in(tmp_path / "a", "init-basic") == predictions_in(tmp_path / "b", "init-basic")


@pytest.mark.parametrize(("prompt", "says"), [({"shots_in": "all"}, True), ({}, False)])
def test_shots_that_the_run_of_the_adapter_showed_are_missed_aloud(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], prompt: dict[str, str], says: bool
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny.adapter, run / "adapters" / "grait")
    config = parse_config({"prompt": prompt}).model_dump()
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    evaluate(config_of(tiny, tmp_path / "eval"), adapter=run / "adapters" / "grait")
    assert (f"to ask as its run did, add --prompt-of {run}" in capsys.readouterr().err) == says


def test_the_prompt_of_the_model_can_be_chosen(tiny: Tiny, tmp_path: Path) -> None:
    refuse = evaluate(config_of(tiny, tmp_path / "a"))
    assert [row.method for row in refuse.metrics] == ["init-basic", "init-refuse"]
    query = evaluate(config_of(tiny, tmp_path / "b"), adapter=tiny.adapter, asked="query")
    assert query.about["asked"] == {"init-basic": "query", "lora": "query"}
    evaluate(config_of(tiny, tmp_path / "c"), adapter=tiny.adapter)
    assert predictions_in(tmp_path / "b", "lora") != predictions_in(tmp_path / "c", "lora")


def test_without_a_wrong_answer_there_are_shares_but_no_ths(tiny: Tiny, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(tiny.questions).read_text().splitlines()]
    path = write_questions(tmp_path / "known.jsonl", rows[1::2])
    sets = [{"path": path, "name": "known"}, {"path": tiny.questions, "name": "own"}]
    found = evaluate(config_of(tiny, tmp_path / "eval", datasets=sets), adapter=tiny.adapter)
    assert {row.dataset for row in found.metrics} == {"own"}
    assert [(row.dataset, row.method, row.ths) for row in found.without_ths] == [
        ("known", "init-basic", None),
        ("known", "lora", None),
    ]
    assert found.without_ths[0].pc == 1
    assert json.loads((tmp_path / "eval" / "without_ths.json").read_text())[0]["pc"] == 1


def test_shots_are_those_that_the_set_keeps_for_this_and_else_none(tiny: Tiny, tmp_path: Path) -> None:
    mmlu = {"path": "mmlu", "split": "val", "folder": write_mmlu(tmp_path / "mmlu"), "limit": 4}
    sets = [mmlu, {"path": tiny.questions, "name": "own"}]
    data = RunData(config_of(tiny, tmp_path / "eval", datasets=sets), has_training=False)
    assert shots_of(data) == {
        "mmlu-val": "3 shots of the same topic, which the set keeps for this",
        "own": "no shots",
    }


def test_questions_that_one_model_cannot_attend_to_are_left_out_of_both(tiny: Tiny, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(tiny.questions).read_text().splitlines()]
    rows.append({"id": "long", "question": "Who wrote it? " * 12, "answers": ["zebra"]})
    path = write_questions(tmp_path / "questions.jsonl", rows)
    small = tmp_path / "small"
    tiny_model(vocab_size=len(tiny_tokenizer(chat=True)), max_position_embeddings=150).save_pretrained(small)
    tiny_tokenizer(chat=True).save_pretrained(small)
    config = config_of(tiny, tmp_path / "eval", datasets=[{"path": path, "name": "own"}])
    found = evaluate(config, initial=config.model.model_copy(update={"name": str(small)}))
    assert len(predictions_in(tmp_path / "eval", "model")) == len(rows)
    assert {row.n for row in found.metrics} == {len(rows) - 1}


def test_side_effects_are_those_of_both_models(tiny: Tiny, tmp_path: Path) -> None:
    found = evaluate(config_of(tiny, tmp_path, probes=True, max_probes=3), adapter=tiny.adapter)
    assert [(row.method, row.form) for row in found.side_effects.records] == [
        (method, form) for method in ("init-refuse", "lora") for form in ("instruction", "question")
    ]
    assert {row.n_unanswerable for row in found.side_effects.records} == {3}
    assert len(json.loads((tmp_path / "side_effects.json").read_text())) == 4
    untouched, tuned = found.side_effects.drift
    assert (untouched.kl, tuned.kl > 0) == (0, True)


def test_another_base_has_side_effects_and_no_drift(tiny: Tiny, tmp_path: Path) -> None:
    config = config_of(tiny, tmp_path, probes=True, max_probes=3)
    found = evaluate(config, initial=config.model.model_copy(update={"name": tiny.other}))
    assert {row.method for row in found.side_effects.records} == {"init-refuse", "model"}
    assert found.side_effects.drift == []


# -- going on ------------------------------------------------------------------------------------------------------


def test_what_is_finished_is_reused_without_loading_a_model(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(config_of(tiny, tmp_path, probes=True, max_probes=3), adapter=tiny.adapter)

    def load(*_: Any) -> Any:
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr(models, "load_model", load)
    again = evaluate(config_of(tiny, tmp_path, probes=True, max_probes=3), adapter=tiny.adapter)
    assert (again.metrics, again.side_effects) == (first.metrics, first.side_effects)


def test_another_adapter_of_the_same_name_is_asked_anew(tiny: Tiny, tmp_path: Path) -> None:
    """The key is what the adapter's files hold, not where they are."""
    evaluate(config_of(tiny, tmp_path / "eval"), adapter=tiny.adapter)
    before = predictions_in(tmp_path / "eval", "lora")
    changed = tmp_path / "lora"
    shutil.copytree(tiny.adapter, changed)
    weights = load_file(changed / "adapter_model.safetensors")
    save_file({name: -3 * weight for name, weight in weights.items()}, changed / "adapter_model.safetensors")
    evaluate(config_of(tiny, tmp_path / "eval"), adapter=str(changed))
    assert predictions_in(tmp_path / "eval", "lora") != before


def test_the_folder_of_a_run_is_left_alone(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match="holds a run of its own; name another folder"):
        evaluate(config_of(tiny, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


# -- what does not fit ---------------------------------------------------------------------------------------------


def save_other(folder: Path, **changes: Any) -> str:
    model = tiny_model(vocab_size=len(tiny_tokenizer(chat=True)), **changes)
    with_lora(model, ["q_proj", "v_proj"]).save_pretrained(folder)
    return str(folder)


def with_other_layers(folder: Path) -> str:
    """Made for GPT-2: there are no such layers here."""
    vocabulary = len(tiny_tokenizer(chat=True))
    with_lora(tiny_model("gpt2", vocab_size=vocabulary), ["c_attn"]).save_pretrained(folder)
    return str(folder)


def with_embeddings(folder: Path) -> str:
    model = get_peft_model(
        tiny_model(vocab_size=len(tiny_tokenizer(chat=True))), LoraConfig(r=2, target_modules=["q_proj"])
    )
    model.save_pretrained(folder, save_embedding_layers=True)
    return str(folder)


def with_prompts(folder: Path) -> str:
    model = tiny_model(vocab_size=len(tiny_tokenizer(chat=True)))
    get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)).save_pretrained(folder)
    return str(folder)


def not_safetensors(folder: Path) -> str:
    save_other(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    return str(folder)


def truncated(folder: Path) -> str:
    save_other(folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    return str(folder)


def no_adapter(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


BAD: dict[str, tuple[Callable[[Path], str], str]] = {
    "wider": (lambda folder: save_other(folder, hidden_size=64), "does not fit"),
    "deeper": (lambda folder: save_other(folder, num_hidden_layers=3), "have no place in it"),
    "shallower": (lambda folder: save_other(folder, num_hidden_layers=1), "no weights for"),
    "other layers": (with_other_layers, "does not fit"),
    "embeddings": (with_embeddings, "holds weights of the model itself"),
    "prompts": (with_prompts, "PROMPT_TUNING"),
    "no safetensors": (not_safetensors, "has no adapter_model.safetensors"),
    "truncated": (truncated, "adapter"),
    "no adapter": (no_adapter, "no adapter: expected adapter_config.json"),
    "nothing": (str, "no such adapter folder"),
}


@pytest.mark.parametrize("fault", BAD)
def test_an_adapter_that_does_not_fit_is_one_line_and_nothing_is_lost(tiny: Tiny, tmp_path: Path, fault: str) -> None:
    make, expected = BAD[fault]
    out = tmp_path / "eval"
    evaluate(config_of(tiny, out), adapter=tiny.adapter)
    before = (out / "metrics.json").read_text()
    with pytest.raises(ModelError, match=expected) as caught:
        evaluate(config_of(tiny, out), adapter=make(tmp_path / "bad"))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "bad") in str(caught.value)
    assert (out / "metrics.json").read_text() == before
    assert outcomes_in(out, "lora")


def test_an_adapter_that_does_not_fit_is_found_before_a_question_is_asked(tiny: Tiny, tmp_path: Path) -> None:
    bad = save_other(tmp_path / "bad", num_hidden_layers=3)
    with pytest.raises(ModelError):
        evaluate(config_of(tiny, tmp_path / "eval"), adapter=bad)
    assert not list((tmp_path / "eval").rglob("predictions.parquet"))


def test_a_fitting_adapter_is_loaded_whole(tiny: Tiny) -> None:
    config = ModelConfig(name=tiny.model, dtype="float32", device="cpu")
    model = load_adapter(models.load_model(config), find_adapter(tiny.adapter))
    saved = load_file(Path(tiny.adapter) / "adapter_model.safetensors")
    loaded = {name.replace(".default", ""): weight for name, weight in model.state_dict().items() if "lora" in name}
    assert set(saved) == set(loaded)
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert not model.training


def test_questions_without_answers_are_one_line_before_a_model_is_loaded(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("the model was loaded"))
    path = write_questions(tmp_path / "bad.jsonl", [{"question": "Why?"}])
    with pytest.raises(DataError, match=r"bad.jsonl, line 1: has no `answers`"):
        evaluate(config_of(tiny, tmp_path / "eval", datasets=[{"path": path}]))
    assert not (tmp_path / "eval").exists()


@pytest.mark.parametrize(
    ("model", "adapter", "expected"),
    [
        ("a/b-1B", None, "b-1B"),
        ("x", "runs/demo/adapters/grait", "grait"),
        ("x", "runs/demo/adapters/grait/", "grait"),
        ("x", "init-basic", "init-basic-model"),
        ("/", None, "model"),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_name(model: str, adapter: str | None, expected: str) -> None:
    assert label(model, adapter) == expected
