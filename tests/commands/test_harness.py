"""lm-evaluation-harness: its numbers for our loaded models are its own, and its tasks of ours give our numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

import lm_eval.tasks as tasks_of_lm_eval
import torch
from tiny import tiny_model, tiny_tokenizer, with_lora
from tiny_evaluation import TASK, Tiny, config_of, known_and_unknown, predictions_in
from tiny_folder import POSITIONS, save_tiny

from grait.commands import harness
from grait.commands.evaluate import evaluate
from grait.commands.harness import HarnessTasks, check_tasks, run_tasks
from grait.errors import ConfigError, GraitError
from grait.evaluation.metrics import outcome_shares, truthful_helpfulness_score
from grait.lm_eval_tasks import FOLDER

pytestmark = pytest.mark.filterwarnings("default")  # the harness's own libraries are old-fashioned here and there

PLACES = [("France", "Paris", "Rome"), ("Italy", "Paris", "Rome"), ("Question", "Answer", "blue"), ("A", "B", "green")]


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with one small task of multiple choice."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"country": a, "options": [b, c], "right": i % 2} for i, (a, b, c) in enumerate(PLACES)]
    file = folder / "places.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny_places.yaml").write_text(TASK.format(file=file))
    return str(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """As in the tests of ``grait eval``, without a chat template."""
    folder = tmp_path_factory.mktemp("plain")
    model = save_tiny(folder / "model", chat=False)
    vocabulary = len(tiny_tokenizer())
    with_lora(tiny_model(vocab_size=vocabulary, max_position_embeddings=POSITIONS)).save_pretrained(folder / "lora")
    return Tiny(model, str(folder / "lora"), "", known_and_unknown(model, folder / "questions.jsonl"))


@torch.no_grad()
def accuracy(model: Any, tokenizer: Any) -> float:
    """The long way: the likelier option of each document, one forward pass for each option."""
    hits = 0
    for i, (country, *options) in enumerate(PLACES):
        scores = []
        for option in options:
            prompt = tokenizer(f"The capital of {country} is")["input_ids"]
            whole = tokenizer(f"The capital of {country} is {option}")["input_ids"]
            logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            places = range(len(prompt), len(whole))
            scores.append(float(sum(logprobs[place - 1, whole[place]] for place in places)))
        hits += scores.index(max(scores)) == i % 2
    return hits / len(PLACES)


def test_a_task_measures_the_loaded_model_and_its_adapter(tasks: str) -> None:
    tokenizer = tiny_tokenizer()
    wanted = HarnessTasks(("tiny_places",), tasks)
    index = check_tasks(wanted)
    found = set()
    for seed in range(4):
        model = tiny_model(vocab_size=len(tokenizer), seed=seed)
        (record,) = run_tasks("initial", model, tokenizer, wanted, index)
        assert (record.task, record.metric, record.n) == ("tiny_places", "acc", len(PLACES))
        assert record.value == pytest.approx(accuracy(model, tokenizer))
        assert record.stderr is not None
        adapted = with_lora(model)
        for parameter in adapted.parameters():
            parameter.data *= 3 if parameter.requires_grad else 1
        (tuned,) = run_tasks("tuned", adapted, tokenizer, wanted, index)
        assert tuned.value == pytest.approx(accuracy(adapted, tokenizer))
        found.add((record.value, tuned.value))
    assert any(initial != tuned for initial, tuned in found)


def test_side_effects_are_shown_for_both_models_and_run_once(
    plain: Tiny, tasks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = HarnessTasks(("tiny_places",), tasks)
    first = evaluate(config_of(plain, tmp_path), adapter=plain.adapter, harness=wanted)
    assert [(row.method, row.task) for row in first.harness] == [("initial", "tiny_places"), ("lora", "tiny_places")]
    assert json.loads((tmp_path / "lm_eval.json").read_text())[1]["method"] == "lora"
    monkeypatch.setattr("grait.commands.evaluate.run_tasks", lambda *_: pytest.fail("run again"))
    again = evaluate(config_of(plain, tmp_path), adapter=plain.adapter, harness=wanted)
    assert again.harness == first.harness
    fewer = evaluate(config_of(plain, tmp_path), adapter=plain.adapter)
    assert fewer.harness == []
    assert not (tmp_path / "lm_eval.json").exists()


@pytest.mark.parametrize("is_chat", [False, True])
def test_our_tasks_give_what_grait_eval_gives(tmp_path: Path, is_chat: bool) -> None:
    """Two roads: the harness's generation with our prompts and judgement, and our own evaluation."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    model = save_tiny(tmp_path / "model", chat=is_chat)
    tokenizer = tiny_tokenizer(chat=is_chat)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end|>")]  # as chat models say what ends a turn
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    tiny = Tiny(model, "", "", known_and_unknown(model, tmp_path / "questions.jsonl"))
    evaluate(config_of(tiny, tmp_path, max_new_tokens=32))
    shares = {
        family: outcome_shares(row.outcome for row in predictions_in(tmp_path, system))
        for family, system in (("basic", "init-basic"), ("refuse", "init-refuse"))
    }
    base = shares["basic"]
    assert base.pc > 0
    metadata = {"questions": tiny.questions, "plain": not is_chat, "pc0": base.pc, "pw0": base.pw}
    found = simple_evaluate(
        HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=4),
        tasks=[f"grait_file_{family}" for family in shares],
        task_manager=tasks_of_lm_eval.TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=metadata),
        apply_chat_template=is_chat,
    )
    assert found is not None
    for family, own in shares.items():
        values = found["results"][f"grait_file_{family}"]
        assert [values[f"{name},none"] for name in ("pc", "pw", "pr")] == pytest.approx([own.pc, own.pw, own.pr])
        ths = truthful_helpfulness_score(own.pc, own.pw, base.pc, base.pw)
        assert values["ths,none"] == pytest.approx(ths)


