"""Scores of systems that train nothing: they find what is there, find nothing in noise, and look at nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grait.errors import KnowledgeError
from grait.methods import p_true
from grait.methods.logistic import FOLDS, auroc, fit, stratified
from grait.methods.probe import fit_probe
from grait.methods.text_floor import fit_text, ngrams

N, LAYERS, SIZE = 160, 4, 12
TOLD = 2
"""The layer of made-up states that tells known from unknown; the others are noise."""


def made_up(seed: int, tells: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """States [N, LAYERS, SIZE] of numbers of very different sizes, and what is unknown [N]."""
    generator = np.random.default_rng(seed)
    unknown = generator.random(N) < 0.4
    states = generator.normal(size=(N, LAYERS, SIZE)) * np.geomspace(0.01, 100, SIZE) + 7
    if tells:
        states[:, TOLD, 3] = np.where(unknown, 1.0, -1.0) * (1 + generator.random(N))
    return states.astype(np.float32), unknown


# -- the regression -----------------------------------------------------------------------------------------------


def test_the_fit_is_a_minimum_and_its_probabilities_have_the_mean_of_the_labels() -> None:
    generator = np.random.default_rng(0)
    features, positive = generator.normal(size=(90, 5)), generator.random(90) < 0.3
    model = fit(features, positive, 2.0)
    assert model.probabilities(features).mean() == pytest.approx(positive.mean(), abs=1e-4)
    rows = (features - features.mean(0)) / features.std(0)
    errors = model.probabilities(features) - positive
    assert np.abs(rows.T @ errors + 2.0 * model.weights * features.std(0)).max() < 1e-2


@given(st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_the_unit_of_a_feature_and_the_start_do_not_matter(scale: float, shift: float) -> None:
    generator = np.random.default_rng(1)
    features, positive = generator.normal(size=(60, 3)), generator.random(60) < 0.5
    expected = fit(features, positive, 1.0).probabilities(features)
    changed = features * [1, scale, 1] + [0, shift, 0]
    for start in (None, fit(changed, positive, 100.0)):
        assert fit(changed, positive, 1.0, start).probabilities(changed) == pytest.approx(expected, abs=1e-2)


def test_a_single_class_gives_its_share_and_a_constant_feature_nothing() -> None:
    features = np.ones((20, 2))
    only = fit(features, np.ones(20, dtype=bool), 1.0)
    assert not only.weights.any()
    assert 0.9 < only.probabilities(features)[0] < 1
    half = fit(features, np.arange(20) < 5, 1.0)
    assert half.probabilities(features) == pytest.approx(np.full(20, 0.25), abs=1e-3)


def test_folds_hold_every_row_once_and_both_classes_each() -> None:
    unknown = np.arange(50) < 6
    folds = stratified(unknown, 0, "probe")
    assert sorted(np.concatenate(folds)) == list(range(50))
    assert all({True, False} == set(unknown[fold].tolist()) for fold in folds)
    with pytest.raises(KnowledgeError, match=f"probe: expected at least {FOLDS} unknown and {FOLDS} known.*found 3"):
        stratified(np.arange(50) < 3, 0, "probe")


def test_auroc_counts_pairs_and_ties_half() -> None:
    assert auroc(np.array([3.0, 1.0, 1.0]), np.array([True, True, False])) == 0.75


# -- the probe ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_probe_finds_the_layer_that_tells_and_is_right_on_new_questions(seed: int) -> None:
    probe = fit_probe(*made_up(seed), seed=0)
    new, unknown = made_up(seed + 100)
    assert probe.layer == TOLD
    assert probe.found.auroc > 0.99
    assert auroc(probe.scores(new), unknown) > 0.99
    assert ((probe.scores(new) >= 0) & (probe.scores(new) <= 1)).all()


def test_the_probe_finds_nothing_in_noise() -> None:
    found, new = [], []
    for seed in range(6):
        probe = fit_probe(*made_up(seed, tells=False), seed=0)
        states, unknown = made_up(seed + 100, tells=False)
        found.append(probe.found.auroc)
        new.append(auroc(probe.scores(states), unknown))
    assert abs(np.mean(new) - 0.5) < 0.06
    assert np.mean(found) < 0.62  # the best of four layers and ridges, so a little above a half


# -- the text floor -----------------------------------------------------------------------------------------------


def test_the_text_floor_reads_the_words_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    unknown = generator.random(120) < 0.5
    names = ["".join(generator.choice(list("abcdefgh"), 6)) for _ in unknown]
    kinds = np.where(unknown, "Who wrote", "Where lies")
    told = [f"{kind} {name}?" for kind, name in zip(kinds, names, strict=True)]
    for texts, lowest, highest in ((told, 0.99, 1.0), ([f"Who wrote {name}?" for name in names], 0.3, 0.7)):
        features = ngrams(texts)
        model, found = fit_text(features[:80], unknown[:80], 0)
        assert lowest <= auroc(model.probabilities(features[80:]), unknown[80:]) <= highest
        assert lowest <= found.auroc <= highest


def test_features_of_a_text_do_not_depend_on_the_other_texts() -> None:
    alone, beside = ngrams(["Who wrote it?"]), ngrams(["Where?", "Who wrote it?"])
    assert (alone[0] != beside[1]).nnz == 0
    assert (ngrams(["WHO wrote it?"])[0] != alone[0]).nnz == 0
    assert math.isclose(float((alone.multiply(alone)).sum()), 1)


# -- P(True) ------------------------------------------------------------------------------------------------------


def test_a_p_true_prompt_holds_question_and_answer_once() -> None:
    asked = p_true.request("Which town has number 12?\nA. Umea\nB. Turku", "Turku is it")
    assert asked.count("Which town has number 12?") == asked.count("A. Umea") == asked.count("Turku is it") == 1


def test_the_p_true_score_is_the_share_of_false() -> None:
    assert p_true.refusal_score([math.log(0.3), math.log(0.1)]) == pytest.approx(0.25)
    assert p_true.refusal_score([-3.0, -3.0]) == 0.5
    assert p_true.refusal_score([0.0, -2000.0]) == 0.0
    assert p_true.refusal_score([-2000.0, 0.0]) == 1.0
