"""Knowledge state: from samples, letters and options to correctness, certainty and label."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PAD, tiny_model, tiny_tokenizer, tokenizer_that_begins_with_a_blank

from grait.config import KnowledgeConfig, PromptConfig
from grait.errors import KnowledgeError
from grait.knowledge.query import (
    label,
    letter_tokens,
    query,
    sample_answers,
    score_letters,
    score_options,
    softmax,
)
from grait.model.inference import InferenceEngine
from grait.model.prompts import Family, PromptFormat
from grait.records import KnowledgeState, Question


def silent(_: int) -> None:
    return None


QUESTIONS = [
    Question("q0", "What is red?", ("rose",), ("sky", "rose", "grass", "sun")),
    Question("q1", "Where is Rome?", ("Italy",), ("France", "Peru", "Italy")),
    Question("q2", "Who wrote it?", ("Paris",), ("Paris", "a few words", "Nobody", "I", "Question")),
]
SCORERS = {"letter": score_letters, "likelihood": score_options}


class WithoutOptions(PromptFormat):
    """Prompts that do not list the options, so that their order is not part of the question."""

    def request(self, question: Question, family: Family) -> str:
        return f"Question: {question.question}"


def engine() -> InferenceEngine:
    return InferenceEngine(tiny_model(vocab_size=320, max_position_embeddings=512), PAD)


def prompt_format(kind: type[PromptFormat] = PromptFormat, chat: bool = False, **changes: Any) -> PromptFormat:
    return kind(tiny_tokenizer(chat), PromptConfig(), **changes)


def states_of(scoring: str, questions: Sequence[Question], prompts: PromptFormat) -> dict[str, KnowledgeState]:
    return SCORERS[scoring](engine(), prompts, questions, KnowledgeConfig(), advance=silent)


def with_choices(question: Question, choices: Sequence[str], name: str) -> Question:
    return replace(question, id=name, choices=tuple(choices))


def test_a_question_exactly_on_the_threshold_is_dropped() -> None:
    assert [label(value, 0.5) for value in (0.0, 0.4999, 0.5, 0.5001, 1.0)] == ["idk", "idk", "dropped", "ik", "ik"]
    assert label(0.3, 0.3) == "dropped"


@given(st.lists(st.floats(-1000, 0), min_size=1, max_size=10))
def test_option_probabilities_sum_to_one_and_follow_their_scores(scores: list[float]) -> None:
    probabilities = softmax(scores)
    assert math.fsum(probabilities) == pytest.approx(1)
    assert all(0 <= value <= 1 for value in probabilities)
    order = sorted(range(len(scores)), key=scores.__getitem__)
    assert all(probabilities[i] <= probabilities[j] for i, j in pairwise(order))


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("scoring", SCORERS)
def test_probabilities_of_the_options_sum_to_one(scoring: str, chat: bool) -> None:
    """Each option in turn is made the right one, everything else unchanged: their correctness is all there is."""
    for question in QUESTIONS:
        variants = [replace(question, id=choice, answers=(choice,)) for choice in question.choices]
        found = states_of(scoring, variants, prompt_format(chat=chat))
        assert math.fsum(row.correctness for row in found.values()) == pytest.approx(1)
        assert len({row.answer for row in found.values()}) == 1
        assert found[next(iter(found.values())).answer].correctness == max(row.correctness for row in found.values())


def test_permuting_the_options_permutes_their_likelihoods() -> None:
    prompts = prompt_format(WithoutOptions)
    for question in QUESTIONS:
        expected = states_of("likelihood", [question], prompts)[question.id]
        generator = random.Random(0)
        permuted = [
            with_choices(question, generator.sample(question.choices, len(question.choices)), str(index))
            for index in range(4)
        ]
        for row in states_of("likelihood", permuted, prompts).values():
            assert row.correctness == pytest.approx(expected.correctness, rel=1e-4)
            assert row.certainty == pytest.approx(expected.certainty, rel=1e-4)
            assert row.answer == expected.answer


def test_letters_that_take_two_tokens_are_told_apart() -> None:
    """This tokenizer writes " A" as a space and a letter: by the first token alone all options were equal."""
    prompts = prompt_format()
    assert len({prompts.tokenizer(f" {letter}")["input_ids"][0] for letter in "ABCD"}) == 1
    for question in QUESTIONS:
        found = states_of("letter", [question], prompts)[question.id]
        assert found.certainty is not None
        assert found.certainty > -math.log(len(question.choices)) + 1e-3


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("with_shots", [False, True])
def test_letters_have_the_same_tokens_after_every_query(chat: bool, with_shots: bool) -> None:
    """Why they are looked up once for each number of options, and not for each question."""
    shots = (Question("s", "What is blue?", ("sky",), ("sky", "rose")),) if with_shots else ()
    for tokenizer in (tiny_tokenizer(chat), tokenizer_that_begins_with_a_blank(chat)):
        prompts = PromptFormat(tokenizer, PromptConfig(), shots=shots, answer_form="letter")
        endings = ["?", ":", " B", "\n", " Answer: A", "?", "\u00e9"]
        asked = [replace(QUESTIONS[0], question=f"What is red{end}", choices=("sky", end)) for end in endings]
        assert len({tuple(letter_tokens(prompts, prompts.query(question), 4)) for question in asked}) == 1


def test_a_letter_has_the_same_probability_whatever_option_stands_behind_it() -> None:
    prompts = prompt_format(WithoutOptions)
    question = QUESTIONS[0]
    by_letter = [
        states_of("letter", [replace(question, answers=(choice,))], prompts)["q0"].correctness
        for choice in question.choices
    ]
    assert len(set(by_letter)) == 4
    generator = random.Random(0)
    for _ in range(4):
        choices = generator.sample(question.choices, 4)
        found = states_of("letter", [with_choices(question, choices, "q")], prompts)["q"]
        assert found.correctness == pytest.approx(by_letter[choices.index("rose")], rel=1e-4)
        assert found.answer == choices[by_letter.index(max(by_letter))]


@pytest.mark.parametrize("scoring", SCORERS)
def test_certainty_of_options_is_minus_an_entropy(scoring: str) -> None:
    for question in QUESTIONS:
        variants = [replace(question, id=choice, answers=(choice,)) for choice in question.choices]
        found = states_of(scoring, variants, prompt_format())
        probabilities = [row.correctness for row in found.values()]
        entropy = -math.fsum(p * math.log(p) for p in probabilities)
        for row in found.values():
            assert row.certainty is not None
            assert -math.log(len(question.choices)) - 1e-12 <= row.certainty <= 0
            assert row.certainty == pytest.approx(-entropy)


def test_letter_mass_is_a_probability_and_likelihood_has_none() -> None:
    for row in states_of("letter", QUESTIONS, prompt_format()).values():
        assert row.option_mass is not None
        assert 0 < row.option_mass < 1
    assert all(row.option_mass is None for row in states_of("likelihood", QUESTIONS, prompt_format()).values())


@pytest.mark.parametrize("scoring", ["letter", "likelihood"])
def test_knowledge_states_do_not_depend_on_the_order_of_the_questions(scoring: str) -> None:
    config = KnowledgeConfig(temperature=1, scoring=cast(Any, scoring))
    found = query(engine(), prompt_format(), QUESTIONS, config, seed=0, advance=silent)
    backwards = query(engine(), prompt_format(), QUESTIONS[::-1], config, seed=0, advance=silent)
    assert [row.id for row in found] == ["q0", "q1", "q2"]
    assert [row.id for row in backwards] == ["q2", "q1", "q0"]
    for one, other in zip(found, backwards[::-1], strict=True):
        assert one.correctness == pytest.approx(other.correctness, rel=1e-4)
        assert (one.answer, one.label) == (other.answer, other.label)


def of_subject(name: str, topic: str | None, question: str, *choices: str) -> Question:
    return Question(name, question, choices[:1], choices, topic=topic)


SUBJECTS: list[Question] = [
    of_subject("a", "art", "Who paints?", "Ann", "Bob"),
    of_subject("b", "war", "Who fights?", "Ann", "Bob", "Cy"),
    of_subject("c", None, "Who sings?", "Ann", "Bob"),
    of_subject("d", "art", "Who draws?", "Ann", "Bob", "Cy"),
    of_subject("e", "war", "Who runs?", "Ann", "Bob"),
]
SUBJECT_SHOTS = {
    "art": (of_subject("s1", "art", "Who built it?", "Dan", "Eve"),),
    "war": (of_subject("s2", "war", "Who lost it?", "Eve", "Dan"), of_subject("s3", "war", "Who won?", "Al", "Bo")),
}


class CountingEngine(InferenceEngine):
    """Keeps the length of the common prefix of each call."""

    def __init__(self, model: Any, pad_token_id: int) -> None:
        super().__init__(model, pad_token_id)
        self.shared: list[int] = []

    def _prefill_prefix(self, token_ids: list[int]) -> Any:
        self.shared.append(len(token_ids))
        return super()._prefill_prefix(token_ids)


@pytest.mark.parametrize("scoring", ["letter", "likelihood", "sampling"])
def test_each_subject_is_asked_at_once_and_as_if_alone(scoring: str) -> None:
    """Questions with other shots have hardly a token in common: together, all shots ran again for each question."""
    config = KnowledgeConfig(temperature=1, scoring=cast(Any, scoring), n_samples=3, max_new_tokens=4)
    form = "letter" if scoring == "letter" else "text"
    prompts = prompt_format(topic_shots=SUBJECT_SHOTS, answer_form=form)
    model = tiny_model(vocab_size=320, max_position_embeddings=1024)
    counting = CountingEngine(model, PAD)
    told: list[int] = []
    found = query(counting, prompts, SUBJECTS, config, seed=0, advance=told.append)
    assert [row.id for row in found] == [question.id for question in SUBJECTS]
    assert sum(told) == len(SUBJECTS)
    shots = [len(prompts.tokenizer(text)["input_ids"]) for text in shots_of_each_part(prompts)]
    assert len(counting.shared) == len(shots) == 3
    assert all(shared >= n_tokens - 1 for shared, n_tokens in zip(counting.shared, shots, strict=True))
    for row, question in zip(found, SUBJECTS, strict=True):
        (alone,) = query(InferenceEngine(model, PAD), prompts, [question], config, seed=0, advance=silent)
        assert row.correctness == pytest.approx(alone.correctness, rel=1e-4)
        assert row.certainty == pytest.approx(alone.certainty, rel=1e-4)
        assert (row.answer, row.label) == (alone.answer, alone.label)


def shots_of_each_part(prompts: PromptFormat) -> list[str]:
    """What stands before the question in the queries of each part."""
    parts = prompts.by_shots(SUBJECTS)
    return [prompts.query(part[0]).text.removesuffix(f"{prompts.request(part[0], 'basic')}\nAnswer:") for part in parts]


TWINS = Question("t", "How many?", ("two",), ("two", "three", "two", "four"), answer_place=2)


def test_letters_of_equal_options_are_one_answer() -> None:
    """Half of the probability on each of two right letters is a known question, and a certain one."""
    apart = replace(TWINS, choices=("one", "three", "two", "four"))
    prompts = prompt_format(WithoutOptions, answer_form="letter")
    by_letter = [
        states_of("letter", [replace(apart, answers=(choice,), answer_place=place)], prompts)["t"].correctness
        for place, choice in enumerate(apart.choices)
    ]
    right = by_letter[0] + by_letter[2]
    for place in (0, 2):
        found = states_of("letter", [replace(TWINS, answer_place=place)], prompts)["t"]
        assert found.correctness == pytest.approx(right)
        entropy = -math.fsum(p * math.log(p) for p in (right, by_letter[1], by_letter[3]))
        assert found.certainty == pytest.approx(-entropy)
        assert (
            found.answer
            == max({"two": right, "three": by_letter[1], "four": by_letter[3]}.items(), key=lambda x: x[1])[0]
        )
    # A question whose twins are both wrong loses their probability once.
    other = states_of("letter", [replace(TWINS, answers=("three",), answer_place=1)], prompts)["t"]
    assert other.correctness == pytest.approx(by_letter[1])


def test_a_text_that_stands_twice_among_the_options_has_one_likelihood() -> None:
    prompts = prompt_format(WithoutOptions)
    once = states_of("likelihood", [replace(TWINS, choices=("two", "three", "four"), answer_place=0)], prompts)["t"]
    twice = states_of("likelihood", [TWINS], prompts)["t"]
    assert twice.correctness == pytest.approx(once.correctness)
    assert twice.certainty == pytest.approx(once.certainty)
    assert twice.answer == once.answer


class Scripted:
    """An engine that answers what it is told to."""

    def __init__(self, prompts: PromptFormat, answers: dict[str, list[str]]) -> None:
        self.prompts = prompts
        self.answers = answers

    def generate(self, _: Sequence[Sequence[int]], keys: Sequence[str], **options: Any) -> list[list[list[int]]]:
        assert all(len(self.answers[key]) == options["n"] for key in keys)
        return [[self.prompts.tokenizer(text)["input_ids"] for text in self.answers[key]] for key in keys]


def sampled_states(answers: dict[str, list[str]]) -> dict[str, KnowledgeState]:
    prompts = prompt_format()
    questions = [Question(name, "What is the capital of Italy?", ("Rome", "Roma")) for name in answers]
    scripted = cast(InferenceEngine, Scripted(prompts, answers))
    config = KnowledgeConfig(temperature=1, n_samples=4)
    return sample_answers(scripted, prompts, questions, config, seed=0, advance=silent)


def test_correctness_of_samples_is_the_share_that_is_right_and_a_refusal_is_not() -> None:
    found = sampled_states(
        {
            "all": ["Rome", "rome.", "It is Rome", "Roma"],
            "half": ["Rome", "Paris", "I don't know.", "Roma"],
            "none": ["Paris", "Milan", "Paris", "Turin"],
            "refused": ["I don't know."] * 4,
        }
    )
    assert {name: row.correctness for name, row in found.items()} == {"all": 1, "half": 0.5, "none": 0, "refused": 0}
    assert {name: row.label for name, row in found.items()} == {
        "all": "ik",
        "half": "dropped",
        "none": "idk",
        "refused": "idk",
    }


def test_samples_are_judged_as_in_the_evaluation() -> None:
    """A sample that refuses is no right answer even where it names one, and an option's letter is that option."""
    prompts = prompt_format()
    asked = [Question("text", "What is the capital of Italy?", ("Rome",)), replace(QUESTIONS[0], id="options")]
    answers = {
        "text": ["Rome", "I don't know if it is Rome.", "I'm not sure, but it is Rome.", "Paris"],
        "options": ["rose", "B", "sky or rose", "C"],
    }
    scripted = cast(InferenceEngine, Scripted(prompts, answers))
    config = KnowledgeConfig(temperature=1, scoring="sampling", n_samples=4)
    found = sample_answers(scripted, prompts, asked, config, seed=0, advance=silent)
    assert {name: row.correctness for name, row in found.items()} == {"text": 0.5, "options": 0.5}
    assert found["text"].certainty == pytest.approx(1 / 3)


