"""Folds pooled into one row; runs that are there are not done again."""
import json

import pytest

from mmskelssl.datasets.store import SkeletonStore
from mmskelssl.datasets.store_writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.evaluation import benchmark as module
from mmskelssl.evaluation.benchmark import benchmark, pool_folds


def row(split, top1, num_test, **changes):
    return {**dict(encoder='SimCLR', method='SimCLR', stream='joint', pretrain_seed=0, protocol='knn', recipe='1nn',
                   split=split, top1=top1, top5=None, mean_class=top1, num_test=num_test, num_train=10, seconds=1.,
                   feature_seconds=1., data='sbu', checkpoint='x', config_hash='y'), **changes}


def test_every_test_sample_counts_once():
    rows = [row('fold1', 100., 10), row('fold2', 50., 30), row('fold1', 0., 10, encoder='untrained'),
            row('fold2', 0., 30, encoder='untrained')]
    pooled, untrained = pool_folds(rows)
    assert pooled['top1'] == pytest.approx(62.5) and pooled['num_test'] == 40 and pooled['split'] == '2 folds'
    assert pooled['folds'] == dict(fold1=100., fold2=50.) and pooled['ci95'][0] < 62.5 < pooled['ci95'][1]
    assert untrained['top1'] == 0 and untrained['ci95'] == [0, 0] and pooled['top5'] is None


def test_a_fold_that_stands_twice_is_refused():
    with pytest.raises(UserError, match='a fold stands twice'):
        pool_folds([row('fold1', 1., 10), row('fold1', 1., 10)])


@pytest.fixture
def folds(tiny_kinect_store, tmp_path):
    """The tiny store with two folds."""
    store = SkeletonStore(tiny_kinect_store)
    with StoreWriter(tmp_path / 'store', 'kinect20', classes=store.classes) as writer:
        for i, sample in enumerate(store.samples):
            writer.add(sample['id'], store.keypoints(i), sample['label'])
        halves = store.ids[::2], store.ids[1::2]
        for fold, (test, train) in zip(('fold1', 'fold2'), (halves, halves[::-1]), strict=True):
            writer.set_split(f'{fold}_train', train)
            writer.set_split(f'{fold}_test', test)
    return str(tmp_path / 'store')


def test_two_folds_of_a_staged_recipe(folds, tmp_path, monkeypatch):
    options = {'data.store': folds, 'train_cfg.max_epochs': 1, 'model.backbone.hidden_channels': 4,
               'model.head.out_channels': 8, 'train_dataloader.batch_size': 8}
    call = dict(splits=['fold1', 'fold2'], cfg_options=options)
    rows = benchmark('configs/crrl_msr.py', str(tmp_path / 'out'), **call)
    assert {row['encoder'] for row in rows} == {'untrained', 'CRRLMotion', 'CRRL'}
    assert {row['num_test'] for row in rows} == {48} and {row['split'] for row in rows} == {'2 folds'}
    written = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert len(written['results']) == len(rows) and written['data_hash']
    single = json.loads((tmp_path / 'out' / 'fold2_joint_seed0' / 'results.json').read_text())['results']
    assert {row['test_split'] for row in single} == {'fold2_test'}

    monkeypatch.setattr(module, 'train', lambda *_, **__: pytest.fail('trained again'))
    again = benchmark('configs/crrl_msr.py', str(tmp_path / 'out'), **call)
    assert [row['top1'] for row in again] == pytest.approx([row['top1'] for row in rows], abs=1e-3)
