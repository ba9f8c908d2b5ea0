"""CRSS: how many unknown questions have a known one that looks the same to the model."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ARCHITECTURES, PAD, tiny_model, with_lora
from tiny_folder import N_SHOTS, Files, tiny_tree
from transformers import AutoModelForCausalLM

import grait
from grait.config import ModelConfig, PromptConfig
from grait.data.questions import read_questions
from grait.errors import KnowledgeError
from grait.knowledge import conflict
from grait.knowledge.conflict import THRESHOLD, last_hidden_states, nearest_known
from grait.model.load import load_tokenizer
from grait.model.prompts import PromptFormat
from grait.records import KnowledgeState, StaticConflict
from grait.runtime.artifacts import read_rows

KNOWN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])


def test_only_the_direction_counts() -> None:
    unknown = torch.tensor([[7.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5], [-1.0, 0.0, 0.0]])
    highest, _ = nearest_known(KNOWN, unknown)
    assert highest.tolist() == pytest.approx([1, 0, 0.5**0.5, 0])


def test_each_unknown_question_has_its_nearest_known_one_not_the_other_way_round() -> None:
    unknown = torch.tensor([[3.0, 0.1, 0.0], [0.1, 5.0, 0.1], [-1.0, 0.0, 0.0]])
    assert (nearest_known(KNOWN, unknown)[0] > THRESHOLD).tolist() == [True, True, False]
    assert (nearest_known(unknown, KNOWN)[0] > THRESHOLD).tolist() == [True, True]


def test_the_papers_threshold_separates() -> None:
    assert THRESHOLD == 0.97
    just_above, just_below = (torch.tensor([[c, 0.0, (1 - c * c) ** 0.5]]) for c in (0.971, 0.969))
    assert nearest_known(KNOWN, just_above)[0] > THRESHOLD > nearest_known(KNOWN, just_below)[0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_the_nearest_known_question_is_that_of_all_pairs(n_ik: int, n_idk: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ik, idk = (torch.randn(n, 3, generator=generator) for n in (n_ik, n_idk))
    cosines = torch.nn.functional.cosine_similarity(idk[:, None].double(), ik[None].double(), dim=-1)
    highest, nearest = nearest_known(ik, idk, rows_per_block=rows)
    assert nearest.tolist() == cosines.argmax(1).tolist()
    torch.testing.assert_close(highest.double(), cosines.amax(1), rtol=0, atol=1e-6)


def test_of_equally_near_ones_the_first_is_named() -> None:
    highest, nearest = nearest_known(torch.ones(5, 2), torch.ones(3, 2), rows_per_block=2)
    assert nearest.tolist() == [0, 0, 0]
    assert highest.tolist() == pytest.approx([1, 1, 1])


def test_an_empty_side_is_an_error() -> None:
    with pytest.raises(KnowledgeError, match="found 0 ik and 2 idk"):
        nearest_known(KNOWN[:0], KNOWN)
    with pytest.raises(KnowledgeError, match="found 2 ik and 0 idk"):
        nearest_known(KNOWN, KNOWN[:0])


# -- representations ------------------------------------------------------------------------------------------------

DRAW = random.Random(0)
QUESTIONS = [[DRAW.randrange(2, 200) for _ in range(length)] for length in (9, 1, 4, 12, 4)]


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 1000])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_representation_is_the_last_hidden_state_of_the_last_token(architecture: str, tokens_per_batch: int) -> None:
    model = tiny_model(architecture)
    found = last_hidden_states(model, QUESTIONS, PAD, tokens_per_batch)
    for tokens, representation in zip(QUESTIONS, found, strict=True):
        output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
        torch.testing.assert_close(representation, output.hidden_states[-1][0, -1], rtol=1e-4, atol=1e-5)
        head = model.get_output_embeddings()  # reads this very state
        torch.testing.assert_close(head(representation), output.logits[0, -1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("tokens_per_batch", [1, 60, 1000])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma2"])
def test_what_all_begin_with_runs_once_and_changes_nothing(
    architecture: str, tokens_per_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the sequences is the common beginning and one token. Gemma's window, 48 tokens, holds the longest."""
    shared = list(range(100, 120))
    sequences = [[*shared, *own] for own in QUESTIONS]
    model = tiny_model(architecture)
    seen: list[int] = []
    embeddings: Any = model.get_input_embeddings()
    embeddings.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].numel()))
    found = last_hidden_states(model, sequences, PAD, tokens_per_batch)
    assert seen[0] == 20
    assert sum(seen[1:]) <= 5 * 12  # none of the others holds the beginning
    monkeypatch.setattr(conflict, "shareable_length", lambda *_: 0)
    torch.testing.assert_close(found, last_hidden_states(model, sequences, PAD, tokens_per_batch), rtol=1e-4, atol=1e-5)