def our_task(name: str, metadata: dict[str, Any]) -> Any:
    return tasks_of_lm_eval.TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=metadata).load(
        [name]
    )["tasks"][name]


def test_outputs_are_judged_as_anywhere_else() -> None:
    task = our_task("grait_worldfacts_refuse", {})
    document = next(row for row in task.test_docs() if row["match"] == "normalized")
    outputs = {"pc": document["answers"][0], "pw": "zebra", "pr": "I don’t know."}
    for share, output in outputs.items():
        assert task.process_results(document, [output]) == {name: float(name == share) for name in outputs}
    assert "If you do not know the answer, reply only: I don't know." in document["prompt"]
    basic = our_task("grait_worldfacts_ood_basic", {}).test_docs()[0]
    assert "If you do not know" not in basic["prompt"]
    assert basic["prompt"].endswith(f"Question: {basic['question']}")


def test_ths_needs_the_shares_of_the_initial_model(plain: Tiny) -> None:
    metadata = {"questions": plain.questions, "pc0": 0.2, "pw0": 0.8}
    task = our_task("grait_file_refuse", metadata)
    document = task.test_docs()[0]
    assert task.process_results(document, ["zebra stripes, zebra"])["ths"] == 1
    assert task.process_results(document, ["no"])["ths"] == -0.25
    assert task.process_results(document, ["I don't know."])["ths"] == 0
    with pytest.raises(ConfigError, match="expected both or neither"):
        our_task("grait_file_refuse", {"questions": plain.questions, "pc0": 0.2})
    with pytest.raises(ConfigError, match="name the question file"):
        our_task("grait_file_refuse", {})


def test_what_the_harness_cannot_do_is_one_line(
    plain: Tiny, tasks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_manager = tasks_of_lm_eval.TaskManager  # without the harness's own thousands of tasks
    monkeypatch.setattr(
        tasks_of_lm_eval, "TaskManager", lambda **options: task_manager(**options | {"include_defaults": False})
    )
    with pytest.raises(ConfigError, match=r"knows no task 'tiny_place'; did you mean .*tiny_places"):
        check_tasks(HarnessTasks(("tiny_place",), tasks))
    with pytest.raises(ConfigError, match="no such folder"):
        check_tasks(HarnessTasks(("tiny_places",), str(tmp_path / "none")))
    broken = tmp_path / "tasks"
    broken.mkdir()
    (broken / "bad.yaml").write_text(TASK.format(file=tmp_path / "none.jsonl"))
    with pytest.raises(GraitError, match="could not run tiny_places: ") as caught:
        evaluate(config_of(plain, tmp_path / "eval"), harness=HarnessTasks(("tiny_places",), str(broken)))
    assert "\n" not in str(caught.value)
    assert predictions_in(tmp_path / "eval", "init-basic")  # what was finished before stays
    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'grait\[lm-eval\]'"):
        check_tasks(HarnessTasks(("tiny_places",), tasks))
