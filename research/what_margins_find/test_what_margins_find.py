"""Detectors find a direction that is there, and nothing where labels are dealt out at random."""

import numpy as np

from research.what_margins_find.detectors import auroc, left_out, ridge, stable_influence


def test_both_find_what_is_there_and_no_more() -> None:
    generator = np.random.default_rng(0)
    unknown = np.arange(120) % 3 > 0
    rows = generator.normal(size=(120, 30)) + 4
    rows[unknown, 0] += 3
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    groups = generator.integers(5, size=120)
    for detect in (stable_influence, ridge):
        for labels, lowest, highest in ((unknown, 0.9, 1.0), (generator.permutation(unknown), 0.3, 0.7)):
            everything = np.ones((int(labels.sum()), int((~labels).sum())), dtype=bool)
            assert lowest <= auroc(left_out(detect, rows, labels, groups), labels, everything) <= highest


def test_pairs_count_in_order_and_ties_half() -> None:
    unknown = np.array([True, True, False])
    pairs = np.ones((2, 1), dtype=bool)
    assert auroc(np.array([3.0, 1.0, 1.0]), unknown, pairs) == 0.75
    assert auroc(np.array([3.0, 1.0, 1.0]), unknown, np.array([[True], [False]])) == 1.0