def test_a_window_that_is_too_short_for_the_sequences_is_not_shared() -> None:
    sequences = [[*range(2, 52), *own] for own in QUESTIONS]
    model = tiny_model("gemma3")
    for tokens, representation in zip(sequences, last_hidden_states(model, sequences, PAD), strict=True):
        output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
        torch.testing.assert_close(representation, output.hidden_states[-1][0, -1], rtol=1e-4, atol=1e-5)


def test_an_adapter_changes_the_representations() -> None:
    plain = last_hidden_states(tiny_model(), QUESTIONS, PAD)
    adapted = with_lora(tiny_model())
    assert not torch.allclose(last_hidden_states(adapted, QUESTIONS, PAD), plain, atol=1e-3)
    with adapted.disable_adapter():
        torch.testing.assert_close(last_hidden_states(adapted, QUESTIONS, PAD), plain)


def test_equal_questions_conflict_whatever_stands_beside_them_in_the_batch() -> None:
    model = tiny_model()
    known = last_hidden_states(model, QUESTIONS[:3], PAD)
    unknown = last_hidden_states(model, [QUESTIONS[2], *QUESTIONS[3:]], PAD)
    assert (nearest_known(known, unknown)[0] > 0.999).tolist() == [True, False, False]


# -- in a run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def craft_run(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config of a finished run that trained CRaFT."""
    tree = tiny_tree(*tiny, tmp_path_factory.mktemp("craft") / "run")
    tree["training"]["methods"] = ["craft"]
    grait.run(tree)
    return tree


def noted(tree: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((Path(tree["out"]) / "summary.json").read_text())["stages"]["conflict"])


def test_a_run_notes_the_cosines_at_the_end_of_its_refuse_prompts(craft_run: dict[str, Any]) -> None:
    """All pairs again, one prompt at a time, by transformers alone."""
    folder, name = Path(craft_run["out"]), craft_run["model"]["name"]
    questions = {question.id: question for question in read_questions(craft_run["data"]["path"]).questions}
    prompts = PromptFormat(load_tokenizer(ModelConfig(name=name)), PromptConfig(n_shots=N_SHOTS))
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    states = read_rows(folder / "knowledge" / "knowledge.parquet", KnowledgeState)
    hidden = {}
    for state in states:
        ids = torch.tensor([prompts.prompt(questions[state.id], "refuse").token_ids])
        hidden[state.id] = model(ids, output_hidden_states=True).hidden_states[-1][0, -1].detach().double()
    known = [state.id for state in states if state.label == "ik"]
    expected = {
        state.id: max((float(torch.cosine_similarity(hidden[state.id], hidden[ik], dim=0)), ik) for ik in known)
        for state in states
        if state.label == "idk"
    }
    rows = read_rows(folder / "conflict" / "conflict.parquet", StaticConflict)
    assert {row.id for row in rows} == set(expected)
    for row in rows:
        assert row.cosine == pytest.approx(expected[row.id][0], abs=1e-5)
        assert row.nearest_ik == expected[row.id][1]
    assert [row.cosine for row in rows] == sorted((row.cosine for row in rows), reverse=True)
    notes = noted(craft_run)
    n_conflicting = sum(cosine > THRESHOLD for cosine, _ in expected.values())
    assert (notes["n_idk"], notes["n_conflicting"], notes["threshold"]) == (len(expected), n_conflicting, THRESHOLD)
    assert notes["conflict_rate"] == n_conflicting / len(expected)
    first = notes["most_conflicting"][0]
    assert (first["idk"], first["ik"], first["cosine"]) == (rows[0].id, rows[0].nearest_ik, rows[0].cosine)
    assert first["idk_question"] == questions[rows[0].id].question
    assert first["ik_question"] == questions[rows[0].nearest_ik].question
    assert len(notes["most_conflicting"]) == 5


def test_it_is_one_line_and_is_not_computed_twice(
    craft_run: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = noted(craft_run)
    monkeypatch.setattr("grait.pipeline.conflict.last_hidden_states", None)  # would fail
    grait.run(craft_run)
    assert noted(craft_run) == before
    lines = [line for line in capsys.readouterr().err.splitlines() if "CRSS" in line]
    assert lines == [
        f"  conflict rate (CRSS) {before['conflict_rate']:.1%}: {before['n_conflicting']} of {before['n_idk']} unknown "
        "questions have a known one of cosine above 0.97"
    ]


def test_a_run_without_craft_does_without(craft_run: dict[str, Any], tmp_path: Path) -> None:
    tree = craft_run | {"out": str(tmp_path / "run"), "training": craft_run["training"] | {"methods": ["cor-rait"]}}
    grait.run(tree)
    assert not (tmp_path / "run" / "conflict").exists()
