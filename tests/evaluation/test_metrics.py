"""Accuracies written out by hand, and the interval compared with explicit resampling."""
import numpy as np
import pytest

from mmskelssl.evaluation.metrics import accuracies, bootstrap_interval, interval, top_k, wilson_interval


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


@pytest.mark.parametrize(('hits', 'count', 'low', 'high'), [
    (12, 12, 75.75, 100), (0, 12, 0, 24.25), (10, 10, 72.25, 100), (9, 10, 59.58, 98.21), (1, 1, 20.65, 100)])
def test_few_errors_have_wilsons_interval(hits, count, low, high):
    """Values of the closed formula, as any statistics package gives them."""
    correct = np.arange(count) < hits
    assert accuracies(np.zeros(count, int), np.where(correct, 0, 1))['ci95'] == pytest.approx([low, high], abs=.006)
    assert interval(correct) == wilson_interval(hits / count, count)


def test_wilsons_interval_covers_what_the_bootstrap_misses():
    """60 clips, 97 % correct: the true value should be outside 5 % of the intervals."""
    rng = np.random.default_rng(0)
    runs = [np.arange(60) < rng.binomial(60, .97) for _ in range(400)]

    def missed(of):
        return np.mean([not made[0] <= 97 <= made[1] for made in map(of, runs)])
    assert missed(interval) < .06 < .1 < missed(bootstrap_interval)


def test_many_errors_have_the_bootstraps_interval():
    correct = np.arange(100) < 60
    assert interval(correct) == bootstrap_interval(correct)
    assert interval(np.full(8, .5))[0] < 50 < interval(np.full(8, .5))[1]
    low, high = interval(values := np.random.default_rng(0).random(200))
    assert low < 100 * values.mean() < high and 7 < high - low < 9  # 2 * 1.96 * 100 * sqrt(1 / 12 / 200)
