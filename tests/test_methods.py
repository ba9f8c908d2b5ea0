"""Knowledge state, selection and weights: who is chosen, how much each counts, and what must not matter."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PAD, tiny_model, tiny_tokenizer

from grait.config import KnowledgeConfig, PromptConfig, SelectionConfig
from grait.errors import KnowledgeError
from grait.knowledge.query import (
    check_both_sides,
    label,
    query,
    sample_answers,
    score_letters,
    score_options,
    softmax,
)
from grait.methods import cor_rait, grait
from grait.methods.grait import stable_weights
from grait.methods.selection import counts, most_correct
from grait.model.inference import InferenceEngine
from grait.model.prompts import Family, PromptFormat
from grait.records import InfluenceScore, KnowledgeState, Label, Question, Selected

PLAIN = SelectionConfig()


def silent(_: int) -> None:
    return None


# -- selection --------------------------------------------------------------------------------------------------------


def state(name: str, correctness: float, certainty: float | None = 0.5) -> KnowledgeState:
    return KnowledgeState(name, label(correctness, 0.5), correctness, certainty, None, "answer")


def score(name: str, refusal: float, over_refusal: float, of: Label = "idk") -> InfluenceScore:
    return InfluenceScore(name, of, refusal, over_refusal, refusal - over_refusal, 0.0, 1.0)


def some_states(n: int = 60, seed: int = 0) -> list[KnowledgeState]:
    """Known, unknown and dropped questions in a jumble, with many ties."""
    generator = random.Random(seed)
    states = [
        state(f"q{index:03d}", generator.randint(0, 10) / 10, generator.randint(1, 10) / 10) for index in range(n)
    ]
    return generator.sample(states, n)


def some_scores(states: Sequence[KnowledgeState], seed: int = 0) -> list[InfluenceScore]:
    generator = random.Random(seed)
    return [score(row.id, generator.randint(0, 5) / 10, generator.random() / 2, row.label) for row in states]


STATES = some_states()
SCORES = some_scores(STATES)
KNOWN = {row.id for row in STATES if row.label == "ik"}
UNKNOWN = {row.id for row in STATES if row.label == "idk"}

Method = Callable[[Sequence[KnowledgeState], SelectionConfig], list[Selected]]
METHODS: dict[str, Method] = {
    "grait": lambda states, config: grait.select(states, SCORES, config),
    "cor-rait": lambda states, config: cor_rait.select(states, config, seed=0),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(("n_ik", "n_idk"), [(5, 3), (1, 20), (len(KNOWN), len(UNKNOWN))])
def test_as_many_are_selected_as_asked_for_and_each_is_of_the_right_label(
    method: Method, n_ik: int, n_idk: int
) -> None:
    chosen = method(STATES, SelectionConfig(n_ik=n_ik, n_idk=n_idk))
    known = [row.id for row in chosen if row.label == "ik"]
    unknown = [row.id for row in chosen if row.label == "idk"]
    assert (len(set(known)), len(set(unknown))) == (len(known), len(unknown)) == (n_ik, n_idk)
    assert set(known) <= KNOWN
    assert set(unknown) <= UNKNOWN
    assert len(chosen) == n_ik + n_idk


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_by_default_all_known_and_at_most_as_many_unknown_are_selected(method: Method) -> None:
    chosen = method(STATES, PLAIN)
    assert {row.id for row in chosen if row.label == "ik"} == KNOWN
    assert sum(row.label == "idk" for row in chosen) == min(len(KNOWN), len(UNKNOWN))
    mostly_unknown = [row for row in STATES if row.label != "ik" or row.id in sorted(KNOWN)[:4]]
    assert sum(row.label == "idk" for row in method(mostly_unknown, PLAIN)) == 4


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_order_of_the_questions_does_not_matter(method: Method) -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    assert sorted(map(repr, method(STATES[::-1], config))) == sorted(map(repr, method(STATES, config)))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_questions_exactly_on_the_threshold_are_never_selected(method: Method) -> None:
    dropped = {row.id for row in STATES if row.label == "dropped"}
    assert dropped
    assert not dropped & {row.id for row in method(STATES, PLAIN)}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_more_than_there_are_is_an_error_that_names_the_key(method: Method) -> None:
    with pytest.raises(KnowledgeError, match=rf"selection\.n_ik = 999: the training set has only {len(KNOWN)} such"):
        method(STATES, SelectionConfig(n_ik=999))
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = 999: the training set has only {len(UNKNOWN)} such"):
        method(STATES, SelectionConfig(n_idk=999))


def test_exactly_as_many_as_there_are_is_no_error() -> None:
    size = counts(SelectionConfig(n_ik=3, n_idk=2), 3, 2)
    assert (size.n_ik, size.n_idk) == (3, 2)


def test_grait_takes_the_unknown_of_highest_refusal_influence() -> None:
    """Greedy equals brute force: nobody left out has a higher R than anybody chosen."""
    chosen = {row.id for row in grait.select(STATES, SCORES, SelectionConfig(n_ik=1, n_idk=8)) if row.label == "idk"}
    refusal = {row.id: row.refusal_influence for row in SCORES if row.id in UNKNOWN}
    assert min(refusal[name] for name in chosen) >= max(refusal[name] for name in UNKNOWN - chosen)


def test_grait_breaks_ties_by_id() -> None:
    states = [state(name, 0.0) for name in "dbcae"] + [state("known", 1.0)]
    scores = [score("c", 0.9, 0.1), *(score(name, 0.2, 0.1) for name in "ebda")]
    chosen = [row.id for row in grait.select(states, scores, SelectionConfig(n_idk=3)) if row.label == "idk"]
    assert sorted(chosen) == ["a", "b", "c"]


def test_grait_ranks_by_refusal_influence_and_weighs_by_stable_influence() -> None:
    """What teaches most refusing is chosen even if it also teaches over-refusing; the weight then tells them apart."""
    states = [state("known", 1.0), state("high", 0.0), state("second", 0.0), state("low", 0.0)]
    scores = [score("high", 0.9, 0.8), score("second", 0.6, 0.1), score("low", 0.5, -0.5)]
    weights = {row.id: row.sample_weight for row in grait.select(states, scores, SelectionConfig(n_idk=2))}
    assert set(weights) == {"known", "high", "second"}
    assert weights["second"] > weights["high"] > 0


def test_grait_weighs_known_questions_one_and_unknown_ones_as_their_scores_say_by_id() -> None:
    config = SelectionConfig(n_ik=5, n_idk=10, tau=0.1, mean_weight=0.5)
    chosen = grait.select(STATES, random.Random(1).sample(SCORES, len(SCORES)), config)
    unknown = [row for row in chosen if row.label == "idk"]
    stable = {row.id: row.stable_influence for row in SCORES}
    assert {row.sample_weight for row in chosen if row.label == "ik"} == {1.0}
    assert sum(row.sample_weight for row in unknown) / 10 == pytest.approx(0.5)
    total = sum(math.exp(stable[row.id] / 0.1) for row in unknown)
    for row in unknown:
        assert row.sample_weight == pytest.approx(0.5 * 10 * math.exp(stable[row.id] / 0.1) / total)


def test_grait_does_not_choose_unknown_questions_without_a_score() -> None:
    without = sorted(UNKNOWN)[:3]
    scores = [row for row in SCORES if row.id not in without]
    chosen = {row.id for row in grait.select(STATES, scores, SelectionConfig(n_idk=len(UNKNOWN) - 3))}
    assert chosen & UNKNOWN == UNKNOWN - set(without)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = {len(UNKNOWN)}"):
        grait.select(STATES, scores, SelectionConfig(n_idk=len(UNKNOWN)))


def test_most_correct_breaks_ties_by_certainty_then_by_id() -> None:
    states = [
        state("e", 0.9, None),
        state("d", 0.9, 0.2),
        state("b", 0.9, 0.8),
        state("a", 0.9, 0.8),
        state("f", 1.0, None),
        state("c", 0.8, 1.0),
    ]
    assert [row.id for row in most_correct(states, 6)] == ["f", "a", "b", "d", "e", "c"]
    assert [row.id for row in most_correct(states[::-1], 3)] == ["f", "a", "b"]


def test_cor_rait_depends_on_the_seed_only_and_weighs_all_equally() -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    first = cor_rait.select(STATES, config, seed=0)
    assert first == cor_rait.select(STATES, config, seed=0)
    assert {row.id for row in first} != {row.id for row in cor_rait.select(STATES, config, seed=1)}
    assert {row.sample_weight for row in first} == {1.0}


def test_cor_rait_gives_every_question_the_same_chance() -> None:
    config = SelectionConfig(n_ik=1, n_idk=5)
    chosen = [row.id for seed in range(300) for row in cor_rait.select(STATES, config, seed) if row.label == "idk"]
    expected = len(chosen) / len(UNKNOWN)
    for name in UNKNOWN:
        assert abs(chosen.count(name) - expected) < 5 * math.sqrt(expected)


# -- weights ----------------------------------------------------------------------------------------------------------

stable_scores = st.lists(st.floats(-2, 2), min_size=1, max_size=50)
taus = st.floats(0.01, 10)
means = st.floats(0.01, 10)


@given(stable_scores, taus, means)
def test_weights_have_the_mean_asked_for_and_are_positive(values: list[float], tau: float, mean: float) -> None:
    weights = stable_weights(values, tau, mean)
    assert math.fsum(weights) / len(weights) == pytest.approx(mean)
    assert all(weight > 0 for weight in weights)


@given(stable_scores, taus, means)
def test_weights_grow_with_stable_influence(values: list[float], tau: float, mean: float) -> None:
    by_score = sorted(zip(values, stable_weights(values, tau, mean), strict=True))
    for (low, less), (high, more) in pairwise(by_score):
        assert less <= more
        if high - low > 1e-6 * tau:
            assert less < more


@given(stable_scores, taus, st.floats(-100, 100))
def test_weights_are_unchanged_by_a_constant(values: list[float], tau: float, constant: float) -> None:
    moved = stable_weights([value + constant for value in values], tau, 1.0)
    assert moved == pytest.approx(stable_weights(values, tau, 1.0), rel=1e-9, abs=1e-300)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20), st.floats(1e-3, 10))
def test_weights_are_finite_for_huge_scores(values: list[float], tau: float) -> None:
    weights = stable_weights(values, tau, 1.0)
    assert all(math.isfinite(weight) and weight >= 0 for weight in weights)
    assert math.fsum(weights) == pytest.approx(len(values))


def test_equal_scores_give_equal_weights() -> None:
    assert stable_weights([0.3] * 7, 0.05, 1.0) == pytest.approx([1.0] * 7)


# -- knowledge state --------------------------------------------------------------------------------------------------

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
    config = KnowledgeConfig(scoring=cast(Any, scoring))
    found = query(engine(), prompt_format(), QUESTIONS, config, seed=0, advance=silent)
    backwards = query(engine(), prompt_format(), QUESTIONS[::-1], config, seed=0, advance=silent)
    assert [row.id for row in found] == ["q0", "q1", "q2"]
    assert [row.id for row in backwards] == ["q2", "q1", "q0"]
    for one, other in zip(found, backwards[::-1], strict=True):
        assert one.correctness == pytest.approx(other.correctness, rel=1e-4)
        assert (one.answer, one.label) == (other.answer, other.label)


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
    config = KnowledgeConfig(n_samples=4)
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
    config = KnowledgeConfig(n_samples=5, max_new_tokens=6)
    prompts = prompt_format(chat=True)
    found = query(engine(), prompts, questions, config, seed=0, advance=silent)
    assert found == query(engine(), prompts, questions[::-1], config, seed=0, advance=silent)[::-1]
    assert found != query(engine(), prompts, questions, config, seed=1, advance=silent)
    for row in found:
        assert 0 <= row.correctness <= 1
        assert row.certainty is None or 0 < row.certainty <= 1


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


def test_a_model_that_knows_all_or_nothing_has_no_boundary_to_learn() -> None:
    check_both_sides([state("a", 0.9), state("b", 0.1)], 0.5)
    with pytest.raises(KnowledgeError, match="knows 0 and does not know 2: nothing to keep"):
        check_both_sides([state("a", 0.1), state("b", 0.1)], 0.5)
    with pytest.raises(KnowledgeError, match="knows 2 and does not know 0: nothing to refuse"):
        check_both_sides([state("a", 0.9), state("b", 0.9), state("c", 0.5)], 0.5)
