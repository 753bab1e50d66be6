"""Which clips are on the page, their neighbours and those that show the same movement, and the order of the classes."""
import numpy as np
import pytest
from read_page import report

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.evaluation.baselines import raw_neighbours
from mmskelssl.report import build
from mmskelssl.report.confusion import order_by_similarity
from mmskelssl.report.selection import neighbours, select
from mmskelssl.report.sources import open_sources
from tests.conftest import write_tiny_store


@pytest.mark.slow
def test_neighbours_are_the_nearest_training_clips(page, report_run, tiny_store):
    source, store = open_sources([report_run])[0], SkeletonStore(tiny_store)
    feats = source.extractor.of_store(tiny_store, 'all').feats
    feats = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    train = store.split('train')
    for entry in page.data['neighbours']:
        cosine = feats[entry['clip']] @ feats[train].T
        assert set(entry['near']) <= set(train) and len(entry['near']) == 5
        np.testing.assert_allclose(np.sort(1 - cosine)[:5], entry['distance'], atol=2e-3)


@pytest.mark.parametrize('large', [False, True], ids=['whole split', 'clips of the page'])
@pytest.mark.slow
def test_a_leak_stands_out(report_run, tiny_store, tmp_path, monkeypatch, large):
    """It is counted over the whole split, unless that would take long."""
    store = SkeletonStore(tiny_store)
    with StoreWriter(tmp_path / 'leak', 'ntu25', classes=store.classes, source='test') as writer:
        for i in range(30):
            writer.add(store.ids[i], store.keypoints(i), int(store.labels[i]))
        row = int(np.flatnonzero(store.frames[:30] > 25)[0])
        writer.add('again', 1.1 * store.keypoints(row)[:, 1:] + .5 * store.keypoints(row)[:, 1:].any(-1, keepdims=True),
                   int(store.labels[row]))
        writer.set_split('train', store.ids[:20] if row < 20 else store.ids[10:30])
        writer.set_split('test', [*(store.ids[20:30] if row < 20 else store.ids[:10]), 'again'])
    monkeypatch.setattr(build, 'MOST_NEAR', 20 if large else 31)
    page = report(report_run, data=str(tmp_path / 'leak'), most=31 if large else 8)
    where = ' on this page' if large else ''
    assert f"leak: 1 of 11 clips of 'test'{where} show the same movement as a clip of 'train'" in page.text
    assert (len(page.data['neighbours']) == 11) == large
    if large:
        entry = next(one for one in page.data['neighbours'] if page.data['clips']['id'][one['clip']] == 'again')
        assert page.data['clips']['id'][entry['same']] == store.ids[row]


def test_selection_keeps_neighbours_of_as_many_clips_as_fit():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(120, 4))
    test, train = np.arange(80, 120), np.arange(80)
    found = neighbours(feats[test], feats[train])
    for most in (12, 60, 500):
        chosen = select(test, train, lambda rows: (found[0][rows], found[1][rows]), most)
        assert len(chosen.rows) <= max(most, 6) and len(chosen.rows) == min(most, 120)
        assert set(chosen.nearest.ravel()) | set(chosen.queries) <= set(chosen.rows)
        for query, near in zip(chosen.queries, chosen.nearest, strict=True):
            assert (near == train[found[0][list(test).index(query)]]).all()
    own, cosine = neighbours(feats, feats, np.arange(120))
    assert (own != np.arange(120)[:, None]).all() and (np.diff(cosine) <= 0).all()


def test_similar_classes_are_next_to_each_other():
    labels = np.repeat(np.arange(6), 5)
    means = np.array([[0, 0], [9, 9], [0, 1], [9, 8], [0, .5], [9, 8.5]], float)
    order = order_by_similarity(means[labels], labels, np.arange(6)).tolist()
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}


def test_raw_coordinates_find_a_moved_copy(tmp_path):
    store = SkeletonStore(write_tiny_store(tmp_path / 's', 'kinect20', 1, samples=20))
    with StoreWriter(tmp_path / 'c', 'kinect20', classes=store.classes, source='test') as writer:
        for i in range(20):
            writer.add(f'a{i}', store.keypoints(i), int(store.labels[i]))
        for i in range(20):
            writer.add(f'b{i}', store.keypoints(i) + np.float32([3, 0, 1]), int(store.labels[i]))
    copy = SkeletonStore(str(tmp_path / 'c'))
    assert (raw_neighbours(copy, np.arange(20), np.arange(20, 40)) == store.labels).all()
