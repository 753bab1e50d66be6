"""KNN compared with scikit-learn and with a loop."""
import math

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mmskelssl.errors import UserError
from mmskelssl.evaluation import knn
from mmskelssl.evaluation.knn import knn_classify, knn_scores


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6))
    labels = rng.integers(0, 4, 60)
    return centres[labels] + rng.normal(size=(60, 6)), labels, rng.normal(size=(37, 6))


def loop_votes(bank, labels, queries, k, temperature, classes):
    votes = np.zeros((len(queries), classes))
    for i, query in enumerate(queries):
        similar = []
        for j, row in enumerate(bank):
            similar.append((float(query @ row) / math.sqrt(query @ query) / math.sqrt(row @ row), j))
        for value, j in sorted(similar, reverse=True)[:k]:
            votes[i, labels[j]] += math.exp(value / temperature)
    return votes


@pytest.mark.parametrize('k', [1, 5])
def test_equals_sklearn(data, k):
    bank, labels, queries = data
    expected = KNeighborsClassifier(k, metric='cosine').fit(bank, labels).predict(queries)
    assert (knn_classify(bank, labels, queries, (1, 5))[k] == expected).all()


@pytest.mark.parametrize('chunk', [1, 3000, 1 << 20])
def test_weighted_vote_equals_loop(data, chunk, monkeypatch):
    monkeypatch.setattr(knn, '_CHUNK_BYTES', chunk)
    bank, labels, queries = data
    made = knn_scores(bank, labels, queries, (1, 20), 0.1, num_classes=6)
    for k, votes in made.items():
        expected = loop_votes(bank, labels, queries, k, 0.1, 6)
        np.testing.assert_allclose(votes, expected * math.exp(-10), rtol=1e-4, atol=1e-9)


def test_k_beyond_the_bank_takes_all(data):
    bank, labels, queries = data
    assert (knn_classify(bank, labels, queries, (1000,))[1000]
            == knn_classify(bank, labels, queries, (60,))[60]).all()


def test_small_temperature_does_not_overflow(data):
    assert np.isfinite(knn_scores(*data, (5,), 0.001)[5]).all()


def test_zero_features_are_near_nothing():
    bank = np.array([[0, 0], [-1, 0], [1, 0.0]])
    assert knn_classify(bank, [0, 1, 2], [[1, 0.1]])[1] == [2]
    assert np.isfinite(knn_scores(bank, [0, 1, 2], [[0, 0.0]], (3,), 0.1)[3]).all()


@pytest.mark.parametrize('change, message', [
    (dict(bank_labels=[0, -1]), 'KNN: bank: 1 of 2 clips have no label'),
    (dict(bank_labels=[0]), 'does not match queries'),
    (dict(queries=[[1.0, float('nan')]]), 'queries row 0 is not finite'),
    (dict(queries=np.zeros((0, 2))), 'queries has shape'),
    (dict(ks=(0,)), 'at least 1')])
def test_bad_input(change, message):
    good = dict(bank=[[1.0, 0], [0, 1]], bank_labels=[0, 1], queries=[[1.0, 1]])
    with pytest.raises(UserError, match=message):
        knn_classify(**{**good, **change})
