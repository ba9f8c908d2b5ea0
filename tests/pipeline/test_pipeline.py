"""The whole run on a tiny random model: what it leaves behind, and what runs again when something has changed."""

import copy
import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny import loop_gradients
from tiny_folder import N_SHOTS, UNKNOWN, Files, save_tiny, tiny_tree, write_jsonl
from transformers import AutoModelForCausalLM, AutoTokenizer

import grait
from grait.config import ModelConfig, PromptConfig, WarmupConfig, parse_file
from grait.data.questions import read_questions
from grait.errors import ArtifactError, DataError, KnowledgeError
from grait.influence import Curvature, GradientDatastore, batches, datastore, resume
from grait.influence.margins import left_out_margins
from grait.model.completions import TokenizedExample
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.pipeline import evaluation, influence, knowledge, training
from grait.pipeline.results import RunResult
from grait.records import KnowledgeState, MetricRecord, Prediction
from grait.runtime.artifacts import MANIFEST, read_rows

SYSTEMS = ["init-basic", "init-refuse", "cor-rait", "grait"]
STAGES = {
    "knowledge",
    "warmup",
    "influence/exact",
    "adapters/cor-rait",
    "adapters/grait",
    *(f"evaluation/own/{system}" for system in SYSTEMS),
}
INITIAL = ("knowledge", "evaluation/own/init-basic")
"""What is asked of the initial model before anything is trained."""

REFUSAL = "I don't know."

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Done:
    """A finished run: never written to by a test, only copied."""

    model: str
    files: Files
    tree: dict[str, Any]
    result: RunResult

    def tree_at(self, out: Path, **changes: Any) -> dict[str, Any]:
        """The config with another run folder; ``section__key`` names a change."""
        tree = copy.deepcopy(self.tree) | {"out": str(out)}
        for name, value in changes.items():
            section, _, key = name.partition("__")
            if key:
                tree.setdefault(section, {})[key] = value
            else:
                tree[section] = value
        return tree

    def copied_to(self, folder: Path) -> Path:
        shutil.copytree(self.result.folder, folder / "run")
        return folder / "run"


