"""Knowledge state, selection and weights: who is chosen, how much each counts, and what must not matter."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PAD, tiny_model, tiny_tokenizer, tokenizer_that_begins_with_a_blank

from grait.config import KnowledgeConfig, PromptConfig, SelectionConfig, TrainingConfig
from grait.errors import KnowledgeError
from grait.knowledge.query import (
    check_both_sides,
    label,
    letter_tokens,
    query,
    sample_answers,
    score_letters,
    score_options,
    softmax,
)
from grait.methods import cor_rait, craft, grait, r_tuning, random_idk, van_tuning
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS, Select
from grait.methods.grait import stable_weights
from grait.methods.selection import Evidence, by_question, counts, most_correct
from grait.model.inference import InferenceEngine
from grait.model.prompts import Family, PromptFormat
from grait.records import InfluenceScore, KnowledgeState, Label, MethodName, Question

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
LABELS = {row.id: row.label for row in STATES}

FLOW = {row.id: random.Random(row.id).choice([-0.2, -0.1, 0.0, 0.0, 0.1]) for row in STATES}


def evidence(
    states: Sequence[KnowledgeState] = STATES,
    scores: Sequence[InfluenceScore] = SCORES,
    flow: Mapping[str, float] = FLOW,
) -> Evidence:
    return Evidence(states, flow, {row.id: row for row in scores})


def select_of(name: str) -> Select:
    select = METHODS[name].select
    assert select is not None
    return select


TRAINED = get_args(MethodName)
SPLIT = [name for name in TRAINED if name not in ("van-tuning", "random-idk")]
"""Methods that follow the labels: answers of known questions, refusals (or "unsure") of unknown ones."""
ALL_UNKNOWN = [name for name in SPLIT if name not in ("craft", "craft-no-certainty")]
"""Of these, the methods that may take any unknown question."""
SOFT = ["grait", "grait-equal-weights"]
"""Of these, the methods that teach the answers of partly known questions, too."""
AS_MANY_AS_KNOWN = [name for name in ALL_UNKNOWN if not METHODS[name].takes_all_unknown]


@pytest.mark.parametrize("name", ALL_UNKNOWN)
@pytest.mark.parametrize(("n_ik", "n_idk"), [(5, 3), (1, 20), (len(KNOWN), len(UNKNOWN))])
def test_as_many_are_selected_as_asked_for_and_each_is_of_the_right_label(name: str, n_ik: int, n_idk: int) -> None:
    chosen = select_of(name)(evidence(), SelectionConfig(n_ik=n_ik, n_idk=n_idk), 0)
    known = [row.id for row in chosen if row.label == "ik"]
    unknown = [row.id for row in chosen if row.label == "idk" and not (name in SOFT and row.target == "answer")]
    assert (len(set(known)), len(set(unknown))) == (len(known), len(unknown)) == (n_ik, n_idk)
    assert set(known) <= KNOWN
    assert set(unknown) <= UNKNOWN
    if name not in SOFT:
        assert len(chosen) == n_ik + n_idk


@pytest.mark.parametrize("name", AS_MANY_AS_KNOWN)
def test_by_default_all_known_and_at_most_as_many_unknown_are_selected(name: str) -> None:
    chosen = select_of(name)(evidence(), PLAIN, 0)
    assert {row.id for row in chosen if row.label == "ik"} == KNOWN
    assert sum(row.label == "idk" for row in chosen) == min(len(KNOWN), len(UNKNOWN))
    mostly_unknown = [row for row in STATES if row.label != "ik" or row.id in sorted(KNOWN)[:4]]
    assert sum(row.label == "idk" for row in select_of(name)(evidence(mostly_unknown), PLAIN, 0)) == 4


@pytest.mark.parametrize("name", TRAINED)
def test_the_order_of_the_questions_does_not_matter(name: str) -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    backwards = evidence(STATES[::-1], SCORES[::-1], dict([*FLOW.items()][::-1]))
    first, second = select_of(name)(evidence(), config, 0), select_of(name)(backwards, config, 0)
    assert sorted(map(repr, first)) == sorted(map(repr, second))


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_set_and_no_question_twice(name: str) -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    first = select_of(name)(evidence(), config, 3)
    assert first == select_of(name)(evidence(), config, 3)
    assert len({(row.id, row.target) if name in SOFT else row.id for row in first}) == len(first)
    assert all(row.label == LABELS[row.id] for row in first)
    assert all(math.isfinite(row.sample_weight) and row.sample_weight > 0 for row in first)


@pytest.mark.parametrize("name", SPLIT)
def test_questions_exactly_on_the_threshold_are_never_selected(name: str) -> None:
    dropped = {row.id for row in STATES if row.label == "dropped"}
    assert dropped
    assert not dropped & {row.id for row in select_of(name)(evidence(), PLAIN, 0)}


@pytest.mark.parametrize("name", SPLIT)
def test_the_target_is_that_of_the_label(name: str) -> None:
    taught = {"ik": "answer-sure", "idk": "answer-unsure"} if name == "r-tuning" else {"ik": "answer", "idk": "refusal"}
    for row in select_of(name)(evidence(), PLAIN, 0):
        assert row.target == taught[row.label] or (name in SOFT and (row.label, row.target) == ("idk", "answer"))


@pytest.mark.parametrize("name", TRAINED)
def test_more_than_there_are_is_an_error_that_names_the_key(name: str) -> None:
    select = select_of(name)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_ik = 999: the training set has only {len(KNOWN)} such"):
        select(evidence(), SelectionConfig(n_ik=999), 0)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = 999: the training set has only {len(UNKNOWN)} such"):
        select(evidence(), SelectionConfig(n_idk=999), 0)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("side", ["ik", "idk"])
def test_an_empty_side_is_an_error_of_one_line(name: str, side: Label) -> None:
    with pytest.raises(KnowledgeError) as caught:
        select_of(name)(evidence([row for row in STATES if row.label != side]), PLAIN, 0)
    assert "\n" not in str(caught.value)
    assert f"found {0 if side == 'ik' else len(KNOWN)} known (ik) and {0 if side == 'idk' else len(UNKNOWN)}" in str(
        caught.value
    )


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_uses_only_the_evidence_that_it_says_it_needs(name: str) -> None:
    """Without flow, or without scores, a method gives the same set, or one clear error if it needs them."""
    method, config = METHODS[name], SelectionConfig(n_ik=7, n_idk=3)
    expected = select_of(name)(evidence(), config, 0)
    for needed, without in ((method.needs_flow, evidence(flow={})), (method.needs_influence, evidence(scores=[]))):
        if needed:
            with pytest.raises(KnowledgeError, match=f"none of {len(UNKNOWN)} unknown questions"):
                select_of(name)(without, config, 0)
        else:
            assert select_of(name)(without, config, 0) == expected


def test_the_papers_proportion_is_a_matter_of_counts() -> None:
    states = [state(f"q{index:03d}", index % 2, 0.5) for index in range(60)]
    scores, flow = some_scores(states), {row.id: 0.0 for row in states}
    for name in TRAINED:
        chosen = select_of(name)(evidence(states, scores, flow), SelectionConfig(n_ik=20, n_idk=5), 0)
        assert len(chosen) == 25
        if name not in ("van-tuning", "r-tuning"):
            assert [row.target for row in chosen].count("refusal") == 5


# -- the catalog --------------------------------------------------------------------------------------------------


def test_the_catalog_lists_the_initial_model_and_every_method_that_the_config_knows() -> None:
    assert list(METHODS) == [INIT_BASIC, INIT_REFUSE, *TRAINED]
    assert all(name == method.name for name, method in METHODS.items())
    assert [name for name, method in METHODS.items() if method.select is None] == [INIT_BASIC, INIT_REFUSE]
    assert TrainingConfig(methods=list(TRAINED)).methods == list(TRAINED)


def test_each_method_has_one_line_and_a_source() -> None:
    assert len({method.summary for method in METHODS.values()}) == len(METHODS)
    for method in METHODS.values():
        assert method.paper
        assert "\n" not in method.summary


def test_only_init_basic_is_asked_without_being_invited_to_refuse() -> None:
    assert [name for name, method in METHODS.items() if method.asked == "query"] == [INIT_BASIC]


def test_only_r_tuning_is_judged_by_what_it_says_of_its_answer() -> None:
    question = Question("q", "What is the capital of Italy?", ("Rome",))
    outcomes = {name: method.judge("Rome. I am unsure.", question) for name, method in METHODS.items()}
    assert outcomes == dict.fromkeys(METHODS, "correct") | {"r-tuning": "refused"}


# -- one method after the other -----------------------------------------------------------------------------------

HAND_MADE = [
    state("sure", 1.0, 0.9),
    state("surest", 0.6, 1.0),
    state("known", 0.8, 0.4),
    state("edge", 0.5, 0.1),
    state("rises", 0.3, 0.1),
    state("falls", 0.2, 0.6),
    state("stays", 0.0, 0.2),
    state("silent", 0.0, None),
    state("silent and rises", 0.0, None),
]
HAND_FLOW = {
    "rises": 0.1,
    "falls": -0.2,
    "stays": 0.0,
    "silent": 0.0,
    "silent and rises": 0.3,
    "sure": 0.4,
    "edge": 0.1,
}
HAND_SCORES = [
    score("rises", 0.9, 0.8),
    score("falls", 0.1, 0.0),
    score("stays", 0.5, 0.1),
    score("silent", 0.6, 0.5),
    score("silent and rises", 0.4, -0.4),
]


def hand_made(name: str, seed: int = 0, **settings: Any) -> dict[str, tuple[str, float]]:
    """Target and weight by id, for two known and two unknown questions."""
    config = SelectionConfig(**{"n_ik": 2, "n_idk": 2} | settings)
    chosen = select_of(name)(evidence(HAND_MADE, HAND_SCORES, HAND_FLOW), config, seed)
    return {row.id: (row.target, row.sample_weight) for row in chosen}


def taught(targets: dict[str, str]) -> dict[str, tuple[str, float]]:
    return {name: (target, 1.0) for name, target in targets.items()}


@pytest.mark.parametrize("name", ["corcer-rait", "craft-no-flow"])
def test_corcer_rait_takes_the_most_certain_known_and_the_least_certain_unknown(name: str) -> None:
    answers, silent = {"surest": "answer", "sure": "answer"}, {"silent", "silent and rises"}
    assert hand_made(name) == taught(answers | dict.fromkeys(silent, "refusal"))
    assert hand_made(name, n_idk=3) == taught(answers | dict.fromkeys([*silent, "rises"], "refusal"))
    assert hand_made(name, n_ik=3, n_idk=4) == taught(
        answers | {"known": "answer"} | dict.fromkeys([*silent, "rises", "stays"], "refusal")
    )


def test_craft_drops_the_unknown_whose_correctness_rises_before_it_chooses_by_certainty() -> None:
    answers = {"surest": "answer", "sure": "answer"}
    assert hand_made("craft", n_idk=1) == taught(answers | {"silent": "refusal"})
    assert hand_made("craft") == taught(answers | dict.fromkeys(["silent", "stays"], "refusal"))
    assert hand_made("craft", n_idk=3) == taught(answers | dict.fromkeys(["silent", "stays", "falls"], "refusal"))


@pytest.mark.parametrize("name", ["craft", "craft-no-certainty"])
def test_craft_takes_all_that_the_flow_leaves_when_more_are_asked_for(name: str) -> None:
    chosen = hand_made(name, n_idk=5)
    assert {name for name, (target, _) in chosen.items() if target == "refusal"} == {"silent", "stays", "falls"}
    assert sum(target == "answer" for target, _ in chosen.values()) == 2


@pytest.mark.parametrize("name", ["craft", "craft-no-certainty"])
def test_craft_in_the_papers_wording_drops_what_stays_the_same_too(name: str) -> None:
    chosen = hand_made(name, drop_zero_flow=True)
    assert {name for name, (target, _) in chosen.items() if target == "refusal"} == {"falls"}


@pytest.mark.parametrize("name", ["craft", "craft-no-certainty"])
def test_craft_stops_when_the_flow_leaves_nothing(name: str) -> None:
    rising = dict.fromkeys(UNKNOWN, 0.1)
    with pytest.raises(KnowledgeError, match=rf"leaves none of {len(UNKNOWN)} unknown questions.*{len(UNKNOWN)} rise"):
        select_of(name)(evidence(flow=rising), PLAIN, 0)


def test_craft_does_not_choose_unknown_questions_without_a_flow() -> None:
    flow = {name: value for name, value in HAND_FLOW.items() if name != "silent"}
    chosen = craft.select(evidence(HAND_MADE, flow=flow), SelectionConfig(n_ik=1, n_idk=3), 0)
    assert {row.id for row in chosen if row.label == "idk"} == {"stays", "falls"}


def test_craft_without_certainty_draws_at_random_from_what_the_flow_leaves() -> None:
    drawn = [hand_made("craft-no-certainty", seed, n_ik=1, n_idk=1) for seed in range(60)]
    answered = {name for chosen in drawn for name, (target, _) in chosen.items() if target == "answer"}
    refused = {name for chosen in drawn for name, (target, _) in chosen.items() if target == "refusal"}
    assert (answered, refused) == ({"sure", "surest", "known"}, {"falls", "stays", "silent"})


def test_equally_certain_questions_are_taken_at_random_and_not_by_id() -> None:
    """Ids often begin with the subject: by id, the ties of one subject would all come before those of the next."""
    states = [state(f"{subject}{index}", known, 0.1) for subject in "ab" for index in range(20) for known in (0, 1)]
    states = [replace(row, id=f"{row.id}-{row.label}") for row in states]
    for seed in range(5):
        chosen = craft.select_without_flow(evidence(states), SelectionConfig(n_ik=20, n_idk=20), seed)
        for label_ in ("ik", "idk"):
            of_a = sum(row.id.startswith("a") for row in chosen if row.label == label_)
            assert 4 <= of_a <= 16
    sets = {frozenset(row.id for row in craft.select_without_flow(evidence(states), PLAIN, seed)) for seed in range(3)}
    assert len(sets) == 1  # where all are taken, the seed has no say


def test_r_tuning_keeps_every_answer_and_says_how_sure_it_is() -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    chosen = r_tuning.select(evidence(), config, 4)
    assert {row.id: row.target for row in chosen} == {
        row.id: "answer-sure" if row.label == "ik" else "answer-unsure"
        for row in cor_rait.select(evidence(), config, 4)
    }
    assert {row.sample_weight for row in chosen} == {1.0}


def test_van_tuning_keeps_the_answers_of_random_questions_of_all_labels() -> None:
    config = SelectionConfig(n_ik=7, n_idk=6)
    seen = {row.id for seed in range(40) for row in van_tuning.select(evidence(), config, seed)}
    assert seen == set(LABELS)
    chosen = van_tuning.select(evidence(), config, 0)
    assert len(chosen) == 13
    assert {(row.target, row.sample_weight) for row in chosen} == {("answer", 1.0)}


def test_random_idk_refuses_questions_of_every_label_in_their_proportion() -> None:
    config = SelectionConfig(n_ik=5, n_idk=10)
    refused = [
        row.label
        for seed in range(200)
        for row in random_idk.select(evidence(), config, seed)
        if row.target == "refusal"
    ]
    for label_ in ("ik", "idk", "dropped"):
        share = sum(row.label == label_ for row in STATES) / len(STATES)
        assert refused.count(label_) / len(refused) == pytest.approx(share, abs=0.05)
    for seed in range(20):
        chosen = random_idk.select(evidence(), config, seed)
        assert sum(row.target == "refusal" for row in chosen) == 10
        assert [row.label for row in chosen if row.target == "answer"] == ["ik"] * 5
        assert {row.sample_weight for row in chosen} == {1.0}


def test_random_idk_teaches_no_question_both_ways() -> None:
    for seed in range(20):
        chosen = random_idk.select(evidence(), PLAIN, seed)
        refused = {row.id for row in chosen if row.target == "refusal"}
        assert len(refused) == min(len(KNOWN), len(UNKNOWN))
        assert {row.id for row in chosen if row.target == "answer"} == KNOWN - refused


def test_random_idk_stops_when_no_known_question_is_left() -> None:
    states = [state("known", 1.0), state("unknown", 0.0)]
    found = set()
    for seed in range(20):
        try:
            found.add(tuple(row.id for row in random_idk.select(evidence(states), PLAIN, seed)))
        except KnowledgeError as error:
            found.add(str(error).partition(";")[0])
    assert found == {("known", "unknown"), "random-idk: the 1 random refusals took all 1 known questions"}


def test_grait_and_its_variants_on_five_questions() -> None:
    """R chooses; S, or its opposite, weighs: S of rises is 0.1, of silent 0.1, of stays 0.4."""
    answers = {"sure": ("answer", 1.0), "known": ("answer", 1.0)}
    weights = [math.exp(stable / 0.1) for stable in (0.1, 0.1, 0.4)]
    ids = ("rises", "silent", "stays")
    expected = {name: 3 * weight / sum(weights) for name, weight in zip(ids, weights, strict=True)}
    found = {name: hand_made(name, n_idk=3, tau=0.1) for name in TRAINED if name.startswith("grait")}
    assert set(found["grait-paper"]) == {*answers, *ids}
    for name, weight in expected.items():
        assert found["grait-paper"][name] == ("refusal", pytest.approx(weight))
    assert found["grait-no-weights"] == answers | dict.fromkeys(ids, ("refusal", 1.0))
    opposite = [math.exp(-stable / 0.1) for stable in (0.1, 0.1, 0.4)]
    for name, weight in zip(ids, opposite, strict=True):
        assert found["grait-released"][name] == ("refusal", pytest.approx(0.5 * 3 * weight / sum(opposite)))
    assert all(found[name].items() >= answers.items() for name in found if name not in SOFT)


def test_grait_teaches_each_answer_by_how_well_it_is_known() -> None:
    """Of the unknown questions with their refusals, too, where any sample is right."""
    chosen = grait.select(evidence(HAND_MADE, HAND_SCORES), SelectionConfig(), 0)
    answers = {row.id: row.sample_weight for row in chosen if row.target == "answer"}
    assert answers == {"sure": 1.0, "known": 0.8, "surest": 0.6, "rises": 0.3, "falls": 0.2}
    refusals = {row.id for row in chosen if row.target == "refusal"}
    assert refusals == {"rises", "falls", "stays", "silent", "silent and rises"}


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("grait", 0.7),
        ("grait-equal-weights", 0.7),
        ("grait-paper", 0.7),
        ("grait-no-selection", 0.7),
        ("grait-no-weights", 1.0),
    ],
)
def test_configured_mean_weights(name: str, mean: float) -> None:
    chosen = select_of(name)(evidence(), SelectionConfig(n_ik=5, n_idk=10, mean_weight=0.7), 0)
    assert sum(row.sample_weight for row in chosen if row.target == "refusal") / 10 == pytest.approx(mean)
    if name not in SOFT:
        assert {row.sample_weight for row in chosen if row.label == "ik"} == {1.0}


def test_the_released_weights_have_the_mean_of_the_script_whatever_the_config_says() -> None:
    for mean_weight in (0.5, 1.0, 3.0):
        chosen = grait.select_released(evidence(), SelectionConfig(n_idk=10, mean_weight=mean_weight), 0)
        assert sum(row.sample_weight for row in chosen if row.label == "idk") / 10 == pytest.approx(0.5)


def test_the_variants_of_grait_differ_in_what_they_say_and_in_nothing_else() -> None:
    config = SelectionConfig(n_ik=5, n_idk=10)
    sets = {name: {row.id: row for row in select_of(name)(evidence(), config, 0)} for name in TRAINED}
    assert set(sets["grait-paper"]) == set(sets["grait-no-weights"]) == set(sets["grait-released"])
    assert set(sets["grait"]) == set(sets["grait-equal-weights"])
    known = {name: {row.id for row in sets[name].values() if row.label == "ik"} for name in TRAINED}
    assert known["grait"] == known["grait-paper"] == known["grait-no-selection"]
    stable = {row.id: row.stable_influence for row in SCORES}

    def by_weight(name: str) -> list[str]:
        rows = [row for row in sets[name].values() if row.label == "idk"]
        return [row.id for row in sorted(rows, key=lambda row: row.sample_weight)]

    for name in ("grait", "grait-paper"):
        assert by_weight(name) == sorted(by_weight(name), key=stable.__getitem__)
    assert by_weight("grait-released") == by_weight("grait-paper")[::-1]
    drawn = {
        row.id
        for seed in range(60)
        for row in grait.select_without_selection(evidence(), config, seed)
        if row.label == "idk"
    }
    assert drawn == UNKNOWN


def test_exactly_as_many_as_there_are_is_no_error() -> None:
    size = counts(SelectionConfig(n_ik=3, n_idk=2), 3, 2)
    assert (size.n_ik, size.n_idk) == (3, 2)


def test_the_paper_takes_the_unknown_of_highest_refusal_influence() -> None:
    """Greedy equals brute force: nobody left out has a higher R than anybody chosen."""
    chosen = {
        row.id for row in grait.select_paper(evidence(), SelectionConfig(n_ik=1, n_idk=8), 0) if row.label == "idk"
    }
    refusal = {row.id: row.refusal_influence for row in SCORES if row.id in UNKNOWN}
    assert min(refusal[name] for name in chosen) >= max(refusal[name] for name in UNKNOWN - chosen)


def test_the_paper_breaks_ties_by_id() -> None:
    states = [state(name, 0.0) for name in "dbcae"] + [state("known", 1.0)]
    scores = [score("c", 0.9, 0.1), *(score(name, 0.2, 0.1) for name in "ebda")]
    chosen = [
        row.id
        for row in grait.select_paper(evidence(states, scores), SelectionConfig(n_idk=3), 0)
        if row.label == "idk"
    ]
    assert sorted(chosen) == ["a", "b", "c"]


def test_the_paper_ranks_by_refusal_influence_and_weighs_by_stable_influence() -> None:
    """What teaches most refusing is chosen even if it also teaches over-refusing; the weight then tells them apart."""
    states = [state("known", 1.0), state("high", 0.0), state("second", 0.0), state("low", 0.0)]
    scores = [score("high", 0.9, 0.8), score("second", 0.6, 0.1), score("low", 0.5, -0.5)]
    chosen = grait.select_paper(evidence(states, scores), SelectionConfig(n_idk=2), 0)
    weights = {row.id: row.sample_weight for row in chosen}
    assert set(weights) == {"known", "high", "second"}
    assert weights["second"] > weights["high"] > 0


@pytest.mark.parametrize("name", ["grait", "grait-paper"])
def test_grait_weighs_unknown_questions_as_their_scores_say_by_id(name: str) -> None:
    config = SelectionConfig(n_ik=5, n_idk=10, tau=0.1, mean_weight=0.5)
    chosen = select_of(name)(evidence(scores=random.Random(1).sample(SCORES, len(SCORES))), config, 0)
    unknown = [row for row in chosen if row.target == "refusal"]
    stable = {row.id: row.stable_influence for row in SCORES}
    correctness = {row.id: row.correctness for row in STATES}
    for row in chosen:
        if row.target == "answer":
            assert row.sample_weight == (correctness[row.id] if name in SOFT else 1.0)
    assert sum(row.sample_weight for row in unknown) / 10 == pytest.approx(0.5)
    total = sum(math.exp(stable[row.id] / 0.1) for row in unknown)
    for row in unknown:
        assert row.sample_weight == pytest.approx(0.5 * 10 * math.exp(stable[row.id] / 0.1) / total)


@pytest.mark.parametrize("name", ["grait", "grait-equal-weights", "grait-hard-labels"])
@pytest.mark.parametrize("n_known", [1, 4, len(KNOWN)])
def test_by_default_all_refusals_together_weigh_as_much_as_all_answers(name: str, n_known: int) -> None:
    """Where there are few known questions and where there are many."""
    known = set(sorted(KNOWN)[:n_known])
    states = [row for row in STATES if row.label != "ik" or row.id in known]
    chosen = select_of(name)(evidence(states), PLAIN, 0)
    answers = {row.id: row.sample_weight for row in chosen if row.target == "answer"}
    refusals = {row.id: row.sample_weight for row in chosen if row.target == "refusal"}
    assert len(answers) + len(refusals) == len(chosen)
    assert set(refusals) == UNKNOWN
    assert sum(refusals.values()) == pytest.approx(sum(answers.values()))
    if name == "grait-hard-labels":
        assert answers == dict.fromkeys(known, 1.0)
    else:
        assert answers == {row.id: row.correctness for row in states if row.correctness > 0 and row.label != "dropped"}
    if name == "grait-equal-weights":
        assert len(set(refusals.values())) == 1


def test_a_question_that_teaches_its_answer_and_the_refusal_is_listed_with_its_refusal() -> None:
    chosen = grait.select(evidence(), PLAIN, 0)
    listed = by_question(chosen)
    assert set(listed) == {row.id for row in chosen}
    assert {row.id for row in listed.values() if row.target == "refusal"} == UNKNOWN
    assert any(row.label == "idk" and row.target == "answer" for row in chosen)
    taught = van_tuning.select(evidence(), PLAIN, 0)
    assert set(by_question(taught).values()) == set(taught)


def test_grait_takes_answers_of_the_unknown_questions_that_it_takes() -> None:
    chosen = grait.select(evidence(), SelectionConfig(n_ik=3, n_idk=10), 0)
    refused = {row.id for row in chosen if row.target == "refusal"}
    answered = {row.id for row in chosen if row.target == "answer" and row.label != "ik"}
    correctness = {row.id: row.correctness for row in STATES}
    assert answered == {name for name in refused if correctness[name] > 0}


def test_grait_told_how_many_unknown_questions_to_take_draws_them() -> None:
    drawn = {
        row.id
        for seed in range(60)
        for row in grait.select(evidence(), SelectionConfig(n_ik=5, n_idk=10), seed)
        if row.label == "idk"
    }
    assert drawn == UNKNOWN


def test_grait_does_not_choose_unknown_questions_without_a_score() -> None:
    without = sorted(UNKNOWN)[:3]
    kept = [row for row in SCORES if row.id not in without]
    assert {row.id for row in grait.select(evidence(scores=kept), PLAIN, 0)} & UNKNOWN == UNKNOWN - set(without)
    scores = [row for row in SCORES if row.id not in without]
    chosen = {row.id for row in grait.select_paper(evidence(scores=scores), SelectionConfig(n_idk=len(UNKNOWN) - 3), 0)}
    assert chosen & UNKNOWN == UNKNOWN - set(without)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = {len(UNKNOWN)}"):
        grait.select_paper(evidence(scores=scores), SelectionConfig(n_idk=len(UNKNOWN)), 0)


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
    first = cor_rait.select(evidence(), config, seed=0)
    assert first == cor_rait.select(evidence(), config, seed=0)
    assert {row.id for row in first} != {row.id for row in cor_rait.select(evidence(), config, seed=1)}
    assert {row.sample_weight for row in first} == {1.0}


def test_cor_rait_gives_every_question_the_same_chance() -> None:
    config = SelectionConfig(n_ik=1, n_idk=5)
    chosen = [row.id for seed in range(300) for row in cor_rait.select(evidence(), config, seed) if row.label == "idk"]
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
    config = KnowledgeConfig(scoring=cast(Any, scoring))
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
    config = KnowledgeConfig(scoring=cast(Any, scoring), n_samples=3, max_new_tokens=4)
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


def test_samples_are_judged_as_in_the_evaluation() -> None:
    """A sample that refuses is no right answer even where it names one, and an option's letter is that option."""
    prompts = prompt_format()
    asked = [Question("text", "What is the capital of Italy?", ("Rome",)), replace(QUESTIONS[0], id="options")]
    answers = {
        "text": ["Rome", "I don't know if it is Rome.", "I'm not sure, but it is Rome.", "Paris"],
        "options": ["rose", "B", "sky or rose", "C"],
    }
    scripted = cast(InferenceEngine, Scripted(prompts, answers))
    config = KnowledgeConfig(scoring="sampling", n_samples=4)
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
        states = sample_answers(scripted, prompts, asked, KnowledgeConfig(n_samples=4), seed=0, advance=silent)
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
