"""Clusters without labels: found, counted, written and drawn."""
import json
import sys

import numpy as np
import pytest

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.clusters import find_clusters
from tests.conftest import StoreWriter
from tools import evaluate as tool


def blobs(sizes, seed=0):
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return (5 * np.eye(len(sizes), 8)[which] + .3 * rng.normal(size=(len(which), 8))).astype(np.float32), which


def test_the_number_of_clusters_is_found():
    features, which = blobs((10, 30, 20))
    made = find_clusters(features)
    assert [int((made.assignments == k).sum()) for k in range(3)] == [30, 20, 10]  # the largest first
    assert (made.assignments == np.array([2, 0, 1])[which]).all()
    assert made.silhouette == max(made.tried.values()) > .8 and set(made.tried) == set(range(2, 21))
    near = made.nearest(0, 5)
    assert (which[near] == 1).all() and (np.diff(made.distances[near]) >= 0).all()
    assert find_clusters(features, 5).assignments.max() == 4
    assert (find_clusters(features).assignments == made.assignments).all()


@pytest.mark.parametrize(('features', 'count'), [
    (np.ones((6, 4)), None), (np.eye(4), 4), (np.eye(4), 1), (np.eye(2), None)])
def test_numbers_that_make_no_sense_are_refused(features, count):
    with pytest.raises(UserError, match='clusters: . clips with . different features allow 2 to'):
        find_clusters(features, count)


def test_a_store_without_labels(tiny_store, tmp_path, monkeypatch, capsys):
    last = train('configs/simclr_toy.py', str(tmp_path / 'run'), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (4, 4)})
    source = SkeletonStore(tiny_store)
    with StoreWriter(tmp_path / 'bare', source.layout) as writer:
        for i, name in enumerate(source.ids[:20]):
            writer.add(name, source.keypoints(i), None)
    for options in ([], ['--clusters', '3']):
        monkeypatch.setattr(sys, 'argv', ['evaluate.py', 'cluster', last, '--data', str(tmp_path / 'bare'), '--out',
                                          str(tmp_path / 'out'), *options])
        tool.main()
        assert 'silhouette' in capsys.readouterr().out
    content = json.loads((tmp_path / 'out/clusters/SimCLR_joint_bare_all_3clusters/clusters.json').read_text())
    assert list(content['clips']) == source.ids[:20] and sum(content['sizes']) == 20 and len(content['sizes']) == 3
    assert list(content['tried']) == ['3']
    folders = sorted((tmp_path / 'out' / 'clusters').iterdir())
    for folder in folders:
        count = len(json.loads((folder / 'clusters.json').read_text())['sizes'])
        assert sorted(path.name for path in folder.glob('*.png')) == sorted(f'cluster_{k}.png' for k in range(count))
