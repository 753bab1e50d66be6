"""The plot of a store's statistics is written for valid statistics, and invalid ones raise errors."""
import cv2
import numpy as np
import pytest

from mmskelssl.errors import UserError
from mmskelssl.visualization.stats import plot_stats


def statistics(n=60, count=4, **changed):
    rng = np.random.default_rng(0)
    made = dict(lengths=rng.integers(20, 300, n), persons=rng.integers(1, 3, n), labels=np.arange(n) % count,
                classes=[f'class {i}' for i in range(count)], ranges=np.array([[-1., 1], [-2, 0], [2, 4]]),
                energy=rng.gamma(2, 1, n))
    return {**made, **changed}


@pytest.mark.parametrize('changed', [
    {}, dict(classes=[]), dict(labels=[-1] * 60, classes=[]), dict(labels=[-1, 2] * 30),
    dict(ranges=[[0, 1920], [0, 1080]]), dict(energy=np.zeros(60)),
    dict(persons=[1] * 60, lengths=[50] * 60), dict(labels=np.arange(60) * 2, classes=[]),
    dict(name='NW-UCLA', units='m'), dict(classes=['$x_{$', 'b', 'c'])])
def test_pictures(tmp_path, changed):
    plot_stats(statistics(**changed), str(tmp_path / 'new' / 'stats.png'))
    image = cv2.imread(str(tmp_path / 'new' / 'stats.png'))
    assert image.shape[1] == 1300 and (image.min(-1) < 120).mean() > .01


def test_the_bars_follow_the_samples(tmp_path):
    """Twice the samples in a class give twice the blue in its bar."""
    def blue(labels):
        plot_stats(statistics(n=30, count=2, labels=labels), str(tmp_path / 's.png'))
        image = cv2.imread(str(tmp_path / 's.png')).astype(int)[:, 900:]
        bars = np.abs(image - (181, 120, 59)).sum(-1) < 30
        rows = np.flatnonzero(bars.any(1))
        return [np.median(bars[part].sum(1)) for part in (rows[:len(rows) // 2], rows[len(rows) // 2:])]
    first, second = blue([0] * 20 + [1] * 10)
    assert first == pytest.approx(2 * second, rel=.05)
    first, second = blue([0] * 15 + [1] * 15)
    assert first == pytest.approx(second, rel=.02)


def test_errors(tmp_path):
    out = str(tmp_path / 's.png')
    for changed, message in ((dict(energy=None), "'energy' is missing"),
                             (dict(energy=[1.] * 59), 'one value per sample'),
                             (dict(lengths=[np.nan] * 60), "'lengths' contains NaN"), (dict(ranges=[1, 2]), 'ranges')):
        with pytest.raises(UserError, match=message):
            plot_stats(statistics(**changed), out)
    with pytest.raises(UserError, match='cannot be written'):
        plot_stats(statistics(), str(tmp_path / 's.nothing'))
