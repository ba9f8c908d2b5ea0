"""Each method against its written rule: who is chosen, how much each counts."""

import math
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import (
    KNOWN,
    LABELS,
    PLAIN,
    SCORES,
    SOFT,
    STATES,
    TRAINED,
    UNKNOWN,
    evidence,
    score,
    select_of,
    state,
)

from grait.config import SelectionConfig, TrainingConfig
from grait.errors import KnowledgeError
from grait.judging.judges import Announced, Matching, ToJudge
from grait.judging.respond import announced
from grait.methods import cor_rait, craft, grait, r_tuning, random_idk, uniform, van_tuning
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS, main_method
from grait.methods.grait import softmax_weights, spread
from grait.methods.selection import by_question, counts, most_correct
from grait.pipeline.judging import of_system
from grait.records import Question, ScorerName

MARGINS = {row.id: row.left_out_margin for row in SCORES}

# -- the catalog --------------------------------------------------------------------------------------------------


def test_the_catalog_lists_the_initial_model_and_every_method_that_the_config_knows() -> None:
    scorers = get_args(ScorerName)
    assert list(METHODS) == [INIT_BASIC, INIT_REFUSE, *scorers, *TRAINED]
    assert all(name == method.name for name, method in METHODS.items())
    assert [name for name, method in METHODS.items() if method.select is None] == [INIT_BASIC, INIT_REFUSE, *scorers]
    assert [name for name, method in METHODS.items() if method.needs is not None] == [*scorers]
    assert TrainingConfig(methods=list(TRAINED)).methods == list(TRAINED)


def test_each_method_has_one_line_and_a_source() -> None:
    assert len({method.summary for method in METHODS.values()}) == len(METHODS)
    for method in METHODS.values():
        assert method.paper
        assert "\n" not in method.summary


def test_only_init_basic_is_asked_without_being_invited_to_refuse() -> None:
    """And scorers, which have its answers."""
    assert [name for name, method in METHODS.items() if method.asked == "query"] == [INIT_BASIC, *get_args(ScorerName)]


def test_only_r_tuning_is_judged_by_what_it_says_of_its_answer() -> None:
    said = [ToJudge(Question("q", "What is the capital of Italy?", ("Rome",)), "Rome. I am unsure.")]
    outcomes = {name: of_system(Matching(), name)(said)[0] for name in METHODS}
    assert outcomes == dict.fromkeys(METHODS, "correct") | {"r-tuning": "refused"}


def test_an_announced_answer_is_judged_without_the_word_that_announces_it() -> None:
    question = Question("q", "What is the capital of Italy?", ("Rome",), match="exact")
    said = [announced("Rome"), "Rome", announced("Milan"), announced("I don't know."), "I don't know."]
    outputs = [ToJudge(question, text) for text in said]
    assert Announced(Matching())(outputs) == ["correct", "correct", "wrong", "refused", "refused"]
    assert Matching()(outputs)[0] == "wrong"


def test_uniform_teaches_answer_and_refusal_of_every_question_at_weight_1() -> None:
    rows = uniform.select(evidence(), PLAIN, 0)
    assert {(row.id, row.target) for row in rows} == {(id_, t) for id_ in LABELS for t in ("answer", "refusal")}
    assert len(rows) == 2 * len(LABELS)
    assert {row.sample_weight for row in rows} == {1.0}


def test_what_uniform_teaches_does_not_depend_on_what_the_model_knows() -> None:
    """With the labels the other way round it is the same, but for the labels that the rows carry."""
    turned = [replace(row, label={"ik": "idk", "idk": "ik"}.get(row.label, row.label)) for row in STATES]
    for config in (PLAIN, SelectionConfig(n_ik=6, n_idk=6)):
        first, second = (uniform.select(evidence(states), config, 1) for states in (STATES, turned))
        assert [(row.id, row.target) for row in first] == [(row.id, row.target) for row in second]


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
    """Those of unknown questions, beside their refusals, at least with 0.3; or only where any sample is right."""
    known = {"sure": 1.0, "known": 0.8, "surest": 0.6}
    partly = {"rises": 0.3, "falls": 0.2}
    never = dict.fromkeys(("stays", "silent", "silent and rises"), 0.0)
    for select, answers in (
        (grait.select_known_answers, known | partly),
        (grait.select, known | {name: max(weight, 0.3) for name, weight in (partly | never).items()}),
    ):
        chosen = select(evidence(HAND_MADE, HAND_SCORES), SelectionConfig(), 0)
        assert {row.id: row.sample_weight for row in chosen if row.target == "answer"} == answers
        assert {row.id for row in chosen if row.target == "refusal"} == {*partly, *never}


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
    assert set(sets["grait"]) == set(sets["grait-equal-weights"]) == set(sets["grait-stable-weights"])
    known = {name: {row.id for row in sets[name].values() if row.label == "ik"} for name in TRAINED}
    assert known["grait"] == known["grait-paper"] == known["grait-no-selection"]
    stable = {row.id: row.stable_influence for row in SCORES}

    def by_weight(name: str) -> list[str]:
        rows = [row for row in sets[name].values() if row.label == "idk"]
        return [row.id for row in sorted(rows, key=lambda row: row.sample_weight)]

    for name in ("grait-stable-weights", "grait-paper"):
        assert by_weight(name) == sorted(by_weight(name), key=stable.__getitem__)
    assert (
        by_weight("grait") == sorted(by_weight("grait"), key=MARGINS.__getitem__) != by_weight("grait-stable-weights")
    )
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


