"""The benchmark of large stores writes sound stores, and its figures are rows of a table."""
import numpy as np

from benchmarks import store_size
from mmskelssl.datasets.store.reader import SkeletonStore


def test_a_synthetic_store_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(store_size, 'PER_SHARD', 40)
    rows = store_size.make_store(str(tmp_path / 's'), 100)
    store = SkeletonStore(tmp_path / 's')
    assert [len(part) for part in store.shards] == [40, 40, 20] and len(set(store.ids)) == 100
    assert (store.persons.astype(int) * store.frames).sum() == rows
    assert np.array_equal(np.sort(np.concatenate([store.split('train'), store.split('test')])), np.arange(100))
    assert store.keypoints(99).shape == (store.persons[99], store.frames[99], 25, 3)


def test_figures_and_plot(tmp_path):
    result = store_size.measure(50, runs=1, batches=10)
    assert result['open_ms'] > 0 and result['open_mb'] < 30 and result['peak_mb'] < 20
    assert len(store_size.row(result)) == len(store_size.COLUMNS)
    store_size.draw([result, dict(result, id='100')], str(tmp_path / 'plot.png'))
    assert (tmp_path / 'plot.png').stat().st_size > 1000
