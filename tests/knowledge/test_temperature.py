"""The temperature that a sample of questions finds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PAD, tiny_model, tiny_tokenizer

from grait.config import KnowledgeConfig, PromptConfig
from grait.knowledge.temperature import TEMPERATURES, TOLERANCE, best_temperature, known_f1, try_temperatures
from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.records import Outcome, Question, TemperatureTrial


def trial(outcome: Outcome, *correctness: float) -> TemperatureTrial:
    return TemperatureTrial("q", outcome, list(correctness))


def test_f1_is_of_the_known_questions_and_not_of_all_of_them() -> None:
    """Labels that call nothing known agree with 9 of 10 outcomes, and are worth nothing."""
    trials = [trial("correct", 1.0, 0.6, 0.4, 0.0), *(trial("wrong", 0.0, 0.0, 0.0, 0.0) for _ in range(9))]
    assert known_f1(trials, 0.5) == [1.0, 1.0, 0.0, 0.0]
    assert known_f1([*trials, trial("refused", 1.0, 1.0, 1.0, 1.0)], 0.5) == [2 / 3, 2 / 3, 0.0, 0.0]
    assert known_f1([trial("correct", 0.5, 0.5, 0.5, 0.6)], 0.5) == [0.0, 0.0, 0.0, 1.0]  # on the threshold: not known


def test_it_is_the_highest_that_fits_about_as_well_as_the_best() -> None:
    assert best_temperature([0.98, 0.90, 0.65, 0.30]) == 0.5
    assert best_temperature([1.0, 1.0, 1.0, 1.0]) == 1.0
    assert best_temperature([0.2, 0.9, 0.3, 0.1]) == 0.5
    assert best_temperature([0.0, 0.0, 0.0, 0.0]) == min(TEMPERATURES)


@given(st.lists(st.floats(0, 1), min_size=len(TEMPERATURES), max_size=len(TEMPERATURES)))
def test_no_higher_one_fits_as_well(f1: list[float]) -> None:
    fits = dict(zip(TEMPERATURES, f1, strict=True))
    found = best_temperature(f1)
    assert not max(f1) or fits[found] >= max(f1) - TOLERANCE
    assert not any(at > found and max(f1) and fits[at] >= max(f1) - TOLERANCE for at in TEMPERATURES)


@pytest.mark.parametrize("n", [0, 6])
def test_trials_do_not_depend_on_the_order_of_the_questions(n: int) -> None:
    engine = InferenceEngine(tiny_model(vocab_size=320, max_position_embeddings=512), PAD)
    questions = [Question(f"q{i}", f"Who is number {i}?", ("a", "e", "i")) for i in range(n)]

    def trials(order: list[Question]) -> dict[str, TemperatureTrial]:
        prompts = PromptFormat(tiny_tokenizer(False), PromptConfig())
        config = KnowledgeConfig(max_new_tokens=4)
        found = try_temperatures(engine, prompts, order, config, answer_tokens=4, seed=3, advance=lambda _: None)
        assert [row.id for row in found] == [question.id for question in order]
        return {row.id: row for row in found}

    once = trials(questions)
    assert trials(random.Random(0).sample(questions, n)) == once
    assert all(len(row.correctness) == len(TEMPERATURES) for row in once.values())
