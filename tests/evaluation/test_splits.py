"""Subsets with few labels: which clips are selected and whether the selection is stable."""
import numpy as np

from mmskelssl.evaluation.splits import subset

LABELS = np.repeat([0, 1, 2], [100, 40, 3])
IDS = [f'clip{i:03d}' for i in range(143)]


def test_every_class_has_its_share():
    for fraction, expected in ((.01, [1, 1, 1]), (.05, [5, 2, 1]), (.1, [10, 4, 1]), (1., [100, 40, 3])):
        rows = subset(IDS, LABELS, fraction, 0)
        assert np.bincount(LABELS[rows]).tolist() == expected and (np.diff(rows) > 0).all()


def test_ids_and_seed_decide_not_the_order():
    chosen = {IDS[row] for row in subset(IDS, LABELS, .1, 0)}
    order = np.random.default_rng(0).permutation(143)
    shuffled = [IDS[i] for i in order]
    assert {shuffled[row] for row in subset(shuffled, LABELS[order], .1, 0)} == chosen
    assert {IDS[row] for row in subset(IDS, LABELS, .1, 1)} != chosen


def test_smaller_shares_are_part_of_larger_ones():
    shares = [set(subset(IDS, LABELS, fraction, 5).tolist()) for fraction in (.01, .05, .1, .5)]
    assert all(small < large for small, large in zip(shares, shares[1:], strict=False))
