"""Certainty of free-text samples by agreement and by sentence embeddings."""

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_tokenizer
from torch import Tensor
from transformers import BertConfig, BertModel

from grait.config import KnowledgeConfig, PromptConfig
from grait.errors import ModelError
from grait.knowledge.certainty import agreement, embedding_certainty
from grait.knowledge.query import query, sample_answers
from grait.model import sentences
from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.model.sentences import load_embedder
from grait.records import Question

WORDS = ["Rome", "rome", "Paris", "the city of Rome", "42", ""]


class Embedder:
    """Fixed random directions, of any length; remembers what it was asked."""

    def __init__(self, spread: float = 1.0) -> None:
        self.asked: list[str] = []
        self.spread = spread

    def vector(self, text: str) -> Tensor:
        generator = torch.Generator().manual_seed(WORDS.index(text))
        return self.spread * (1 + WORDS.index(text)) * torch.randn(8, generator=generator)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        self.asked += texts
        return torch.stack([self.vector(text) for text in texts])


def by_pairs(answers: Sequence[str]) -> float:
    """The definition: every ordered pair of two different samples."""
    vectors = [Embedder().vector(text).double() for text in answers]
    cosines = [float(one @ other / (one.norm() * other.norm())) for one, other in itertools.permutations(vectors, 2)]
    return sum(cosines) / len(cosines)


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=10))
def test_certainty_is_the_mean_cosine_of_all_pairs(answers: list[str]) -> None:
    (found,) = embedding_certainty([answers], Embedder())
    assert found == pytest.approx(by_pairs(answers), abs=1e-9)
    assert -1 <= cast(float, found) <= 1


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=10), st.integers(0, 99))
def test_the_order_of_the_samples_does_not_matter_to_the_last_bit(answers: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(answers, len(answers))
    assert embedding_certainty([answers], Embedder()) == embedding_certainty([shuffled], Embedder())


@pytest.mark.parametrize("n", range(2, 11))
def test_identical_samples_are_exactly_one(n: int) -> None:
    """A sum of rounded units would tell apart questions that are equally certain."""
    assert embedding_certainty([[text] * n for text in WORDS], Embedder(0.1)) == [1.0] * len(WORDS)


def test_opposite_samples_are_minus_one_and_orthogonal_ones_zero() -> None:
    vectors = {"a": [1.0, 0.0], "b": [-2.0, 0.0], "c": [0.0, 3.0]}

    def embed(texts: Sequence[str]) -> Tensor:
        return torch.tensor([vectors[text] for text in texts])

    assert embedding_certainty([["a", "b"], ["a", "c"], ["a", "a", "c"]], embed) == pytest.approx([-1, 0, 1 / 3])


def test_fewer_than_two_samples_have_no_certainty() -> None:
    embed = Embedder()
    assert embedding_certainty([[], ["Rome"], ["Rome", "Rome"]], embed) == [None, None, 1.0]
    assert embedding_certainty([[], []], embed) == [None, None]
    assert embedding_certainty([], embed) == []


def test_each_text_is_embedded_once() -> None:
    embed = Embedder()
    embedding_certainty([["Rome", "Paris", "Rome"], ["Paris", "42"], ["Rome", "rome"]], embed)
    assert sorted(embed.asked) == sorted({"Rome", "Paris", "42", "rome"})


def test_agreement_counts_answers_after_normalisation() -> None:
    assert agreement(["Rome", "rome.", "Paris", "42"]) == 0.5
    assert agreement(["Rome"]) == 1.0
    assert agreement([]) is None


# -- in the knowledge query -----------------------------------------------------------------------------------------


class Scripted:
    """In place of a model: the samples are given, by the questions' ids."""

    def __init__(self, prompts: PromptFormat, answers: dict[str, list[str]]) -> None:
        self.prompts = prompts
        self.answers = answers

    def generate(self, _: Any, keys: Sequence[str], **options: Any) -> list[list[list[int]]]:
        return [[self.prompts.tokenizer(text)["input_ids"] for text in self.answers[key]] for key in keys]


def sampled(answers: dict[str, list[str]], embed: Embedder | None) -> dict[str, float | None]:
    prompts = PromptFormat(tiny_tokenizer(), PromptConfig())
    questions = [Question(name, "What is the capital of Italy?", ("Rome",)) for name in answers]
    engine = cast(InferenceEngine, Scripted(prompts, answers))
    config = KnowledgeConfig(temperature=1, certainty="embedding" if embed else "agreement")
    states = sample_answers(engine, prompts, questions, config, seed=0, advance=lambda _: None, embed=embed)
    return {name: state.certainty for name, state in states.items()}


def test_refusing_samples_take_no_part() -> None:
    """In CRaFT's published code ten identical refusals have a certainty of 1."""
    embed = Embedder()
    found = sampled(
        {
            "mixed": ["Rome", "I don't know.", "Paris", "I don't know."],
            "nearly all": ["Rome", "I don't know.", "I don't know.", "I don't know."],
            "all": ["I don't know."] * 4,
            "none": ["Rome", "Rome", "Paris", "42"],
        },
        embed,
    )
    assert found["mixed"] == pytest.approx(by_pairs(["Rome", "Paris"]))
    assert found["none"] == pytest.approx(by_pairs(["Rome", "Rome", "Paris", "42"]))
    assert (found["nearly all"], found["all"]) == (None, None)
    assert "I don't know." not in embed.asked


def test_without_embeddings_certainty_is_agreement() -> None:
    answers = {"q": ["Rome", "rome", "Paris", "I don't know."]}
    assert sampled(answers, None) == {"q": pytest.approx(2 / 3)}
    assert sampled(answers, Embedder()) == {"q": pytest.approx(by_pairs(["Rome", "rome", "Paris"]))}


@pytest.mark.parametrize(("certainty", "embed"), [("embedding", None), ("agreement", Embedder())])
def test_what_the_config_asks_for_is_what_is_measured(certainty: Any, embed: Embedder | None) -> None:
    prompts = PromptFormat(tiny_tokenizer(), PromptConfig())
    engine = cast(InferenceEngine, Scripted(prompts, {}))
    with pytest.raises(AssertionError):
        query(engine, prompts, [], KnowledgeConfig(certainty=certainty), seed=0, advance=lambda _: None, embed=embed)


# -- the sentence model ---------------------------------------------------------------------------------------------

TEXTS = ["Rome", "The capital of Italy is Rome.", "", "I know nothing " * 5, "Rome"]


@pytest.fixture
def tiny_bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BertModel:
    """A random encoder in place of the installed one."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=300,
            initializer_range=0.3,
        )
    ).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(sentences, "find_folder", lambda: tmp_path)
    return model


@pytest.mark.parametrize("tokens_per_batch", [1, 60, 10_000])
def test_an_embedding_is_the_unit_mean_over_the_tokens_of_its_text(tiny_bert: BertModel, tokens_per_batch: int) -> None:
    texts = [text for text in TEXTS if text]
    found = load_embedder(torch.device("cpu"), tokens_per_batch)(texts)
    for text, embedding in zip(texts, found, strict=True):
        tokens = torch.tensor([tiny_tokenizer()(text)["input_ids"]])
        mean = tiny_bert(input_ids=tokens).last_hidden_state[0].mean(0)
        torch.testing.assert_close(embedding, mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_a_long_text_is_cut(tiny_bert: BertModel) -> None:
    long = "a " * 400
    embed = load_embedder(torch.device("cpu"))
    torch.testing.assert_close(embed([long]), embed([long + "more and more"]))


def test_without_package_and_hub_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "find_folder", lambda: None)
    monkeypatch.setattr(sentences, "HUB_ID", "sentence-transformers/not-there")
    with pytest.raises(ModelError) as caught:
        load_embedder(torch.device("cpu"))
    assert "\n" not in str(caught.value)
    assert sentences.INSTALL in str(caught.value)
    assert "knowledge.certainty = 'agreement'" in str(caught.value)


def test_a_package_without_its_weights_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences.importlib.metadata, "files", lambda _: [])
    with pytest.raises(ModelError, match=r"is installed without model/model\.safetensors"):
        sentences.find_folder()


@pytest.mark.slow
def test_the_real_model_finds_what_means_the_same() -> None:
    if sentences.find_folder() is None:
        pytest.skip(f"{sentences.PACKAGE} is not installed")
    embed = load_embedder(torch.device("cpu"))
    embeddings = embed(["The capital of Italy is Rome.", "Rome is Italy's capital city.", "Bananas are yellow."])
    assert embeddings.shape == (3, 384)
    assert embeddings.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    cosines = embeddings @ embeddings.T
    assert cosines[0, 1] > 0.9
    assert cosines[0, 2] < 0.3
    same, different = embedding_certainty([["Rome", "Rome, Italy"], ["Rome", "a banana"]], embed)
    assert cast(float, same) > cast(float, different)
    assert math.isfinite(cast(float, same))