@pytest.mark.parametrize("name", ["grait", "grait-stable-weights", "grait-paper"])
def test_grait_weighs_unknown_questions_as_their_scores_say_by_id(name: str) -> None:
    config = SelectionConfig(n_ik=5, n_idk=10, tau=0.1, mean_weight=0.5)
    chosen = select_of(name)(evidence(scores=random.Random(1).sample(SCORES, len(SCORES))), config, 0)
    unknown = [row for row in chosen if row.target == "refusal"]
    scores = MARGINS if name == "grait" else {row.id: row.stable_influence for row in SCORES}
    correctness = {row.id: row.correctness for row in STATES}
    for row in chosen:
        if row.target == "answer":
            assert row.sample_weight == (max(correctness[row.id], 0.3) if name in SOFT else 1.0)
    assert sum(row.sample_weight for row in unknown) / 10 == pytest.approx(0.5)
    total = sum(math.exp(scores[row.id] / 0.1) for row in unknown)
    for row in unknown:
        assert row.sample_weight == pytest.approx(0.5 * 10 * math.exp(scores[row.id] / 0.1) / total)


@pytest.mark.parametrize("name", ["grait", "grait-stable-weights", "grait-known-answers"])
@pytest.mark.parametrize("scale", [1e-6, 0.5, 3.0, 1e6])
def test_by_default_weights_do_not_depend_on_how_far_influence_spreads(name: str, scale: float) -> None:
    """Prompts with solved examples halve it: the same tau would mean another method."""
    scaled = [
        replace(
            row,
            stable_influence=7.0 + scale * row.stable_influence,
            left_out_margin=7.0 + scale * row.left_out_margin,
        )
        for row in SCORES
    ]
    one, other = (
        {row.id: row.sample_weight for row in select_of(name)(evidence(scores=scores), PLAIN, 0)}
        for scores in (SCORES, scaled)
    )
    assert other == pytest.approx(one, rel=1e-6)
    by = "stable_influence" if name == "grait-stable-weights" else "left_out_margin"
    tau = spread([getattr(row, by) for row in SCORES if row.id in UNKNOWN])
    configured = select_of(name)(evidence(), SelectionConfig(tau=tau), 0)
    assert {row.id: row.sample_weight for row in configured} == pytest.approx(one)


def test_equal_influence_weighs_equally_by_default() -> None:
    equal = [replace(row, left_out_margin=0.3) for row in SCORES]
    chosen = grait.select(evidence(scores=equal), PLAIN, 0)
    weights = [row.sample_weight for row in chosen if row.target == "refusal"]
    assert weights == pytest.approx([weights[0]] * len(UNKNOWN))


@pytest.mark.parametrize("name", ["grait", "grait-stable-weights", "grait-equal-weights", "grait-known-answers"])
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
    correctness = {row.id: row.correctness for row in states if row.label != "dropped"}
    if name == "grait-known-answers":
        assert answers == {id_: mu for id_, mu in correctness.items() if mu > 0}
    else:
        assert answers == {id_: max(mu, 0.3) for id_, mu in correctness.items()}
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
    assert answered == refused
    known = grait.select_known_answers(evidence(), SelectionConfig(n_ik=3, n_idk=10), 0)
    answered = {row.id for row in known if row.target == "answer" and row.label != "ik"}
    assert answered == {name for name in refused if correctness[name] > 0} != refused


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
    chosen = {row.id for row in grait.select_paper(evidence(scores=kept), SelectionConfig(n_idk=len(UNKNOWN) - 3), 0)}
    assert chosen & UNKNOWN == UNKNOWN - set(without)
    with pytest.raises(KnowledgeError, match=rf"selection\.n_idk = {len(UNKNOWN)}"):
        grait.select_paper(evidence(scores=kept), SelectionConfig(n_idk=len(UNKNOWN)), 0)


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
    weights = softmax_weights(values, tau, mean)
    assert math.fsum(weights) / len(weights) == pytest.approx(mean)
    assert all(weight > 0 for weight in weights)


@given(stable_scores, taus, means)
def test_weights_grow_with_stable_influence(values: list[float], tau: float, mean: float) -> None:
    by_score = sorted(zip(values, softmax_weights(values, tau, mean), strict=True))
    for (low, less), (high, more) in pairwise(by_score):
        assert less <= more
        if high - low > 1e-6 * tau:
            assert less < more


@given(stable_scores, taus, st.floats(-100, 100))
def test_weights_are_unchanged_by_a_constant(values: list[float], tau: float, constant: float) -> None:
    moved = softmax_weights([value + constant for value in values], tau, 1.0)
    assert moved == pytest.approx(softmax_weights(values, tau, 1.0), rel=1e-9, abs=1e-300)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20), st.floats(1e-3, 10))
def test_weights_are_finite_for_huge_scores(values: list[float], tau: float) -> None:
    weights = softmax_weights(values, tau, 1.0)
    assert all(math.isfinite(weight) and weight >= 0 for weight in weights)
    assert math.fsum(weights) == pytest.approx(len(values))


def test_equal_scores_give_equal_weights() -> None:
    assert softmax_weights([0.3] * 7, 0.05, 1.0) == pytest.approx([1.0] * 7)


# -- the method that a run is about --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (["cor-rait", "grait", "grait-paper"], "grait"),
        (["van-tuning", "cor-rait", "craft", "grait-paper"], "grait-paper"),  # as in configs/paper
        (["craft", "cor-rait"], "craft"),
        (["a trial", "cor-rait"], "a trial"),  # of no catalog
        ([], "init-refuse"),
    ],
)
def test_the_main_method_is_grait_else_one_by_influence_else_the_first(trained: list[str], expected: str) -> None:
    assert main_method(["init-basic", "init-refuse", *trained]) == expected