@pytest.fixture(scope="module")
def done(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Done:
    tree = tiny_tree(*tiny, tmp_path_factory.mktemp("done") / "run")
    return Done(*tiny, tree, grait.run(tree))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each finished stage was written, and which folder it is; cards lie beside its own files."""
    found = {}
    for manifest in sorted(folder.rglob(MANIFEST)):
        stage = manifest.parent
        found[stage.relative_to(folder).as_posix()] = (manifest.stat().st_mtime_ns, stage.stat().st_ino)
    return found


def rerun(tree: dict[str, Any]) -> tuple[RunResult, set[str]]:
    """The result, and the stages that ran."""
    folder = Path(tree["out"])
    before = stamps(folder)
    result = grait.run(tree)
    after = stamps(folder)
    return result, {stage for stage in after if after[stage] != before.get(stage)}


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# -- what a run leaves behind --------------------------------------------------------------------------------------


def test_grait_is_held_against_the_other_trained_methods_on_the_same_questions(done: Done, tmp_path: Path) -> None:
    (difference,) = done.result.differences
    assert (difference.method, difference.versus, difference.dataset) == ("grait", "cor-rait", "own")
    ths = {row.method: row.ths for row in done.result.metrics}
    assert difference.ths_difference == pytest.approx(ths["grait"] - ths["cor-rait"])
    assert difference.low <= difference.ths_difference <= difference.high
    written = json.loads((done.result.folder / "differences.json").read_text(encoding="utf-8"))
    assert written == [asdict(difference)]
    alone, _ = rerun(done.tree_at(done.copied_to(tmp_path), training__methods=["grait"]))
    assert alone.differences == []
    assert not (alone.folder / "differences.json").exists()


def test_both_labels_occur(done: Done) -> None:
    states = read_rows(done.result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    assert {state.label for state in states} >= {"ik", "idk"}
    asked = {row["id"]: row for row in rows_of(done.files.train)}
    shots = list(asked)[:N_SHOTS]
    assert {state.id for state in states} == set(asked) - set(shots)
    for state in states:
        assert 0 <= state.correctness <= 1
        if asked[state.id]["answers"] == [UNKNOWN]:
            assert (state.label, state.correctness) == ("idk", 0)


def test_all_stages_are_finished(done: Done) -> None:
    assert set(stamps(done.result.folder)) == STAGES
    assert not list(done.result.folder.rglob("*.partial"))


def test_metrics_are_whole(done: Done) -> None:
    records = json.loads((done.result.folder / "metrics.json").read_text())
    assert [record["method"] for record in records] == SYSTEMS
    for record in records:
        assert list(record) == [
            "method", "dataset", "n", "pc", "pw", "pr", "over_refusal_rate", "ths", "ths_low", "ths_high",
            "auroc", "unparsable_rate", "hedged_rate", "right_refusal_share", "over_refusal_share", "prudence",
            "over_conservativeness", "honesty", "f1_ans", "f1_abs", "f1_rel", "penalised_50", "penalised_75",
            "penalised_90", "average_precision", "aurc", "ece",
            "right_of_answered", "wrong_of_answered", "simpleqa_f", "omniscience_index", "hallucination_rate",
            "truthrl_score", "abstention_precision", "abstention_recall", "abstention_f1",
        ]  # fmt: skip
        assert record["unparsable_rate"] == 0  # free text
        assert record["dataset"] == "own"
        assert record["n"] == len(rows_of(done.files.test))
        assert record["pc"] + record["pw"] + record["pr"] == pytest.approx(1)
        assert all(0 <= record[name] <= 1 for name in ("pc", "pw", "pr", "over_refusal_rate"))
        assert record["ths_low"] <= record["ths_high"]
    assert [MetricRecord(**record) for record in records] == done.result.metrics


def test_the_initial_model_is_the_zero_of_ths(done: Done) -> None:
    base = done.result.metrics[0]
    assert base.method == "init-basic"
    assert (base.ths, base.ths_low, base.ths_high, base.over_refusal_rate) == (0, 0, 0, 0)
    assert base.pc > 0
    assert base.pw > 0


def test_metrics_are_those_of_the_predictions(done: Done) -> None:
    for record in done.result.metrics:
        path = done.result.folder / "evaluation" / "own" / record.method / "predictions.parquet"
        predictions = read_rows(path, Prediction)
        assert predictions == done.result.predictions["own"][record.method]
        assert [row.id for row in predictions] == [row["id"] for row in rows_of(done.files.test)]
        assert record.pc == sum(row.outcome == "correct" for row in predictions) / len(predictions)
        base = done.result.metrics[0]  # Init-Basic, for all systems
        assert record.ths == pytest.approx(record.pc - record.pw * base.pc / base.pw)
        right = {row.id for row in done.result.predictions["own"]["init-basic"] if row.outcome == "correct"}
        refused = [row.id for row in predictions if row.outcome == "refused" and row.id in right]
        assert record.over_refusal_rate == len(refused) / len(right)
        known = [row.refusal_log_odds for row in predictions if row.id in right]
        unknown = [row.refusal_log_odds for row in predictions if row.id not in right]
        above = [(u > k) + (u == k) / 2 for u in unknown for k in known]
        assert record.auroc == pytest.approx(sum(above) / len(above))
        right_refusals = [row for row in predictions if row.outcome == "refused" and row.id not in right]
        assert record.right_refusal_share == len(right_refusals) / len(predictions)
        assert record.right_refusal_share + record.over_refusal_share == pytest.approx(record.pr)
        assert record.over_conservativeness == record.over_refusal_rate
        assert record.penalised_75 == pytest.approx(record.pc - 3 * record.pw)
        ranked = sorted(predictions, key=lambda row: row.refusal_log_odds)  # no two are equal here
        wrong = np.cumsum([row.id not in right for row in ranked])
        assert record.aurc == pytest.approx(np.mean(wrong / np.arange(1, len(ranked) + 1)))
    for name in ("auroc", "aurc", "average_precision"):
        assert len({getattr(record, name) for record in done.result.metrics}) > 1
    assert any(record.ths != 0 for record in done.result.metrics)


def test_scores_hold_every_labelled_question(done: Done) -> None:
    folder = done.result.folder
    table = pq.read_table(folder / "influence" / "scores.parquet")
    documented = {
        "id", "label", "refusal_influence", "over_refusal_influence", "stable_influence", "left_out_margin", "selected",
        "sample_weight",
    }  # fmt: skip
    assert documented <= set(table.column_names)
    rows = table.to_pylist()
    states = read_rows(folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    assert {row["id"]: row["label"] for row in rows} == {s.id: s.label for s in states if s.label != "dropped"}
    for row in rows:
        assert row["stable_influence"] == row["refusal_influence"] - row["over_refusal_influence"]
        assert -1 - 1e-6 <= row["refusal_influence"] <= 1 + 1e-6
        assert (row["sample_weight"] > 0) == row["selected"]


def test_the_weighted_examples_are_the_selected_ones(done: Done) -> None:
    """All unknown questions, with the weights of scores.parquet, are what is trained on."""
    scores = pq.read_table(done.result.folder / "influence" / "scores.parquet").to_pylist()
    asked = {row["id"]: row for row in rows_of(done.files.train)}
    examples = rows_of(done.result.folder / "rait.jsonl")
    unknown = {row["id"]: row for row in scores if row["label"] == "idk"}
    trained = {row["id"]: row for row in examples if row["completion"] == REFUSAL}
    answered = {row["id"]: row for row in examples if row["label"] == "idk" and row["completion"] != REFUSAL}
    assert set(trained) == set(answered) == set(unknown)
    known = [row for row in examples if row["label"] == "ik"]
    assert {row["id"] for row in known} == {row["id"] for row in scores if row["label"] == "ik"}
    for row in known:
        assert (row["completion"], row["sample_weight"]) == (asked[row["id"]]["answers"][0], 1)
    for row in answered.values():
        assert (row["completion"], row["sample_weight"]) == (asked[row["id"]]["answers"][0], 0.3)
    for row in trained.values():
        assert row["label"] == "idk"
        assert row["sample_weight"] == unknown[row["id"]]["sample_weight"]
    weights = [row["sample_weight"] for row in trained.values()]
    assert sum(weights) == pytest.approx(len(known) + 0.3 * len(answered))
    by_margin = sorted(trained, key=lambda name: unknown[name]["left_out_margin"])
    assert by_margin == sorted(trained, key=lambda name: trained[name]["sample_weight"])
    assert all(asked[row["id"]]["question"] in row["prompt"] and REFUSAL in row["prompt"] for row in examples)


def test_every_adapter_has_its_examples_beside_it(done: Done) -> None:
    folder = done.result.folder
    examples = {method: rows_of(folder / "adapters" / method / "rait.jsonl") for method in ("cor-rait", "grait")}
    assert examples["grait"] == rows_of(folder / "rait.jsonl")
    refused = {row["id"] for row in examples["cor-rait"] if row["completion"] == REFUSAL}
    assert refused == {row["id"] for row in examples["cor-rait"] if row["label"] == "idk"} and refused
    assert {row["sample_weight"] for row in examples["cor-rait"]} == {1}


@pytest.mark.parametrize("name", ["mmlu-llama3-8b", "triviaqa-llama3-8b"])
def test_a_run_of_the_papers_methods_tells_of_the_paper_s(done: Done, tmp_path: Path, name: str) -> None:
    """It left neither examples nor scores: these were of the default method alone."""
    path = Path(__file__).parents[2] / "configs" / "paper" / f"{name}.yaml"
    methods = parse_file(path).training.methods
    assert "grait" not in methods
    folder = grait.run(done.tree_at(done.copied_to(tmp_path), training__methods=methods)).folder
    assert rows_of(folder / "rait.jsonl") == rows_of(folder / "adapters" / "grait-paper" / "rait.jsonl")
    scores = {row["id"]: row for row in pq.read_table(folder / "influence" / "scores.parquet").to_pylist()}
    for row in rows_of(folder / "rait.jsonl"):
        assert (scores[row["id"]]["selected"], scores[row["id"]]["sample_weight"]) == (True, row["sample_weight"])
    differences = json.loads((folder / "differences.json").read_text(encoding="utf-8"))
    assert [row["method"] for row in differences] == ["grait-paper"] * (len(methods) - 1)


def test_training_gets_the_weights_that_were_written(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published script overwrites its weights with 1 on the way to training, and nothing noticed."""
    seen = {}
    original = training.train

    def spy(model: Any, examples: Any, *arguments: Any, **options: Any) -> Any:
        seen[len(seen)] = [(row.example.id, row.example.completion_ids, row.sample_weight) for row in examples]
        return original(model, examples, *arguments, **options)

    monkeypatch.setattr(training, "train", spy)
    grait.run(done.tree_at(tmp_path / "run"))
    warmup, cor_rait, weighted = seen.values()
    written = rows_of(tmp_path / "run" / "rait.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(done.model)
    assert sorted(
        (id_, tokenizer.decode(completion_ids, skip_special_tokens=True), weight)
        for id_, completion_ids, weight in weighted
    ) == sorted((row["id"], row["completion"], row["sample_weight"]) for row in written)
    assert len({weight for _, _, weight in weighted}) > 2
    assert {weight for _, _, weight in warmup + cor_rait} == {1}


def test_influence_is_that_of_a_loop_at_the_warm_up_adapter(done: Done) -> None:
    """R, O, S and margins from one backward pass for each question and all pairs of unit gradients."""
    labels = {
        state.id: state.label
        for state in read_rows(done.result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    }
    config = ModelConfig(name=done.model, dtype="float32", device="cpu")
    prompts = PromptFormat(load_tokenizer(config), PromptConfig(n_shots=N_SHOTS))
    examples, answers = [], []
    for question in read_questions(done.files.train).questions:
        if question.id in labels:
            prompt = prompts.prompt(question, "refuse")
            completion = prompts.completion(prompt, REFUSAL)
            examples.append(TokenizedExample(question.id, prompt.token_ids, completion.token_ids))
        if labels.get(question.id) == "ik":
            completion = prompts.completion(prompt, question.answers[0])
            answers.append(TokenizedExample(question.id, prompt.token_ids, completion.token_ids))
    adapted = PeftModel.from_pretrained(load_model(config), str(done.result.folder / "warmup"), is_trainable=True)
    _, gradients = loop_gradients(adapted.eval(), examples)
    units = torch.stack([gradient / gradient.norm() for gradient in gradients]).double()
    pairwise = units @ units.T
    known = torch.tensor([labels[example.id] == "ik" for example in examples])
    kept = torch.stack([gradient / gradient.norm() for gradient in loop_gradients(adapted, answers)[1]]).double()
    retention = (units @ kept.T).mean(1)
    refusal, over_refusal = pairwise[:, ~known].mean(1), pairwise[:, known].mean(1)
    expected = {
        example.id: (float(r), float(o), float(r - o), float(k), float(gradient.norm()))
        for example, r, o, k, gradient in zip(examples, refusal, over_refusal, retention, gradients, strict=True)
    }
    scores = done.result.folder / "influence" / "scores.parquet"
    found = {
        row["id"]: (
            row["refusal_influence"], row["over_refusal_influence"], row["stable_influence"],
            row["retention_influence"], row["gradient_norm"],
        )
        for row in pq.read_table(scores).to_pylist()
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
    margins = left_out_margins(lambda: iter([units]), torch.where(known, -1.0, 1.0))
    sketched = {row["id"]: row["left_out_margin"] for row in pq.read_table(scores).to_pylist()}
    for example, margin in zip(examples, margins.tolist(), strict=True):
        assert sketched[example.id] == pytest.approx(margin, abs=0.05)


def test_selected_questions_are_unknown(done: Done) -> None:
    rows = pq.read_table(done.result.folder / "influence" / "scores.parquet").to_pylist()
    selected = [row for row in rows if row["selected"] and row["label"] == "idk"]
    assert selected
    assert all(row["sample_weight"] == 1 for row in rows if row["selected"] and row["label"] == "ik")


@pytest.mark.parametrize("system", ["init-basic", "init-refuse", "grait"])
def test_the_refusal_is_scored_after_the_prompt_that_was_asked(done: Done, system: str) -> None:
    """One question at a time, by transformers alone: the sum over its tokens, the end token included."""
    tokenizer = load_tokenizer(ModelConfig(name=done.model))
    model = AutoModelForCausalLM.from_pretrained(done.model, dtype=torch.float32)
    if system == "grait":
        model = PeftModel.from_pretrained(model, str(done.result.folder / "adapters" / system)).eval()
    shots = tuple(read_questions(done.files.train).questions[:N_SHOTS])
    prompts = PromptFormat(tokenizer, PromptConfig(n_shots=N_SHOTS), shots)
    for question, found in zip(done.result.questions["own"], done.result.predictions["own"][system], strict=True):
        prompt = prompts.query(question) if system == "init-basic" else prompts.prompt(question, "refuse")
        completion = prompts.completion(prompt, REFUSAL)
        assert completion.text.strip() == REFUSAL
        ids = torch.tensor([[*prompt.token_ids, *completion.token_ids]])
        logprobs = model(ids).logits[0].log_softmax(-1)
        n = len(prompt.token_ids)
        expected = sum(logprobs[n + i - 1, token].item() for i, token in enumerate(completion.token_ids))
        assert found.refusal_logprob == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", ["cor-rait", "grait"])
def test_the_adapter_loads_with_peft_alone(done: Done, method: str) -> None:
    """And it gives the answers of the evaluation."""
    tokenizer = AutoTokenizer.from_pretrained(done.model)
    plain = AutoModelForCausalLM.from_pretrained(done.model, dtype=torch.float32)
    question = done.result.questions["own"][0]
    prompt = (
        "Answer the question in a few words. If you do not know the answer, reply only: "
        f"{REFUSAL}\nQuestion: {question.question}"
    )
    chat = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    untuned = plain(**inputs).logits
    tuned = PeftModel.from_pretrained(plain, str(done.result.folder / "adapters" / method)).eval()
    assert not torch.equal(tuned(**inputs).logits, untuned)
    n_new = done.tree["evaluation"]["max_new_tokens"]
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end|>")]
    output = tuned.generate(**inputs, max_new_tokens=n_new, do_sample=False, eos_token_id=ends)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answer == done.result.predictions["own"][method][0].output


def test_the_summary_counts_what_was_left_out(done: Done) -> None:
    summary = json.loads((done.result.folder / "summary.json").read_text())
    assert set(summary["stages"]) == STAGES
    assert summary["stages"]["knowledge"]["skipped"] == []
    assert summary["stages"]["adapters/grait"]["non_finite"] == []
    assert summary["peak_memory_mb"] > 0
    assert "torch" in summary["versions"]


# -- what runs again -----------------------------------------------------------------------------------------------


def test_the_same_config_runs_nothing_again(done: Done, tmp_path: Path) -> None:
    result, ran = rerun(done.tree_at(done.copied_to(tmp_path)))
    assert ran == set()
    assert result.metrics == done.result.metrics


def test_another_folder_gives_the_same_metrics(done: Done, tmp_path: Path) -> None:
    result, ran = rerun(done.tree_at(tmp_path / "run"))
    assert ran == STAGES
    assert result.metrics == done.result.metrics
    # Not byte by byte: matrix products may round differently where their operands lie differently in memory.
    again, before = (
        {row["id"]: row for row in pq.read_table(folder / "influence" / "scores.parquet").to_pylist()}
        for folder in (result.folder, done.result.folder)
    )
    assert again.keys() == before.keys()
    for name, row in again.items():
        numbers = {key: value for key, value in row.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: before[name][key] for key in numbers}, rel=1e-5, abs=1e-7)
        assert (row["label"], row["selected"]) == (before[name]["label"], before[name]["selected"])


TUNED = {f"{kind}/{method}" for kind in ("adapters", "evaluation/own") for method in ("cor-rait", "grait")}


def test_another_learning_rate_trains_and_evaluates_again(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["training"]["learning_rate"] = 0.01
    result, ran = rerun(tree)
    assert ran == TUNED
    assert result.metrics[:2] == done.result.metrics[:2]
    assert rerun(tree)[1] == set()


def test_another_number_of_resamples_changes_the_intervals_only(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["evaluation"]["n_bootstrap"] = 300
    result, ran = rerun(tree)
    assert ran == set()
    for record, before in zip(result.metrics, done.result.metrics, strict=True):
        for field in fields(record):
            if field.name not in ("ths_low", "ths_high"):
                assert getattr(record, field.name) == getattr(before, field.name)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["evaluation"]["n_bootstrap"] == 300


def test_another_tau_changes_grait_only(done: Done, tmp_path: Path) -> None:
    _, ran = rerun(done.tree_at(done.copied_to(tmp_path), selection={"tau": 0.5}))
    assert ran == {"adapters/grait", "evaluation/own/grait"}


def test_another_warm_up_keeps_the_knowledge_and_what_needs_no_influence(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["warmup"]["learning_rate"] = 0.05
    _, ran = rerun(tree)
    assert (
        {"warmup", "influence/exact"} <= ran <= {"warmup", "influence/exact", "adapters/grait", "evaluation/own/grait"}
    )


def test_speed_settings_run_nothing_again(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path), tokens_per_batch=512, influence={"tokens_per_batch": 256})
    tree["training"]["micro_batch_size"] = 4
    assert rerun(tree)[1] == set()


def test_one_more_data_set_is_the_only_one_evaluated(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["evaluation"]["datasets"].append({"path": done.files.test, "name": "again", "limit": 6})
    result, ran = rerun(tree)
    assert ran == {f"evaluation/again/{system}" for system in SYSTEMS}
    assert [record.dataset for record in result.metrics] == ["own"] * 4 + ["again"] * 4
    assert result.metrics[:4] == done.result.metrics


def test_changed_training_questions_are_noticed(done: Done, tmp_path: Path) -> None:
    rows = rows_of(done.files.train)
    rows[-1]["question"] += " Say it."
    tree = done.tree_at(done.copied_to(tmp_path), data={"path": write_jsonl(tmp_path / "train.jsonl", rows)})
    assert "knowledge" in rerun(tree)[1]


@pytest.mark.parametrize(
    ("module", "function", "calls", "kept"),
    [
        (knowledge, "query", 0, set()),
        (training, "train", 0, {*INITIAL}),
        (influence, "influence_and_sketch", 0, {*INITIAL, "warmup"}),
        (training, "train", 2, {*INITIAL, "warmup", "influence/exact", "adapters/cor-rait"}),
        (evaluation, "predict", 3, STAGES - {"evaluation/own/grait"}),
    ],
)
def test_an_interrupted_run_continues(
    done: Done,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    function: str,
    calls: int,
    kept: set[str],
) -> None:
    tree = done.tree_at(tmp_path / "run")
    original = getattr(module, function)
    made = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made > calls:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            grait.run(tree)
    assert set(stamps(tmp_path / "run")) == kept
    assert not (tmp_path / "run" / "metrics.json").exists()
    result, ran = rerun(tree)
    assert ran == STAGES - kept
    assert result.metrics == done.result.metrics


def test_a_damaged_stage_stops_the_run(done: Done, tmp_path: Path) -> None:
    folder = done.copied_to(tmp_path)
    damaged = folder / "warmup" / "adapter_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(ArtifactError) as caught:
        grait.run(done.tree_at(folder))
    assert f"{damaged}: expected " in str(caught.value)
    assert f"delete {folder / 'warmup'}" in str(caught.value)


def test_a_run_folder_that_cannot_be_made_is_named(done: Done, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write the run folder"):
        grait.run(done.tree_at(tmp_path / "file" / "run"))


# -- questions -----------------------------------------------------------------------------------------------------


def test_a_question_longer_than_the_context_is_named_skipped_and_counted(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    too_long = {"question": "Why? " * 200, "answers": ["because"]}
    train, test = rows_of(done.files.train), rows_of(done.files.test)
    train.insert(5, {"id": "long-train", **too_long})
    test.insert(3, {"id": "long-test", **too_long, "question": "How? " * 200})
    files = Files(write_jsonl(tmp_path / "train.jsonl", train), write_jsonl(tmp_path / "test.jsonl", test))
    tree = done.tree_at(tmp_path / "run", data={"path": files.train})
    tree["evaluation"]["datasets"][0]["path"] = files.test
    result = grait.run(tree)
    told = capfd.readouterr().err
    assert "long-train" in told
    assert "long-test" in told
    stages = json.loads((tmp_path / "run" / "summary.json").read_text())["stages"]
    assert stages["knowledge"]["skipped"] == ["long-train"]
    assert all(stages[f"evaluation/own/{system}"]["skipped"] == ["long-test"] for system in SYSTEMS)
    assert result.metrics == done.result.metrics


def test_an_answer_that_does_not_fit_is_skipped_too(done: Done, tmp_path: Path) -> None:
    """Its question is short, but training on it would run past the last position that the model knows."""
    train = rows_of(done.files.train)
    train.insert(5, {"id": "long-answer", "question": "Why?", "answers": ["because " * 200]})
    tree = done.tree_at(tmp_path / "run", data={"path": write_jsonl(tmp_path / "train.jsonl", train)})
    result = grait.run(tree)
    assert result.summary["stages"]["knowledge"]["skipped"] == ["long-answer"]


def test_when_no_question_fits_the_run_stops(done: Done, tmp_path: Path) -> None:
    rows = [{"question": f"{i} why? " * 200, "answers": ["no"]} for i in range(5)]
    tree = done.tree_at(tmp_path / "run", data={"path": write_jsonl(tmp_path / "train.jsonl", rows)})
    with pytest.raises(DataError, match="every question is longer than"):
        grait.run(tree)


def test_as_few_questions_as_shots_stop_the_run(done: Done, tmp_path: Path) -> None:
    rows = rows_of(done.files.train)[:N_SHOTS]
    tree = done.tree_at(tmp_path / "run", data={"path": write_jsonl(tmp_path / "train.jsonl", rows)})
    with pytest.raises(DataError, match=r"expected more than prompt\.n_shots = 2 training questions, found 2"):
        grait.run(tree)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("side", "advice"), [("nothing", "easier questions"), ("everything", "harder questions")])
def test_a_model_that_knows_everything_or_nothing_stops_the_run(
    done: Done, tmp_path: Path, side: str, advice: str
) -> None:
    states = read_rows(done.result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    kept = {state.id for state in states if state.label == ("idk" if side == "nothing" else "ik")}
    train = rows_of(done.files.train)
    rows = [*train[:N_SHOTS], *(row for row in train if row["id"] in kept)]
    tree = done.tree_at(tmp_path / "run", data={"path": write_jsonl(tmp_path / "train.jsonl", rows)})
    with pytest.raises(KnowledgeError) as caught:
        grait.run(tree)
    message = str(caught.value)
    assert "\n" not in message
    assert advice in message
    assert "knowledge.correctness_threshold (now 0.5)" in message


def test_more_selected_than_there_are_stops_the_run(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path), selection={"n_ik": 1000})
    with pytest.raises(KnowledgeError, match=r"selection\.n_ik = 1000: the training set has only"):
        grait.run(tree)


def test_a_model_without_a_chat_template_is_asked_in_plain_text(done: Done, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", chat=False)
    tree = done.tree_at(tmp_path / "run")
    tree["model"]["name"] = model
    result = grait.run(tree)
    assert [record.method for record in result.metrics] == SYSTEMS
    assert result.metrics[0].pc == done.result.metrics[0].pc  # a query with shots is plain text in both
    for row in rows_of(tmp_path / "run" / "rait.jsonl"):
        assert row["prompt"].endswith("\nAnswer:")
        assert row["completion"].startswith(" ")


@pytest.mark.parametrize("scoring", ["letter", "likelihood", "sampling"])
def test_multiple_choice_questions(done: Done, tmp_path: Path, scoring: str) -> None:
    """In the tiny tokenizer " A" is a blank and a letter: by its first token alone, all letters are equally likely."""
    words = ["red", "green", "blue", "yellow", "black", "white", "brown"]

    def row(i: int) -> dict[str, Any]:
        choices = [words[(i + k) % len(words)] for k in range(4)]
        return {
            "id": f"m{i}", "question": f"What colour has box {i * i}?", "choices": choices, "answer": choices[i % 3],
        }  # fmt: skip

    rows = [row(i) for i in range(30)]
    files = Files(write_jsonl(tmp_path / "train.jsonl", rows[:20]), write_jsonl(tmp_path / "test.jsonl", rows[20:]))
    tree = done.tree_at(tmp_path / "run", data={"path": files.train})
    tree["evaluation"]["datasets"][0]["path"] = files.test
    # A random model is near chance; free samples of it are never right.
    tree["knowledge"] |= {"scoring": scoring, "correctness_threshold": 0.25}
    if scoring == "sampling":
        with pytest.raises(KnowledgeError, match="nothing to keep"):
            grait.run(tree)
        return
    result = grait.run(tree)
    assert [record.method for record in result.metrics] == SYSTEMS
    texts = {own["id"]: {*own["choices"], "I don't know."} for own in rows}
    are_chosen = [row.output in texts[row.id] for own in result.predictions["own"].values() for row in own]
    assert all(are_chosen) == (scoring == "likelihood")  # a random model writes none of them
    states = read_rows(tmp_path / "run" / "knowledge" / "knowledge.parquet", KnowledgeState)
    asked = {row["id"]: row for row in rows}
    assert {state.label for state in states} >= {"ik", "idk"}
    for state in states:
        assert 0 < state.correctness < 1
        assert state.certainty is not None
        assert state.certainty <= 0
        assert state.answer in asked[state.id]["choices"]
        assert (state.option_mass is not None) == (scoring == "letter")
    for example in rows_of(tmp_path / "run" / "rait.jsonl"):
        own = asked[example["id"]]
        if example["label"] == "ik":
            letter = "ABCD"[own["choices"].index(own["answer"])]
            assert example["completion"] == (letter if scoring == "letter" else own["answer"])
        assert f"D. {own['choices'][3]}" in example["prompt"]


@pytest.mark.parametrize("scoring", ["letter", "likelihood"])
def test_questions_without_options_cannot_be_scored_by_options(done: Done, tmp_path: Path, scoring: str) -> None:
    tree = done.tree_at(tmp_path / "run")
    tree["knowledge"]["scoring"] = scoring
    with pytest.raises(KnowledgeError, match=f"knowledge.scoring = {scoring}: question q0.. has no choices"):
        grait.run(tree)


def test_influence_from_a_sketch_leaves_a_datastore_that_can_be_asked_again(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["influence"] = {**tree.get("influence", {}), "mode": "sketch", "dimensions": 32768}
    result, ran = rerun(tree)
    assert "influence/sketch" in ran and not ran & {"knowledge", "warmup", "influence/exact"}
    exact, sketched = (
        {row["id"]: row for row in pq.read_table(folder / "influence" / "scores.parquet").to_pylist()}
        for folder in (done.result.folder, result.folder)
    )
    assert exact.keys() == sketched.keys()
    for name in ("refusal_influence", "over_refusal_influence", "retention_influence"):
        assert [row[name] for row in sketched.values()] == pytest.approx(
            [row[name] for row in exact.values()], abs=0.03
        )
    store = GradientDatastore.open(result.folder / "influence" / "sketch" / "datastore")
    unknown = [key for key, row in exact.items() if row["label"] == "idk"]
    again = store.influence({"idk": unknown}, examples=list(exact))
    assert again.scores["idk"] == pytest.approx({key: row["refusal_influence"] for key, row in sketched.items()})


def test_influence_over_the_epochs_of_the_warm_up_is_their_sum_by_learning_rate(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(tmp_path / "run")
    tree["influence"] = {**tree.get("influence", {}), "mode": "sketch", "dimensions": 512, "checkpoints": "epochs"}
    tree["warmup"] = {**tree.get("warmup", {}), "epochs": 2, "warmup_ratio": 0}
    folder = grait.run(tree).folder
    rates = json.loads((folder / "warmup" / "checkpoints.json").read_text())
    assert len(rates) == 2 and all(0 < rate <= WarmupConfig().learning_rate for rate in rates)
    last, kept = (load_file(folder / "warmup" / path / "adapter_model.safetensors") for path in ("", "epoch-2"))
    assert all(torch.equal(weight, kept[name]) for name, weight in last.items())
    scores = {row["id"]: row for row in pq.read_table(folder / "influence" / "scores.parquet").to_pylist()}
    unknown = [key for key, row in scores.items() if row["label"] == "idk"]
    by_epoch = [
        GradientDatastore.open(folder / "influence" / "sketch" / f"datastore-epoch-{epoch}")
        .influence({"idk": unknown}, examples=list(scores))
        .scores["idk"]
        for epoch in (1, 2)
    ]
    assert by_epoch[0] != pytest.approx(by_epoch[1])
    for key, row in scores.items():
        expected = sum(rate * found[key] for rate, found in zip(rates, by_epoch, strict=True))
        assert row["refusal_influence"] == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["exact", "sketch"])
def test_a_run_killed_within_the_gradient_passes_goes_on_there(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(datastore, "SECONDS_BETWEEN_WRITES", 0.0)
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["influence"] = {**tree.get("influence", {}), "mode": mode, "tokens_per_batch": 128, "transform": "adam"}
    original = batches.GradientPass._batch
    calls: list[int] = []

    def killed_in_the_fifth(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(batches.GradientPass, "_batch", killed_in_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        grait.run(tree)
    assert list((tmp_path / "run" / "influence").glob(f".{mode}.*.unfinished"))
    rerun(tree)
    resumed, kept = len(calls) - 5, tmp_path / "run" / "influence"
    assert not list(kept.glob(".*.unfinished"))
    scores = pq.read_table(kept / "scores.parquet").to_pylist()
    calls.extend([0] * 5)
    tree["out"] = str(done.copied_to(tmp_path / "whole"))
    before = len(calls)
    rerun(tree)
    assert len(calls) - before == resumed + 4
    whole = pq.read_table(tmp_path / "whole" / "run" / "influence" / "scores.parquet").to_pylist()
    for row, other in zip(scores, whole, strict=True):
        assert row["id"] == other["id"]
        assert row["refusal_influence"] == pytest.approx(other["refusal_influence"], abs=1e-6)


@pytest.mark.parametrize("transform", ["adam", "adam-less"])
def test_a_gradient_transform_uses_the_moments_of_the_warm_up(done: Done, tmp_path: Path, transform: str) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    tree["influence"] = {**tree.get("influence", {}), "transform": transform}
    result, ran = rerun(tree)
    assert "influence/exact" in ran and not ran & {"knowledge", "warmup"}

    def refusal_influence(folder: Path) -> dict[str, float]:
        rows = pq.read_table(folder / "influence" / "scores.parquet").to_pylist()
        return {row["id"]: row["refusal_influence"] for row in rows}

    plain, transformed = refusal_influence(done.result.folder), refusal_influence(result.folder)
    assert plain.keys() == transformed.keys()
    assert plain != pytest.approx(transformed, rel=1e-2)
    (result.folder / "warmup" / training.MOMENTS).unlink()
    with pytest.raises(ArtifactError, match="optimizer_moments"):
        rerun({**tree, "seed": tree.get("seed", 0)})


def test_curvature_of_a_run_is_the_same_exactly_and_from_a_sketch_and_is_kept(done: Done, tmp_path: Path) -> None:
    tree = done.tree_at(done.copied_to(tmp_path))
    found = {}
    for mode in ("exact", "sketch"):
        more = {"mode": mode, "transform": "curvature", "dimensions": 32768}
        result, ran = rerun({**tree, "influence": {**tree.get("influence", {}), **more}})
        assert f"influence/{mode}" in ran and not ran & {"knowledge", "warmup"}
        rows = pq.read_table(result.folder / "influence" / "scores.parquet").to_pylist()
        found[mode] = {row["id"]: row["refusal_influence"] for row in rows}
        kept = Curvature.open(result.folder / "influence" / mode / "datastore" / "curvature")
        assert all(bool((own >= 0).all()) for own in kept.eigenvalues.values())
    rows = pq.read_table(done.result.folder / "influence" / "scores.parquet").to_pylist()
    assert found["sketch"] == pytest.approx(found["exact"], abs=0.05)
    assert found["exact"] != pytest.approx({row["id"]: row["refusal_influence"] for row in rows}, abs=0.02)
