"""CRSS: how many unknown questions have a known one that looks the same to the model."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ARCHITECTURES, PAD, tiny_model, with_lora

from grait.errors import KnowledgeError
from grait.knowledge.conflict import THRESHOLD, conflict_rate, question_representations

KNOWN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])


def test_the_rate_is_the_share_of_unknown_questions_that_have_a_similar_known_one() -> None:
    unknown = torch.tensor([[3.0, 0.1, 0.0], [0.0, 0.0, 1.0], [0.1, 5.0, 0.1], [1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    assert conflict_rate(KNOWN, unknown) == 2 / 5
    assert conflict_rate(KNOWN, unknown, threshold=0.7) == 3 / 5
    assert conflict_rate(unknown, KNOWN) == 1  # of the known: another question, another answer


def test_a_question_on_both_sides_is_a_conflict_and_orthogonal_ones_are_none() -> None:
    assert conflict_rate(KNOWN, 7 * KNOWN) == 1
    assert conflict_rate(KNOWN, torch.tensor([[0.0, 0.0, 1.0]])) == 0


def test_the_papers_threshold_separates() -> None:
    assert THRESHOLD == 0.97
    just_above, just_below = (torch.tensor([[c, 0.0, (1 - c * c) ** 0.5]]) for c in (0.971, 0.969))
    assert (conflict_rate(KNOWN, just_above), conflict_rate(KNOWN, just_below)) == (1, 0)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_the_blocks_do_not_matter(n_ik: int, n_idk: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ik, idk = (torch.randn(n, 2, generator=generator) for n in (n_ik, n_idk))
    cosines = torch.nn.functional.cosine_similarity(idk[:, None].double(), ik[None].double(), dim=-1)
    expected = sum(max(row) > 0.8 for row in cosines.tolist()) / n_idk
    assert conflict_rate(ik, idk, threshold=0.8, rows_per_block=rows) == expected


def test_an_empty_side_is_an_error() -> None:
    with pytest.raises(KnowledgeError, match="found 0 ik and 2 idk"):
        conflict_rate(KNOWN[:0], KNOWN)
    with pytest.raises(KnowledgeError, match="found 2 ik and 0 idk"):
        conflict_rate(KNOWN, KNOWN[:0])


# -- representations ------------------------------------------------------------------------------------------------

DRAW = random.Random(0)
QUESTIONS = [[DRAW.randrange(2, 200) for _ in range(length)] for length in (9, 1, 4, 12, 4)]


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 1000])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_representation_is_the_last_hidden_state_of_the_last_token(architecture: str, tokens_per_batch: int) -> None:
    model = tiny_model(architecture)
    found = question_representations(model, QUESTIONS, PAD, tokens_per_batch)
    for tokens, representation in zip(QUESTIONS, found, strict=True):
        output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
        torch.testing.assert_close(representation, output.hidden_states[-1][0, -1], rtol=1e-4, atol=1e-5)
        head = model.get_output_embeddings()  # reads this very state
        torch.testing.assert_close(head(representation), output.logits[0, -1], rtol=1e-3, atol=1e-4)


def test_an_adapter_changes_the_representations() -> None:
    plain = question_representations(tiny_model(), QUESTIONS, PAD)
    adapted = with_lora(tiny_model())
    assert not torch.allclose(question_representations(adapted, QUESTIONS, PAD), plain, atol=1e-3)
    with adapted.disable_adapter():
        torch.testing.assert_close(question_representations(adapted, QUESTIONS, PAD), plain)


def test_equal_questions_conflict_whatever_stands_beside_them_in_the_batch() -> None:
    model = tiny_model()
    known = question_representations(model, QUESTIONS[:3], PAD)
    unknown = question_representations(model, [QUESTIONS[2], *QUESTIONS[3:]], PAD)
    assert conflict_rate(known, unknown, threshold=0.999) == pytest.approx(1 / 3)
