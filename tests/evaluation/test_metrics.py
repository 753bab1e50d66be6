"""Accuracies written out by hand, and the interval compared with explicit resampling."""
import numpy as np
import pytest

from mmskelssl.evaluation.metrics import accuracies, bootstrap_interval, top_k


def test_accuracies_by_hand():
    labels, predictions = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    made = accuracies(labels, predictions)
    assert made['top1'] == 75 and made['top5'] is None
    assert made['mean_class'] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert made['ci95'][0] < 75 < made['ci95'][1]


def test_top5_equals_sorting():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200, 9)), rng.integers(0, 9, 200)
    expected = 100 * np.mean([label in np.argsort(row)[-5:] for row, label in zip(scores, labels, strict=True)])
    assert top_k(labels, scores, 5) == pytest.approx(expected)
    assert top_k(labels % 5, scores[:, :5], 5) is None
    assert top_k(labels, np.zeros((200, 9)), 5) == 0  # all scores tie: no hits


def test_interval_is_the_bootstrap():
    rng = np.random.default_rng(1)
    correct = rng.random(300) < 0.8
    resampled = [100 * rng.choice(correct, 300).mean() for _ in range(4000)]
    np.testing.assert_allclose(bootstrap_interval(correct), np.percentile(resampled, [2.5, 97.5]), atol=0.7)
    assert bootstrap_interval(correct) == bootstrap_interval(correct)
    assert bootstrap_interval(np.ones(5, bool)) == [100, 100]
