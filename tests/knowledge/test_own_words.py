"""The model's own words: what of its samples is taught, and what then counts as known."""

from collections.abc import Sequence
from typing import Any

from tiny import tiny_tokenizer

from grait.config import KnowledgeConfig, PromptConfig
from grait.knowledge.own_words import in_own_words, known_in_any_form, whole_sentences
from grait.model.engine import silent
from grait.model.prompts import PromptFormat
from grait.records import KnowledgeState, OwnWords, Question

QUESTION = Question("q", "What is the capital of France?", ("Paris",))


class Says:
    """An engine that gives these samples."""

    def __init__(self, tokenizer: Any, samples: Sequence[str]) -> None:
        self.samples = [tokenizer(text)["input_ids"] for text in samples]

    def generate(
        self, prompts: Sequence[Any], *_: Any, n: int, max_new_tokens: int, **__: Any
    ) -> list[list[list[int]]]:
        assert n == len(self.samples)
        return [[tokens[:max_new_tokens] for tokens in self.samples] for _ in prompts]


def said(samples: Sequence[str], seed: int = 0, longest: int = 60) -> OwnWords:
    prompts = PromptFormat(tiny_tokenizer(chat=True), PromptConfig(forms=["question"]))
    config = KnowledgeConfig(temperature=1, own_samples=len(samples), own_max_new_tokens=longest)
    engine: Any = Says(prompts.tokenizer, samples)
    (found,) = in_own_words(engine, prompts, [QUESTION], prompts.forms[0], config, seed=seed, advance=silent)
    return found


def test_a_right_sample_and_the_most_frequent_wrong_one_are_kept() -> None:
    samples = ["It is Paris.", "Rome.", "Oslo.", "Oslo.", "I don't know.", "Paris"]
    found = said(samples)
    assert found.correctness == 2 / 6 and found.wrong == "Oslo."
    assert {said(samples, seed).right for seed in range(20)} == {"It is Paris.", "Paris"}
    assert said(samples) == found
    assert said(["I don't know."]) == OwnWords("q", 0.0, None, None)


def test_no_half_sentence_is_taught() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    text = "It is Paris. Many people who like red wine"
    n = len(tokenizer(text)["input_ids"])
    assert said([text], longest=n).right == "It is Paris."
    assert said([text], longest=n + 1).right == text
    begun = said(["Paris is the capital of"], longest=5)
    assert begun.right is None and begun.wrong is None
    assert whole_sentences('A. He said "B." And then 3.5 of') == 'A. He said "B."'


def test_a_question_is_known_if_it_is_in_any_form() -> None:
    states = [KnowledgeState(f"q{i}", "idk", 0.25, 0.5, None, "Oslo") for i in range(3)]
    own = {"question": {"q0": OwnWords("q0", 0.75, "Paris.", None), "q1": OwnWords("q1", 0.0, None, "Oslo.")}}
    found = known_in_any_form(states, own, 0.5)
    assert [(state.correctness, state.label) for state in found] == [(0.75, "ik"), (0.25, "idk"), (0.25, "idk")]
    assert [(state.certainty, state.answer) for state in found] == [(0.5, "Oslo")] * 3
    assert known_in_any_form(states, {}, 0.5) == states
