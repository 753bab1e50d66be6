"""Retrieval and clustering compared with loops over samples."""
import itertools

import numpy as np
import pytest

from mmskelssl.evaluation import retrieval
from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.metrics import match_clusters
from mmskelssl.evaluation.protocols import evaluate
from mmskelssl.evaluation.retrieval import retrieve


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    centres, labels = rng.normal(size=(5, 6)), np.arange(70) % 5
    feats = (centres[labels] + rng.normal(size=(70, 6))).astype('f4')
    return feats[:50], labels[:50], feats[50:], labels[50:]


def loop(gallery, gallery_labels, query, label):
    """Return average precision, nearest clip and rank of the first hit of one query."""
    similar = [float(query @ row) / np.sqrt(query @ query) / np.sqrt(row @ row) for row in gallery.astype('f8')]
    order = sorted(range(len(gallery)), key=lambda i: -similar[i])
    hits, precisions = 0, []
    for rank, i in enumerate(order, 1):
        if gallery_labels[i] == label:
            hits += 1
            precisions.append(hits / rank)
    first = next((rank for rank, i in enumerate(order, 1) if gallery_labels[i] == label), np.inf)
    return np.mean(precisions) if precisions else 0., order[0], first


@pytest.mark.parametrize('chunk', [64 << 20, 8 * 50 * 3])
def test_equals_a_loop(data, chunk, monkeypatch):
    monkeypatch.setattr(retrieval, '_CHUNK_BYTES', chunk)
    gallery, gallery_labels, queries, labels = data
    labels = labels.copy()
    labels[0] = 9  # a class missing from the gallery
    nearest, precision, recall = retrieve(gallery, gallery_labels, queries, labels, (1, 5, 10))
    expected = [loop(gallery, gallery_labels, q.astype('f8'), label) for q, label in zip(queries, labels, strict=True)]
    np.testing.assert_allclose(precision, [e[0] for e in expected], rtol=1e-9)
    assert nearest.tolist() == [e[1] for e in expected] and precision[0] == 0
    for rank in (1, 5, 10):
        assert recall[rank].tolist() == [e[2] <= rank for e in expected]


def test_its_row(data):
    train, test = (Features(f, y, [f'{name}{i}' for i in range(len(y))])
                   for name, f, y in (('a', *data[:2]), ('b', *data[2:])))
    row, = evaluate(train, test, 'retrieval')
    nearest = evaluate(train, test, 'knn', ['1nn'])[0]
    assert row['top1'] == nearest['top1'] == row['recall'][1] <= row['recall'][5] <= row['recall'][10]
    assert row['map_ci95'][0] < row['map'] < row['map_ci95'][1] and row['recipe'] == 'cosine'


def test_the_match_is_the_best_of_all():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 4, 40) * 2, rng.integers(0, 4, 40)
    best = max(sum(labels == np.array(order)[clusters]) for order in itertools.permutations((0, 2, 4, 6)))
    assert (match_clusters(labels, clusters) == labels).sum() == best


def test_clusters_without_a_class_are_wrong():
    assert match_clusters(np.array([0, 0, 1, 1]), np.array([5, 5, 7, 8])).tolist() in ([0, 0, 1, -1], [0, 0, -1, 1])


def test_clusters_of_separate_classes_are_found():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    feats = (8 * np.eye(3)[labels] + rng.normal(size=(60, 3))).astype('f4')
    train = Features(feats[:6], labels[:6], [f'a{i}' for i in range(6)])
    test = Features(feats[6:], labels[6:], [f'b{i}' for i in range(54)])
    row, = evaluate(train, test, 'cluster')
    assert row['top1'] == row['nmi'] == row['ari'] == pytest.approx(100) and row['num_train'] == 0
    noise = Features(rng.normal(size=(54, 3)).astype('f4'), test.labels, test.ids)
    row, = evaluate(train, noise, 'cluster')
    assert row['top1'] < 70 and row['ari'] < 20