def test_samples_refuse_in_the_words_of_the_config() -> None:
    asked = [Question("q", "What is the capital of Italy?", ("Rome",))]
    found = {}
    for phrases in ([], ["je ne sais pas"]):
        prompts = PromptFormat(tiny_tokenizer(), PromptConfig(refusal_phrases=phrases))
        scripted = cast(
            InferenceEngine, Scripted(prompts, {"q": ["Rome", "Je ne sais pas.", "Je ne sais pas.", "Rome"]})
        )
        states = sample_answers(
            scripted, prompts, asked, KnowledgeConfig(temperature=1, n_samples=4), seed=0, advance=silent
        )
        found[len(phrases)] = states["q"].certainty
    assert found == {0: 0.5, 1: 1.0}


def test_certainty_of_samples_is_the_share_of_the_most_frequent_answer_among_those_that_answer() -> None:
    found = sampled_states(
        {
            "same": ["Rome"] * 4,
            "some": ["Paris", "Milan", "paris", "Turin"],
            "with refusals": ["I don't know.", "Milan", "I don't know.", "Turin"],
            "refused": ["I don't know."] * 4,
        }
    )
    assert {name: row.certainty for name, row in found.items()} == {
        "same": 1.0,
        "some": 0.5,
        "with refusals": 0.5,
        "refused": None,
    }


