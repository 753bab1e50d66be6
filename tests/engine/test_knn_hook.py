"""KNNHook in a run of mmengine's Runner, its alarm, and the plot of its curves."""
import logging

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.hooks import knn_hook
from mmskelssl.engine.hooks.knn_hook import KNNHook
from mmskelssl.errors import UserError
from mmskelssl.visualization.curves import plot_curves, read_scalars

PIPELINE = [dict(type='ResizeFrames', frames=4), dict(type='PackSkeleton')]


class Model(BaseModel):
    """One linear layer on the mean pose. ``collapse`` makes all features equal."""

    def __init__(self, collapse=False):
        super().__init__()
        self.backbone, self.collapse = nn.Linear(3, 4), collapse

    def extract_feat(self, inputs, num_frames=None):
        made = self.backbone(inputs.mean((2, 3, 4)))
        return made * 0 + 1 if self.collapse else made

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert self.training
        chance = inputs.new_tensor(0.0 if self.collapse else 90.0)
        return dict(loss=self.extract_feat(inputs).square().mean(), batch_top1=chance)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / 'store', 'sbu15', classes=['a', 'b']) as writer:
        for i in range(24):
            writer.add(f's{i}', rng.normal(size=(1, 6, 15, 3)) + i % 2, label=None if i == 20 else i % 2)
        for name, rows in dict(train=range(12), test=range(12, 20), bare=range(12, 24)).items():
            writer.set_split(name, [f's{i}' for i in rows])
    return str(tmp_path / 'store')


def run(tmp_path, store, collapse=False, test='test', **hook):
    evaluation = dict(store=store, pipeline=PIPELINE, train_split='train', test_split=test)
    runner = Runner(
        Model(collapse), str(tmp_path / 'work'),
        train_dataloader=dict(dataset=dict(type='mmskelssl.SkeletonDataset', store=store, split='train',
                                           pipeline=PIPELINE),
                              batch_size=4, sampler=dict(type='DefaultSampler'),
                              collate_fn=dict(type='mmskelssl.whole_batch')),
        train_cfg=dict(by_epoch=True, max_epochs=4), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=[KNNHook(evaluation, **hook)], default_scope='mmskelssl',
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        experiment_name=f'{tmp_path.name}_{collapse}', cfg=dict())
    warnings = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())
    runner.logger.addHandler(handler)
    state = torch.random.get_rng_state()
    runner.train()
    assert runner.model.training and not torch.equal(state, torch.random.get_rng_state())
    scalars = next(iter(read_scalars(str(tmp_path / 'work')).values()))
    return scalars, [text for text in warnings if 'COLLAPSE' in text]


def test_curves_from_start_to_end(tmp_path, store):
    scalars, alarms = run(tmp_path, store, interval=3)
    for name in ('val/knn_top1', 'val/knn20_top1', 'val/feature_std', 'val/mean_cosine'):
        assert sorted(scalars[name]) == [0, 9, 12]  # 3 iterations an epoch
    assert 0 <= scalars['val/knn_top1'][0] <= 100 and not alarms
    plot_curves(str(tmp_path / 'work'), str(tmp_path / 'curves.png'))
    assert (tmp_path / 'curves.png').stat().st_size > 5000
    with pytest.raises(UserError, match='no vis_data/scalars.json'):
        plot_curves(store, str(tmp_path / 'curves.png'))


def test_by_iteration_without_labels(tmp_path, store):
    scalars, _ = run(tmp_path, store, test='bare', interval=5, by_epoch=False)
    assert sorted(scalars['val/mean_cosine']) == [0, 5, 10, 12] and 'val/knn_top1' not in scalars


def test_collapse_alarm(tmp_path, store):
    _, alarms = run(tmp_path, store, collapse=True, interval=1, patience=2)
    assert any('look alike' in text for text in alarms) and any('top-1 0.0 %' in text for text in alarms)
    assert all('2 measurements' in text or '3 measurements' in text or '4 measurements' in text for text in alarms)


def test_neighbours_are_the_hooks_own(tmp_path, store):
    scalars, _ = run(tmp_path, store, interval=9, k=[3, 5], temperature=.07)
    assert {name for name in scalars if 'knn' in name} == {'val/knn3_top1', 'val/knn5_top1'}
    assert KNNHook(k=7).k == [7] and KNNHook().k == [1, 20]


@pytest.mark.parametrize('options, message', [
    (dict(k=0), 'k is 0; it must be one or more'), (dict(k=[]), r'k is \[\]'), (dict(k=[1.5]), r'k is \[1.5\]'),
    (dict(k='x'), "k is 'x'"), (dict(temperature=0), 'temperature is 0; it must be'), (dict(interval=0), 'interval')])
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        KNNHook(**options)


def test_the_lineages_monitor_is_logged_next_to_ours(tmp_path, store, monkeypatch):
    seen = []

    def lineage_knn(model, make_dataset, train, test, step, *rest):
        seen.append((len(make_dataset(train).ids), len(make_dataset(test).ids), step))
        return {10: 1., 20: 2., 40: 3.}
    monkeypatch.setattr(knn_hook, 'lineage_knn', lineage_knn)
    monkeypatch.setattr(knn_hook, 'Embeddings', lambda *args: None)
    scalars, _ = run(tmp_path, store, interval=9, lineage=True)
    assert seen == [(12, 8, 0), (12, 8, 12)]
    assert {name: set(values.values()) for name, values in scalars.items() if 'lineage' in name} == {
        'val/lineage_knn10_top1': {1.}, 'val/lineage_knn20_top1': {2.}, 'val/lineage_knn40_top1': {3.}}
    assert {'val/knn_top1', 'val/knn20_top1'} <= set(scalars)


def test_the_lineages_monitor_needs_a_projector(tmp_path, store):
    with pytest.raises(UserError, match='but Model has no projector'):
        run(tmp_path, store, lineage=True)
