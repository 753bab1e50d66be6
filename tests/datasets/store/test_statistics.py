"""Statistics of a store, compared with hand-computed numbers."""
import sys

import numpy as np
import pytest

from mmskelssl.datasets import StoreWriter
from mmskelssl.datasets.store.statistics import print_stats, store_stats
from tools import prepare_data


@pytest.fixture
def store(tmp_path):
    with StoreWriter(tmp_path / 's', 'kinect20', units='mm', classes=['sit', 'stand']) as writer:
        walk = np.ones((1, 4, 20, 3))
        walk[0, :, :, 0] = [[1], [4], [7], [10]]
        walk[0, :, :, 2] = [[2], [6], [10], [14]]  # five a frame
        writer.add('walk', walk, 1)
        still = np.full((2, 3, 20, 3), 2.)
        still[1, 0] = 0  # comes later, which does not count as movement
        writer.add('still', still, 0)
        writer.add('nobody', np.zeros((2, 1, 20, 3)))
        writer.set_split('train', ['walk', 'still'])
    return str(tmp_path / 's')


def test_numbers(store):
    stats = store_stats(store)
    assert stats['lengths'].tolist() == [4, 3, 1] and stats['labels'].tolist() == [1, 0, -1]
    assert stats['persons'].tolist() == [1, 2, 0]
    np.testing.assert_allclose(stats['energy'], [5, 0, 0])
    assert stats['ranges'].shape == (3, 2) and (stats['ranges'][:, 0] >= 1).all()  # absent bodies are not in it
    assert stats['units'] == 'mm' and stats['classes'] == ['sit', 'stand'] and stats['splits'] == dict(train=2)


def test_missing_joints(tmp_path):
    clip = np.ones((2, 4, 20, 3))
    clip[0, :2, 5] = clip[1] = 0  # an absent person has no missing joints
    with StoreWriter(tmp_path / 'm', 'kinect20') as writer:
        writer.add('a', clip)
    np.testing.assert_allclose(store_stats(str(tmp_path / 'm'))['missing'], [2 / 80])


def test_tables(store, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['tool', 'stats', store])
    prepare_data.main()
    out = capsys.readouterr().out
    for text in ('without a label: 1', 'stand', 'splits: train 2', 'motion energy (mm a frame)', '98 % between'):
        assert text in out
    stats = store_stats(store)
    print_stats(dict(stats, classes=[], labels=np.full(3, -1), splits={}))
    assert 'splits: none' in capsys.readouterr().out


def test_ranges_are_percentiles(tmp_path):
    clip = np.random.default_rng(0).normal(size=(1, 2000, 20, 3)) * (1, 2, 3) + (5, 0, 0)
    with StoreWriter(tmp_path / 's', 'kinect20') as writer:
        writer.add('a', clip)
    np.testing.assert_allclose(store_stats(str(tmp_path / 's'))['ranges'],
                               np.percentile(clip.reshape(-1, 3), (1, 99), axis=0).T, atol=.6)