def test_sampling_with_a_model_is_seeded_and_joined_by_id() -> None:
    questions = [Question(f"q{index}", f"Who wrote {index}?", ("Paris",)) for index in range(4)]
    config = KnowledgeConfig(temperature=1, n_samples=5, max_new_tokens=6)
    prompts = prompt_format(chat=True)
    found = query(engine(), prompts, questions, config, seed=0, advance=silent)
    assert found == query(engine(), prompts, questions[::-1], config, seed=0, advance=silent)[::-1]
    assert found != query(engine(), prompts, questions, config, seed=1, advance=silent)
    for row in found:
        assert 0 <= row.correctness <= 1
        assert row.certainty is None or 0 < row.certainty <= 1


@pytest.mark.parametrize("scoring", ["letter", "likelihood"])
def test_options_without_a_reference_are_not_known(scoring: str) -> None:
    (found,) = states_of(scoring, [replace(QUESTIONS[0], answers=())], prompt_format()).values()
    assert (found.correctness, found.label) == (0.0, "idk")


def test_options_cannot_be_scored_for_questions_without_them() -> None:
    questions = [*QUESTIONS, Question("free", "Who?", ("Ann",))]
    for scoring in ("letter", "likelihood"):
        with pytest.raises(KnowledgeError, match=f"knowledge.scoring = {scoring}: question free has no choices"):
            query(
                engine(),
                prompt_format(),
                questions,
                KnowledgeConfig(scoring=cast(Any, scoring)),
                seed=0,
                advance=silent,
            )
