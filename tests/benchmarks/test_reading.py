"""The benchmark of large stores prepares the same clips in all ways, and reads all clips from the disk."""
import numpy as np

from benchmarks import reading


def test_all_ways_prepare_the_same():
    rows = reading.preparing(12, 2)
    assert [one['id'] for one in rows] == ['cached, in memory', 'preprocessed per batch', 'preprocessed clip by clip']
    assert all(one['processor_ms'] > 0 and one['difference'] < 1e-6 for one in rows)
    assert reading.row(dict(rows[0], processor_ms=1.26)) == ['cached, in memory', '1.3', '', '']


def test_windows_read_each_shard_once(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(reading, 'cold', lambda path, order: (seen.append((np.load(path).shape, order)), (30, .2))[1])
    rows = reading.ordering(.03, 2, str(tmp_path))
    assert [shape for shape, _ in seen] == [(1000, *reading.CLIP)] * 4 and not list(tmp_path.iterdir())
    orders = [order for _, order in seen[:2]]
    assert all(len({*order.tolist()}) == len(order) == 128 for order in orders)
    assert [len(np.unique(order * 32 // 1000)) > 16 for order in orders] == [True, False]
    assert reading.row(rows[1])[2:] == ['200', f'{30 / (128 * .03):.1f}']
