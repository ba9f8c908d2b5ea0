"""Knowledge flow: joined by id, never by position; and whole runs of the methods that need more than Cor-RAIT does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_folder import Files, tiny_tree
from transformers import AutoTokenizer

import grait
from grait.errors import KnowledgeError
from grait.judging.judges import BySureness
from grait.knowledge.flow import knowledge_flow
from grait.knowledge.query import label
from grait.methods.catalog import METHODS
from grait.pipeline import evaluation, knowledge, training
from grait.records import KnowledgeFlow, KnowledgeState, MethodName
from grait.runtime.artifacts import MANIFEST, read_rows


def state(name: str, correctness: float) -> KnowledgeState:
    return KnowledgeState(name, label(correctness, 0.5), correctness, 0.5, None, "answer")


BEFORE = [state("a", 0.2), state("b", 0.9), state("c", 0.5), state("d", 0.0)]
AFTER = [state("a", 0.6), state("b", 0.7), state("c", 0.5), state("d", 0.1)]


def test_flow_is_the_correctness_after_minus_before_with_the_label_of_the_initial_model() -> None:
    rows = knowledge_flow(BEFORE, AFTER)
    assert [(row.id, row.label, row.correctness, row.warmup_correctness) for row in rows] == [
        ("a", "idk", 0.2, 0.6),
        ("b", "ik", 0.9, 0.7),
        ("c", "dropped", 0.5, 0.5),
        ("d", "idk", 0.0, 0.1),
    ]
    assert [row.flow for row in rows] == pytest.approx([0.4, -0.2, 0.0, 0.1])


@given(st.permutations(AFTER))
def test_flow_is_joined_by_id(shuffled: list[KnowledgeState]) -> None:
    """The published free-text script joins by row number, and gives question i the value of question i/10."""
    assert knowledge_flow(BEFORE, shuffled) == knowledge_flow(BEFORE, AFTER)


def test_a_question_that_was_not_asked_again_has_no_flow() -> None:
    assert [row.id for row in knowledge_flow(BEFORE, AFTER[::-1][:2])] == ["c", "d"]
    assert knowledge_flow(BEFORE, []) == []


def test_a_question_that_was_not_asked_before_is_an_error() -> None:
    with pytest.raises(KnowledgeError, match=r"question d \(1 in all\) was asked only after the warm-up"):
        knowledge_flow(BEFORE[:3], AFTER)


@pytest.mark.parametrize(
    ("before", "after", "model"), [([*BEFORE, BEFORE[1]], AFTER, "initial"), (BEFORE, [AFTER[1], *AFTER], "warmed-up")]
)
def test_ten_rows_for_a_question_are_an_error(
    before: list[KnowledgeState], after: list[KnowledgeState], model: str
) -> None:
    with pytest.raises(KnowledgeError, match=f"the {model} model has 2 states of question b, not one"):
        knowledge_flow(before, after)


@given(st.floats(0, 1), st.floats(0, 1))
def test_flow_lies_between_minus_one_and_one_and_changes_its_sign_with_the_direction(low: float, high: float) -> None:
    (there,) = knowledge_flow([state("q", low)], [state("q", high)])
    (back,) = knowledge_flow([state("q", high)], [state("q", low)])
    assert -1 <= there.flow <= 1
    assert there.flow == -back.flow


# -- in a run -----------------------------------------------------------------------------------------------------


def tree_of(tiny: tuple[str, Files], out: Path, methods: list[str]) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["training"]["methods"] = methods
    tree["warmup"] |= {"epochs": 4, "learning_rate": 0.02}  # enough to change some answers
    return tree


def stages(folder: Path) -> set[str]:
    return {path.parent.relative_to(folder).as_posix() for path in folder.rglob(MANIFEST)}


def test_every_system_is_asked_and_judged_as_the_catalog_says(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = evaluation.predict

    def spy(engine: Any, prompts: Any, questions: Any, asked: Any, judge: Any, **options: Any) -> Any:
        seen.append((asked, isinstance(judge, BySureness)))
        return original(engine, prompts, questions, asked, judge, **options)

    monkeypatch.setattr(evaluation, "predict", spy)
    names = ["init-basic", "init-refuse", "cor-rait", "r-tuning"]
    grait.run(tree_of(tiny, tmp_path / "run", names[2:]))
    assert seen == [(METHODS[name].asked, METHODS[name].states_sureness) for name in names]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("methods", "needed"),
    [
        (["cor-rait", "random-idk"], set()),
        (["craft-no-certainty"], {"warmup", "flow", "conflict"}),
        (["grait-no-weights"], {"warmup", "influence/exact"}),
    ],
    ids=["no evidence", "flow", "influence"],
)
def test_only_what_the_methods_need_is_computed(
    tiny: tuple[str, Files], tmp_path: Path, methods: list[str], needed: set[str]
) -> None:
    grait.run(tree_of(tiny, tmp_path / "run", methods))
    done = stages(tmp_path / "run")
    assert {stage for stage in done if not stage.startswith(("adapters", "evaluation"))} == {"knowledge"} | needed
    assert {stage for stage in done if stage.startswith("adapters")} == {f"adapters/{name}" for name in methods}


def test_all_methods_run_side_by_side(
    tiny: tuple[str, Files], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = list(get_args(MethodName))
    tree = tree_of(tiny, tmp_path / "run", names)
    tree["training"]["epochs"] = 0.5
    tree["influence"] = {**tree.get("influence", {}), "rounds": 2}
    result = grait.run(tree)
    assert [record.method for record in result.metrics] == ["init-basic", "init-refuse", *names]
    told = capfd.readouterr().err
    states = read_rows(result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    n = sum(row.label == "ik" for row in states)
    assert f"3/4 Training: van-tuning on {2 * n} answers and 0 refusals" in told
    assert f"3/4 Training: r-tuning on {2 * n} answers and 0 refusals" in told
    assert f"3/4 Training: cor-rait on {n} answers and {n} refusals" in told
    grait.run(tree)
    assert "running again" not in capfd.readouterr().err


def test_the_flow_of_a_run_compares_the_two_models_on_the_same_questions(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    tree = tree_of(tiny, tmp_path / "run", ["craft"])
    grait.run(tree)
    states = {row.id: row for row in read_rows(tmp_path / "run" / "knowledge" / "knowledge.parquet", KnowledgeState)}
    flow = read_rows(tmp_path / "run" / "flow" / "flow.parquet", KnowledgeFlow)
    assert {row.id for row in flow} == set(states)
    for row in flow:
        assert (row.label, row.correctness) == (states[row.id].label, states[row.id].correctness)
        assert row.flow == row.warmup_correctness - row.correctness
    assert any(row.flow != 0 for row in flow)  # the adapter was there


def test_a_warm_up_that_changes_nothing_gives_a_flow_of_exactly_zero(tiny: tuple[str, Files], tmp_path: Path) -> None:
    """The two models share shots, seed and random numbers: what is left is the effect of the adapter alone."""
    tree = tree_of(tiny, tmp_path / "run", ["craft"])
    tree["knowledge"] |= {"temperature": 0.1, "n_samples": 8, "correctness_threshold": 0.4}
    tree["warmup"]["learning_rate"] = 1e-12
    result = grait.run(tree)
    flow = read_rows(result.folder / "flow" / "flow.parquet", KnowledgeFlow)
    assert {row.flow for row in flow} == {0.0}
    assert len({row.correctness for row in flow}) > 1


def test_certainty_by_embeddings_is_measured_where_the_config_asks_for_it(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text)), 1.0] for text in texts])

    monkeypatch.setattr(knowledge, "load_embedder", lambda device: embed)
    tree = tree_of(tiny, tmp_path / "run", ["craft"])
    tree["knowledge"] |= {"certainty": "embedding", "n_samples": 2}
    tree["knowledge"]["temperature"] = 0.2
    result = grait.run(tree)
    states = read_rows(result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    assert not {state.certainty for state in states} <= {0.5, 1.0, None}  # no shares of two samples


def test_r_tuning_learns_answers_with_their_sureness(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny[0])
    trained: dict[str, str] = {}
    original = training.train

    def spy(model: Any, examples: Any, *arguments: Any, **options: Any) -> Any:
        for row in examples:
            trained[row.example.id] = tokenizer.decode(row.example.completion_ids, skip_special_tokens=True)
        return original(model, examples, *arguments, **options)

    monkeypatch.setattr(training, "train", spy)
    result = grait.run(tree_of(tiny, tmp_path / "run", ["r-tuning"]))
    asked = {row["id"]: row for row in map(json.loads, Path(tiny[1].train).read_text().splitlines())}
    states = read_rows(result.folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    expected = {}
    for row in states:
        answer = asked[row.id]["answers"][0]
        answer += "" if answer.endswith((".", "!", "?")) else "."
        expected[row.id] = f"{answer} I am {'sure' if row.label == 'ik' else 'unsure'}."
    assert len(trained) == 2 * sum(row.label == "ik" for row in states)
    assert trained == {name: expected[name] for name in trained}
